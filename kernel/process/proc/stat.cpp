// /proc/PID/stat and statm (proc_pid_stat(5), proc_pid_statm(5)).
#include "task.hpp"

#include "figures.hpp"
#include <algorithm>
#include <mm/address_space.hpp>
#include <process/session.hpp>

namespace linnet::process::proc {

char state_letter(const Task& task) {
    if (task.is_whole_process() && task.process->exit_state.load() != ExitState::Alive) return 'Z';
    switch (task.thread->state.load()) {
    case core::ThreadState::Running:
        return 'R';
    case core::ThreadState::Sleeping:
        return 'S';
    case core::ThreadState::SleepingKillable:
    case core::ThreadState::SleepingDeep:
        return 'D';
    case core::ThreadState::Stopped:
        return 'T';
    case core::ThreadState::Traced:
        return 't';
    case core::ThreadState::Dead:
        return 'Z';
    }
    __builtin_unreachable();
}

SignalSets signal_sets(const Task& task) {
    SignalSets sets;
    NullableRefPtr<SignalActions> actions;
    {
        core::InterruptSpinGuard guard(task.process->signal_lock);
        sets.pending = task.thread->signals.pending.set.bits;
        sets.shared_pending = task.process->signals.pending.set.bits;
        sets.blocked = task.thread->signals.blocked.bits;
        actions = task.process->actions;
    }
    for (int signo = 1; actions && signo <= abi::signal_count; ++signo) {
        const u64 handler = actions->get(signo).handler;
        if (handler == abi::SIG_IGN) sets.ignored |= SigSet::bit(signo);
        if (handler != abi::SIG_DFL && handler != abi::SIG_IGN) sets.caught |= SigSet::bit(signo);
    }
    return sets;
}

namespace {

/// The fields that say where the process stands in the tree and which terminal it has.
void show_relations(const Task& task, TextSink sink) {
    NullableRefPtr<ProcessGroup> group = task.process->process_group();
    NullableRefPtr<Session> session = task.process->session();
    NullableRefPtr<ControllingTerminal> terminal = session ? session->terminal() : nullptr;
    format_to(sink, " {} {} {} {} {}", task.process->parent_pid(), group ? group->pgid() : 0,
              session ? session->sid() : 0, terminal ? terminal->device_number() : 0,
              terminal ? terminal->foreground_group() : -1);
}

/// Flags (0x400000: randomised addresses, 0x40: forked, never executed), faults, times in hundredths,
/// scheduling.
void show_usage(const Task& task, TextSink sink) {
    const ResourceUsage own = task.is_whole_process() ? task.process->usage() : usage_of(*task.thread);
    const ResourceUsage children = task.is_whole_process() ? task.process->children_usage() : ResourceUsage{};
    const u32 flags = 0x400000u | (task.process->has_executed ? 0 : 0x40u);
    format_to(sink, " {} {} {} {} {}", flags, own.minor_faults, children.minor_faults, own.major_faults,
              children.major_faults);
    format_to(sink, " {} {} {} {}", clock_ticks(own.times.user), clock_ticks(own.times.system),
              clock_ticks(children.times.user), clock_ticks(children.times.system));
    const int nice = task.thread->scheduling.nice;
    format_to(sink, " {} {} {} 0 {}", priority_of(*task.thread), nice, task.process->thread_count(),
              task.thread->start_time_ns / (core::ns_per_second / 100));
}

} // namespace

i64 priority_of(const Thread& thread) {
    // What it runs with: an inherited urgency counts.
    switch (thread.urgency.scheduling_class()) {
    case core::SchedulingClass::Deadline:
        return -101;
    case core::SchedulingClass::Realtime:
        return -1 - i64{thread.urgency.realtime_priority()};
    case core::SchedulingClass::Fair:
        return 20 + i64{thread.scheduling.nice};
    }
    __builtin_unreachable();
}

Result<void> show_schedstat(const Task& task, TextSink sink) {
    const Thread& thread = *task.thread;
    const u64 left = thread.voluntary_switches + thread.involuntary_switches;
    const bool is_running = thread.on_cpu.load(std::memory_order_relaxed);
    format_to(sink, "{} {} {}\n", core::ticks_to_ns(thread.run_clock.total()),
              core::ticks_to_ns(thread.waited_ticks.load(std::memory_order_relaxed)), left + (is_running ? 1 : 0));
    return {};
}

Result<void> show_stat(const Task& task, TextSink sink) {
    char name[Thread::name_size];
    task.thread->copy_name(name);
    format_to(sink, "{} ({}) {}", task.thread->tid(), std::string_view(name), state_letter(task));
    show_relations(task, sink);
    show_usage(task, sink);
    // Addresses are only for those who may look into the process; others see zeros, as on Linux.
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    const bool may_inspect = check_may_inspect(task).has_value();
    const mm::AddressSpaceStatistics memory = space ? space->statistics() : mm::AddressSpaceStatistics{};
    const mm::ExecLayout* layout = space && may_inspect ? &space->layout : nullptr;
    const auto address = [&](VirtAddr mm::ExecLayout::* field) { return layout ? (layout->*field).value : u64{0}; };
    format_to(sink, " {} {} {}", memory.total * arch::page_size, memory.resident(),
              task.process->limits.soft(abi::RLIMIT_RSS));
    format_to(sink, " {} {} {} 0 0", space ? (layout ? address(&mm::ExecLayout::code_begin) : 1) : 0,
              space ? (layout ? address(&mm::ExecLayout::code_end) : 1) : 0, address(&mm::ExecLayout::stack_begin));
    const SignalSets signals = signal_sets(task);
    constexpr u64 old_signals = 0x7fffffff; // these fields know only the first 31
    format_to(sink, " {} {} {} {}", (signals.pending | signals.shared_pending) & old_signals,
              signals.blocked & old_signals, signals.ignored & old_signals, signals.caught & old_signals);
    format_to(sink, " 0 0 0 {} {} {} {} 0 0 0", task.is_whole_process() ? task.process->exit_signal : -1,
              task.thread->last_cpu, u32{task.thread->scheduling.realtime_priority},
              static_cast<u32>(task.thread->scheduling.policy));
    format_to(sink, " {} {} {} {} {} {} {} {}\n", address(&mm::ExecLayout::data_begin),
              address(&mm::ExecLayout::data_end), address(&mm::ExecLayout::brk_begin),
              address(&mm::ExecLayout::arg_begin), address(&mm::ExecLayout::arg_end),
              address(&mm::ExecLayout::env_begin), address(&mm::ExecLayout::env_end),
              may_inspect ? task.process->exit_status : 0);
    return {};
}

u64 program_text_pages(const mm::AddressSpace& space, const mm::AddressSpaceStatistics& memory) {
    const u64 begin = align_down(space.layout.code_begin.value, arch::page_size);
    const u64 end = align_up(space.layout.code_end.value, arch::page_size);
    return std::min((end - begin) >> arch::page_shift, memory.text);
}

Result<void> show_statm(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    const mm::AddressSpaceStatistics memory = space ? space->statistics() : mm::AddressSpaceStatistics{};
    format_to(sink, "{} {} {} {} 0 {} 0\n", memory.total, memory.resident(), memory.file + memory.shared,
              space ? program_text_pages(*space, memory) : 0, memory.data + memory.stack);
    return {};
}

} // namespace linnet::process::proc
