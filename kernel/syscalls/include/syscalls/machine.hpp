// Calls that one architecture alone has.
#pragma once

#include <syscalls/table.hpp>

namespace linnet::syscalls {

/// A question and its answer (riscv_hwprobe(2)); an unknown key becomes -1.
struct ProbedProperty {
    i64 key;
    u64 value;
};

Result<long> sys_riscv_flush_icache(process::Thread&, VirtAddr begin, VirtAddr end, u64 flags);
Result<long> sys_riscv_hwprobe(process::Thread&, mm::UserPtr<mm::InOut, ProbedProperty> pairs, u64 count, u64 set_size,
                               VirtAddr cpus, u32 flags);

inline constexpr Entry machine_calls[] = {
    entry<sys_riscv_flush_icache>("riscv_flush_icache", nr::riscv_flush_icache),
    entry<sys_riscv_hwprobe>("riscv_hwprobe", nr::riscv_hwprobe, Support::Partial,
                             "how fast unaligned accesses are is said to be unknown; keys of Linux 6.12"),
};

} // namespace linnet::syscalls
