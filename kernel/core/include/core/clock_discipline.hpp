// The clock's discipline, adjtimex(2): an offset is slewed away, the frequency corrected, leap seconds inserted or left
// out. The model is that of RFC 5905 and of D. Mills, "A Kernel Model for Precision Timekeeping" (RFC 1589), with the
// numbers of Linux.
#pragma once

#include <abi/linux/timex.hpp>
#include <lib/result.hpp>

namespace linnet::core {

/// Does what `values.modes` names and fills `values` with the state after it; the state of the clock (TIME_*). The
/// caller has checked the ranges and the right to do so. EINVAL: ADJ_SETOFFSET to before the boot of the machine.
Result<int> adjust_clock(abi::timex& values);
/// Sets CLOCK_REALTIME, and what the discipline was about is void. EINVAL: it would have been before 1970 at boot.
Result<void> set_realtime(u64 ns);

} // namespace linnet::core
