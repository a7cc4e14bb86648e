// CPU-time clocks, their timers and RLIMIT_CPU; cpu_timers.hpp says how.
#include "cpu_timers.hpp"

#include <abi/linux/time.hpp>
#include <algorithm>

#include "process_timers.hpp"

namespace linnet::process {
namespace {

constinit core::LockClass cpu_timers_class{"CPU timers"};
constinit core::InterruptSpinLock cpu_timers_lock{cpu_timers_class};
constexpr u64 second_look_ns = 1'000'000;

u64 select_ns(const core::CpuTimes& times, CpuClock::Which which) {
    return core::ticks_to_ns(which == CpuClock::Which::Virtual ? times.user : times.user + times.system);
}

u64 shown_ns(Process& process, const Thread* thread, CpuClock::Which which) {
    return select_ns(thread ? thread->cpu_times() : process.usage().times, which);
}

} // namespace

// ---- clocks ----

Result<CpuClock> CpuClock::open(Thread& caller, int id) {
    Pid pid = 0;
    bool per_thread = id == abi::CLOCK_THREAD_CPUTIME_ID;
    auto which = Which::Scheduler;
    if (id < 0) {
        // The pid inverted above three bits: thread or process, and which of its times.
        if ((id & 3) == 3) return error(Errno::EINVAL);
        pid = ~(id >> 3);
        per_thread = id & 4;
        which = static_cast<Which>(id & 3);
    } else if (id != abi::CLOCK_PROCESS_CPUTIME_ID && !per_thread) {
        return error(Errno::EINVAL);
    }
    RefPtr<Process> own(caller.process());
    if (per_thread) {
        NullableRefPtr<Thread> thread(&caller);
        if (pid != 0) thread = find_thread(pid);
        if (!thread || &thread->process() != own.get()) return error(Errno::EINVAL);
        return CpuClock{std::move(own), std::move(thread), which};
    }
    if (pid == 0 || pid == caller.tid()) return CpuClock{std::move(own), nullptr, which};
    NullableRefPtr<Process> other = find_process(pid);
    if (!other) return error(Errno::EINVAL);
    return CpuClock{RefPtr<Process>(other), nullptr, which};
}

u64 CpuClock::now_ns() const { return shown_ns(*process, thread.get(), which); }

// ---- timers ----

void CpuTimer::measure(const CpuClock& clock) {
    process = clock.process;
    thread = clock.thread;
    which = clock.which;
}

u64 CpuTimer::now_ns() const { return shown_ns(*process, thread.get(), which); }

void CpuTimers::insert_locked(CpuTimer& timer, u64 due_ns) {
    timer.place = {
        .thread = timer.thread.get(), .is_virtual = timer.which == CpuClock::Which::Virtual, .due_ns = due_ns};
    timers_.insert(timer);
    timer.queue = this;
}

void CpuTimers::remove_locked(CpuTimer& timer) {
    if (timer.queue != this) return;
    timers_.erase(timers_.iterator_to(timer));
    timer.queue = nullptr;
}

void CpuTimers::set(CpuTimer& timer, u64 expiry_ns, u64 interval_ns) {
    core::InterruptSpinGuard guard(cpu_timers_lock);
    remove_locked(timer);
    timer.expiry_ns = expiry_ns;
    timer.interval_ns = interval_ns;
    if (expiry_ns == 0 || stopped_) return;
    insert_locked(timer, expiry_ns);
    look_locked();
}

CpuTimerValue cpu_timer_value(CpuTimer& timer) {
    core::InterruptSpinGuard guard(cpu_timers_lock);
    if (timer.expiry_ns == 0) return {0, timer.interval_ns};
    const u64 now = timer.now_ns();
    // A timer that is set never reads as off.
    return {timer.expiry_ns > now ? timer.expiry_ns - now : 1, timer.interval_ns};
}

void cancel_cpu_timer(CpuTimer& timer) {
    core::InterruptSpinGuard guard(cpu_timers_lock);
    if (timer.queue) timer.queue->remove_locked(timer);
    timer.expiry_ns = 0;
}

/// RLIMIT_CPU (getrlimit(2)): SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one. Each SIGXCPU
/// raises the soft limit by a second, as Linux does: so it is told once a second, and getrlimit(2) shows it. A soft
/// limit of 0 is reached at once.
void CpuTimers::expire_limit_locked(u64 now_ns) {
    const u64 soft = process_.limits.soft(abi::RLIMIT_CPU);
    const u64 hard = process_.limits.hard(abi::RLIMIT_CPU);
    if (hard != abi::RLIM_INFINITY && now_ns / core::ns_per_second >= hard)
        return send_kernel_signal(process_, abi::SIGKILL);
    if (soft > ~u64{0} / core::ns_per_second) return; // RLIM_INFINITY too
    if (now_ns < soft * core::ns_per_second) return;
    process_.limits.replace_soft(abi::RLIMIT_CPU, soft, soft + 1);
    send_kernel_signal(process_, abi::SIGXCPU);
}

u64 CpuTimers::now_of(const CpuTimer& timer, const core::CpuTimes& of_process) const {
    return timer.thread ? timer.now_ns() : select_ns(of_process, timer.which);
}

template <typename Visit>
void CpuTimers::for_each_clock_locked(Visit visit) {
    for (auto next = timers_.begin(); next != timers_.end();) {
        CpuTimerPlace last = next->place;
        last.due_ns = ~u64{0};
        visit(*next); // which may take it out
        next = timers_.upper_bound(last);
    }
}

/// Called for a timer that is due; it is no more afterwards.
void CpuTimers::expire_locked(CpuTimer& timer, u64 now_ns) {
    remove_locked(timer);
    u64 expirations = 1;
    if (timer.interval_ns) {
        expirations += (now_ns - timer.expiry_ns) / timer.interval_ns;
        timer.expiry_ns += expirations * timer.interval_ns;
        // However short the interval, what expires till then is one expiry of many times.
        insert_locked(timer, std::max(timer.expiry_ns, now_ns + core::shortest_period_ns));
    } else {
        timer.expiry_ns = 0;
    }
    timer.expire(timer, expirations);
}

void CpuTimers::look_locked() {
    const core::CpuTimes times = process_.usage().times;
    for_each_clock_locked([&](CpuTimer& first) {
        const u64 now = now_of(first, times);
        CpuTimerPlace clock = first.place;
        clock.due_ns = 0;
        for (auto due = timers_.lower_bound(clock);
             due != timers_.end() && due->place.thread == clock.thread && due->place.is_virtual == clock.is_virtual &&
             due->place.due_ns <= now;
             due = timers_.lower_bound(clock))
            expire_locked(*due, now);
    });
    expire_limit_locked(select_ns(times, CpuClock::Which::Scheduler));
    arm_locked();
}

void CpuTimers::arm_locked() {
    const core::CpuTimes times = process_.usage().times;
    const u64 width = std::max<u64>(std::min<u64>(process_.thread_count(), core::cpu_count()), 1);
    u64 left = ~u64{0};
    auto consider = [&](u64 expiry, u64 now, u64 speed) {
        left = std::min(left, expiry > now ? (expiry - now) / speed : 0);
    };
    for_each_clock_locked(
        [&](const CpuTimer& timer) { consider(timer.place.due_ns, now_of(timer, times), timer.thread ? 1 : width); });
    const u64 soft = process_.limits.soft(abi::RLIMIT_CPU), hard = process_.limits.hard(abi::RLIMIT_CPU);
    const u64 total = select_ns(times, CpuClock::Which::Scheduler);
    if (soft < ~u64{0} / core::ns_per_second) consider(soft * core::ns_per_second, total, width);
    if (hard < ~u64{0} / core::ns_per_second) consider(hard * core::ns_per_second, total, width);
    if (left == ~u64{0}) return;
    core::arm_timer(check_, core::monotonic_ns() + std::max(left, core::shortest_period_ns));
}

void CpuTimers::look() {
    core::InterruptSpinGuard guard(cpu_timers_lock);
    process_.awaits_cpu_time.store(false, std::memory_order_relaxed);
    if (!stopped_) look_locked();
}

void CpuTimers::limit_changed() {
    core::InterruptSpinGuard guard(cpu_timers_lock);
    if (!stopped_) arm_locked();
}

void CpuTimers::stop() {
    {
        core::InterruptSpinGuard guard(cpu_timers_lock);
        stopped_ = true;
        timers_.clear_and_dispose([](CpuTimer* timer) { timer->queue = nullptr; });
        process_.awaits_cpu_time.store(false, std::memory_order_relaxed);
    }
    core::cancel_timer_sync(check_);
}

void CpuTimers::send_threads_to_look() {
    core::InterruptSpinGuard guard(cpu_timers_lock);
    if (stopped_) return;
    const bool was_waiting = process_.awaits_cpu_time.exchange(true);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    bool any = false;
    core::InterruptSpinGuard threads_guard(process_.signal_lock);
    for (Thread& thread : process_.threads) {
        if (!thread.on_cpu.load(std::memory_order_relaxed)) continue;
        any = true;
        thread.pending_work.fetch_or(core::work_cpu_timers, std::memory_order_relaxed);
        core::kick_thread(thread);
    }
    // A thread that was being switched in may have been missed, and have missed the flag; not for so long.
    if (!any && !was_waiting) core::arm_timer(check_, core::monotonic_ns() + second_look_ns);
}

void check_cpu_timers(Thread& thread) {
    thread.pending_work.fetch_and(~u32{core::work_cpu_timers}, std::memory_order_acq_rel);
    if (ProcessTimers* timers = thread.process().timers.load(std::memory_order_acquire)) timers->cpu.look();
}

// ---- sleeping ----

namespace {

struct CpuSleeper : CpuTimer {
    CpuSleeper()
        : CpuTimer([](CpuTimer& timer, u64) {
              auto& sleeper = static_cast<CpuSleeper&>(timer);
              sleeper.is_over.store(true, std::memory_order_release);
              sleeper.queue.wake_all();
          }) {}
    std::atomic<bool> is_over{false};
    core::WaitQueue queue;
};

} // namespace

Result<core::WaitResult> sleep_on_cpu_clock(const CpuClock& clock, u64 expiry_ns) {
    ProcessTimers* timers = TRY(timers_of(*clock.process));
    CpuSleeper sleeper;
    sleeper.measure(clock);
    timers->cpu.set(sleeper, std::max<u64>(expiry_ns, 1), 0);
    core::WaitResult result = core::wait_until(sleeper.queue, core::Sleep::Interruptible, core::Deadline::never(),
                                               [&] { return sleeper.is_over.load(std::memory_order_acquire); });
    cancel_cpu_timer(sleeper);
    return result;
}

} // namespace linnet::process
