// POSIX timers (timer_create(2)). A timer has at most one signal pending; what expires meanwhile is counted
// in that signal's overrun, as POSIX has it.
//
// Locks: ProcessTimers::lock, then Process::signal_lock. A timer is unlinked first and then waited for, so
// that its callback never meets a freed one.
#include <algorithm>
#include <bit>
#include <lib/own_ptr.hpp>
#include <process/posix_timers.hpp>
#include <process/user_account.hpp>
#include <vfs/credentials.hpp>

#include "process_timers.hpp"

namespace linnet::process {
namespace {

constexpr u64 delay_max = 0x7fffffff; // DELAYTIMER_MAX

core::DeadlineClock deadline_clock(int clock) {
    if (clock == abi::CLOCK_REALTIME) return core::DeadlineClock::Realtime;
    return clock == abi::CLOCK_TAI ? core::DeadlineClock::Tai : core::DeadlineClock::Monotonic;
}

PendingSignals& pending_of(Process& process, Thread* thread) {
    return thread ? thread->signals.pending : process.signals.pending;
}

/// What became of an expiry.
enum class Expiry : u8 { Sent, WasPending, Unheard };

void add_overrun(PosixTimer& timer, u64 expirations) {
    timer.overrun = static_cast<int>(std::min(static_cast<u64>(timer.overrun) + expirations, delay_max));
}

Expiry send_expiry(Process& process, PosixTimer& timer, u64 expirations) {
    if (timer.notify == abi::SIGEV_NONE) return Expiry::Unheard;
    NullableRefPtr<Thread> thread = timer.target ? timer.target->thread() : nullptr;
    if (timer.target && !thread) return Expiry::Unheard;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        bool is_pending = timer.record.node.is_linked();
        if (!is_pending) timer.overrun = 0;
        add_overrun(timer, is_pending ? expirations : expirations - 1);
        abi::siginfo_t& info = timer.record.info;
        if (!is_pending) {
            info = {};
            info.si_signo = timer.signal;
            info.si_code = abi::SI_TIMER;
            info.timer.timer_id = timer.id;
            info.timer.value.sival_ptr = timer.value;
        }
        info.timer.overrun = timer.overrun;
        if (is_pending) return Expiry::WasPending;
    }
    // Nobody else queues this record: expiries of one timer come one after the other.
    return send_prepared_signal(process, thread.get(), timer.record) ? Expiry::Sent : Expiry::Unheard;
}

/// A timer that goes takes its pending signal with it.
void withdraw_signal(Process& process, PosixTimer& timer) {
    NullableRefPtr<Thread> thread = timer.target ? timer.target->thread() : nullptr;
    core::InterruptSpinGuard guard(process.signal_lock);
    if (timer.record.node.is_linked()) withdraw_prepared_locked(pending_of(process, thread.get()), timer.record);
}

} // namespace

PosixTimer::PosixTimer(ProcessTimers& timers, int timer_clock)
    : Timer([](core::Timer& fired) {
          auto& timer = static_cast<PosixTimer&>(fired);
          timer.owner.on_posix_timer(timer);
      }),
      WallClockListener([](core::WallClockListener& told) {
          auto& timer = static_cast<PosixTimer&>(told);
          timer.owner.on_wall_clock_set(timer);
      }),
      owner(timers), clock(timer_clock) {
    if (deadline_clock(clock) != core::DeadlineClock::Monotonic) core::add_wall_clock_listener(*this);
}

PosixTimer::~PosixTimer() {
    core::remove_wall_clock_listener(*this);
    if (charged_to) charged_to->queued_signals.fetch_sub(1, std::memory_order_relaxed);
}

PosixTimer::OnCpuClock::OnCpuClock(PosixTimer& posix_timer)
    : CpuTimer([](CpuTimer& fired, u64 expirations) {
          PosixTimer& timer = static_cast<OnCpuClock&>(fired).timer;
          send_expiry(timer.owner.process(), timer, expirations);
      }),
      timer(posix_timer) {}

/// What was to expire at a time of the wall clock still does so.
void ProcessTimers::on_wall_clock_set(PosixTimer& timer) {
    core::InterruptSpinGuard guard(lock);
    if (timer.expiry_ns == 0 || !timer.is_absolute) return;
    const u64 wall = timer.expiry_ns + timer.clock_offset_ns;
    timer.clock_offset_ns = core::clock_offset_ns(deadline_clock(timer.clock));
    timer.expiry_ns = wall > timer.clock_offset_ns ? wall - timer.clock_offset_ns : 1;
    core::arm_timer(timer, timer.expiry_ns);
}

void ProcessTimers::on_posix_timer(PosixTimer& timer) {
    core::InterruptSpinGuard guard(lock);
    u64 now = core::monotonic_ns();
    if (timer.expiry_ns == 0 || now < timer.expiry_ns) return; // set anew meanwhile
    u64 expirations = 1;
    if (timer.interval_ns) {
        expirations += (now - timer.expiry_ns) / timer.interval_ns;
        timer.expiry_ns += expirations * timer.interval_ns;
    } else {
        timer.expiry_ns = 0;
    }
    const Expiry expiry = send_expiry(process_, timer, expirations);
    // One that sends nothing has only to be read.
    if (timer.expiry_ns == 0 || timer.notify == abi::SIGEV_NONE) return;
    timer.stands_still = expiry == Expiry::WasPending;
    const u64 pause = timer.stands_still          ? standstill_ns
                      : expiry == Expiry::Unheard ? ignored_ns
                                                  : core::shortest_period_ns;
    core::arm_timer(timer, std::max(timer.expiry_ns, now + pause));
}

void ProcessTimers::posix_timer_goes_on(abi::siginfo_t& info) {
    core::InterruptSpinGuard guard(lock);
    PosixTimer* timer = find_posix_timer_locked(info.timer.timer_id);
    if (!timer || timer->expiry_ns == 0 || timer->interval_ns == 0 || is_cpu_clock(timer->clock)) return;
    {
        // Sent again already: what is counted now belongs to that one.
        core::InterruptSpinGuard signals(process_.signal_lock);
        if (timer->record.node.is_linked()) return;
    }
    const u64 now = core::monotonic_ns();
    bool moves = std::exchange(timer->stands_still, false);
    if (now >= timer->expiry_ns) {
        // An alarm for what is counted here would find nothing to do, and not arm for the next.
        moves = true;
        const u64 expirations = 1 + (now - timer->expiry_ns) / timer->interval_ns;
        timer->expiry_ns += expirations * timer->interval_ns;
        add_overrun(*timer, expirations);
        info.timer.overrun = timer->overrun;
    }
    if (moves) core::arm_timer(*timer, std::max(timer->expiry_ns, now + core::shortest_period_ns));
}

/// -1 when all are in use. Numbers are used again once the first round is over.
int ProcessTimers::choose_id_locked() {
    if (next_timer_id_ < most_posix_timers) return next_timer_id_++;
    for (int word = 0; word < most_posix_timers / 64; ++word)
        if (ids_[word] != ~u64{0}) return word * 64 + std::countr_one(ids_[word]);
    return -1;
}

PosixTimer* ProcessTimers::find_posix_timer_locked(int id) {
    const auto found = posix_timers_.find(id);
    return found == posix_timers_.end() ? nullptr : &*found;
}

PosixTimer* ProcessTimers::find_posix_timer_after_locked(int id) {
    const auto found = posix_timers_.upper_bound(id);
    return found == posix_timers_.end() ? nullptr : &*found;
}

Result<int> ProcessTimers::link_posix_timer(PosixTimer& timer) {
    core::InterruptSpinGuard guard(lock);
    const int id = choose_id_locked();
    if (id < 0) return error(Errno::EAGAIN);
    ids_[id / 64] |= u64{1} << id % 64;
    timer.id = id;
    if (timer.value_is_id) timer.value = static_cast<u64>(id);
    posix_timers_.insert(timer);
    return id;
}

/// Out of reach of everybody who looks for it. lock held.
void ProcessTimers::unlink_posix_timer_locked(PosixTimer& timer) {
    timer.expiry_ns = 0;
    posix_timers_.erase(posix_timers_.iterator_to(timer));
    ids_[timer.id / 64] &= ~(u64{1} << timer.id % 64);
}

/// Ends one that is unlinked.
void ProcessTimers::destroy(PosixTimer& timer) {
    core::cancel_timer_sync(timer);
    cancel_cpu_timer(timer.cpu);
    withdraw_signal(process_, timer);
    delete &timer;
}

Result<void> ProcessTimers::delete_posix_timer(int id) {
    core::InterruptSpinGuard guard(lock);
    PosixTimer* timer = find_posix_timer_locked(id);
    if (!timer) return error(Errno::EINVAL);
    unlink_posix_timer_locked(*timer);
    guard.unlock();
    destroy(*timer);
    return {};
}

void ProcessTimers::delete_posix_timers() {
    for (;;) {
        core::InterruptSpinGuard guard(lock);
        if (posix_timers_.empty()) {
            next_timer_id_ = 0;
            return;
        }
        PosixTimer& timer = *posix_timers_.begin();
        unlink_posix_timer_locked(timer);
        guard.unlock();
        destroy(timer);
    }
}

// ---- the calls ----

namespace {

Result<void> apply_event(Process& process, PosixTimer& timer, const abi::sigevent& event) {
    timer.notify = event.sigev_notify;
    timer.signal = event.sigev_signo;
    timer.value = event.sigev_value;
    if (event.sigev_notify == abi::SIGEV_NONE) return {};
    if (event.sigev_signo <= 0 || event.sigev_signo > abi::signal_count) return error(Errno::EINVAL);
    if (event.sigev_notify == abi::SIGEV_SIGNAL || event.sigev_notify == abi::SIGEV_THREAD) return {};
    if (event.sigev_notify != (abi::SIGEV_SIGNAL | abi::SIGEV_THREAD_ID)) return error(Errno::EINVAL);
    NullableRefPtr<Thread> thread = find_thread(event.sigev_notify_thread_id);
    if (!thread || &thread->process() != &process) return error(Errno::EINVAL);
    timer.target = thread->record;
    return {};
}

Result<void> check_clock(int clock) {
    switch (clock) {
    case abi::CLOCK_REALTIME:
    case abi::CLOCK_MONOTONIC:
    case abi::CLOCK_BOOTTIME:
    case abi::CLOCK_TAI:
        return {};
    case abi::CLOCK_MONOTONIC_RAW:
    case abi::CLOCK_REALTIME_COARSE:
    case abi::CLOCK_MONOTONIC_COARSE:
        return error(Errno::EOPNOTSUPP);
    default:
        return error(Errno::EINVAL);
    }
}

/// The timer's signal, which is always at hand, counts like one that is queued (RLIMIT_SIGPENDING).
Result<void> charge(Thread& maker, PosixTimer& timer) {
    NullableRefPtr<UserAccount> account = maker.account;
    if (!account) return {};
    const u64 before = account->queued_signals.fetch_add(1, std::memory_order_relaxed);
    timer.charged_to = std::move(account);
    if (before >= maker.process().limits.soft(abi::RLIMIT_SIGPENDING)) return error(Errno::EAGAIN);
    return {};
}

/// All that can fail before anybody can name the timer.
Result<void> prepare(Thread& maker, PosixTimer& timer, const abi::sigevent* event) {
    timer.signal = abi::SIGALRM;
    timer.value_is_id = !event;
    TRY(charge(maker, timer));
    if (event) TRY(apply_event(maker.process(), timer, *event));
    if (!is_cpu_clock(timer.clock)) return {};
    CpuClock clock = TRY(CpuClock::open(maker, timer.clock));
    TRY(timers_of(*clock.process));
    timer.cpu.measure(clock);
    return {};
}

TimerSetting setting_of(PosixTimer& timer) {
    if (is_cpu_clock(timer.clock)) {
        const CpuTimerValue value = cpu_timer_value(timer.cpu);
        return {value.remaining_ns, value.interval_ns};
    }
    u64 now = core::monotonic_ns();
    if (timer.expiry_ns == 0) return {0, timer.interval_ns};
    if (timer.expiry_ns > now) return {timer.expiry_ns - now, timer.interval_ns};
    if (timer.interval_ns == 0) return {timer.notify == abi::SIGEV_NONE ? 0u : 1u, 0};
    return {timer.interval_ns - (now - timer.expiry_ns) % timer.interval_ns, timer.interval_ns};
}

} // namespace

Result<int> create_timer(Thread& maker, int clock, const abi::sigevent* event) {
    if (is_cpu_clock(clock))
        TRY(CpuClock::open(maker, clock));
    else
        TRY(check_clock(clock));
    ProcessTimers* timers = TRY(timers_of(maker.process()));
    OwnPtr<PosixTimer> timer(new (std::nothrow) PosixTimer(*timers, clock));
    if (!timer) return error(Errno::ENOMEM);
    TRY(prepare(maker, *timer, event));
    const int id = TRY(timers->link_posix_timer(*timer));
    (void)timer.release(); // deleted by its number
    return id;
}

namespace {

void set_cpu_timer(PosixTimer& timer, TimerMode mode, const TimerSetting& setting) {
    u64 expiry = setting.value_ns;
    if (expiry != 0 && mode == TimerMode::Relative &&
        __builtin_add_overflow(timer.cpu.now_ns(), setting.value_ns, &expiry))
        expiry = ~u64{0};
    timer.overrun = 0;
    // Made with the timer.
    timer.cpu.process->timers.load(std::memory_order_acquire)->cpu.set(timer.cpu, expiry, setting.interval_ns);
}

} // namespace

Result<TimerSetting> set_timer(Process& process, int id, TimerMode mode, const TimerSetting& setting) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    if (!timers) return error(Errno::EINVAL);
    core::InterruptSpinGuard guard(timers->lock);
    PosixTimer* timer = timers->find_posix_timer_locked(id);
    if (!timer) return error(Errno::EINVAL);
    TimerSetting old = setting_of(*timer);
    if (is_cpu_clock(timer->clock)) {
        set_cpu_timer(*timer, mode, setting);
        return old;
    }
    core::cancel_timer(*timer);
    timer->interval_ns = setting.interval_ns;
    timer->expiry_ns = 0;
    timer->overrun = 0;
    timer->stands_still = false;
    if (setting.value_ns == 0) return old;
    u64 now = core::monotonic_ns();
    timer->is_absolute = mode == TimerMode::Absolute;
    if (!timer->is_absolute) {
        if (__builtin_add_overflow(now, setting.value_ns, &timer->expiry_ns)) timer->expiry_ns = ~u64{0} - 1;
    } else {
        u64 offset = timer->clock_offset_ns = core::clock_offset_ns(deadline_clock(timer->clock));
        timer->expiry_ns = setting.value_ns > offset ? setting.value_ns - offset : 1;
    }
    core::arm_timer(*timer, timer->expiry_ns);
    return old;
}

Result<TimerSetting> get_timer(Process& process, int id) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    if (!timers) return error(Errno::EINVAL);
    core::InterruptSpinGuard guard(timers->lock);
    PosixTimer* timer = timers->find_posix_timer_locked(id);
    if (!timer) return error(Errno::EINVAL);
    return setting_of(*timer);
}

Result<int> timer_overrun(Process& process, int id) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    if (!timers) return error(Errno::EINVAL);
    core::InterruptSpinGuard guard(timers->lock);
    PosixTimer* timer = timers->find_posix_timer_locked(id);
    if (!timer) return error(Errno::EINVAL);
    return timer->overrun;
}

void posix_timer_goes_on(Process& process, abi::siginfo_t& info) {
    if (ProcessTimers* timers = process.timers.load(std::memory_order_acquire)) timers->posix_timer_goes_on(info);
}

Result<void> delete_timer(Process& process, int id) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    if (!timers) return error(Errno::EINVAL);
    return timers->delete_posix_timer(id);
}

bool next_timer(Process& process, int after, TimerDescription& out) {
    ProcessTimers* timers = process.timers.load(std::memory_order_acquire);
    if (!timers) return false;
    core::InterruptSpinGuard guard(timers->lock);
    const PosixTimer* next = timers->find_posix_timer_after_locked(after);
    if (!next) return false;
    out = {.id = next->id,
           .clock = next->clock,
           .notify = next->notify,
           .signal = next->signal,
           .value = next->value,
           .tid = next->target ? next->target->number() : 0};
    return true;
}

} // namespace linnet::process
