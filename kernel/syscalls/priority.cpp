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
constexpr int ioprio_who_process = 1;
constexpr int ioprio_class_shift = 13;
constexpr int ioprio_class_realtime = 1, ioprio_class_idle = 3;
} // namespace

Result<long> sys_ioprio_get(Thread& thread, int which, Pid who) {
    if (which != ioprio_who_process) return error(Errno::EINVAL);
    return TRY(scheduled_thread(thread, who))->io_priority;
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
    RefPtr<Thread> target = TRY(scheduled_thread(thread, who));
    TRY(check_same_user(thread, *target));
    target->io_priority = static_cast<u16>(priority);
    return 0;
}

} // namespace linnet::syscalls
