// The drivers of LoongArch machines, in the order of probing.
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver uart_16550_driver;

static constexpr const Driver* drivers[] = {&uart_16550_driver};
const std::span<const Driver* const> driver_list = drivers;

} // namespace linnet::drivers
