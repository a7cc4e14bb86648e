// The nodes below /proc/PID and /proc/PID/task/TID. A node remembers numbers, not objects: a cached name must
// not keep a dead process alive. resolve() finds the objects again, or says ESRCH.
#pragma once

#include <process/process.hpp>
#include <vfs/file.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::process::proc {

/// Whose node it is. `start_ns` tells a process from a later one of the same number.
struct TaskKey {
    Pid pid = 0;
    Pid tid = 0;
    u64 start_ns = 0;
    enum class Scope : u8 { Process, Thread } scope = Scope::Process;
};

struct Task {
    RefPtr<Process> process;
    RefPtr<Thread> thread; // of a whole process: its leader, perhaps dead
    TaskKey::Scope scope;
    [[nodiscard]] bool is_whole_process() const { return scope == TaskKey::Scope::Process; }
    /// The thread whose parts show: the leader, or another living one when it is dead.
    [[nodiscard]] RefPtr<Thread> representative() const;
};
Result<Task> resolve(const TaskKey& key);
/// EACCES unless the caller may look into the memory of the process (ptrace(2), PTRACE_MODE_READ_FSCREDS).
Result<void> check_may_inspect(const Task& task);
/// Owner of the nodes.
struct Owner {
    u32 uid = 0;
    u32 gid = 0;
    bool operator==(const Owner&) const = default;
};
Owner owner_of(const Task& task);

/// Mixin of every node: the key, and when a cached name stops being true.
class TaskNode {
public:
    TaskNode(const TaskKey& key, Owner owner) : key_(key), owner_(owner) {}
    [[nodiscard]] const TaskKey& key() const { return key_; }
    [[nodiscard]] bool still_exists() const;

private:
    TaskKey key_;
    Owner owner_;
};

/// Inode numbers: the thread's number above, the kind of node below.
constexpr u64 inode_number(const TaskKey& key, u32 kind) {
    return (u64{static_cast<u32>(key.tid)} << 32) | (key.scope == TaskKey::Scope::Thread ? 0x8000'0000u : 0) | kind;
}
inline constexpr u32 first_fd_kind = 0x1000'0000;

using ShowTask = Result<void> (*)(const Task& task, TextSink sink);
/// As TextNode::show_part(); what is listed by parts are mappings, and the parts are named by addresses.
using ShowTaskPart = Result<u64> (*)(const Task& task, u64 from, TextSink sink);
using StoreTask = Result<void> (*)(const Task& task, std::string_view text);

/// Parses a name that is a number, as directories of numbers need it; -1 otherwise.
i64 parse_name(std::string_view name);
/// Parses what is written to a knob: a decimal or 0x number with its sign. ERANGE when no int holds it, EINVAL when it
/// isn't in [least, most].
Result<i64> parse_integer(std::string_view text, i64 least, i64 most);

// ---- generators, by file ----
Result<void> show_stat(const Task& task, TextSink sink); // stat.cpp
/// Nanoseconds on a CPU and ready for one, and how often it got one.
Result<void> show_schedstat(const Task& task, TextSink sink);
/// Scheduling of a thread (sched.cpp); what is written there changes nothing.
Result<void> show_sched(const Task& task, TextSink sink);
Result<void> reset_sched(const Task& task, std::string_view text);
Result<void> show_statm(const Task& task, TextSink sink);
Result<void> show_status(const Task& task, TextSink sink); // status.cpp
Result<void> show_limits(const Task& task, TextSink sink);
Result<void> show_timers(const Task& task, TextSink sink);
Result<u64> show_maps(const Task& task, u64 from, TextSink sink); // maps.cpp
Result<u64> show_numa_maps(const Task& task, u64 from, TextSink sink);
Result<u64> show_smaps(const Task& task, u64 from, TextSink sink); // smaps.cpp
Result<void> show_smaps_rollup(const Task& task, TextSink sink);
Result<void> store_clear_refs(const Task& task, std::string_view text); // pagemap.cpp
Result<void> show_oom_score(const Task& task, TextSink sink);           // oom.cpp
Result<void> show_oom_score_adj(const Task& task, TextSink sink);
Result<void> show_loginuid(const Task& task, TextSink sink); // login.cpp
Result<void> show_sessionid(const Task& task, TextSink sink);
Result<void> store_loginuid(const Task& task, std::string_view text);
Result<void> store_oom_score_adj(const Task& task, std::string_view text);
Result<void> show_oom_adj(const Task& task, TextSink sink);
Result<void> store_oom_adj(const Task& task, std::string_view text);
Result<void> show_coredump_filter(const Task& task, TextSink sink); // coredump.cpp
Result<void> store_coredump_filter(const Task& task, std::string_view text);
Result<void> show_cmdline(const Task& task, TextSink sink); // strings.cpp
Result<void> show_environ(const Task& task, TextSink sink);
Result<void> show_auxv(const Task& task, TextSink sink);
Result<void> show_syscall(const Task& task, TextSink sink); // syscall.cpp
Result<void> show_comm(const Task& task, TextSink sink);
Result<void> store_comm(const Task& task, std::string_view text);
Result<void> show_mounts(const Task& task, TextSink sink); // mounts.cpp
Result<void> show_mountinfo(const Task& task, TextSink sink);

// ---- directories and links ----
Result<RefPtr<vfs::Inode>> make_task_directory(const TaskKey& key); // directory.cpp
Result<RefPtr<vfs::Inode>> make_thread_list(const TaskKey& key);
Result<RefPtr<vfs::Inode>> make_fd_directory(const TaskKey& key); // descriptors.cpp
Result<RefPtr<vfs::Inode>> make_fdinfo_directory(const TaskKey& key);
enum class LinkKind : u8 { WorkingDirectory, Root, Executable };
Result<RefPtr<vfs::Inode>> make_place_link(const TaskKey& key, LinkKind kind, u32 number);
Result<RefPtr<vfs::Inode>> make_memory_node(const TaskKey& key, u32 number);  // memory.cpp
Result<RefPtr<vfs::Inode>> make_pagemap_node(const TaskKey& key, u32 number); // pagemap.cpp

Result<void> register_system_nodes(); // system.cpp

} // namespace linnet::process::proc
