// How the GIC drivers give arch the one thing that only the interrupt controller can do.
#pragma once

#include <arch/thread.hpp>

namespace linnet::arch {

/// Raises the inter-processor interrupt (hooks::ipi) on `cpu`. Any context.
using IpiSender = void (*)(CpuHeader& cpu);
void set_ipi_sender(IpiSender sender);

} // namespace linnet::arch
