// The PCI drivers there are, in the order of matching.
#pragma once

#include <drivers/pci.hpp>
#include <span>

namespace linnet::drivers {
extern const std::span<const PciDriver* const> pci_drivers;
}
