// /proc/PID/syscall (proc_pid_syscall(5)): what a sleeping thread asked the kernel for, or where in its own code it is.
#include "task.hpp"

#include <optional>

namespace linnet::process::proc {
namespace {

struct Place {
    bool in_syscall;
    long number;
    u64 arguments[6];
    VirtAddr sp, pc;
};

Place place_of(const Thread& thread) {
    const arch::UserContext& context = thread.registers;
    Place place{context.in_syscall(), context.syscall_number(), {}, context.sp(), context.pc()};
    for (unsigned i = 0; i < std::size(place.arguments); ++i) place.arguments[i] = context.syscall_argument(i);
    return place;
}

/// None: it runs, or has run while it was looked at.
std::optional<Place> settled_place(const Thread& thread) {
    if (&thread == current_or_null()) return place_of(thread);
    const auto switches = [&] { return thread.voluntary_switches + thread.involuntary_switches; };
    const auto sleeps = [&] { return thread.state.load() != core::ThreadState::Running && !thread.on_cpu.load(); };
    if (!sleeps()) return std::nullopt;
    const u64 before = switches();
    const Place place = place_of(thread);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!sleeps() || switches() != before) return std::nullopt;
    return place;
}

} // namespace

Result<void> show_syscall(const Task& task, TextSink sink) {
    if (task.thread->is_dead()) {
        sink("-1 0x0 0x0\n");
        return {};
    }
    const std::optional<Place> place = settled_place(*task.thread);
    if (!place) {
        sink("running\n");
        return {};
    }
    format_to(sink, "{}", place->in_syscall ? place->number : -1L);
    if (place->in_syscall)
        for (u64 argument : place->arguments) format_to(sink, " 0x{x}", argument);
    format_to(sink, " 0x{x} 0x{x}\n", place->sp.value, place->pc.value);
    return {};
}

} // namespace linnet::process::proc
