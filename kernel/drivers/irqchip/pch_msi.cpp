// Message-signalled interrupts of Loongson's 7A bridge: a write of a vector's number to one address raises
// that vector of the extended I/O interrupt controller.
#include <drivers/driver.hpp>

#include "eiointc.hpp"

namespace linnet::drivers {

extern const Driver pch_msi_driver;

namespace {

Result<void> probe(const Device& device) {
    auto first = device.node.cell("loongson,msi-base-vec", 0), count = device.node.cell("loongson,msi-num-vecs", 0);
    if (!first || !count) return error(Errno::EINVAL);
    boot::FdtRegion region = TRY(device.region());
    return set_msi_vectors(*first, *count, region.begin);
}

constexpr const char* names[] = {"loongson,pch-msi-1.0"};

} // namespace

constinit const Driver pch_msi_driver{.name = "pch_msi",
                                      .stage = Stage::InterruptController,
                                      .compatible = names,
                                      .probe = probe,
                                      .probe_platform = nullptr};

} // namespace linnet::drivers
