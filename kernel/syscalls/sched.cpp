// Scheduling calls. Policies are kept and inherited; the scheduler knows one fair class by nice, so the
// real-time classes are refused rather than pretended.
#include <abi/linux/resource.hpp>
#include <algorithm>
#include <core/sched.hpp>
#include <process/session.hpp>
#include <syscalls/sched.hpp>
#include <vfs/credentials.hpp>

#include "usage.hpp"

namespace linnet::syscalls {

using process::Process;
using process::Thread;
using vfs::Capability;

namespace {

constexpr u64 slice_ns = 3'000'000;

Result<RefPtr<Thread>> thread_of(Thread& thread, Pid pid) {
    if (pid < 0) return error(Errno::EINVAL);
    if (pid == 0) return RefPtr<Thread>(thread);
    NullableRefPtr<Thread> found = process::find_thread(pid);
    if (!found || found->is_dead()) return error(Errno::ESRCH);
    return RefPtr<Thread>(std::move(found));
}

/// sched_setaffinity(2), setpriority(2): the same effective user as the target's real or effective one, or
/// CAP_SYS_NICE.
Result<void> check_same_user(Thread& thread, Thread& target) {
    if (&thread == &target) return {};
    const vfs::Credentials& own = thread.own_credentials();
    RefPtr<const vfs::Credentials> theirs = target.credentials();
    if (own.euid != theirs->uid && own.euid != theirs->euid && !own.has(Capability::SysNice))
        return error(Errno::EPERM);
    return {};
}

/// Becoming less nice needs room in RLIMIT_NICE (20 minus its value is the lowest nice) or the capability.
bool may_have_nice(Thread& thread, Thread& target, int nice) {
    if (nice >= target.nice) return true;
    u64 limit = target.process().limits.soft(abi::RLIMIT_NICE);
    return static_cast<u64>(20 - nice) <= limit || thread.own_credentials().has(Capability::SysNice);
}

} // namespace

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
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    TRY(check_same_user(thread, *target));
    TRY(core::set_affinity(*target, bits & core::online_cpus()));
    return 0;
}

Result<long> sys_sched_getaffinity(Thread& thread, Pid pid, u32 size, VirtAddr mask) {
    if (size * 8 < core::cpu_count() || size % sizeof(u64) != 0) return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    u64 bits = target->affinity.value() & core::online_cpus();
    TRY(mm::copy_to_user(mask, &bits, sizeof(bits)));
    return sizeof(bits);
}

// ---- policy ----

namespace {

bool is_fair(int policy) {
    return policy == abi::SCHED_OTHER || policy == abi::SCHED_BATCH || policy == abi::SCHED_IDLE;
}

enum class ResetOnFork : u8 { No, Yes };

Result<long> set_policy(Thread& thread, Pid pid, int policy, int priority, ResetOnFork reset) {
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    if (!is_fair(policy) || priority != 0) return error(Errno::EINVAL);
    TRY(check_same_user(thread, *target));
    if (target->reset_on_fork && reset == ResetOnFork::No && !thread.own_credentials().has(Capability::SysNice))
        return error(Errno::EPERM);
    // Leaving IDLE is like becoming less nice.
    if (target->policy == abi::SCHED_IDLE && policy != abi::SCHED_IDLE) {
        u64 limit = target->process().limits.soft(abi::RLIMIT_NICE);
        bool allowed =
            static_cast<u64>(20 - target->nice) <= limit || thread.own_credentials().has(Capability::SysNice);
        if (!allowed) return error(Errno::EPERM);
    }
    target->policy = static_cast<u8>(policy);
    target->reset_on_fork = reset == ResetOnFork::Yes;
    return 0;
}

} // namespace

Result<long> sys_sched_setscheduler(Thread& thread, Pid pid, int policy, SchedParamIn param) {
    if (policy < 0 || param.is_null()) return error(Errno::EINVAL);
    abi::sched_param wanted = TRY(param.copy_in());
    ResetOnFork reset = (policy & abi::SCHED_RESET_ON_FORK) ? ResetOnFork::Yes : ResetOnFork::No;
    return set_policy(thread, pid, policy & ~abi::SCHED_RESET_ON_FORK, wanted.sched_priority, reset);
}

Result<long> sys_sched_setparam(Thread& thread, Pid pid, SchedParamIn param) {
    if (param.is_null()) return error(Errno::EINVAL);
    abi::sched_param wanted = TRY(param.copy_in());
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    return set_policy(thread, pid, target->policy, wanted.sched_priority,
                      target->reset_on_fork ? ResetOnFork::Yes : ResetOnFork::No);
}

Result<long> sys_sched_getscheduler(Thread& thread, Pid pid) {
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    return target->policy | (target->reset_on_fork ? abi::SCHED_RESET_ON_FORK : 0);
}

Result<long> sys_sched_getparam(Thread& thread, Pid pid, mm::UserPtr<mm::Out, abi::sched_param> param) {
    if (param.is_null()) return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    TRY(param.copy_out({.sched_priority = target->realtime_priority}));
    return 0;
}

Result<long> sys_sched_setattr(Thread& thread, Pid pid, VirtAddr address, u32 flags) {
    if (address.value == 0 || flags != 0) return error(Errno::EINVAL);
    u32 size = TRY((mm::UserPtr<mm::In, u32>(address).copy_in()));
    if (size == 0) size = abi::SCHED_ATTR_SIZE_VER0;
    if (size < abi::SCHED_ATTR_SIZE_VER0 || size > arch::page_size) {
        TRY((mm::UserPtr<mm::Out, u32>(address).copy_out(sizeof(abi::sched_attr))));
        return error(Errno::E2BIG);
    }
    abi::sched_attr attributes{};
    TRY(mm::copy_from_user(&attributes, address, std::min<usize>(size, sizeof(attributes))));
    constexpr u64 known = abi::SCHED_FLAG_RESET_ON_FORK | abi::SCHED_FLAG_KEEP_POLICY | abi::SCHED_FLAG_KEEP_PARAMS;
    if (attributes.sched_flags & ~known) return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    int policy = (attributes.sched_flags & abi::SCHED_FLAG_KEEP_POLICY) ? target->policy
                                                                        : static_cast<int>(attributes.sched_policy);
    bool keeps_nice = (attributes.sched_flags & abi::SCHED_FLAG_KEEP_PARAMS) || policy == abi::SCHED_IDLE;
    int nice = std::clamp(attributes.sched_nice, -20, 19);
    if (!keeps_nice && !may_have_nice(thread, *target, nice)) return error(Errno::EPERM);
    ResetOnFork reset = (attributes.sched_flags & abi::SCHED_FLAG_RESET_ON_FORK) ? ResetOnFork::Yes : ResetOnFork::No;
    TRY(set_policy(thread, pid, policy, static_cast<int>(attributes.sched_priority), reset));
    if (!keeps_nice) core::set_nice(*target, nice);
    return 0;
}

Result<long> sys_sched_getattr(Thread& thread, Pid pid, VirtAddr address, u32 size, u32 flags) {
    if (address.value == 0 || flags != 0 || size < abi::SCHED_ATTR_SIZE_VER0 || size > arch::page_size)
        return error(Errno::EINVAL);
    RefPtr<Thread> target = TRY(thread_of(thread, pid));
    abi::sched_attr attributes{};
    attributes.size = static_cast<u32>(std::min<usize>(size, sizeof(attributes)));
    attributes.sched_policy = target->policy;
    attributes.sched_flags = target->reset_on_fork ? abi::SCHED_FLAG_RESET_ON_FORK : 0;
    attributes.sched_nice = target->nice;
    attributes.sched_runtime = slice_ns;
    TRY(mm::copy_to_user(address, &attributes, attributes.size));
    return 0;
}

Result<long> sys_sched_get_priority_max(Thread&, int policy) {
    if (policy == abi::SCHED_FIFO || policy == abi::SCHED_RR) return 99;
    if (is_fair(policy) || policy == abi::SCHED_DEADLINE) return 0;
    return error(Errno::EINVAL);
}

Result<long> sys_sched_get_priority_min(Thread&, int policy) {
    if (policy == abi::SCHED_FIFO || policy == abi::SCHED_RR) return 1;
    if (is_fair(policy) || policy == abi::SCHED_DEADLINE) return 0;
    return error(Errno::EINVAL);
}

Result<long> sys_sched_rr_get_interval(Thread& thread, Pid pid, mm::UserPtr<mm::Out, abi::timespec> interval) {
    TRY(thread_of(thread, pid));
    TRY(interval.copy_out(to_timespec(slice_ns)));
    return 0;
}

// ---- nice ----

namespace {

/// Calls `visit` for each thread that (which, who) of getpriority(2) names; false when there is none.
bool for_each_named(Thread& thread, int which, u32 who, FunctionRef<void(Thread&)> visit) {
    bool any = false;
    if (which == abi::PRIO_PROCESS) {
        NullableRefPtr<Thread> target(&thread);
        if (who != 0) target = process::find_thread(static_cast<Pid>(who));
        if (target) visit(*target);
        return static_cast<bool>(target);
    }
    Pid pgid = who ? static_cast<Pid>(who) : thread.process().process_group()->pgid();
    u32 uid = who ? who : thread.own_credentials().uid;
    for (auto process = process::next_process(1); process; process = process::next_process(process->pid() + 1)) {
        if (which == abi::PRIO_PGRP) {
            auto group = process->process_group();
            if (!group || group->pgid() != pgid) continue;
        }
        for (auto each = process->next_thread(1); each; each = process->next_thread(each->tid() + 1)) {
            if (which == abi::PRIO_USER && each->credentials()->uid != uid) continue;
            any = true;
            visit(*each);
        }
    }
    return any;
}

} // namespace

Result<long> sys_getpriority(Thread& thread, int which, u32 who) {
    if (which < abi::PRIO_PROCESS || which > abi::PRIO_USER) return error(Errno::EINVAL);
    int lowest = 20;
    if (!for_each_named(thread, which, who, [&](Thread& each) { lowest = std::min<int>(lowest, each.nice); }))
        return error(Errno::ESRCH);
    return 20 - lowest; // the call answers 40 … 1; the library turns it round
}

Result<long> sys_setpriority(Thread& thread, int which, u32 who, int nice) {
    if (which < abi::PRIO_PROCESS || which > abi::PRIO_USER) return error(Errno::EINVAL);
    nice = std::clamp(nice, -20, 19);
    Result<long> result = 0;
    bool any = for_each_named(thread, which, who, [&](Thread& each) {
        if (!check_same_user(thread, each))
            result = error(Errno::EPERM);
        else if (!may_have_nice(thread, each, nice))
            result = error(Errno::EACCES);
        else
            core::set_nice(each, nice);
    });
    return any ? result : error(Errno::ESRCH);
}

// ---- input/output priority ----

namespace {
constexpr int ioprio_who_process = 1;
constexpr int ioprio_class_shift = 13;
constexpr int ioprio_class_realtime = 1, ioprio_class_idle = 3;
} // namespace

Result<long> sys_ioprio_get(Thread& thread, int which, Pid who) {
    if (which != ioprio_who_process) return error(Errno::EINVAL);
    return TRY(thread_of(thread, who))->io_priority;
}

Result<long> sys_ioprio_set(Thread& thread, int which, Pid who, int priority) {
    int io_class = priority >> ioprio_class_shift;
    int level = priority & ((1 << ioprio_class_shift) - 1);
    if (which != ioprio_who_process || io_class < 0 || io_class > ioprio_class_idle || level > 7 ||
        (io_class == 0 && level != 0))
        return error(Errno::EINVAL);
    if (io_class == ioprio_class_realtime && !thread.own_credentials().has(Capability::SysAdmin) &&
        !thread.own_credentials().has(Capability::SysNice))
        return error(Errno::EPERM);
    RefPtr<Thread> target = TRY(thread_of(thread, who));
    TRY(check_same_user(thread, *target));
    target->io_priority = static_cast<u16>(priority);
    return 0;
}

} // namespace linnet::syscalls
