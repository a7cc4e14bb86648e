// Opening events: what there is to count, and who may.
#include <arch/sampled_registers.hpp>
#include <new>
#include <process/access.hpp>
#include <vfs/credentials.hpp>
#include <vfs/pseudo/knob.hpp>

#include "hardware_counters.hpp"
#include "perf_file.hpp"
#include "perf_records.hpp"
#include "perf_tracepoint.hpp"

namespace linnet::trace {

using process::Thread;

namespace {

/// /proc/sys/kernel/perf_event_paranoid: above 0 nobody without rights counts all of a CPU, above 1 what the kernel
/// does for a program.
constinit std::atomic<u64> paranoid{2};
constinit std::atomic<u64> max_sample_rate{100'000};
constinit std::atomic<u64> max_stack{127};
constinit std::atomic<u64> mlock_kb{516};

/// More than this nobody may ask to be read at once.
constexpr usize largest_reading = 16 * 1024;
/// What samples can say here.
constexpr u64 offered_in_samples =
    abi::PERF_SAMPLE_IP | abi::PERF_SAMPLE_TID | abi::PERF_SAMPLE_TIME | abi::PERF_SAMPLE_ADDR | abi::PERF_SAMPLE_READ |
    abi::PERF_SAMPLE_CALLCHAIN | abi::PERF_SAMPLE_ID | abi::PERF_SAMPLE_CPU | abi::PERF_SAMPLE_PERIOD |
    abi::PERF_SAMPLE_STREAM_ID | abi::PERF_SAMPLE_RAW | abi::PERF_SAMPLE_IDENTIFIER | abi::PERF_SAMPLE_REGS_USER |
    abi::PERF_SAMPLE_STACK_USER | abi::PERF_SAMPLE_WEIGHT | abi::PERF_SAMPLE_DATA_SRC | abi::PERF_SAMPLE_TRANSACTION;

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

/// Members are of the same thread or CPU as their leader, tell the same time, and only leaders are pinned or exclusive.
bool fits(const abi::perf_event_attr& attributes, const PerfTarget& target, const PerfEvent& leader) {
    const u64 clock = abi::PERF_ATTR_USE_CLOCKID;
    const bool same_clock = (attributes.flags & clock) == (leader.attributes.flags & clock) &&
                            (!(attributes.flags & clock) || attributes.clockid == leader.attributes.clockid);
    return leader.leader == &leader && leader.target.thread.get() == target.thread.get() &&
           leader.target.is_on_one_cpu == target.is_on_one_cpu && leader.target.cpu == target.cpu && same_clock &&
           !(attributes.flags & (abi::PERF_ATTR_PINNED | abi::PERF_ATTR_EXCLUSIVE));
}

/// Whether the leader's group and one more event could ever count at once.
bool has_counters_for(PerfEvent& leader, const arch::CountedEvent& event) {
    arch::CountedEvent all[32] = {event};
    usize used = 1;
    if (leader.hardware_in_group >= std::size(all)) return false;
    if (leader.is_hardware()) all[used++] = *leader.hardware;
    for (const PerfEvent& member : leader.members)
        if (member.is_hardware()) all[used++] = *member.hardware;
    return arch::may_count_together(std::span(all).first(used));
}

/// What an event counts that is not software's.
struct Countable {
    NullableRefPtr<PerfProbe> probe;
    std::optional<arch::CountedEvent> hardware;
};

Result<PerfEvent*> make_event(const abi::perf_event_attr& attributes, PerfTarget target, PerfEvent* leader,
                              Countable what) {
    PerfContext* context = target.thread ? TRY(PerfContext::of(*target.thread)) : TRY(PerfContext::of_cpu(target.cpu));
    PerfContext* opener = TRY(PerfContext::of(process::current()));
    core::MutexGuard guard(events_lock);
    TRY(prepare_records_locked());
    if (context->has_exited) return error(Errno::ESRCH);
    // Once more: it may have executed a program with more rights meanwhile. From here on that ends its events.
    TRY(check_perf_rights(process::current(), attributes, target));
    if (leader && !fits(attributes, target, *leader)) return error(Errno::EINVAL);
    if (leader && what.hardware && !has_counters_for(*leader, *what.hardware)) return error(Errno::EINVAL);
    if (leader && most_words(2 + leader->member_count) * sizeof(u64) > largest_reading) return error(Errno::E2BIG);
    auto* event = new (std::nothrow) PerfEvent(attributes, std::move(target), *context);
    if (!event) return error(Errno::ENOMEM);
    event->probe = std::move(what.probe);
    event->hardware = what.hardware;
    event->set_period_locked(attributes.sample_period);
    event->opener = NullableRefPtr<Thread>(&process::current());
    opener->opened.push_back(*event);
    event->join_locked(leader ? *leader : *event, !(attributes.flags & abi::PERF_ATTR_DISABLED));
    return event;
}

/// EINVAL, EOPNOTSUPP, EOVERFLOW.
Result<void> check_attributes(const abi::perf_event_attr& asked) {
    if ((asked.flags & abi::PERF_ATTR_INHERIT) && (asked.read_format & abi::PERF_FORMAT_GROUP))
        return error(Errno::EINVAL);
    if (asked.sample_type & ~offered_in_samples) return error(Errno::EOPNOTSUPP);
    if ((asked.sample_type & abi::PERF_SAMPLE_REGS_USER) &&
        (asked.sample_regs_user == 0 || (asked.sample_regs_user & ~arch::sampled_registers)))
        return error(Errno::EINVAL);
    constexpr u32 largest_stack = 0xffff;
    if ((asked.sample_type & abi::PERF_SAMPLE_STACK_USER) &&
        (asked.sample_stack_user > largest_stack || asked.sample_stack_user % sizeof(u64) != 0))
        return error(Errno::EINVAL);
    if (asked.flags & abi::PERF_ATTR_SIGTRAP) return error(Errno::EOPNOTSUPP);
    if (asked.sample_max_stack > deepest_chain()) return error(Errno::EOVERFLOW);
    if (!(asked.flags & abi::PERF_ATTR_USE_CLOCKID)) return {};
    switch (asked.clockid) {
    case 0:  // CLOCK_REALTIME
    case 1:  // CLOCK_MONOTONIC
    case 4:  // CLOCK_MONOTONIC_RAW
    case 7:  // CLOCK_BOOTTIME
    case 11: // CLOCK_TAI
        return {};
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace

u64 deepest_chain() { return max_stack.load(std::memory_order_relaxed); }
u64 free_buffer_pages() { return mlock_kb.load(std::memory_order_relaxed) >> (arch::page_shift - 10); }
bool may_lock_any_memory(Thread& thread) { return thread.own_credentials().has(vfs::Capability::IpcLock); }

Result<RefPtr<vfs::File>> open_perf_event(const abi::perf_event_attr& attributes, PerfTarget target,
                                          const PerfCompany& company) {
    for (vfs::File* other : {company.leader, company.output})
        if (other && other->kind() != &PerfFile::tag) return error(Errno::EBADF);
    const bool is_probe = PerfProbe::is_type(attributes.type);
    Countable what;
    if (attributes.type == abi::PERF_TYPE_TRACEPOINT)
        TRY(check_traced(attributes, process::current()));
    else if (!is_probe && !is_counted(attributes))
        what.hardware = TRY(find_hardware_event(attributes));
    TRY(check_attributes(attributes));
    if (is_probe) what.probe = TRY(PerfProbe::create(attributes));
    PerfEvent* group = company.leader ? &static_cast<PerfFile*>(company.leader)->event() : nullptr;
    PerfEvent* event = TRY(make_event(attributes, std::move(target), group, std::move(what)));
    Result<void> directed{};
    if (company.output) {
        core::MutexGuard guard(events_lock);
        directed = redirect_locked(*event, &static_cast<PerfFile*>(company.output)->event());
    }
    auto* file = directed ? new (std::nothrow) PerfFile(*event) : nullptr;
    if (file) return RefPtr<vfs::File>(adopt_ref(*file));
    RemovedEvents gone;
    {
        core::MutexGuard guard(events_lock);
        event->remove_locked();
        gone.push_back(*event);
    }
    delete_all(gone);
    TRY(directed);
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

Result<void> initialise_perf(vfs::pseudo::Directory& knobs) {
    using vfs::pseudo::add_knob;
    add_perf_probes();
    TRY(add_knob(knobs, "perf_event_paranoid", {.value = paranoid, .most = 3}));
    TRY(add_knob(knobs, "perf_event_max_sample_rate", {.value = max_sample_rate, .least = 1}));
    TRY(add_knob(knobs, "perf_event_max_stack", {.value = max_stack, .least = 1, .most = 640}));
    probe::initialise_user_probes();
    return add_knob(knobs, "perf_event_mlock_kb", {.value = mlock_kb});
}

} // namespace linnet::trace
