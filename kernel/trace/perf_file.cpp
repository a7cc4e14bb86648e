// The file of an event: reading it, switching it, and who may open one.
#include <abi/linux/poll.hpp>
#include <lib/array_list.hpp>
#include <mm/usercopy.hpp>
#include <new>
#include <process/access.hpp>
#include <vfs/credentials.hpp>
#include <vfs/pseudo/knob.hpp>

#include "perf_event.hpp"

namespace linnet::trace {

using process::Thread;

namespace {

/// /proc/sys/kernel/perf_event_paranoid: above 0 nobody without rights counts all of a CPU, above 1 what the kernel
/// does for a program.
constinit std::atomic<u64> paranoid{2};
constinit std::atomic<u64> max_sample_rate{100'000};

class PerfFile final : public vfs::File {
public:
    explicit PerfFile(PerfEvent& event)
        : File(vfs::anonymous_inode(), abi::O_RDWR, Positioning::Stream), event_(event) {}
    ~PerfFile() override;

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<long> ioctl(u32 command, u64 argument) override;
    /// Without a buffer nothing will ever come.
    u32 poll() override { return abi::POLLHUP; }
    void describe(TextSink sink) const override { sink("anon_inode:[perf_event]"); }
    const void* kind() const override { return &tag; }

    PerfEvent& event() { return event_; }
    static const char tag;

private:
    template <typename Act>
    void on_each(u64 flags, Act act);

    PerfEvent& event_; // owned
};
const char PerfFile::tag = 0;

PerfFile::~PerfFile() {
    RemovedEvents gone;
    {
        core::MutexGuard guard(events_lock);
        while (PerfEvent* copy = event_.copies.first()) {
            copy->remove_locked();
            gone.push_back(*copy);
        }
        event_.remove_locked();
        gone.push_back(event_);
    }
    delete_all(gone);
}

/// perf_event_open(2), "Reading results". Has room for all there is to say.
using Words = ArrayList<u64>;

/// Words that a read says at most of a group of so many.
constexpr usize most_words(usize events) { return 3 + 3 * events; }
/// More than this nobody may ask to be read at once.
constexpr usize largest_reading = 16 * 1024;

void put_times(Words& out, u64 format, u64 enabled_ns) {
    if (format & abi::PERF_FORMAT_TOTAL_TIME_ENABLED) MUST(out.try_push(enabled_ns));
    if (format & abi::PERF_FORMAT_TOTAL_TIME_RUNNING) MUST(out.try_push(enabled_ns)); // there is always room for it
}

void put_event(Words& out, u64 format, const PerfEvent& event, u64 value) {
    MUST(out.try_push(value));
    if (format & abi::PERF_FORMAT_ID) MUST(out.try_push(event.id));
    if (format & abi::PERF_FORMAT_LOST) MUST(out.try_push(0)); // it takes no samples
}

void put_reading(Words& out, PerfEvent& event) {
    const u64 format = event.attributes.read_format;
    const PerfEvent::Reading own = event.read_locked();
    if (!(format & abi::PERF_FORMAT_GROUP)) {
        MUST(out.try_push(own.value));
        put_times(out, format, own.enabled_ns);
        if (format & abi::PERF_FORMAT_ID) MUST(out.try_push(event.id));
        if (format & abi::PERF_FORMAT_LOST) MUST(out.try_push(0));
        return;
    }
    PerfEvent& leader = *event.leader;
    const PerfEvent::Reading of_leader = leader.read_locked();
    MUST(out.try_push(1 + leader.member_count));
    put_times(out, format, of_leader.enabled_ns);
    put_event(out, format, leader, of_leader.value);
    for (PerfEvent& member : leader.members) put_event(out, format, member, member.read_locked().value);
}

Result<usize> PerfFile::read(vfs::IoBuffer& to, u64) {
    Words words;
    {
        core::MutexGuard guard(events_lock);
        TRY(words.try_reserve(most_words(1 + event_.leader->member_count)));
        put_reading(words, event_);
    }
    const auto bytes = std::as_bytes(words.span());
    if (to.remaining() < bytes.size()) return error(Errno::ENOSPC);
    TRY(to.copy_out({reinterpret_cast<const u8*>(bytes.data()), bytes.size()}));
    return bytes.size();
}

template <typename Act>
void PerfFile::on_each(u64 flags, Act act) {
    core::MutexGuard guard(events_lock);
    if (!(flags & abi::PERF_IOC_FLAG_GROUP)) return act(event_);
    PerfEvent& leader = *event_.leader;
    act(leader);
    for (PerfEvent& member : leader.members) act(member);
}

Result<long> PerfFile::ioctl(u32 command, u64 argument) {
    switch (command) {
    case abi::PERF_EVENT_IOC_ENABLE:
        on_each(argument, [](PerfEvent& event) { event.switch_locked(true); });
        return 0;
    case abi::PERF_EVENT_IOC_DISABLE:
        on_each(argument, [](PerfEvent& event) { event.switch_locked(false); });
        return 0;
    case abi::PERF_EVENT_IOC_RESET:
        on_each(argument, [](PerfEvent& event) { event.reset_locked(); });
        return 0;
    case abi::PERF_EVENT_IOC_ID:
        TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{argument}).copy_out(event_.id)));
        return 0;
    case abi::PERF_EVENT_IOC_PERIOD:
        (void)TRY((mm::UserPtr<mm::In, u64>(VirtAddr{argument}).copy_in()));
        return error(Errno::EINVAL); // it takes no samples
    case abi::PERF_EVENT_IOC_REFRESH:
        return error(Errno::EINVAL);
    default:
        return error(Errno::ENOTTY);
    }
}

bool is_counted(const abi::perf_event_attr& attributes) {
    if (attributes.type != abi::PERF_TYPE_SOFTWARE) return false;
    switch (static_cast<abi::PerfSoftware>(attributes.config)) {
    case abi::PerfSoftware::CpuClock:
    case abi::PerfSoftware::TaskClock:
    case abi::PerfSoftware::PageFaults:
    case abi::PerfSoftware::ContextSwitches:
    case abi::PerfSoftware::CpuMigrations:
    case abi::PerfSoftware::PageFaultsMinor:
    case abi::PerfSoftware::PageFaultsMajor:
    case abi::PerfSoftware::Dummy:
    case abi::PerfSoftware::BpfOutput:      // only programs of bpf(2) would
    case abi::PerfSoftware::CgroupSwitches: // there is but one group
        return true;
    default:
        return false;
    }
}

/// Members are of the same thread or CPU as their leader, and only leaders are pinned or exclusive.
bool fits(const abi::perf_event_attr& attributes, const PerfTarget& target, const PerfEvent& leader) {
    return leader.leader == &leader && leader.target.thread.get() == target.thread.get() &&
           leader.target.cpu == target.cpu && !(attributes.flags & (abi::PERF_ATTR_PINNED | abi::PERF_ATTR_EXCLUSIVE));
}

Result<PerfEvent*> make_event(const abi::perf_event_attr& attributes, PerfTarget target, PerfEvent* leader) {
    PerfContext* watched = target.thread ? TRY(PerfContext::of(*target.thread)) : nullptr;
    PerfContext* opener = TRY(PerfContext::of(process::current()));
    core::MutexGuard guard(events_lock);
    if (watched && watched->has_exited) return error(Errno::ESRCH);
    if (leader && !fits(attributes, target, *leader)) return error(Errno::EINVAL);
    if (leader && most_words(2 + leader->member_count) * sizeof(u64) > largest_reading) return error(Errno::E2BIG);
    auto* event = new (std::nothrow) PerfEvent(attributes, std::move(target));
    if (!event) return error(Errno::ENOMEM);
    event->opener = NullableRefPtr<Thread>(&process::current());
    opener->opened.push_back(*event);
    if (watched) watched->events.push_back(*event);
    event->join_locked(leader ? *leader : *event);
    event->switch_own_locked(!(attributes.flags & abi::PERF_ATTR_DISABLED));
    return event;
}

} // namespace

Result<RefPtr<vfs::File>> open_perf_event(const abi::perf_event_attr& attributes, PerfTarget target,
                                          vfs::File* leader) {
    if (leader && leader->kind() != &PerfFile::tag) return error(Errno::EBADF);
    if (!is_counted(attributes)) return error(Errno::ENOENT);
    if (attributes.sample_period != 0) return error(Errno::EOPNOTSUPP);
    if ((attributes.flags & abi::PERF_ATTR_INHERIT) && (attributes.read_format & abi::PERF_FORMAT_GROUP))
        return error(Errno::EINVAL);
    PerfEvent* group = leader ? &static_cast<PerfFile*>(leader)->event() : nullptr;
    PerfEvent* event = TRY(make_event(attributes, std::move(target), group));
    auto* file = new (std::nothrow) PerfFile(*event);
    if (file) return RefPtr<vfs::File>(adopt_ref(*file));
    RemovedEvents gone;
    {
        core::MutexGuard guard(events_lock);
        event->remove_locked();
        gone.push_back(*event);
    }
    delete_all(gone);
    return error(Errno::ENOMEM);
}

Result<void> check_perf_rights(Thread& caller, const abi::perf_event_attr& attributes, const PerfTarget& target) {
    const vfs::Credentials& who = caller.own_credentials();
    if (who.has(vfs::Capability::Perfmon) || who.has(vfs::Capability::SysAdmin)) return {};
    const u64 level = paranoid.load(std::memory_order_relaxed);
    if (level > 1 && !(attributes.flags & abi::PERF_ATTR_EXCLUDE_KERNEL)) return error(Errno::EACCES);
    if (target.thread && !process::may_access(caller, *target.thread, process::AccessBy::RealIds))
        return error(Errno::EACCES);
    if (!target.thread && level > 0) return error(Errno::EACCES);
    return {};
}

u64 highest_sample_rate() { return max_sample_rate.load(std::memory_order_relaxed); }

void switch_opened_events(Thread& opener, bool on) {
    auto* context = static_cast<PerfContext*>(opener.observer.load(std::memory_order_acquire));
    if (!context) return;
    core::MutexGuard guard(events_lock);
    for (PerfEvent& event : context->opened) event.switch_locked(on);
}

Result<void> add_perf_knobs(vfs::pseudo::Directory& directory) {
    using vfs::pseudo::add_knob;
    TRY(add_knob(directory, "perf_event_paranoid", {.value = paranoid, .most = 3}));
    return add_knob(directory, "perf_event_max_sample_rate", {.value = max_sample_rate, .least = 1});
}

} // namespace linnet::trace
