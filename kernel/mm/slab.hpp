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

/// Registers what gives empty slabs back when memory is short.
void add_heap_shrinker();

/// Where in the heap an address lies: a place of a slab, or a block of frames.
struct HeapPlace {
    const void* begin = nullptr;
    usize size = 0;
};
/// False when it isn't the heap's.
bool find_heap_place(const void* address, HeapPlace& out);

} // namespace linnet::mm
