// The list of PCI drivers.
#include "drivers.hpp"

namespace linnet::drivers {
extern const PciDriver virtio_pci_driver;

namespace {
constexpr const PciDriver* all[] = {&virtio_pci_driver};
}
constinit const std::span<const PciDriver* const> pci_drivers = all;
} // namespace linnet::drivers
