// Fault injection: makes allocations fail on request, so that tests reach every error path. Set by the boot parameter
// linnet.fail_allocations= and by /proc/sys/vm/fail_allocations. It concerns only threads that are marked: whoever
// wrote to the file and its descendants; by the boot parameter every program but PID 1. Off, it costs a test of one
// word.
#pragma once

#include <atomic>
#include <lib/format.hpp>
#include <lib/result.hpp>

namespace linnet::mm {

enum class AllocationClass : u8 {
    Pages,      // frames of whatever is not one of the others
    PageTables, // of user address spaces
    Heap,       // allocate_bytes()
    KernelArea, // kernel stacks, virtually contiguous memory, device mappings
};

enum class FaultScope : u8 { Descendants, Programs };

/// Words separated by commas or white space: the classes "pages", "tables", "heap", "area" or "all"; "every=N" for a
/// random share, one in N; "nth=N" for the N-th allocation of this thread from now on, once; "off". EINVAL.
Result<void> set_allocation_faults(std::string_view words, FaultScope scope);
/// A line for each class: how many allocations of marked threads there were and how many were made to fail; then what
/// is left of "nth=".
void show_allocation_faults(TextSink sink);
/// To be called when the current thread begins a program that isn't PID 1's.
void mark_new_program();

extern constinit std::atomic<u32> armed_allocation_classes;
bool decide_allocation_fault(AllocationClass which);

/// Whether this allocation must fail.
inline bool fails_by_request(AllocationClass which) {
    return armed_allocation_classes.load(std::memory_order_relaxed) != 0 && decide_allocation_fault(which);
}

} // namespace linnet::mm
