// User code's reads of the CPU's identification registers, which Linux answers with the features that user code may use
// (Documentation/arch/arm64/cpu-feature-registers.rst), and the HWCAP bits made from the same values.
#pragma once

#include <arch/user_context.hpp>

namespace linnet::arch {

/// An undefined instruction at the context's pc: true when it was an MRS that has been answered.
bool emulate_undefined(UserContext& context);
/// A trapped MSR/MRS (exception class 0x18): true when it has been answered.
bool emulate_system_register(UserContext& context, u64 syndrome);

} // namespace linnet::arch
