// timerfds. A periodic one that has expired is armed again only when somebody reads its count or its setting, as on
// Linux; what expired meanwhile is computed then. So however short the interval, nobody who does not look costs an
// interrupt: a thousand unread timers of a microsecond would otherwise keep the CPUs in the timer interrupt for ever.
//
// Lock: TimerFd::lock_, which the timer's callback takes too, and which is taken when the wall clock was set.
#include <abi/linux/poll.hpp>
#include <algorithm>
#include <core/timer.hpp>
#include <core/wall_clock.hpp>
#include <process/timerfd.hpp>

namespace linnet::process {
namespace {

constinit core::LockClass timer_class{"timerfd"};

class TimerFd final : public vfs::File {
public:
    TimerFd(int clock, u32 flags)
        : File(vfs::anonymous_inode(), abi::O_RDWR | flags, Positioning::Stream), clock_(clock), timer_(*this),
          wall_clock_(*this), lock_(timer_class) {
        if (is_on_wall_clock()) core::add_wall_clock_listener(wall_clock_);
    }
    ~TimerFd() override {
        core::remove_wall_clock_listener(wall_clock_);
        core::cancel_timer_sync(timer_);
    }

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    u32 poll() override {
        core::InterruptSpinGuard guard(lock_);
        return expirations_ > 0 || was_cancelled_ ? abi::POLLIN | abi::POLLRDNORM : 0;
    }
    vfs::EventSource* event_source() override { return &events_; }
    void describe(TextSink sink) const override { sink("anon_inode:[timerfd]"); }
    const void* kind() const override { return &tag; }

    TimerSetting set(u32 flags, const TimerSetting& setting);
    TimerSetting get() {
        core::InterruptSpinGuard guard(lock_);
        advance_and_arm_locked();
        return remaining_locked();
    }
    void on_clock_set();

    static const char tag;

private:
    struct Alarm : core::Timer {
        explicit Alarm(TimerFd& timer)
            : Timer([](core::Timer& fired) { static_cast<Alarm&>(fired).owner.on_alarm(); }), owner(timer) {}
        TimerFd& owner;
    };
    struct WallClock : core::WallClockListener {
        explicit WallClock(TimerFd& timer)
            : WallClockListener(
                  [](core::WallClockListener& told) { static_cast<WallClock&>(told).owner.on_clock_set(); }),
              owner(timer) {}
        TimerFd& owner;
    };

    bool is_on_wall_clock() const { return clock_ == abi::CLOCK_REALTIME || clock_ == abi::CLOCK_REALTIME_ALARM; }
    void on_alarm();
    /// Counts what has expired by now; says whether there is a next expiration to arm for.
    bool advance_locked(u64 now_ns);
    void advance_and_arm_locked();
    TimerSetting remaining_locked();
    Result<u64> take();

    const int clock_;
    Alarm timer_;
    WallClock wall_clock_;
    vfs::EventSource events_;
    core::InterruptSpinLock lock_;
    u64 deadline_ns_ = 0; // monotonic; 0: off
    u64 interval_ns_ = 0;
    u64 expirations_ = 0;
    u64 clock_offset_ = 0; // of the wall clock when deadline_ns_ was computed
    bool is_absolute_ = false;
    bool cancels_on_set_ = false;
    bool was_cancelled_ = false;
};
const char TimerFd::tag = 0;

bool TimerFd::advance_locked(u64 now_ns) {
    if (deadline_ns_ == 0 || now_ns < deadline_ns_) return false;
    if (interval_ns_ == 0) {
        ++expirations_;
        deadline_ns_ = 0;
        return false;
    }
    u64 passed = 1 + (now_ns - deadline_ns_) / interval_ns_;
    expirations_ += passed;
    deadline_ns_ += passed * interval_ns_;
    return true;
}

void TimerFd::advance_and_arm_locked() {
    // What the alarm counted has left the timer without one.
    const bool expired = expirations_ > 0;
    const u64 now = core::monotonic_ns();
    if (advance_locked(now) || (expired && deadline_ns_ != 0))
        core::arm_timer(timer_, std::max(deadline_ns_, now + core::shortest_period_ns));
}

void TimerFd::on_alarm() {
    {
        core::InterruptSpinGuard guard(lock_);
        u64 before = expirations_;
        advance_locked(core::monotonic_ns());
        if (expirations_ == before) return;
    }
    events_.notify(abi::POLLIN);
}

TimerSetting TimerFd::remaining_locked() {
    u64 now = core::monotonic_ns();
    if (deadline_ns_ == 0) return {0, interval_ns_};
    u64 next = deadline_ns_;
    if (now >= next) next = interval_ns_ ? next + (1 + (now - next) / interval_ns_) * interval_ns_ : now + 1;
    return {next - now, interval_ns_};
}

TimerSetting TimerFd::set(u32 flags, const TimerSetting& setting) {
    core::InterruptSpinGuard guard(lock_);
    TimerSetting old = remaining_locked();
    core::cancel_timer(timer_);
    expirations_ = 0;
    was_cancelled_ = false;
    is_absolute_ = flags & abi::TFD_TIMER_ABSTIME;
    cancels_on_set_ = is_absolute_ && is_on_wall_clock() && (flags & abi::TFD_TIMER_CANCEL_ON_SET);
    interval_ns_ = setting.interval_ns;
    deadline_ns_ = 0;
    if (setting.value_ns == 0) return old;
    u64 now = core::monotonic_ns();
    clock_offset_ = core::realtime_offset_ns();
    u64 base = is_absolute_ ? 0 : now;
    if (is_absolute_ && is_on_wall_clock())
        deadline_ns_ = setting.value_ns > clock_offset_ ? setting.value_ns - clock_offset_ : 1;
    else if (__builtin_add_overflow(base, setting.value_ns, &deadline_ns_))
        deadline_ns_ = ~u64{0} - 1;
    core::arm_timer(timer_, deadline_ns_);
    return old;
}

void TimerFd::on_clock_set() {
    {
        core::InterruptSpinGuard guard(lock_);
        if (!is_absolute_) return;
        u64 offset = core::realtime_offset_ns();
        if (offset == clock_offset_) return; // CLOCK_TAI was set
        if (deadline_ns_ != 0) {
            u64 wall = deadline_ns_ + clock_offset_;
            deadline_ns_ = wall > offset ? wall - offset : 1;
            core::arm_timer(timer_, deadline_ns_);
        }
        clock_offset_ = offset;
        if (!cancels_on_set_) return;
        was_cancelled_ = true;
    }
    events_.notify(abi::POLLIN);
}

Result<u64> TimerFd::take() {
    core::InterruptSpinGuard guard(lock_);
    if (std::exchange(was_cancelled_, false)) return error(Errno::ECANCELED);
    advance_and_arm_locked();
    if (expirations_ == 0) return error(Errno::EAGAIN);
    return std::exchange(expirations_, 0);
}

Result<usize> TimerFd::read(vfs::IoBuffer& to, u64) {
    if (to.remaining() < sizeof(u64)) return error(Errno::EINVAL);
    vfs::Blocking blocking = is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
    u64 count = TRY(vfs::try_then_wait(events_, abi::POLLIN, blocking, [&] { return take(); }));
    TRY(to.copy_out_object(count));
    return sizeof(count);
}

Result<TimerFd*> timerfd_of(vfs::File& file) {
    if (file.kind() != &TimerFd::tag) return error(Errno::EINVAL);
    return &static_cast<TimerFd&>(file);
}

} // namespace

Result<RefPtr<vfs::File>> create_timerfd(int clock, u32 flags) {
    auto* file = new (std::nothrow) TimerFd(clock, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<vfs::File>(adopt_ref(*file));
}

Result<TimerSetting> set_timerfd(vfs::File& file, u32 flags, const TimerSetting& setting) {
    return TRY(timerfd_of(file))->set(flags, setting);
}

Result<TimerSetting> get_timerfd(vfs::File& file) { return TRY(timerfd_of(file))->get(); }

} // namespace linnet::process
