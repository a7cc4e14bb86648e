// /proc/PID/sched: what the scheduler knows of a thread, one field a line, with the names of Linux 6.12. Fields of
// Linux that have no counterpart (load averages, NUMA) are not there.
#include "task.hpp"

#include "figures.hpp"
#include <core/sched.hpp>
#include <core/time.hpp>

namespace linnet::process::proc {
namespace {

void show_number(TextSink sink, std::string_view name, i64 value) { format_to(sink, "{-45}:{21}\n", name, value); }

/// Milliseconds with six decimals.
void show_time(TextSink sink, std::string_view name, i64 ns) {
    constexpr i64 ns_per_ms = 1'000'000;
    const bool is_negative = ns < 0;
    const u64 magnitude = is_negative ? -static_cast<u64>(ns) : static_cast<u64>(ns);
    char whole[24];
    const std::string_view digits =
        format_into(std::span(whole), is_negative ? "-{}" : "{}", magnitude / u64{ns_per_ms});
    format_to(sink, "{-45}:", name);
    for (usize width = digits.size(); width < 14; ++width) sink(" ");
    format_to(sink, "{}.{06}\n", digits, magnitude % u64{ns_per_ms});
}

} // namespace

Result<void> show_sched(const Task& task, TextSink sink) {
    const Thread& thread = *task.thread;
    char name[Thread::name_size];
    task.thread->copy_name(name);
    format_to(sink, "{} ({}, #threads: {})\n", std::string_view(name), thread.tid(), task.process->thread_count());
    sink("-------------------------------------------------------------------\n");
    show_time(sink, "se.vruntime", static_cast<i64>(thread.fair.time.value));
    show_time(sink, "se.sum_exec_runtime", static_cast<i64>(core::ticks_to_ns(thread.run_clock.total())));
    show_number(sink, "se.nr_migrations", static_cast<i64>(thread.migrations));
    show_number(sink, "nr_switches", static_cast<i64>(thread.voluntary_switches + thread.involuntary_switches));
    show_number(sink, "nr_voluntary_switches", static_cast<i64>(thread.voluntary_switches));
    show_number(sink, "nr_involuntary_switches", static_cast<i64>(thread.involuntary_switches));
    // Linux reckons weights in fractions of 1024.
    show_number(sink, "se.load.weight", i64{core::fair_weight(thread)} << 10);
    const core::SchedulingAttributes attributes = thread.scheduling;
    show_number(sink, "policy", static_cast<i64>(attributes.policy));
    show_number(sink, "prio", priority_of(thread) + 100);
    switch (class_of(attributes.policy)) {
    case core::SchedulingClass::Fair:
        show_number(sink, "se.slice", static_cast<i64>(core::fair_slice_ns(attributes)));
        break;
    case core::SchedulingClass::Deadline:
        show_number(sink, "dl.runtime", static_cast<i64>(attributes.runtime_ns));
        show_number(sink, "dl.deadline", static_cast<i64>(thread.urgency.deadline_ns));
        break;
    case core::SchedulingClass::Realtime:
        break;
    }
    const u64 before = core::monotonic_ns();
    show_number(sink, "clock-delta", static_cast<i64>(core::monotonic_ns() - before));
    return {};
}

Result<void> reset_sched(const Task&, std::string_view) {
    // What Linux sets to zero are statistics that it keeps only when it is built for them.
    return {};
}

} // namespace linnet::process::proc
