// The inside of the heap, for boot_memory.cpp and the host tests.
#pragma once

#include <core/thread.hpp>
#include <mm/heap.hpp>
#include <mm/page.hpp>

namespace linnet::mm {

/// Gives `cpu` its magazines. The boot CPU's need no allocation.
void start_heap(core::Cpu& cpu);
/// Returns the objects in this CPU's magazines to their slabs; how many.
u64 drain_magazines();

} // namespace linnet::mm
