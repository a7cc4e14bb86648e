// The drivers of AArch64 machines, in the order of probing.
#include <drivers/driver.hpp>

namespace linnet::drivers {

const std::span<const Driver* const> driver_list{};

} // namespace linnet::drivers
