// What happens to a watched thread: its events are copied for its children, switched on when it executes a program, and
// the copies give their counts back when it dies.
#include "perf_event.hpp"

#include <new>

namespace linnet::trace {

using process::Thread;

Result<PerfContext*> PerfContext::of(Thread& thread) {
    process::ThreadObserver* present = thread.observer.load(std::memory_order_acquire);
    if (present) return static_cast<PerfContext*>(present);
    auto* made = new (std::nothrow) PerfContext;
    if (!made) return error(Errno::ENOMEM);
    if (thread.observer.compare_exchange_strong(present, made, std::memory_order_acq_rel)) return made;
    delete made; // somebody else was quicker
    return static_cast<PerfContext*>(present);
}

namespace {

bool is_inherited(const PerfEvent& event, bool is_same_process) {
    const u64 flags = event.attributes.flags;
    return (flags & abi::PERF_ATTR_INHERIT) && (is_same_process || !(flags & abi::PERF_ATTR_INHERIT_THREAD));
}

/// In a child's context, the copy of the event that leads `event` in the parent's; the copy itself when there is none.
PerfEvent* leader_of_copy(PerfContext& context, const PerfEvent& event, PerfEvent& copy) {
    const PerfEvent* wanted = event.leader->original ? event.leader->original : event.leader;
    for (PerfEvent& other : context.events)
        if (other.original == wanted) return &other;
    return &copy;
}

} // namespace

Result<void> PerfContext::on_fork(Thread&, Thread& child, bool is_same_process) {
    PerfContext* context = nullptr;
    core::MutexGuard guard(events_lock);
    // Leaders have been opened before their members, and come first.
    for (PerfEvent& event : events) {
        if (!is_inherited(event, is_same_process)) continue;
        if (!context) context = TRY(PerfContext::of(child));
        PerfTarget target{.thread = NullableRefPtr<Thread>(&child), .cpu = 0};
        auto* copy = new (std::nothrow) PerfEvent(event.attributes, std::move(target));
        if (!copy) return error(Errno::ENOMEM);
        copy->begin_as_copy_locked(event);
        PerfEvent* leader = leader_of_copy(*context, event, *copy);
        context->events.push_back(*copy);
        copy->join_locked(*leader);
    }
    return {};
}

void PerfContext::on_exec() {
    core::MutexGuard guard(events_lock);
    for (PerfEvent* event = events.first(); event;) {
        PerfEvent* next = events.next(*event);
        if (event->attributes.flags & abi::PERF_ATTR_REMOVE_ON_EXEC)
            event->stop_for_good_locked();
        else if (std::exchange(event->enables_on_exec, false))
            event->switch_own_locked(true);
        event = next;
    }
}

void PerfContext::on_exit() {
    RemovedEvents gone;
    {
        core::MutexGuard guard(events_lock);
        has_exited = true;
        for (PerfEvent* event = events.first(); event;) {
            PerfEvent* next = events.next(*event);
            if (event->original) {
                event->give_back_locked();
                gone.push_back(*event);
            }
            event = next;
        }
    }
    delete_all(gone);
}

} // namespace linnet::trace
