// The drivers of x86_64 machines, in the order of probing.
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver io_apic_driver, com_port_driver, cmos_rtc_driver, acpi_power_driver, pc_pci_driver,
    virtio_firmware_driver;

static constexpr const Driver* drivers[] = {&io_apic_driver,    &com_port_driver, &cmos_rtc_driver,
                                            &acpi_power_driver, &pc_pci_driver,   &virtio_firmware_driver};
const std::span<const Driver* const> driver_list{drivers};

} // namespace linnet::drivers
