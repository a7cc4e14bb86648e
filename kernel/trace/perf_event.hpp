// PerfEvent: one counted event, and PerfContext: those of one thread.
//
// Nothing is done when something happens: threads and CPUs count for themselves all that can be counted here, and an
// event remembers how far its counter was when it was switched on.
//
// Locks: `events_lock` guards every group, list and count below. It is taken by calls on events, and by threads that
// somebody watches when they fork, execute a program or die; nobody else comes by. No other lock is taken under it but
// leaves.
#pragma once

#include <abi/linux/perf_event.hpp>
#include <core/mutex.hpp>
#include <lib/intrusive_list.hpp>
#include <process/observer.hpp>
#include <process/thread.hpp>
#include <trace/perf_event.hpp>

namespace linnet::trace {

extern core::Mutex events_lock;

class PerfContext;

/// Belongs to its file, or, made for a child (PERF_ATTR_INHERIT), to the event that it is a copy of. It must have been
/// removed before it goes, and goes without the lock.
class PerfEvent {
public:
    PerfEvent(const abi::perf_event_attr& attributes, PerfTarget target);
    PerfEvent(const PerfEvent&) = delete;

    /// What read(2) says of one event; times in nanoseconds.
    struct Reading {
        u64 value = 0;
        u64 enabled_ns = 0;
    };
    /// Of it and of those made for children.
    [[nodiscard]] Reading read_locked() const;
    /// It and its copies; its members follow as far as they are on themselves.
    void switch_locked(bool on);
    void switch_own_locked(bool on);
    void reset_locked();
    /// Takes it from its group, its threads and its original. Its members, if it led, go on by themselves.
    void remove_locked();
    /// Joins a group, or begins one of its own (`leads` is itself), and begins to count if it is on.
    void join_locked(PerfEvent& leads);
    /// It stays with its file, with what it has counted.
    void stop_for_good_locked();
    /// As what `from` is for its thread. The caller chooses the group.
    void begin_as_copy_locked(PerfEvent& from);
    /// A copy whose thread dies: the original keeps its counts.
    void give_back_locked();

    const u64 id;
    const abi::perf_event_attr attributes;
    const PerfTarget target;

    PerfEvent* leader = this;
    ListNode member_node; // in leader->members
    IntrusiveList<PerfEvent, &PerfEvent::member_node> members;
    usize member_count = 0;
    ListNode context_node;         // in PerfContext::events
    ListNode opened_node;          // in PerfContext::opened of who opened it
    PerfEvent* original = nullptr; // of a copy
    ListNode copy_node;            // in original->copies
    IntrusiveList<PerfEvent, &PerfEvent::copy_node> copies;
    NullableRefPtr<process::Thread> opener;
    bool enables_on_exec = false;

private:
    [[nodiscard]] u64 counter() const;
    [[nodiscard]] u64 clock() const;
    /// Counts as far as things have come, and goes on if it and its leader are on.
    void settle_locked();
    void settle_group_locked();
    [[nodiscard]] Reading own_locked() const;

    bool is_on_ = false;
    bool counts_ = false;
    u64 counter_then_ = 0, clock_then_ = 0; // when it began to count
    Reading sum_;                           // before that, and of children that are gone
};

class PerfContext final : public process::ThreadObserver {
public:
    /// The thread's; made when there is none. ENOMEM.
    static Result<PerfContext*> of(process::Thread& thread);

    Result<void> on_fork(process::Thread& parent, process::Thread& child, bool is_same_process) override;
    void on_exec() override;
    void on_exit() override;

    IntrusiveList<PerfEvent, &PerfEvent::context_node> events; // of the thread
    IntrusiveList<PerfEvent, &PerfEvent::opened_node> opened;  // by it
    bool has_exited = false;
};

/// A list of events that have been removed, to be deleted without the lock.
using RemovedEvents = IntrusiveList<PerfEvent, &PerfEvent::copy_node>;
void delete_all(RemovedEvents& events);

} // namespace linnet::trace
