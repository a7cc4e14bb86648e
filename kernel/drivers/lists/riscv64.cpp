// The drivers of RISC-V machines, in the order of probing.
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver plic_driver, uart_16550_driver, goldfish_rtc_driver, pci_ecam_driver, virtio_mmio_driver;

static constexpr const Driver* drivers[] = {&plic_driver, &uart_16550_driver, &goldfish_rtc_driver, &pci_ecam_driver,
                                            &virtio_mmio_driver};
const std::span<const Driver* const> driver_list{drivers};

} // namespace linnet::drivers
