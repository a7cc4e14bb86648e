// Probes as events (perf_event_open(2), "dynamic PMU"): config says of what kind, config1 and config2 where.
#pragma once

#include <abi/linux/perf_event.hpp>
#include <lib/ref_ptr.hpp>
#include <probe/user_probe.hpp>

namespace linnet::trace {

struct Moment;

/// Numbers of the kinds of events that perf_event_attr::type has none of its own for; as Linux happens to give them.
inline constexpr u32 kprobe_type = 6, uprobe_type = 7;

/// A place that events count the hits of: one that was opened, and its copies.
class PerfProbe : public RefCounted<PerfProbe> {
public:
    static bool is_type(u32 type) { return type == kprobe_type || type == uprobe_type; }
    /// By the attributes, of the current thread. EACCES: it may not; EINVAL, ENOENT, EFAULT, E2BIG: no such place;
    /// what add_kernel_probe() and add_user_probe() say.
    static Result<RefPtr<PerfProbe>> create(const abi::perf_event_attr& attributes);
    virtual ~PerfProbe() = default;

protected:
    PerfProbe() = default;
    /// Tells the events of the current thread and of this CPU. Interrupts off.
    void deliver(const Moment& moment);
};

} // namespace linnet::trace
