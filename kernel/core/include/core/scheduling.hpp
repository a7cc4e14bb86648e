// What a thread asks of the scheduler (sched_setattr(2)), and how urgent that makes it.
#pragma once

#include <compare>
#include <lib/types.hpp>

namespace linnet::core {

/// Policies of sched(7); the values are the ABI's.
enum class Policy : u8 { Other = 0, Fifo = 1, RoundRobin = 2, Batch = 3, Idle = 5, Deadline = 6 };

/// The class a policy belongs to, in the order in which classes get the CPU.
enum class SchedulingClass : u8 { Deadline, Realtime, Fair };

constexpr SchedulingClass class_of(Policy policy) {
    if (policy == Policy::Deadline) return SchedulingClass::Deadline;
    return policy == Policy::Fifo || policy == Policy::RoundRobin ? SchedulingClass::Realtime : SchedulingClass::Fair;
}

inline constexpr u8 highest_realtime_priority = 99;

/// Fields that don't belong to the policy are 0, but nice, which a thread keeps until it is fair again.
struct SchedulingAttributes {
    Policy policy = Policy::Other;
    i8 nice = 0;
    u8 realtime_priority = 0; // 1 to 99, the higher the more urgent
    bool reset_on_fork = false;
    bool tells_overrun = false; // DEADLINE: SIGXCPU when the reservation is used up
    bool reclaims = false;      // DEADLINE: SCHED_FLAG_RECLAIM: may use what others have reserved, and don't
    u64 runtime_ns = 0;         // DEADLINE: reserved in each period. Fair: the slice, 0 for the usual one
    u64 deadline_ns = 0;        // DEADLINE: by when after the period's beginning
    u64 period_ns = 0;          // DEADLINE
};

/// Who runs before whom: the lower value first. Among threads of the deadline class the earlier deadline decides.
struct Urgency {
    static constexpr u8 deadline_level = 0;
    static constexpr u8 fair_level = 100;
    static constexpr u8 idle_level = 101; // a CPU with nothing to run

    u8 level = fair_level; // real-time priorities 99 to 1 are levels 1 to 99
    u64 deadline_ns = 0;   // monotonic; 0 but on deadline_level

    static constexpr Urgency realtime(u8 priority) {
        return {.level = static_cast<u8>(fair_level - priority), .deadline_ns = 0};
    }
    [[nodiscard]] constexpr SchedulingClass scheduling_class() const {
        if (level == deadline_level) return SchedulingClass::Deadline;
        return level < fair_level ? SchedulingClass::Realtime : SchedulingClass::Fair;
    }
    /// The real-time priority, 1 to 99; only on a level of that class.
    [[nodiscard]] constexpr u8 realtime_priority() const { return static_cast<u8>(fair_level - level); }
    constexpr auto operator<=>(const Urgency&) const = default;
};

} // namespace linnet::core
