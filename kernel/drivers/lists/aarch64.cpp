// The drivers of AArch64 machines, in the order of probing.
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver gic_v2_driver, gic_v3_driver, pl011_driver, pl031_driver, pci_ecam_driver, virtio_mmio_driver,
    arm_pmu_driver;

static constexpr const Driver* drivers[] = {&gic_v2_driver,   &gic_v3_driver,      &pl011_driver,  &pl031_driver,
                                            &pci_ecam_driver, &virtio_mmio_driver, &arm_pmu_driver};
const std::span<const Driver* const> driver_list{drivers};

} // namespace linnet::drivers
