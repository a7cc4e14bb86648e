// /proc/PID/timers (proc_pid_timers(5)).
#include "task.hpp"

#include <process/posix_timers.hpp>

namespace linnet::process::proc {

Result<void> show_timers(const Task& task, TextSink sink) {
    TimerDescription timer{};
    for (int last = -1; next_timer(*task.process, last, timer); last = timer.id) {
        const bool to_thread = timer.notify & abi::SIGEV_THREAD_ID;
        std::string_view how = "signal";
        if ((timer.notify & ~abi::SIGEV_THREAD_ID) == abi::SIGEV_NONE) how = "none";
        if ((timer.notify & ~abi::SIGEV_THREAD_ID) == abi::SIGEV_THREAD) how = "thread";
        format_to(sink, "ID: {}\nsignal: {}/{016x}\n", timer.id, timer.signal, timer.value);
        format_to(sink, "notify: {}/{}.{}\n", how, std::string_view(to_thread ? "tid" : "pid"),
                  to_thread ? timer.tid : task.process->pid());
        format_to(sink, "ClockID: {}\n", timer.clock);
    }
    return {};
}

} // namespace linnet::process::proc
