// What happens to a watched thread: its events are copied for its children, switched on when it executes a program, and
// the copies give their counts back when it dies. And what concerns all events of a thread or of a CPU.
#include "perf_event.hpp"

#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <new>

#include "hardware_counters.hpp"
#include "recording.hpp"

namespace linnet::trace {

using process::Thread;

namespace {
constinit std::atomic<PerfContext*> of_cpus[core::CpuMask::max_cpus] = {};
}

constinit core::LockClass PerfContext::lock_class("context of performance events");

Result<PerfContext*> PerfContext::of(Thread& thread) {
    process::ThreadObserver* present = thread.observer.load(std::memory_order_acquire);
    if (present) return static_cast<PerfContext*>(present);
    auto* made = new (std::nothrow) PerfContext(&thread, 0);
    if (!made) return error(Errno::ENOMEM);
    if (thread.observer.compare_exchange_strong(present, made, std::memory_order_acq_rel)) return made;
    delete made; // somebody else was quicker
    return static_cast<PerfContext*>(present);
}

Result<PerfContext*> PerfContext::of_cpu(u32 cpu) {
    PerfContext* present = of_cpus[cpu].load(std::memory_order_acquire);
    if (present) return present;
    auto* made = new (std::nothrow) PerfContext(nullptr, cpu);
    if (!made) return error(Errno::ENOMEM);
    if (of_cpus[cpu].compare_exchange_strong(present, made, std::memory_order_acq_rel)) return made;
    delete made;
    return present;
}

PerfContext* PerfContext::find(core::Thread& thread) {
    if (!thread.user_context) return nullptr;
    return static_cast<PerfContext*>(static_cast<Thread&>(thread).observer.load(std::memory_order_acquire));
}

PerfContext* PerfContext::find_cpu(u32 cpu) { return of_cpus[cpu].load(std::memory_order_acquire); }

void PerfContext::end_samples() {
    RecordingGuard guard(lock);
    takes_no_samples = true;
}

void PerfContext::enter_guarded(u32 cpu) {
    for (PerfEvent& event : events) event.enter_guarded(cpu);
}

void PerfContext::leave_guarded() {
    for (PerfEvent& event : events) event.leave_guarded();
}

void PerfContext::refresh_locked() {
    bool matters = false;
    for (PerfEvent& event : events) matters |= event.needs_entering();
    if (!matters) return;
    call_where_it_runs_locked([](PerfContext& self) {
        RecordingGuard guard(self.lock);
        self.enter_guarded(core::this_cpu().number);
        const bool needs_counters = self.hardware_events != 0;
        guard.unlock();
        if (needs_counters) CpuCounters::here().distribute(PerfContext::find(core::current_thread()));
    });
}

void PerfContext::call_where_it_runs_locked(void (*act)(PerfContext& self)) {
    struct Call {
        PerfContext& self;
        void (*act)(PerfContext& self);
    } call{*this, act};
    const auto run = [](void* argument) {
        const auto& [self, act] = *static_cast<Call*>(argument);
        if (self.thread_ ? &core::current_thread() == self.thread_ : self.cpu_ == core::this_cpu().number) act(self);
    };
    core::PreemptionGuard stay;
    const arch::InterruptState state = arch::save_and_disable_interrupts();
    run(&call);
    arch::restore_interrupts(state);
    // A thread that begins to run meanwhile, here or elsewhere, finds things as they are now by itself: who switches to
    // it says first that it runs, and then takes the context's lock, which has been held since things changed.
    const bool runs = !thread_ || thread_->on_cpu.load(std::memory_order_acquire);
    const u32 where = thread_ ? static_cast<core::Cpu*>(thread_->cpu)->number : cpu_;
    if (runs && where != core::this_cpu().number) core::run_on_cpus(u64{1} << where, run, &call);
}

namespace {

bool is_inherited(const PerfEvent& event, bool is_same_process) {
    return event.has(abi::PERF_ATTR_INHERIT) && (is_same_process || !event.has(abi::PERF_ATTR_INHERIT_THREAD));
}

/// In a child's context, the copy of the event that leads `event` in the parent's; the copy itself when there is none.
PerfEvent* leader_of_copy(PerfContext& context, const PerfEvent& event, PerfEvent& copy) {
    const PerfEvent* wanted = event.leader->original ? event.leader->original : event.leader;
    for (PerfEvent& other : context.events)
        if (other.original == wanted) return &other;
    return &copy;
}

} // namespace

Result<void> PerfContext::on_fork(Thread& child, bool is_same_process) {
    PerfContext* context = nullptr;
    core::MutexGuard guard(events_lock);
    // Leaders have been opened before their members, and come first.
    for (PerfEvent& event : events) {
        if (!is_inherited(event, is_same_process)) continue;
        if (!context) context = TRY(PerfContext::of(child));
        PerfTarget target = event.target;
        target.thread = NullableRefPtr<Thread>(&child);
        auto* copy = new (std::nothrow) PerfEvent(event.attributes, std::move(target), *context);
        if (!copy) return error(Errno::ENOMEM);
        copy->begin_as_copy_locked(event);
        copy->join_locked(*leader_of_copy(*context, event, *copy), event.is_switched_on_locked());
    }
    return {};
}

void PerfContext::on_exec() {
    // A program with more rights than who started it is nobody's to watch.
    if (thread_->own_address_space().dumpable.load(std::memory_order_relaxed) != 1) return end_events();
    core::MutexGuard guard(events_lock);
    for (PerfEvent* event = events.first(); event;) {
        PerfEvent* next = events.next(*event);
        if (event->has(abi::PERF_ATTR_REMOVE_ON_EXEC))
            event->stop_for_good_locked();
        else if (std::exchange(event->enables_on_exec, false))
            event->switch_own_locked(true);
        event = next;
    }
}

void PerfContext::on_exit() {
    {
        core::MutexGuard guard(events_lock);
        has_exited = true;
    }
    end_events();
}

void PerfContext::end_events() {
    RemovedEvents gone;
    {
        core::MutexGuard guard(events_lock);
        for (PerfEvent* event = events.first(); event;) {
            PerfEvent* next = events.next(*event);
            if (event->original) {
                event->give_back_locked();
                gone.push_back(*event);
            } else {
                event->stop_for_good_locked();
                event->listener.source.notify(abi::POLLHUP);
            }
            event = next;
        }
    }
    delete_all(gone);
}

} // namespace linnet::trace
