// What rooms above want to be told of while it happens. Each place where it happens looks at one word that is hardly
// ever written; when nobody watches, that is all.
#pragma once

#include <core/thread.hpp>

namespace linnet::core {

/// Bits of `watched`.
enum Watched : u32 {
    watch_switches = 1u << 0, // of CPUs, from thread to thread
    watch_faults = 1u << 1,   // page faults
    watch_mappings = 1u << 2, // memory that a program maps
    watch_threads = 1u << 3,  // threads made, renamed, ended; programs executed
};

class Watcher {
public:
    /// `previous` leaves the CPU to `next`. Interrupts off and the run queue's lock held: nobody can be woken. `next`
    /// has not run yet: user memory is still that of `previous`.
    virtual void on_switch(Cpu& cpu, Thread& previous, Thread& next, bool is_preempted) = 0;
    /// The current thread's access to user memory faulted; it has not been dealt with. Any lock may be held that a
    /// fault is allowed under.
    virtual void on_fault(VirtAddr address, bool in_kernel) = 0;
    /// The current program has mapped or changed something at `address`. May sleep, as all below.
    virtual void on_mapped(VirtAddr address) = 0;
    /// The current thread has made one, which does not run yet.
    virtual void on_child(Thread& child) = 0;
    virtual void on_renamed(Thread& thread) = 0;
    /// The current thread executes another program from now on.
    virtual void on_executed() = 0;
    /// The current thread will run no more user code.
    virtual void on_ending() = 0;

protected:
    ~Watcher() = default;
};

/// Set before any bit is.
inline constinit Watcher* watcher = nullptr;
alignas(64) inline constinit std::atomic<u32> watched{0};

[[nodiscard]] inline bool is_watched(u32 what) { return watched.load(std::memory_order_relaxed) & what; }

} // namespace linnet::core
