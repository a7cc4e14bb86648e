// Limits and usage.
#include <mm/address_space.hpp>
#include <process/process.hpp>
#include <process/realtime_limit.hpp>
#include <process/timers.hpp>
#include <syscalls/resource.hpp>
#include <vfs/credentials.hpp>

#include "usage.hpp"

namespace linnet::syscalls {

using process::Process;
using process::Thread;

namespace {

constexpr u64 most_open_files = 1 << 20; // fs.nr_open: no limit on descriptors may exceed it

/// mm keeps copies of the limits it looks at.
void tell_memory(Process& target, u32 resource, u64 soft) {
    NullableRefPtr<Thread> thread = target.any_living_thread();
    NullableRefPtr<mm::AddressSpace> space = thread ? thread->address_space() : nullptr;
    if (!space) return;
    switch (resource) {
    case abi::RLIMIT_AS:
        space->limits.address_space = soft;
        break;
    case abi::RLIMIT_DATA:
        space->limits.data = soft;
        break;
    case abi::RLIMIT_STACK:
        space->limits.stack = soft;
        break;
    case abi::RLIMIT_MEMLOCK:
        space->limits.locked = thread->credentials()->effective.has(vfs::Capability::IpcLock) ? ~u64{0} : soft;
        break;
    default:
        break;
    }
}

Result<abi::rlimit64> set_limit(Thread& thread, Process& target, u32 resource, const abi::rlimit64& fresh) {
    using Raise = process::ResourceLimits::Raise;
    Raise raise = thread.own_credentials().has(vfs::Capability::SysResource) ? Raise::Allowed : Raise::Forbidden;
    if (resource == abi::RLIMIT_NOFILE && fresh.rlim_max > most_open_files) return error(Errno::EPERM);
    abi::rlimit64 old = TRY(target.limits.set(resource, fresh, raise));
    tell_memory(target, resource, fresh.rlim_cur);
    if (resource == abi::RLIMIT_CPU) TRY(process::apply_cpu_limit(target));
    if (resource == abi::RLIMIT_RTTIME) process::update_realtime_limit(target);
    return old;
}

/// prlimit(2): all ids of the target are the caller's real ones, or CAP_SYS_RESOURCE.
Result<void> check_may_limit(Thread& thread, Process& target) {
    if (&target == &thread.process()) return {};
    const vfs::Credentials& own = thread.own_credentials();
    RefPtr<const vfs::Credentials> theirs = target.credentials();
    bool same = own.uid == theirs->uid && own.uid == theirs->euid && own.uid == theirs->suid &&
                own.gid == theirs->gid && own.gid == theirs->egid && own.gid == theirs->sgid;
    if (!same && !own.has(vfs::Capability::SysResource)) return error(Errno::EPERM);
    return {};
}

} // namespace

Result<long> sys_getrlimit(Thread& thread, u32 resource, LimitOut limit) {
    if (resource >= abi::RLIM_NLIMITS) return error(Errno::EINVAL);
    TRY(limit.copy_out(thread.process().limits.get(resource)));
    return 0;
}

Result<long> sys_setrlimit(Thread& thread, u32 resource, LimitIn limit) {
    if (resource >= abi::RLIM_NLIMITS) return error(Errno::EINVAL);
    TRY(set_limit(thread, thread.process(), resource, TRY(limit.copy_in())));
    return 0;
}

Result<long> sys_prlimit64(Thread& thread, process::Pid pid, u32 resource, LimitIn fresh, LimitOut old) {
    if (resource >= abi::RLIM_NLIMITS) return error(Errno::EINVAL);
    abi::rlimit64 wanted{};
    if (fresh) wanted = TRY(fresh.copy_in());
    NullableRefPtr<Process> target(&thread.process());
    if (pid != 0) {
        NullableRefPtr<Thread> named = process::find_thread(pid);
        if (!named) return error(Errno::ESRCH);
        target = NullableRefPtr<Process>(&named->process());
    }
    TRY(check_may_limit(thread, *target));
    abi::rlimit64 previous = target->limits.get(resource);
    if (fresh) previous = TRY(set_limit(thread, *target, resource, wanted));
    if (old) TRY(old.copy_out(previous));
    return 0;
}

Result<long> sys_getrusage(Thread& thread, int who, mm::UserPtr<mm::Out, abi::rusage> usage) {
    process::ResourceUsage sum;
    Process& process = thread.process();
    switch (who) {
    case abi::RUSAGE_SELF:
        sum = process.usage();
        break;
    case abi::RUSAGE_CHILDREN:
        sum = process.children_usage();
        break;
    case abi::RUSAGE_THREAD:
        sum = process::usage_of(thread);
        break;
    default:
        return error(Errno::EINVAL);
    }
    if (who != abi::RUSAGE_CHILDREN)
        sum.max_resident_pages =
            std::max(sum.max_resident_pages, thread.own_address_space().statistics().peak_resident);
    TRY(usage.copy_out(to_rusage(sum)));
    return 0;
}

Result<long> sys_times(Thread& thread, mm::UserPtr<mm::Out, abi::tms> times) {
    if (times) {
        core::CpuTimes own = thread.process().usage().times;
        core::CpuTimes children = thread.process().children_usage().times;
        TRY(times.copy_out({.tms_utime = to_clock_ticks(own.user),
                            .tms_stime = to_clock_ticks(own.system),
                            .tms_cutime = to_clock_ticks(children.user),
                            .tms_cstime = to_clock_ticks(children.system)}));
    }
    return static_cast<long>(core::monotonic_ns() / (core::ns_per_second / abi::user_hz));
}

} // namespace linnet::syscalls
