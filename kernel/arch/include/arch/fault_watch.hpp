// Contract: telling tracers of page faults, as the processor says them. Only Linux for x86_64 has such events.
//
// <arch_impl/fault_watch.hpp> defines tells_of_page_faults: whether the architecture calls tell_of_page_fault() for
// each.
#pragma once

#include <atomic>
#include <lib/types.hpp>

#include <arch_impl/fault_watch.hpp>

namespace linnet::arch {

struct SeenPageFault {
    u64 address, pc;
    u64 error_code; // the processor's
    bool in_kernel;
};
/// Null while nobody wants to know. It is called with interrupts off, wherever kernel code may fault.
inline constinit std::atomic<void (*)(const SeenPageFault&)> page_fault_watcher{nullptr};

inline void tell_of_page_fault(const SeenPageFault& fault) {
    if (auto* const watcher = page_fault_watcher.load(std::memory_order_relaxed)) [[unlikely]]
        watcher(fault);
}

} // namespace linnet::arch
