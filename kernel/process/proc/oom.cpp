// /proc/PID/oom_score, oom_score_adj and oom_adj (proc_pid_oom_score_adj(5)).
#include "task.hpp"

#include <mm/address_space.hpp>
#include <process/out_of_memory.hpp>
#include <vfs/current.hpp>

namespace linnet::process::proc {

namespace {

constexpr i32 most = 1000;
// The older scale: -17 is never, 15 always.
constexpr i32 old_never = -17, old_most = 15;

/// Lowering below what a privileged writer has set last needs the privilege. All processes that share the memory share
/// the value: killing one of them frees nothing.
Result<void> set_adjustment(const Task& task, i32 value, i32 floor) {
    const bool is_privileged = vfs::current_credentials().has(vfs::Capability::SysResource);
    if (value < floor && !is_privileged) return error(Errno::EACCES);
    const auto set = [&](Process& process) {
        process.oom_score_adj.store(value);
        if (is_privileged) process.oom_score_adj_floor.store(value);
    };
    set(*task.process);
    // But what a child of vfork sets before it executes a program is for itself.
    RefPtr<Thread> thread = task.representative();
    NullableRefPtr<mm::AddressSpace> space = thread->vfork_done.load() ? nullptr : thread->address_space();
    if (!space) return {};
    for_each_process_sharing(*space, [&](Process& process) {
        NullableRefPtr<Thread> other = process.any_living_thread();
        if (!other || !other->vfork_done.load()) set(process);
    });
    return {};
}

} // namespace

Result<void> show_oom_score(const Task& task, TextSink sink) {
    format_to(sink, "{}\n", out_of_memory_score(*task.process));
    return {};
}

Result<void> show_oom_score_adj(const Task& task, TextSink sink) {
    format_to(sink, "{}\n", task.process->oom_score_adj.load());
    return {};
}
Result<void> store_oom_score_adj(const Task& task, std::string_view text) {
    const i32 value = static_cast<i32>(TRY(parse_integer(text, -most, most)));
    return set_adjustment(task, value, task.process->oom_score_adj_floor.load());
}

Result<void> show_oom_adj(const Task& task, TextSink sink) {
    const i32 value = task.process->oom_score_adj.load();
    format_to(sink, "{}\n", value == most ? old_most : value * -old_never / most);
    return {};
}
Result<void> store_oom_adj(const Task& task, std::string_view text) {
    const i32 old = static_cast<i32>(TRY(parse_integer(text, old_never, old_most)));
    const i32 value = old == old_most ? most : old * most / -old_never;
    return set_adjustment(task, value, task.process->oom_score_adj.load());
}

} // namespace linnet::process::proc
