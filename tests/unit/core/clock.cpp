// What the run queues need of the rest of core. Time is a number that the tests move: a tick is a nanosecond, and
// timers are armed but never ring.
#include <core/time.hpp>
#include <core/timer.hpp>

#include "reservation.hpp"

namespace linnet::core {

u64 ticks_to_ns(u64 ticks) { return ticks; }
u64 monotonic_at(u64 ticks) { return ticks; }
void arm_timer(Timer& timer, u64 deadline_ns) { timer.deadline_ns = deadline_ns; }

} // namespace linnet::core
