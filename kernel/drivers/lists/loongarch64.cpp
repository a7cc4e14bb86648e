// The drivers of LoongArch machines, in the order of probing.
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver eiointc_driver, pch_pic_driver, pch_msi_driver, uart_16550_driver, ls7a_rtc_driver,
    syscon_power_driver, pci_ecam_driver;

static constexpr const Driver* drivers[] = {&eiointc_driver,  &pch_pic_driver,      &pch_msi_driver, &uart_16550_driver,
                                            &ls7a_rtc_driver, &syscon_power_driver, &pci_ecam_driver};
const std::span<const Driver* const> driver_list{drivers};

} // namespace linnet::drivers
