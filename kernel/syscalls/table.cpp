// Joins the families into the dispatch table, at compile time, and runs calls through it.
#include <algorithm>
#include <array>
#include <core/log.hpp>
#include <process/ptrace.hpp>
#include <process/run_loop.hpp>
#include <process/tracepoints.hpp>
#include <syscalls/credentials.hpp>
#include <syscalls/file.hpp>
#include <syscalls/futex.hpp>
#include <syscalls/identity.hpp>
#include <syscalls/log.hpp>
#include <syscalls/machine.hpp>
#include <syscalls/memory.hpp>
#include <syscalls/memory_policy.hpp>
#include <syscalls/message_queues.hpp>
#include <syscalls/mount.hpp>
#include <syscalls/path.hpp>
#include <syscalls/perf.hpp>
#include <syscalls/poll.hpp>
#include <syscalls/posix_queues.hpp>
#include <syscalls/process.hpp>
#include <syscalls/ptrace.hpp>
#include <syscalls/resource.hpp>
#include <syscalls/sched.hpp>
#include <syscalls/semaphores.hpp>
#include <syscalls/shared_memory.hpp>
#include <syscalls/signal.hpp>
#include <syscalls/socket.hpp>
#include <syscalls/stat.hpp>
#include <syscalls/table.hpp>
#include <syscalls/time.hpp>
#include <syscalls/timer.hpp>

namespace linnet::syscalls {

// Not constexpr: reaching it stops the compilation with its name.
void two_calls_with_one_number();

namespace {

constexpr std::span<const Entry> all_families[] = {
    credential_calls, file_calls,     futex_calls,         identity_calls,      log_calls,
    memory_calls,     machine_calls,  memory_policy_calls, message_queue_calls, mount_calls,
    path_calls,       perf_calls,     poll_calls,          posix_queue_calls,   process_calls,
    ptrace_calls,     resource_calls, sched_calls,         semaphore_calls,     shared_memory_calls,
    signal_calls,     socket_calls,   stat_calls,          time_calls,          timer_calls,
};

consteval usize table_size() {
    int highest = 0;
    for (auto family : all_families)
        for (const Entry& entry : family) highest = std::max(highest, entry.number);
    return static_cast<usize>(highest) + 1;
}

consteval std::array<Handler, table_size()> make_handlers() {
    std::array<Handler, table_size()> handlers{};
    for (auto family : all_families)
        for (const Entry& entry : family) {
            if (entry.number < 0) continue;
            if (handlers[static_cast<usize>(entry.number)]) two_calls_with_one_number();
            handlers[static_cast<usize>(entry.number)] = entry.handler;
        }
    return handlers;
}

constexpr auto handlers = make_handlers();
constinit bool tracing = false;

void trace(process::Thread& thread, long number, const u64 (&arguments)[6]) {
    const char* name = syscall_name(number);
    core::log_info("[{}] {} {}({#x}, {#x}, {#x}, {#x}, {#x}, {#x}) = {}", thread.tid(), thread.name(),
                   std::string_view(name ? name : "?"), arguments[0], arguments[1], arguments[2], arguments[3],
                   arguments[4], arguments[5], thread.registers.syscall_result());
    if (!name) core::log_info("[{}] unknown call {}", thread.tid(), number);
}

void run(process::Thread& thread, long number) {
    Result<long> result = error(Errno::ENOSYS);
    if (static_cast<u64>(number) < handlers.size() && handlers[static_cast<usize>(number)]) [[likely]]
        result = handlers[static_cast<usize>(number)](thread);
    if (result.has_value()) [[likely]]
        return thread.registers.set_syscall_result(*result);
    thread.registers.set_syscall_result(-static_cast<long>(result.error()));
    // A restart code must not reach user code: the loop's edge settles it.
    if (result.error() >= Errno::RestartIfRequested)
        thread.pending_work.fetch_or(core::work_signal, std::memory_order_relaxed);
}

/// Its tracer may have changed number and arguments.
void run_watched(process::Thread& thread) {
    const bool is_executed = process::stop_at_call_entry(thread);
    const long number = thread.registers.syscall_number();
    u64 arguments[6];
    for (unsigned i = 0; i < 6; ++i) arguments[i] = thread.registers.syscall_argument(i);
    if (is_executed) {
        process::tracepoints::sys_enter(thread, number);
        run(thread, number);
        // These two have no way back.
        if (number != nr::exit && number != nr::exit_group)
            process::tracepoints::sys_exit(thread, number, thread.registers.syscall_result());
    }
    if (tracing) trace(thread, number, arguments);
    process::stop_at_call_exit(thread);
}

/// While anybody is traced, all calls are logged or their tracepoints are on; whether that concerns this thread is seen
/// only here.
[[gnu::noinline]] void run_perhaps_watched(process::Thread& thread) {
    if (thread.trace.tracer || tracing || process::tracepoints::sys_enter.is_on() ||
        process::tracepoints::sys_exit.is_on())
        return run_watched(thread);
    run(thread, thread.registers.syscall_number());
    process::stop_at_call_exit(thread); // a tracer that has come meanwhile
}

} // namespace

std::span<const std::span<const Entry>> families() { return all_families; }

const char* syscall_name(long number) {
    for (auto family : all_families)
        for (const Entry& entry : family)
            if (entry.number == number && number >= 0) return entry.name;
    return nullptr;
}

void enable_tracing() {
    tracing = true;
    process::watched_threads.fetch_add(1, std::memory_order_relaxed);
}

void dispatch(process::Thread& thread) {
    if (process::watched_threads.load(std::memory_order_relaxed) != 0) [[unlikely]]
        return run_perhaps_watched(thread);
    run(thread, thread.registers.syscall_number());
}

} // namespace linnet::syscalls
