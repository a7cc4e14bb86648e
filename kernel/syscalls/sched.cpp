// Scheduling calls: policies and their parameters, affinity, yield (sched(7), sched_setattr(2), sched_setaffinity(2)).
#include <abi/linux/resource.hpp>
#include <algorithm>
#include <core/sched.hpp>
#include <process/futex_pi.hpp>
#include <process/realtime_limit.hpp>
#include <syscalls/sched.hpp>
#include <vfs/credentials.hpp>

#include "growing_structure.hpp"
#include "sched_rights.hpp"
#include "usage.hpp"

namespace linnet::syscalls {

using core::Policy;
using core::SchedulingAttributes;
using core::SchedulingClass;
using process::Thread;
using vfs::Capability;

Result<RefPtr<Thread>> scheduled_thread(Thread& thread, Pid pid) {
    if (pid < 0) return error(Errno::EINVAL);
    if (pid == 0) return RefPtr<Thread>(thread);
    NullableRefPtr<Thread> found = process::find_thread(pid);
    if (!found || found->is_dead()) return error(Errno::ESRCH);
    return RefPtr<Thread>(std::move(found));
}

Result<void> check_same_user(Thread& thread, Thread& target) {
    if (&thread == &target) return {};
    const vfs::Credentials& own = thread.own_credentials();
    RefPtr<const vfs::Credentials> theirs = target.credentials();
    if (own.euid != theirs->uid && own.euid != theirs->euid && !own.has(Capability::SysNice))
        return error(Errno::EPERM);
    return {};
}

bool may_have_nice(Thread& thread, Thread& target, int nice) {
    if (nice >= target.scheduling.nice) return true;
    // 20 minus the limit's value is the lowest nice
    const u64 limit = target.process().limits.soft(abi::RLIMIT_NICE);
    return static_cast<u64>(20 - nice) <= limit || thread.own_credentials().has(Capability::SysNice);
}

Result<long> sys_sched_yield(Thread&) {
    core::yield();
    return 0;
}

Result<long> sys_getcpu(Thread&, mm::UserPtr<mm::Out, u32> cpu, mm::UserPtr<mm::Out, u32> node) {
    u32 number;
    {
        core::PreemptionGuard guard;
        number = core::this_cpu().number;
    }
    if (cpu) TRY(cpu.copy_out(number));
    if (node) TRY(node.copy_out(0));
    return 0;
}

// ---- affinity ----

Result<long> sys_sched_setaffinity(Thread& thread, Pid pid, u32 size, VirtAddr mask) {
    u64 bits = 0;
    TRY(mm::copy_from_user(&bits, mask, std::min<usize>(size, sizeof(bits))));
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    TRY(check_same_user(thread, *target));
    bits &= core::online_cpus();
    // Where a reservation counts on all CPUs it can't be kept on some of them.
    if (target->scheduling.policy == Policy::Deadline && bits != core::online_cpus()) return error(Errno::EBUSY);
    TRY(core::set_affinity(*target, bits));
    return 0;
}

Result<long> sys_sched_getaffinity(Thread& thread, Pid pid, u32 size, VirtAddr mask) {
    if (size * 8 < core::cpu_count() || size % sizeof(u64) != 0) return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    u64 bits = target->affinity.value() & core::online_cpus();
    TRY(mm::copy_to_user(mask, &bits, sizeof(bits)));
    return sizeof(bits);
}

// ---- policy ----

namespace {

/// What sched_setattr(2) or an older call asks for.
struct Request {
    bool keeps_policy = false;
    bool keeps_all = false; // but for the flags; what is asked for is checked nevertheless, as on Linux
    SchedulingAttributes attributes;
};

bool is_known(int policy) {
    return (policy >= abi::SCHED_OTHER && policy <= abi::SCHED_BATCH) || policy == abi::SCHED_IDLE ||
           policy == abi::SCHED_DEADLINE;
}

bool is_realtime(Policy policy) { return class_of(policy) == SchedulingClass::Realtime; }
bool is_fair(Policy policy) { return class_of(policy) == SchedulingClass::Fair; }

/// sched_setattr(2), SCHED_DEADLINE: runtime <= deadline <= period, none too short or too long to be kept.
bool is_reservation(const SchedulingAttributes& asked) {
    constexpr u64 shortest_runtime_ns = 1024, top_bit = u64{1} << 63;
    constexpr u64 shortest_period_ns = 100'000, longest_period_ns = (u64{1} << 22) * 1000;
    if (asked.deadline_ns == 0 || asked.runtime_ns < shortest_runtime_ns) return false;
    if ((asked.deadline_ns | asked.period_ns) & top_bit) return false;
    const u64 period = asked.period_ns != 0 ? asked.period_ns : asked.deadline_ns;
    return asked.runtime_ns <= asked.deadline_ns && asked.deadline_ns <= period && period >= shortest_period_ns &&
           period <= longest_period_ns;
}

Result<void> check_values(const SchedulingAttributes& asked) {
    const bool fits = asked.realtime_priority <= core::highest_realtime_priority &&
                      is_realtime(asked.policy) == (asked.realtime_priority != 0) &&
                      (asked.policy != Policy::Deadline || is_reservation(asked));
    if (!fits) return error(Errno::EINVAL);
    return {};
}

/// sched(7), "Privileges and resource limits": what an unprivileged thread may change.
Result<void> check_rights(Thread& thread, Thread& target, const SchedulingAttributes& asked) {
    if (thread.own_credentials().has(Capability::SysNice)) return {};
    const SchedulingAttributes& present = target.scheduling;
    const auto& limits = target.process().limits;
    TRY(check_same_user(thread, target));
    bool allowed = asked.policy != Policy::Deadline;
    if (is_fair(asked.policy) && asked.policy != Policy::Idle) allowed = may_have_nice(thread, target, asked.nice);
    if (is_realtime(asked.policy)) {
        const u64 limit = limits.soft(abi::RLIMIT_RTPRIO);
        allowed = (asked.policy == present.policy || limit != 0) &&
                  (asked.realtime_priority <= present.realtime_priority || asked.realtime_priority <= limit);
    }
    // Leaving IDLE is like becoming less nice.
    if (present.policy == Policy::Idle && asked.policy != Policy::Idle)
        allowed = allowed && static_cast<u64>(20 - present.nice) <= limits.soft(abi::RLIMIT_NICE);
    if (present.reset_on_fork && !asked.reset_on_fork) allowed = false;
    if (!allowed) return error(Errno::EPERM);
    return {};
}

Result<long> set_scheduling(Thread& thread, Thread& target, const Request& request) {
    SchedulingAttributes asked = request.attributes;
    if (request.keeps_policy) {
        asked.policy = target.scheduling.policy;
        asked.reset_on_fork = target.scheduling.reset_on_fork;
    }
    TRY(check_values(asked));
    TRY(check_rights(thread, target, asked));
    if (request.keeps_all) asked.policy = target.scheduling.policy;
    switch (class_of(asked.policy)) {
    case SchedulingClass::Deadline:
        if (asked.period_ns == 0) asked.period_ns = asked.deadline_ns;
        asked.nice = target.scheduling.nice;
        if ((target.affinity.value() & core::online_cpus()) != core::online_cpus()) return error(Errno::EPERM);
        break;
    case SchedulingClass::Realtime:
        asked.runtime_ns = asked.deadline_ns = asked.period_ns = 0;
        asked.nice = target.scheduling.nice;
        break;
    case SchedulingClass::Fair:
        asked.deadline_ns = asked.period_ns = 0;
        if (asked.policy == Policy::Idle) asked.nice = target.scheduling.nice; // means nothing there
        if (asked.runtime_ns != 0) asked.runtime_ns = core::limit_fair_slice(asked.runtime_ns);
        break;
    }
    TRY(core::set_scheduling(target, asked));
    process::propagate_urgency(target);
    process::update_realtime_limit(target.process());
    return 0;
}

/// sched_setscheduler(2) and sched_setparam(2) leave alone what they don't know of.
Request older_request(const Thread& target, int priority) {
    Request request;
    request.attributes.nice = target.scheduling.nice;
    if (is_fair(target.scheduling.policy)) request.attributes.runtime_ns = target.scheduling.runtime_ns;
    // Beyond the type it is beyond the limits too.
    request.attributes.realtime_priority = static_cast<u8>(std::clamp(priority, 0, 255));
    if (priority < 0) request.attributes.realtime_priority = 255;
    return request;
}

} // namespace

Result<long> sys_sched_setscheduler(Thread& thread, Pid pid, int policy, SchedParamIn param) {
    if (policy < 0 || param.is_null() || pid < 0) return error(Errno::EINVAL);
    abi::sched_param wanted = TRY(param.copy_in());
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    Request request = older_request(*target, wanted.sched_priority);
    request.attributes.reset_on_fork = (policy & abi::SCHED_RESET_ON_FORK) != 0;
    policy &= ~abi::SCHED_RESET_ON_FORK;
    if (!is_known(policy)) return error(Errno::EINVAL);
    request.attributes.policy = static_cast<Policy>(policy);
    return set_scheduling(thread, *target, request);
}

Result<long> sys_sched_setparam(Thread& thread, Pid pid, SchedParamIn param) {
    if (param.is_null() || pid < 0) return error(Errno::EINVAL);
    abi::sched_param wanted = TRY(param.copy_in());
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    Request request = older_request(*target, wanted.sched_priority);
    request.keeps_policy = true;
    return set_scheduling(thread, *target, request);
}

Result<long> sys_sched_getscheduler(Thread& thread, Pid pid) {
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    return static_cast<int>(target->scheduling.policy) |
           (target->scheduling.reset_on_fork ? abi::SCHED_RESET_ON_FORK : 0);
}

Result<long> sys_sched_getparam(Thread& thread, Pid pid, mm::UserPtr<mm::Out, abi::sched_param> param) {
    if (param.is_null()) return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    TRY(param.copy_out({.sched_priority = target->scheduling.realtime_priority}));
    return 0;
}

namespace {

/// The structure may be older (shorter) or newer than ours; newer fields must be 0.
Result<abi::sched_attr> read_attributes(VirtAddr address) {
    abi::sched_attr attributes{};
    u32 size = TRY((mm::UserPtr<mm::In, u32>(address).copy_in()));
    if (size == 0) size = abi::SCHED_ATTR_SIZE_VER0;
    bool fits = size >= abi::SCHED_ATTR_SIZE_VER0 && size <= arch::page_size;
    if (fits && size > sizeof attributes) fits = TRY(is_zero(address + sizeof attributes, size - sizeof attributes));
    if (!fits) {
        TRY((mm::UserPtr<mm::Out, u32>(address).copy_out(sizeof(attributes))));
        return error(Errno::E2BIG);
    }
    TRY(mm::copy_from_user(&attributes, address, std::min<usize>(size, sizeof(attributes))));
    constexpr u64 clamps = abi::SCHED_FLAG_UTIL_CLAMP_MIN | abi::SCHED_FLAG_UTIL_CLAMP_MAX;
    if ((attributes.sched_flags & clamps) && size < sizeof(attributes)) return error(Errno::EINVAL);
    return attributes;
}

Result<Request> request_of(const abi::sched_attr& from, const Thread& target) {
    constexpr u64 clamps = abi::SCHED_FLAG_UTIL_CLAMP_MIN | abi::SCHED_FLAG_UTIL_CLAMP_MAX;
    constexpr u64 known = abi::SCHED_FLAG_RESET_ON_FORK | abi::SCHED_FLAG_RECLAIM | abi::SCHED_FLAG_DL_OVERRUN |
                          abi::SCHED_FLAG_KEEP_POLICY | abi::SCHED_FLAG_KEEP_PARAMS;
    Request request;
    request.keeps_policy = (from.sched_flags & abi::SCHED_FLAG_KEEP_POLICY) != 0;
    SchedulingAttributes& asked = request.attributes;
    request.keeps_all = (from.sched_flags & abi::SCHED_FLAG_KEEP_PARAMS) != 0;
    if (request.keeps_all) {
        asked = target.scheduling;
    } else {
        asked.nice = static_cast<i8>(std::clamp(from.sched_nice, -20, 19));
        asked.realtime_priority = static_cast<u8>(std::min<u32>(from.sched_priority, 255));
        asked.runtime_ns = from.sched_runtime;
        asked.deadline_ns = from.sched_deadline;
        asked.period_ns = from.sched_period;
    }
    asked.reset_on_fork = (from.sched_flags & abi::SCHED_FLAG_RESET_ON_FORK) != 0;
    asked.reclaims = (from.sched_flags & abi::SCHED_FLAG_RECLAIM) != 0;
    asked.tells_overrun = (from.sched_flags & abi::SCHED_FLAG_DL_OVERRUN) != 0;
    if (!request.keeps_policy) {
        if (!is_known(static_cast<int>(from.sched_policy))) return error(Errno::EINVAL);
        asked.policy = static_cast<Policy>(from.sched_policy);
    }
    if (from.sched_flags & ~(known | clamps)) return error(Errno::EINVAL);
    if (from.sched_flags & clamps) return error(Errno::EOPNOTSUPP); // as Linux built without UCLAMP_TASK
    return request;
}

} // namespace

Result<long> sys_sched_setattr(Thread& thread, Pid pid, VirtAddr address, u32 flags) {
    if (address.value == 0 || pid < 0 || flags != 0) return error(Errno::EINVAL);
    const abi::sched_attr attributes = TRY(read_attributes(address));
    if (static_cast<i32>(attributes.sched_policy) < 0) return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    return set_scheduling(thread, *target, TRY(request_of(attributes, *target)));
}

Result<long> sys_sched_getattr(Thread& thread, Pid pid, VirtAddr address, u32 size, u32 flags) {
    if (address.value == 0 || flags != 0 || size < abi::SCHED_ATTR_SIZE_VER0 || size > arch::page_size)
        return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    const SchedulingAttributes present = target->scheduling;
    abi::sched_attr attributes{};
    attributes.size = static_cast<u32>(std::min<usize>(size, sizeof(attributes)));
    attributes.sched_policy = static_cast<u32>(present.policy);
    attributes.sched_flags = (present.reset_on_fork ? abi::SCHED_FLAG_RESET_ON_FORK : 0) |
                             (present.reclaims ? abi::SCHED_FLAG_RECLAIM : 0) |
                             (present.tells_overrun ? abi::SCHED_FLAG_DL_OVERRUN : 0);
    switch (class_of(present.policy)) {
    case SchedulingClass::Deadline:
        attributes.sched_runtime = present.runtime_ns;
        attributes.sched_deadline = present.deadline_ns;
        attributes.sched_period = present.period_ns;
        break;
    case SchedulingClass::Realtime:
        attributes.sched_priority = present.realtime_priority;
        break;
    case SchedulingClass::Fair:
        attributes.sched_nice = present.nice;
        attributes.sched_runtime = core::fair_slice_ns(present);
        break;
    }
    TRY(mm::copy_to_user(address, &attributes, attributes.size));
    return 0;
}

Result<long> sys_sched_get_priority_max(Thread&, int policy) {
    if (!is_known(policy)) return error(Errno::EINVAL);
    return is_realtime(static_cast<Policy>(policy)) ? core::highest_realtime_priority : 0;
}

Result<long> sys_sched_get_priority_min(Thread&, int policy) {
    if (!is_known(policy)) return error(Errno::EINVAL);
    return is_realtime(static_cast<Policy>(policy)) ? 1 : 0;
}

Result<long> sys_sched_rr_get_interval(Thread& thread, Pid pid, mm::UserPtr<mm::Out, abi::timespec> interval) {
    RefPtr<Thread> target = TRY(scheduled_thread(thread, pid));
    u64 ns = 0; // FIFO and DEADLINE know no turns
    if (target->scheduling.policy == Policy::RoundRobin) ns = core::round_robin_slice_ns();
    if (is_fair(target->scheduling.policy)) ns = core::fair_slice_ns(target->scheduling);
    TRY(interval.copy_out(to_timespec(ns)));
    return 0;
}

} // namespace linnet::syscalls
