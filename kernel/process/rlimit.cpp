// Resource limits. Reading one is a single load; the lock only makes a change of both numbers one step.
#include <process/rlimit.hpp>

namespace linnet::process {
using namespace abi;

ResourceLimits::ResourceLimits() {
    for (u32 i = 0; i < RLIM_NLIMITS; ++i) soft_[i] = hard_[i] = RLIM_INFINITY;
    // What Linux gives PID 1.
    soft_[RLIMIT_STACK] = 8 << 20;
    soft_[RLIMIT_CORE] = 0;
    soft_[RLIMIT_NOFILE] = 1024;
    hard_[RLIMIT_NOFILE] = 4096;
    soft_[RLIMIT_MEMLOCK] = hard_[RLIMIT_MEMLOCK] = 8 << 20;
    soft_[RLIMIT_MSGQUEUE] = hard_[RLIMIT_MSGQUEUE] = 819200;
    soft_[RLIMIT_NICE] = hard_[RLIMIT_NICE] = 0;
    soft_[RLIMIT_RTPRIO] = hard_[RLIMIT_RTPRIO] = 0;
}

void ResourceLimits::copy_from(const ResourceLimits& other) {
    core::SpinGuard guard(other.lock_);
    for (u32 i = 0; i < RLIM_NLIMITS; ++i) soft_[i] = other.soft(i), hard_[i] = other.hard(i);
}

rlimit64 ResourceLimits::get(u32 resource) const {
    core::SpinGuard guard(lock_);
    return {.rlim_cur = soft(resource), .rlim_max = hard(resource)};
}

Result<rlimit64> ResourceLimits::set(u32 resource, const rlimit64& wanted, Raise raise) {
    if (wanted.rlim_cur > wanted.rlim_max) return error(Errno::EINVAL);
    core::SpinGuard guard(lock_);
    rlimit64 old{.rlim_cur = soft(resource), .rlim_max = hard(resource)};
    if (wanted.rlim_max > old.rlim_max && raise == Raise::Forbidden) return error(Errno::EPERM);
    soft_[resource].store(wanted.rlim_cur, std::memory_order_relaxed);
    hard_[resource].store(wanted.rlim_max, std::memory_order_relaxed);
    return old;
}

} // namespace linnet::process
