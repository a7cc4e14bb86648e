// What the trap handler needs of time.cpp.
#pragma once

namespace linnet::arch {

/// The timer's vector came: false when it was early and has been armed again for the rest.
bool timer_expired();

} // namespace linnet::arch
