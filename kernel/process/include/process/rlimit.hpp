// The sixteen resource limits of a process (getrlimit(2)), shared by its threads.
#pragma once

#include <abi/linux/resource.hpp>
#include <core/spinlock.hpp>
#include <lib/result.hpp>

namespace linnet::process {

class ResourceLimits {
public:
    /// PID 1's limits.
    ResourceLimits();
    /// The child's copy at fork.
    void copy_from(const ResourceLimits& other);

    /// The soft limit of `resource`: what most code asks for.
    [[nodiscard]] u64 soft(u32 resource) const { return soft_[resource].load(std::memory_order_relaxed); }
    [[nodiscard]] u64 hard(u32 resource) const { return hard_[resource].load(std::memory_order_relaxed); }
    [[nodiscard]] abi::rlimit64 get(u32 resource) const;
    /// Makes a soft limit `to` where it is `from`. Any context.
    void replace_soft(u32 resource, u64 from, u64 to) {
        soft_[resource].compare_exchange_strong(from, to, std::memory_order_relaxed);
    }
    /// Sets both; `may_raise` is CAP_SYS_RESOURCE. EINVAL: soft above hard; EPERM: hard raised without the
    /// capability.
    enum class Raise : u8 { Forbidden, Allowed };
    Result<abi::rlimit64> set(u32 resource, const abi::rlimit64& wanted, Raise raise);

private:
    mutable core::SpinLock lock_; // makes a pair change at once
    std::atomic<u64> soft_[abi::RLIM_NLIMITS];
    std::atomic<u64> hard_[abi::RLIM_NLIMITS];
};

} // namespace linnet::process
