// Tracepoints: places in the code that somebody may want to be told of. One that nobody listens to costs a load and a
// branch.
//
// Who listens has a probe, a function that is added once, at boot, and stays; how many want the tracepoint at the
// moment is counted. A probe is called whoever it was that switched the tracepoint on, so it looks by itself whether it
// is wanted. Nothing that a probe leads to may be given up before every CPU has been seen outside of it.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::core {

template <typename... Args>
class Tracepoint {
public:
    struct Probe {
        void (*function)(Args...);
        std::atomic<Probe*> next{nullptr};
    };

    constexpr Tracepoint() = default;
    Tracepoint(const Tracepoint&) = delete;
    Tracepoint& operator=(const Tracepoint&) = delete;

    [[nodiscard]] bool is_on() const { return users_.load(std::memory_order_relaxed) != 0; }
    /// Tells the probes, if anybody wants to know. The context is the place's.
    void operator()(Args... args) const {
        if (is_on()) [[unlikely]]
            tell(args...);
    }

    /// One more, or one less, who wants to know.
    void switch_on() { users_.fetch_add(1); }
    void switch_off() { users_.fetch_sub(1); }
    /// Boot only, by one CPU.
    void add(Probe& probe) {
        probe.next.store(probes_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        probes_.store(&probe, std::memory_order_release);
    }

private:
    [[gnu::noinline, gnu::cold]] void tell(Args... args) const {
        for (const Probe* probe = probes_.load(std::memory_order_acquire); probe;
             probe = probe->next.load(std::memory_order_relaxed))
            probe->function(args...);
    }

    std::atomic<u32> users_{0};
    std::atomic<Probe*> probes_{nullptr};
};

} // namespace linnet::core
