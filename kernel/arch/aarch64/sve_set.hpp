// The register set NT_ARM_SVE (struct user_sve_header of asm/ptrace.h): a header, and what FPSIMD has or all of SVE.
#pragma once

#include <arch/user_context.hpp>

namespace linnet::arch {

/// For vectors as long as the architecture allows, as on Linux; 0 without SVE.
usize sve_set_size();
/// Zeros follow what the header counts.
void read_sve_set(UserContext& of, std::span<u8> to);
/// What the header of a set that was read counts, itself too.
usize used_sve_size(std::span<const u8> set);
/// Vectors' length, and the registers if they are given too; of those of SVE what isn't given is what FPSIMD's stand
/// for. EINVAL, EIO: the registers are of another length than
/// could be had; ENOMEM.
Result<void> write_sve_set(UserContext& context, std::span<const u8> from);

} // namespace linnet::arch
