// nice and priorities of input and output: getpriority(2), ioprio_set(2).
#include <abi/linux/resource.hpp>
#include <algorithm>
#include <core/sched.hpp>
#include <process/session.hpp>
#include <syscalls/sched.hpp>
#include <vfs/credentials.hpp>

#include "sched_rights.hpp"

namespace linnet::syscalls {

using process::Process;
using process::Thread;
using vfs::Capability;

// ---- nice ----

namespace {

/// Calls `visit` for each thread of a process group (PRIO_PGRP) or of a user (PRIO_USER); false when there is none.
bool for_each_of(int which, u32 id, FunctionRef<void(Thread&)> visit) {
    bool any = false;
    for (auto process = process::next_process(1); process; process = process::next_process(process->pid() + 1)) {
        if (which == abi::PRIO_PGRP) {
            auto group = process->process_group();
            if (!group || static_cast<u32>(group->pgid()) != id) continue;
        }
        for (auto each = process->next_thread(1); each; each = process->next_thread(each->tid() + 1)) {
            if (which == abi::PRIO_USER && each->credentials()->uid != id) continue;
            any = true;
            visit(*each);
        }
    }
    return any;
}

/// Whom 0 means as a user: getpriority(2) the caller, ioprio_set(2) root, as on Linux.
enum class UserZero : u8 { Caller, Root };

/// Calls `visit` for each thread that (which, who) of getpriority(2) names; false when there is none.
bool for_each_named(Thread& thread, int which, u32 who, FunctionRef<void(Thread&)> visit,
                    UserZero zero = UserZero::Caller) {
    if (which == abi::PRIO_PROCESS) {
        NullableRefPtr<Thread> target(&thread);
        if (who != 0) target = process::find_thread(static_cast<Pid>(who));
        if (target) visit(*target);
        return static_cast<bool>(target);
    }
    if (which == abi::PRIO_PGRP)
        return for_each_of(which, who ? who : static_cast<u32>(thread.process().process_group()->pgid()), visit);
    return for_each_of(which, who != 0 || zero == UserZero::Root ? who : thread.own_credentials().uid, visit);
}

} // namespace

Result<long> sys_getpriority(Thread& thread, int which, u32 who) {
    if (which < abi::PRIO_PROCESS || which > abi::PRIO_USER) return error(Errno::EINVAL);
    int lowest = 20;
    if (!for_each_named(thread, which, who,
                        [&](Thread& each) { lowest = std::min<int>(lowest, each.scheduling.nice); }))
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

constexpr int ioprio_who_process = 1, ioprio_who_user = 3; // as PRIO_PROCESS to PRIO_USER, each one more
constexpr int ioprio_class_shift = 13;
constexpr int ioprio_class_realtime = 1, ioprio_class_idle = 3;

Result<int> which_of(int ioprio_which) {
    if (ioprio_which < ioprio_who_process || ioprio_which > ioprio_who_user) return error(Errno::EINVAL);
    return ioprio_which - ioprio_who_process;
}

} // namespace

/// Of several threads the highest one's.
Result<long> sys_ioprio_get(Thread& thread, int which, Pid who) {
    constexpr long none = -1;
    long best = none;
    for_each_named(
        thread, TRY(which_of(which)), static_cast<u32>(who),
        [&](Thread& each) {
            const long priority = each.io_priority;
            best = best == none ? priority : std::min(best, priority);
        },
        UserZero::Root);
    return best == none ? error(Errno::ESRCH) : Result<long>(best);
}

Result<long> sys_ioprio_set(Thread& thread, int which, Pid who, int priority) {
    const int io_class = priority >> ioprio_class_shift;
    const int level = priority & ((1 << ioprio_class_shift) - 1);
    if (io_class < 0 || io_class > ioprio_class_idle || level > 7 || (io_class == 0 && level != 0))
        return error(Errno::EINVAL);
    if (io_class == ioprio_class_realtime && !thread.own_credentials().has(Capability::SysAdmin) &&
        !thread.own_credentials().has(Capability::SysNice))
        return error(Errno::EPERM);
    Result<void> result;
    const bool any = for_each_named(
        thread, TRY(which_of(which)), static_cast<u32>(who),
        [&](Thread& each) {
            if (!result) return; // the first who may not be changed ends it
            result = check_same_user(thread, each);
            if (result) each.io_priority = static_cast<u16>(priority);
        },
        UserZero::Root);
    if (!any) return error(Errno::ESRCH);
    TRY(result);
    return 0;
}

} // namespace linnet::syscalls
