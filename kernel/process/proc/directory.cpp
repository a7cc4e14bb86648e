// /proc itself (its numbers), /proc/PID, /proc/PID/task.
#include "task.hpp"

#include <process/access.hpp>
#include <process/proc_nodes.hpp>

namespace linnet::process::proc {

using vfs::DirectoryEntry;
using vfs::DirectorySink;
using vfs::Inode;
using vfs::pseudo::Node;
using vfs::pseudo::TextNode;

RefPtr<Thread> Task::representative() const {
    if (!thread->is_dead() || !is_whole_process()) return thread;
    if (NullableRefPtr<Thread> living = process->any_living_thread()) return RefPtr<Thread>(std::move(living));
    return thread;
}

Result<Task> resolve(const TaskKey& key) {
    NullableRefPtr<Process> process = find_process(key.pid);
    NullableRefPtr<Thread> thread = find_thread(key.tid);
    if (!process || !thread || &thread->process() != process.get()) return error(Errno::ESRCH);
    const bool is_whole = key.scope == TaskKey::Scope::Process;
    if ((is_whole ? process->start_time_ns : thread->start_time_ns) != key.start_ns) return error(Errno::ESRCH);
    if (!is_whole && thread->is_dead()) return error(Errno::ESRCH);
    return Task{RefPtr<Process>(std::move(process)), RefPtr<Thread>(std::move(thread)), key.scope};
}

Result<void> check_may_inspect(const Task& task) {
    Thread* self = current_or_null();
    if (self && !may_access(*self, *task.representative(), AccessBy::FileIds)) return error(Errno::EACCES);
    return {};
}

Owner owner_of(const Task& task) {
    RefPtr<const vfs::Credentials> credentials = task.thread->credentials();
    return {credentials->euid, credentials->egid};
}

bool TaskNode::still_exists() const {
    Result<Task> task = resolve(key_);
    return task && owner_of(*task) == owner_;
}

i64 parse_name(std::string_view name) {
    if (name.empty() || name.size() > 9 || (name[0] == '0' && name.size() > 1)) return -1;
    i64 value = 0;
    for (char c : name) {
        if (c < '0' || c > '9') return -1;
        value = value * 10 + (c - '0');
    }
    return value;
}

Result<i64> parse_integer(std::string_view text, i64 least, i64 most) {
    constexpr std::string_view space = " \t\n\v\f\r";
    const usize first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return error(Errno::EINVAL);
    text = text.substr(first, text.find_last_not_of(space) + 1 - first);
    const bool is_negative = text.starts_with('-');
    if (is_negative || text.starts_with('+')) text.remove_prefix(1);
    constexpr u64 largest_int = 0x7fff'ffff;
    const u64 magnitude = TRY(vfs::pseudo::parse_number(text, largest_int));
    const i64 value = is_negative ? -static_cast<i64>(magnitude) : static_cast<i64>(magnitude);
    if (value < least || value > most) return error(Errno::EINVAL);
    return value;
}

namespace {

class TaskText final : public TextNode, public TaskNode {
public:
    enum class Privacy : u8 { Public, Private };
    TaskText(const TaskKey& key, Owner owner, u32 number, u32 permissions, ShowTask show, ShowTaskPart part,
             StoreTask store, Privacy privacy)
        : TextNode(vfs::pseudo::proc().superblock(), inode_number(key, number), abi::S_IFREG | permissions, owner.uid,
                   owner.gid),
          TaskNode(key, owner), show_(show), part_(part), store_(store), privacy_(privacy) {}
    bool is_still_valid() override { return still_exists(); }
    Result<void> check_open(u32) override {
        const Task task = TRY(resolve(key()));
        return privacy_ == Privacy::Private ? check_may_inspect(task) : Result<void>{};
    }
    Result<void> show(TextSink sink) override {
        if (!show_) return error(Errno::EINVAL);
        return show_(TRY(resolve(key())), sink);
    }
    Result<u64> show_part(u64 from, TextSink sink) override {
        if (!part_) return TextNode::show_part(from, sink);
        return part_(TRY(resolve(key())), from, sink);
    }
    Result<void> store(std::string_view text) override {
        if (!store_) return error(Errno::EINVAL);
        return store_(TRY(resolve(key())), text);
    }

private:
    const ShowTask show_;
    const ShowTaskPart part_; // in place of show_, for lists
    const StoreTask store_;
    const Privacy privacy_;
};

Result<void> show_cgroup(const Task&, TextSink sink) { return sink("0::/\n"), Result<void>{}; }
/// There is one user namespace: every id is itself.
Result<void> show_identity_map(const Task&, TextSink sink) {
    return sink("         0          0 4294967295\n"), Result<void>{};
}
Result<void> show_personality(const Task& task, TextSink sink) {
    format_to(sink, "{08x}\n", task.thread->personality);
    return {};
}

enum class EntryKind : u8 { Text, PrivateText, Threads, Descriptors, DescriptorInfo, Link, Memory, Pagemap };
struct Entry {
    std::string_view name;
    EntryKind kind;
    u32 permissions = 0444;
    ShowTask show = nullptr;
    StoreTask store = nullptr;
    LinkKind link = LinkKind::Root;
    ShowTaskPart part = nullptr;
};
constexpr Entry list_of_mappings(std::string_view name, ShowTaskPart part) {
    return {.name = name, .kind = EntryKind::PrivateText, .part = part};
}

constexpr Entry entries[] = {
    {"task", EntryKind::Threads, 0555},
    {"fd", EntryKind::Descriptors, 0500},
    {"fdinfo", EntryKind::DescriptorInfo, 0555},
    {"environ", EntryKind::PrivateText, 0400, show_environ},
    {"auxv", EntryKind::PrivateText, 0400, show_auxv},
    {"status", EntryKind::Text, 0444, show_status},
    {"personality", EntryKind::PrivateText, 0400, show_personality},
    {"limits", EntryKind::Text, 0444, show_limits},
    {"timers", EntryKind::Text, 0444, show_timers},
    {"syscall", EntryKind::PrivateText, 0400, show_syscall},
    {"comm", EntryKind::Text, 0644, show_comm, store_comm},
    {"cmdline", EntryKind::Text, 0444, show_cmdline},
    {"stat", EntryKind::Text, 0444, show_stat},
    {"schedstat", EntryKind::Text, 0444, show_schedstat},
    {"sched", EntryKind::Text, 0644, show_sched, reset_sched},
    {"statm", EntryKind::Text, 0444, show_statm},
    list_of_mappings("maps", show_maps),
    {"mem", EntryKind::Memory, 0600},
    {"cwd", EntryKind::Link, 0777, nullptr, nullptr, LinkKind::WorkingDirectory},
    {"root", EntryKind::Link, 0777, nullptr, nullptr, LinkKind::Root},
    {"exe", EntryKind::Link, 0777, nullptr, nullptr, LinkKind::Executable},
    {"mounts", EntryKind::Text, 0444, show_mounts},
    {"mountinfo", EntryKind::Text, 0444, show_mountinfo},
    list_of_mappings("smaps", show_smaps),
    {"smaps_rollup", EntryKind::PrivateText, 0444, show_smaps_rollup},
    {"cgroup", EntryKind::Text, 0444, show_cgroup},
    {"oom_score", EntryKind::Text, 0444, show_oom_score},
    {"oom_score_adj", EntryKind::Text, 0644, show_oom_score_adj, store_oom_score_adj},
    {"oom_adj", EntryKind::Text, 0644, show_oom_adj, store_oom_adj},
    {"coredump_filter", EntryKind::Text, 0644, show_coredump_filter, store_coredump_filter},
    {"pagemap", EntryKind::Pagemap, 0400},
    {"clear_refs", EntryKind::Text, 0200, nullptr, store_clear_refs},
    list_of_mappings("numa_maps", show_numa_maps),
    {"loginuid", EntryKind::Text, 0644, show_loginuid, store_loginuid},
    {"sessionid", EntryKind::Text, 0444, show_sessionid},
    {"uid_map", EntryKind::Text, 0444, show_identity_map},
    {"gid_map", EntryKind::Text, 0444, show_identity_map},
};
constexpr u32 folder_kind = 1, thread_list_kind = 2, first_entry_kind = 16;

template <typename Kind, typename... Args>
Result<RefPtr<Inode>> make(Args&&... args) {
    auto* node = new (std::nothrow) Kind(std::forward<Args>(args)...);
    if (!node) return error(Errno::ENOMEM);
    return RefPtr<Inode>(RefPtr<Kind>::adopt(*node));
}

Result<RefPtr<Inode>> make_entry(const TaskKey& key, u32 index) {
    const Entry& entry = entries[index];
    const u32 number = first_entry_kind + index;
    switch (entry.kind) {
    case EntryKind::Text:
    case EntryKind::PrivateText: {
        const auto privacy = entry.kind == EntryKind::Text ? TaskText::Privacy::Public : TaskText::Privacy::Private;
        return make<TaskText>(key, owner_of(TRY(resolve(key))), number, entry.permissions, entry.show, entry.part,
                              entry.store, privacy);
    }
    case EntryKind::Threads:
        return make_thread_list(key);
    case EntryKind::Descriptors:
        return make_fd_directory(key);
    case EntryKind::DescriptorInfo:
        return make_fdinfo_directory(key);
    case EntryKind::Link:
        return make_place_link(key, entry.link, number);
    case EntryKind::Memory:
        return make_memory_node(key, number);
    case EntryKind::Pagemap:
        return make_pagemap_node(key, number);
    }
    __builtin_unreachable();
}

u32 type_of(const Entry& entry) {
    switch (entry.kind) {
    case EntryKind::Threads:
    case EntryKind::Descriptors:
    case EntryKind::DescriptorInfo:
        return abi::S_IFDIR;
    case EntryKind::Link:
        return abi::S_IFLNK;
    default:
        return abi::S_IFREG;
    }
}

/// A thread's directory has no list of threads.
bool is_shown(const TaskKey& key, const Entry& entry) {
    return key.scope == TaskKey::Scope::Process || entry.kind != EntryKind::Threads;
}

class TaskDirectory final : public Node, public TaskNode {
public:
    TaskDirectory(const TaskKey& key, Owner owner)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, folder_kind), abi::S_IFDIR | 0555, owner.uid,
               owner.gid),
          TaskNode(key, owner) {
        set_link_count(2);
    }
    bool is_still_valid() override { return still_exists(); }
    Result<RefPtr<Inode>> lookup(std::string_view name) override {
        for (u32 i = 0; i < std::size(entries); ++i)
            if (entries[i].name == name && is_shown(key(), entries[i])) return make_entry(key(), i);
        return error(Errno::ENOENT);
    }
    Result<void> read_directory(u64 position, DirectorySink sink) override {
        TRY(resolve(key()));
        for (u64 i = position - 2; i < std::size(entries); ++i) {
            const Entry& entry = entries[i];
            if (!is_shown(key(), entry)) continue;
            const u64 inode = inode_number(key(), first_entry_kind + static_cast<u32>(i));
            if (!sink({entry.name, inode, abi::directory_type(type_of(entry)), i + 3})) break;
        }
        return {};
    }
};

TaskKey key_of(Process& process) {
    return {process.pid(), process.pid(), process.start_time_ns, TaskKey::Scope::Process};
}
TaskKey key_of(Process& process, Thread& thread) {
    return {process.pid(), thread.tid(), thread.start_time_ns, TaskKey::Scope::Thread};
}

/// /proc/PID/task.
class ThreadList final : public Node, public TaskNode {
public:
    ThreadList(const TaskKey& key, Owner owner)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, thread_list_kind), abi::S_IFDIR | 0555, owner.uid,
               owner.gid),
          TaskNode(key, owner) {
        set_link_count(2);
    }
    bool is_still_valid() override { return still_exists(); }
    Result<RefPtr<Inode>> lookup(std::string_view name) override {
        const Task task = TRY(resolve(key()));
        const i64 tid = parse_name(name);
        NullableRefPtr<Thread> thread = tid > 0 ? find_thread(static_cast<Pid>(tid)) : nullptr;
        if (!thread || thread->is_dead() || &thread->process() != task.process.get()) return error(Errno::ENOENT);
        return make_task_directory(key_of(*task.process, *thread));
    }
    Result<void> read_directory(u64 position, DirectorySink sink) override {
        const Task task = TRY(resolve(key()));
        for (Pid from = static_cast<Pid>(position - 2);;) {
            NullableRefPtr<Thread> thread = task.process->next_thread(from);
            if (!thread) return {};
            from = thread->tid() + 1;
            if (thread->is_dead()) continue;
            char name[12];
            const TaskKey thread_key = key_of(*task.process, *thread);
            const DirectoryEntry entry{format_into(name, "{}", thread->tid()), inode_number(thread_key, folder_kind),
                                       abi::DT_DIR, static_cast<u64>(from) + 2};
            if (!sink(entry)) return {};
        }
    }
};

/// The numbers of /proc.
class ProcessList final : public vfs::pseudo::Directory::Generated {
public:
    Result<RefPtr<Inode>> lookup(std::string_view name) override {
        const i64 pid = parse_name(name);
        NullableRefPtr<Process> process = pid > 0 ? find_process(static_cast<Pid>(pid)) : nullptr;
        if (process) {
            process->has_proc_names.store(true, std::memory_order_relaxed);
            return make_task_directory(key_of(*process));
        }
        // Threads have a directory too, but no listing shows it.
        NullableRefPtr<Thread> thread = pid > 0 ? find_thread(static_cast<Pid>(pid)) : nullptr;
        if (!thread || thread->is_dead()) return error(Errno::ENOENT);
        return make_task_directory(key_of(thread->process(), *thread));
    }
    Result<void> list(u64 position, DirectorySink sink) override {
        constexpr u64 first = vfs::pseudo::Directory::first_generated_position;
        for (Pid from = static_cast<Pid>(position - first);;) {
            NullableRefPtr<Process> process = next_process(from);
            if (!process) return {};
            from = process->pid() + 1;
            char name[12];
            const DirectoryEntry entry{format_into(name, "{}", process->pid()),
                                       inode_number(key_of(*process), folder_kind), abi::DT_DIR,
                                       first + static_cast<u64>(from)};
            if (!sink(entry)) return {};
        }
    }
};
constinit ProcessList process_list;

} // namespace

Result<RefPtr<Inode>> make_task_directory(const TaskKey& key) {
    return make<TaskDirectory>(key, owner_of(TRY(resolve(key))));
}
Result<RefPtr<Inode>> make_thread_list(const TaskKey& key) {
    return make<ThreadList>(key, owner_of(TRY(resolve(key))));
}

} // namespace linnet::process::proc

namespace linnet::process {

void forget_proc_names(Process& process) {
    if (!process.has_proc_names.load(std::memory_order_relaxed)) return;
    char digits[12];
    const std::string_view name = format_into(digits, "{}", process.pid());
    vfs::Dentry& root = vfs::pseudo::proc().superblock().root();
    if (auto cached = vfs::DentryCache::find(root, name, vfs::NameHash::of(name)))
        vfs::DentryCache::invalidate(*cached);
}

Result<RefPtr<Process>> process_of_folder(vfs::File& file) {
    vfs::Inode& inode = file.inode();
    const u64 pid = inode.number() >> 32;
    if (&inode.superblock() != &vfs::pseudo::proc().superblock() || pid == 0) return error(Errno::EBADF);
    // Of the nodes below a number only the folder of a process has this kind.
    if (inode.number() != proc::inode_number({.pid = 0, .tid = static_cast<Pid>(pid)}, proc::folder_kind))
        return error(Errno::EBADF);
    return TRY(proc::resolve(static_cast<proc::TaskDirectory&>(inode).key())).process;
}

Result<void> register_proc_nodes() {
    vfs::pseudo::proc().root().set_generated(proc::process_list);
    return proc::register_system_nodes();
}

} // namespace linnet::process
