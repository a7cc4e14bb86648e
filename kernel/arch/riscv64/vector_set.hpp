// The register set NT_RISCV_VECTOR: struct __riscv_v_regset_state of asm/ptrace.h.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// The bytes of the 32 registers follow.
struct VectorSetHeader {
    u64 vstart, vl, vtype, vcsr, vlenb;
};

} // namespace linnet::arch
