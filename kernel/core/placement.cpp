// Which CPU a thread runs on: chosen when it wakes, and again when CPUs have too little to do, or the wrong thing.
//
// A CPU without work takes a thread from the longest queue; one whose queue is longer than another gives threads away
// as its slices end. Deadline and real-time threads are to run on the CPUs with the least urgent work: whoever switches
// looks whether a more urgent thread waits elsewhere (pull_urgent), and whoever queues one that can't run at once looks
// whether a CPU has meanwhile become less urgent (find_room_for).
#include <bit>

#include "sched_internal.hpp"

namespace linnet::core {
namespace {

void move_thread(Cpu& from, Cpu& to, Thread& thread, u64 now) {
    from.run_queue->account(now);
    from.run_queue->deactivate(thread, now);
    to.run_queue->account(now);
    to.run_queue->activate(thread, to, FairQueue::Arrival::Back, now);
}

/// Calls `visit` with each CPU of the set.
template <typename Visit>
void for_each_cpu(u64 bits, Visit visit) {
    for (; bits != 0; bits &= bits - 1) visit(cpu(static_cast<u32>(std::countr_zero(bits))));
}

Cpu& choose_for_urgent(const Thread& thread, u64 allowed, Cpu& last) {
    Cpu* best = (allowed & cpu_bit(last)) != 0 ? &last : nullptr;
    for_each_cpu(allowed, [&](Cpu& candidate) {
        if (!best || candidate.run_queue->running_level() > best->run_queue->running_level()) best = &candidate;
    });
    // Among deadline threads the level says nothing; the one with the earliest deadline takes its own CPU.
    return best ? *best : thread.cpu ? static_cast<Cpu&>(*thread.cpu) : last;
}

/// How long a fair thread would wait: behind an urgent one it may be long, whoever else is there.
u32 crowd(const Cpu& candidate) {
    const RunQueue& queue = *candidate.run_queue;
    const u32 urgent = queue.running_level() < Urgency::fair_level ? 1u << 16 : 0;
    return queue.runnable() + urgent;
}

Cpu& choose_for_fair(u64 allowed, Cpu& last) {
    const bool last_is_allowed = (allowed & cpu_bit(last)) != 0;
    if (last_is_allowed && crowd(last) == 0) return last;
    Cpu* best = last_is_allowed ? &last : nullptr;
    for (u64 rest = allowed & ~cpu_bit(last); rest != 0; rest &= rest - 1) {
        Cpu& candidate = cpu(static_cast<u32>(std::countr_zero(rest)));
        if (crowd(candidate) == 0) return candidate;
        if (!best || crowd(candidate) < crowd(*best)) best = &candidate;
    }
    return best ? *best : last;
}

} // namespace

Cpu& choose_cpu(const Thread& thread) {
    const u64 allowed = thread.affinity.value() & online_cpus();
    Cpu& last = cpu(thread.last_cpu);
    return thread.urgency.scheduling_class() == SchedulingClass::Fair ? choose_for_fair(allowed, last)
                                                                      : choose_for_urgent(thread, allowed, last);
}

void steal(Cpu& self, u64 now) {
    Cpu* busiest = nullptr;
    u32 most = 0;
    for (u32 i = 0; i < cpu_count(); ++i) {
        Cpu& other = cpu(i);
        if (&other == &self || !other.online.load(std::memory_order_relaxed)) continue;
        const u32 waiting = other.run_queue->waiting();
        if (waiting > most) most = waiting, busiest = &other;
    }
    if (!busiest || !busiest->run_queue->lock.try_acquire()) return;
    if (Thread* thread = busiest->run_queue->fair_waiter_for(self.number)) move_thread(*busiest, self, *thread, now);
    busiest->run_queue->lock.release();
}

void pull_urgent(Cpu& self, bool current_stays, u64 now) {
    RunQueue& own = *self.run_queue;
    const auto best_here = [&] {
        const Urgency waiting = own.most_urgent_waiting();
        return current_stays && own.running() ? std::min(waiting, own.running()->urgency) : waiting;
    };
    u64 others = RunQueue::cpus_with_urgent_waiting() & ~cpu_bit(self);
    for (; others != 0; others &= others - 1) {
        Cpu& other = cpu(static_cast<u32>(std::countr_zero(others)));
        if (other.run_queue->waiting_level() > best_here().level) continue;
        if (other.number < self.number) {
            own.lock.release();
            other.run_queue->lock.acquire();
            own.lock.acquire();
        } else {
            other.run_queue->lock.acquire();
        }
        Thread* thread = other.run_queue->urgent_waiter_for(self.number);
        if (thread && thread->urgency < best_here()) move_thread(other, self, *thread, now);
        other.run_queue->lock.release();
    }
}

void find_room_for(u8 level, u64 allowed) {
    for (u64 rest = allowed & online_cpus(); rest != 0; rest &= rest - 1) {
        Cpu& candidate = cpu(static_cast<u32>(std::countr_zero(rest)));
        // Through the lock, not past it: a CPU that switches at this moment either sees the thread waiting, or has
        // published by now what it runs.
        candidate.run_queue->lock.acquire();
        const u8 running = candidate.run_queue->running_level();
        candidate.run_queue->lock.release();
        if (running > level) return request_reschedule(candidate);
    }
}

void balance(Cpu& self, u64 now) {
    // With one thread more than another CPU has, they take turns at being together.
    static constexpr u64 turn_ns = 100'000'000;
    RunQueue& own = *self.run_queue;
    Cpu* shortest = nullptr;
    for_each_cpu(online_cpus() & ~cpu_bit(self), [&](Cpu& other) {
        if (!shortest || other.run_queue->runnable() < shortest->run_queue->runnable()) shortest = &other;
    });
    if (!shortest || shortest->run_queue->runnable() >= own.runnable()) {
        own.longer_since = 0;
        return;
    }
    if (own.longer_since == 0) own.longer_since = now;
    const bool is_one_more = shortest->run_queue->runnable() + 1 == own.runnable();
    if (is_one_more && ticks_to_ns(now - own.longer_since) < turn_ns) return;
    Thread* thread = own.fair_waiter_for(shortest->number);
    if (!thread || !shortest->run_queue->lock.try_acquire()) return;
    move_thread(self, *shortest, *thread, now);
    request_reschedule(*shortest);
    shortest->run_queue->lock.release();
    own.longer_since = 0;
}

} // namespace linnet::core
