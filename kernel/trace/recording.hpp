// What a CPU does on behalf of tracing is not traced: an event that comes up on the way (a tracepoint below, or a probe
// of the kernel in whatever is called) is dropped, as on Linux. So no lock of tracing is ever waited for by the CPU
// that holds it. Other locks are not taken on the way of a record at all: readers are woken by core::InterruptWork.
#pragma once

#include <core/spinlock.hpp>
#include <core/thread.hpp>

namespace linnet::trace {

struct alignas(64) RecordingDepth {
    u32 depth = 0;
};
inline constinit RecordingDepth recording_depths[core::CpuMask::max_cpus] = {};

/// Whether this CPU is on the way of a record, or holds a lock of tracing. Interrupts off.
inline bool is_recording_here() { return recording_depths[core::this_cpu().number].depth != 0; }

/// This CPU is on the way of a record for a scope, with interrupts off.
class RecordingScope {
public:
    RecordingScope() : state_(arch::save_and_disable_interrupts()), own_(recording_depths[core::this_cpu().number]) {
        ++own_.depth;
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    ~RecordingScope() {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        --own_.depth;
        arch::restore_interrupts(state_);
    }
    RecordingScope(const RecordingScope&) = delete;
    RecordingScope& operator=(const RecordingScope&) = delete;

private:
    arch::InterruptState state_;
    RecordingDepth& own_;
};

/// Holds a lock that records are written under: an InterruptSpinGuard that begins with a RecordingScope.
class RecordingGuard {
public:
    explicit RecordingGuard(core::InterruptSpinLock& lock) : lock_(&lock), state_(arch::save_and_disable_interrupts()) {
        ++arch::current_thread()->preempt_count;
        ++own().depth;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        lock.acquire();
    }
    ~RecordingGuard() { unlock(); }
    RecordingGuard(const RecordingGuard&) = delete;
    RecordingGuard& operator=(const RecordingGuard&) = delete;
    void unlock() {
        if (!lock_) return;
        lock_->release();
        lock_ = nullptr;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        --own().depth;
        arch::restore_interrupts(state_);
        core::spin_unlock_preemption();
    }

private:
    static RecordingDepth& own() { return recording_depths[core::this_cpu().number]; }
    core::InterruptSpinLock* lock_;
    arch::InterruptState state_;
};

/// The same where interrupts are off already, and stay so behind it.
class RecordingGuardWithin {
public:
    explicit RecordingGuardWithin(core::InterruptSpinLock& lock)
        : lock_(lock), own_(recording_depths[core::this_cpu().number]) {
        ++own_.depth;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        lock_.acquire();
    }
    ~RecordingGuardWithin() {
        lock_.release();
        std::atomic_signal_fence(std::memory_order_seq_cst);
        --own_.depth;
    }
    RecordingGuardWithin(const RecordingGuardWithin&) = delete;
    RecordingGuardWithin& operator=(const RecordingGuardWithin&) = delete;

private:
    core::InterruptSpinLock& lock_;
    RecordingDepth& own_;
};

} // namespace linnet::trace
