// Process calls. The mechanisms are in process/; here are the argument rules of the man pages.
#include "growing_structure.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/wait.hpp>
#include <abi_arch/clone.hpp>
#include <algorithm>
#include <process/access.hpp>
#include <process/exec.hpp>
#include <process/fork.hpp>
#include <process/pidfd.hpp>
#include <process/session.hpp>
#include <process/wait.hpp>
#include <syscalls/process.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/operations.hpp>

#include "usage.hpp"

namespace linnet::syscalls {

using process::CloneRequest;
using process::Process;
using process::Thread;

// ---- new tasks ----

Result<long> sys_fork(Thread& thread) { return process::clone(thread, {.exit_signal = abi::SIGCHLD}); }

Result<long> sys_vfork(Thread& thread) {
    return process::clone(thread, {.flags = abi::CLONE_VM | abi::CLONE_VFORK, .exit_signal = abi::SIGCHLD});
}

Result<long> sys_clone(Thread& thread, u64 flags, VirtAddr stack, VirtAddr parent_tid, VirtAddr fourth,
                       VirtAddr fifth) {
    // The old call's flags end at 32 bits; its pidfd and its parent_tid share an argument.
    flags &= 0xffffffff;
    if ((flags & abi::CLONE_PIDFD) && (flags & abi::CLONE_PARENT_SETTID)) return error(Errno::EINVAL);
    CloneRequest request{.flags = flags & ~abi::CSIGNAL,
                         .exit_signal = static_cast<int>(flags & abi::CSIGNAL),
                         .stack = stack,
                         .tls = abi::clone_tls_first ? fourth : fifth,
                         .parent_tid = parent_tid,
                         .child_tid = abi::clone_tls_first ? fifth : fourth,
                         .pidfd = parent_tid};
    return process::clone(thread, request);
}

Result<long> sys_clone3(Thread& thread, VirtAddr address, u64 size) {
    const auto arguments = TRY(copy_in_growing<abi::clone_args>(address, size, abi::CLONE_ARGS_SIZE_VER0));
    if (arguments.flags & (abi::CSIGNAL | abi::CLONE_DETACHED)) return error(Errno::EINVAL);
    if (arguments.flags & abi::CLONE_INTO_CGROUP) return error(Errno::EINVAL);
    if ((arguments.flags & (abi::CLONE_THREAD | abi::CLONE_PARENT)) && arguments.exit_signal)
        return error(Errno::EINVAL);
    if (arguments.exit_signal > abi::signal_count) return error(Errno::EINVAL);
    bool has_stack = arguments.stack != 0;
    if (has_stack != (arguments.stack_size != 0)) return error(Errno::EINVAL);
    if (has_stack && !arch::is_user_range({arguments.stack}, arguments.stack_size)) return error(Errno::EINVAL);
    CloneRequest request{.flags = arguments.flags,
                         .exit_signal = static_cast<int>(arguments.exit_signal),
                         .stack = {has_stack ? arguments.stack + arguments.stack_size : 0},
                         .tls = {arguments.tls},
                         .parent_tid = {arguments.parent_tid},
                         .child_tid = {arguments.child_tid},
                         .pidfd = {arguments.pidfd}};
    if ((arguments.set_tid == 0) != (arguments.set_tid_size == 0)) return error(Errno::EINVAL);
    if (arguments.set_tid_size > 1) return error(Errno::EINVAL); // one pid namespace, one number
    if (arguments.set_tid_size == 1) {
        request.wanted_tid = TRY((mm::UserPtr<mm::In, Pid>(VirtAddr{arguments.set_tid}).copy_in()));
        if (request.wanted_tid <= 0) return error(Errno::EINVAL);
        const vfs::Credentials& who = thread.own_credentials();
        if (!who.has(vfs::Capability::CheckpointRestore) && !who.has(vfs::Capability::SysAdmin))
            return error(Errno::EPERM);
    }
    return process::clone(thread, request);
}

// ---- new programs ----

namespace {

Result<long> execute(Thread& thread, RefPtr<vfs::File> file, std::string_view path, VirtAddr argv, VirtAddr envp) {
    process::StringBlock::Budget budget = process::string_budget(thread.process().limits.soft(abi::RLIMIT_STACK));
    process::StringBlock arguments(budget);
    process::StringBlock environment(budget);
    TRY(arguments.append_from_user(argv));
    TRY(environment.append_from_user(envp));
    TRY(process::execute(thread, std::move(file), path, arguments, environment));
    return 0;
}

} // namespace

Result<long> sys_execve(Thread& thread, mm::UserString path, VirtAddr argv, VirtAddr envp) {
    mm::OwnedString name = TRY(path.copy_in());
    RefPtr<vfs::File> file = TRY(vfs::open_executable(nullptr, name));
    return execute(thread, std::move(file), name, argv, envp);
}

Result<long> sys_execveat(Thread& thread, int dirfd, mm::UserString path, VirtAddr argv, VirtAddr envp, u32 flags) {
    if (flags & ~(abi::AT_EMPTY_PATH | abi::AT_SYMLINK_NOFOLLOW)) return error(Errno::EINVAL);
    mm::OwnedString name = TRY(path.copy_in());
    bool by_descriptor = name.is_empty() && (flags & abi::AT_EMPTY_PATH);
    u32 lookup = (by_descriptor ? vfs::lookup_empty_path : 0u) |
                 ((flags & abi::AT_SYMLINK_NOFOLLOW) ? vfs::lookup_no_follow : 0u);
    if (dirfd == abi::AT_FDCWD || (!name.is_empty() && name.view().front() == '/')) {
        RefPtr<vfs::File> file = TRY(vfs::open_executable(nullptr, name, lookup));
        return execute(thread, std::move(file), name, argv, envp);
    }
    RefPtr<vfs::File> start = TRY(thread.own_files().use_any(dirfd)).share();
    vfs::Path place = TRY(vfs::place_of(*start));
    RefPtr<vfs::File> file = TRY(vfs::open_executable(&place, name, lookup));
    // What the program sees as its path (execveat(2)): /dev/fd/N or /dev/fd/N/PATH.
    OwnPtr<char[]> buffer(new (std::nothrow) char[name.length() + 32]);
    if (!buffer) return error(Errno::ENOMEM);
    std::span<char> room{buffer.get(), name.length() + 32};
    std::string_view shown =
        by_descriptor ? format_into(room, "/dev/fd/{}", dirfd) : format_into(room, "/dev/fd/{}/{}", dirfd, name.view());
    // An interpreter would find a closed descriptor.
    bool closes = TRY(thread.own_files().get_close_on_exec(dirfd)) == vfs::CloseOnExec::Yes;
    if (closes && TRY(process::needs_interpreter(*file, shown))) return error(Errno::ENOENT);
    return execute(thread, std::move(file), shown, argv, envp);
}

// ---- ends ----

Result<long> sys_exit(Thread& thread, int code) {
    thread.exit_status = process::exited_status(code);
    thread.pending_work.fetch_or(core::work_exit, std::memory_order_relaxed);
    return 0;
}

Result<long> sys_exit_group(Thread& thread, int code) {
    process::begin_group_exit(thread.process(), process::exited_status(code));
    return 0;
}

Result<long> sys_wait4(Thread& thread, Pid pid, mm::UserPtr<mm::Out, int> status, u32 options,
                       mm::UserPtr<mm::Out, abi::rusage> usage) {
    constexpr u32 known = abi::WNOHANG | abi::WUNTRACED | abi::WCONTINUED | abi::WNOTHREAD | abi::WCLONE | abi::WALL;
    if (options & ~known) return error(Errno::EINVAL);
    if (pid == INT32_MIN) return error(Errno::ESRCH);
    process::WaitRequest request{
        .id_type = abi::P_ALL, .id = 0, .options = options | abi::WEXITED, .wants_details = bool(usage)};
    if (pid > 0)
        request.id_type = abi::P_PID, request.id = pid;
    else if (pid != -1)
        request.id_type = abi::P_PGID, request.id = pid ? -pid : thread.process().process_group()->pgid();
    process::WaitOutcome outcome = TRY(process::wait_for_child(thread, request));
    if (outcome.pid == 0) return 0;
    if (status) TRY(status.copy_out(outcome.wait_status));
    if (usage) TRY(usage.copy_out(to_rusage(outcome.usage)));
    return outcome.pid;
}

namespace {

Result<process::WaitRequest> make_waitid_request(Thread& thread, int id_type, Pid id, u32 options) {
    constexpr u32 known = abi::WNOHANG | abi::WNOWAIT | abi::WEXITED | abi::WSTOPPED | abi::WCONTINUED |
                          abi::WNOTHREAD | abi::WCLONE | abi::WALL;
    if ((options & ~known) || !(options & (abi::WEXITED | abi::WSTOPPED | abi::WCONTINUED)))
        return error(Errno::EINVAL);
    process::WaitRequest request{.id_type = id_type, .id = id, .options = options};
    switch (id_type) {
    case abi::P_ALL:
        return request;
    case abi::P_PID:
        if (id <= 0) return error(Errno::EINVAL);
        return request;
    case abi::P_PGID:
        if (id < 0) return error(Errno::EINVAL);
        if (id == 0) request.id = thread.process().process_group()->pgid();
        return request;
    case abi::P_PIDFD: {
        if (id < 0) return error(Errno::EINVAL);
        RefPtr<vfs::File> file = TRY(thread.own_files().get(id));
        request.record = TRY(process::pidfd_record(*file));
        if (file->is_nonblocking()) request.options |= abi::WNOHANG;
        return request;
    }
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace

Result<long> sys_waitid(Thread& thread, int id_type, Pid id, mm::UserPtr<mm::Out, abi::user_siginfo_t> info,
                        u32 options, mm::UserPtr<mm::Out, abi::rusage> usage) {
    process::WaitRequest request = TRY(make_waitid_request(thread, id_type, id, options));
    process::WaitOutcome outcome = TRY(process::wait_for_child(thread, request));
    // A non-blocking pidfd says that it would have to wait; WNOHANG says nothing happened.
    if (outcome.pid == 0 && !(options & abi::WNOHANG)) return error(Errno::EAGAIN);
    if (outcome.pid != 0 && usage) TRY(usage.copy_out(to_rusage(outcome.usage)));
    if (!info) return 0;
    abi::siginfo_t out{};
    if (outcome.pid != 0) {
        out.si_signo = abi::SIGCHLD;
        out.si_code = outcome.code;
        out.child.pid = outcome.pid;
        out.child.uid = outcome.uid;
        out.child.status = outcome.status;
    }
    // The times are left alone, and what follows (waitid(2) names the fields that are set).
    TRY(mm::copy_to_user(info.address(), &out, offsetof(abi::siginfo_t, child.padding)));
    return 0;
}

// ---- names ----

Result<long> sys_getpid(Thread& thread) { return thread.process().pid(); }
Result<long> sys_gettid(Thread& thread) { return thread.tid(); }
Result<long> sys_getppid(Thread& thread) { return thread.process().parent_pid(); }
Result<long> sys_getpgrp(Thread& thread) { return thread.process().process_group()->pgid(); }

namespace {

/// The process that a pid argument names; 0 is the caller. Threads' ids name their process, as on Linux.
Result<RefPtr<Process>> process_of(Thread& thread, Pid pid) {
    if (pid == 0) return RefPtr<Process>(thread.process());
    NullableRefPtr<Thread> named = process::find_thread(pid);
    if (!named) return error(Errno::ESRCH);
    return RefPtr<Process>(named->process());
}

} // namespace

Result<long> sys_getpgid(Thread& thread, Pid pid) {
    RefPtr<Process> target = TRY(process_of(thread, pid));
    NullableRefPtr<process::ProcessGroup> group = target->process_group();
    if (!group) return error(Errno::ESRCH);
    return group->pgid();
}

Result<long> sys_getsid(Thread& thread, Pid pid) {
    RefPtr<Process> target = TRY(process_of(thread, pid));
    NullableRefPtr<process::Session> session = target->session();
    if (!session) return error(Errno::ESRCH);
    return session->sid();
}

Result<long> sys_setpgid(Thread& thread, Pid pid, Pid pgid) {
    if (pgid < 0) return error(Errno::EINVAL);
    NullableRefPtr<Process> target(&thread.process());
    if (pid != 0 && pid != target->pid()) target = process::find_process(pid);
    if (!target) return error(Errno::ESRCH);
    TRY(process::set_process_group(*target, pgid));
    return 0;
}

Result<long> sys_setsid(Thread& thread) { return process::create_session(thread.process()); }

Result<long> sys_vhangup(Thread& thread) {
    if (!thread.own_credentials().has(vfs::Capability::SysTtyConfig)) return error(Errno::EPERM);
    NullableRefPtr<process::Session> session = thread.process().session();
    if (!session) return 0;
    if (NullableRefPtr<process::ControllingTerminal> terminal = session->terminal()) terminal->hang_up();
    return 0;
}

Result<long> sys_set_tid_address(Thread& thread, VirtAddr word) {
    thread.clear_child_tid = word;
    return thread.tid();
}

// ---- pidfds ----

Result<long> sys_pidfd_open(Thread& thread, Pid pid, u32 flags) {
    if ((flags & ~abi::O_NONBLOCK) || pid <= 0) return error(Errno::EINVAL);
    NullableRefPtr<process::PidRecord> record = process::find_pid(pid);
    if (!record) return error(Errno::ESRCH);
    // Only processes: another thread's id is EINVAL up to Linux 6.8 and ENOENT after it.
    if (!record->process()) return error(record->thread() ? Errno::ENOENT : Errno::ESRCH);
    RefPtr<vfs::File> file = TRY(process::create_pidfd(RefPtr<process::PidRecord>(std::move(record)), flags));
    return TRY(thread.own_files().add(std::move(file), vfs::CloseOnExec::Yes));
}

Result<long> sys_pidfd_send_signal(Thread& thread, int pidfd, int signal, mm::UserPtr<mm::In, abi::user_siginfo_t> info,
                                   u32 flags) {
    if (flags != 0 || signal < 0 || signal > abi::signal_count) return error(Errno::EINVAL);
    RefPtr<vfs::File> file = TRY(thread.own_files().get(pidfd));
    RefPtr<Process> target = TRY(process::process_of_descriptor(*file));
    abi::siginfo_t sent{};
    if (info) {
        sent = TRY(process::read_signal_info(info, 0));
        if (sent.si_signo != signal) return error(Errno::EINVAL);
        if (target.get() != &thread.process() && (sent.si_code >= 0 || sent.si_code == abi::SI_TKILL))
            return error(Errno::EPERM);
    } else {
        sent.si_signo = signal;
        sent.si_code = abi::SI_USER;
        sent.kill.pid = thread.process().pid();
        sent.kill.uid = thread.own_credentials().uid;
    }
    TRY(process::check_kill_permission(*target, signal));
    if (signal != 0) TRY(process::try_send_signal(*target, sent));
    return 0;
}

Result<long> sys_pidfd_getfd(Thread& thread, int pidfd, int fd, u32 flags) {
    if (flags != 0) return error(Errno::EINVAL);
    RefPtr<vfs::File> file = TRY(thread.own_files().get(pidfd));
    RefPtr<process::PidRecord> record = TRY(process::pidfd_record(*file));
    NullableRefPtr<Process> target = record->process();
    NullableRefPtr<Thread> owner = target ? target->any_living_thread() : nullptr;
    if (!owner) return error(Errno::ESRCH);
    if (!process::may_access(thread, *owner, process::AccessBy::RealIds)) return error(Errno::EPERM);
    NullableRefPtr<vfs::FdTable> files = owner->files();
    if (!files) return error(Errno::ESRCH);
    RefPtr<vfs::File> wanted = TRY(files->get(fd));
    return TRY(thread.own_files().add(std::move(wanted), vfs::CloseOnExec::Yes));
}

// ---- x86_64 only: the bases of FS (the thread pointer) and GS, which other architectures have no calls for
// ----

namespace {

constexpr int ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004,
              ARCH_GET_CPUID = 0x1011, ARCH_SET_CPUID = 0x1012;

/// The GS base, where user contexts have one.
template <typename Context>
VirtAddr gs_base(const Context& context) {
    if constexpr (requires { context.gs(); }) return context.gs();
    return {};
}
template <typename Context>
void set_gs_base(Context& context, VirtAddr address) {
    if constexpr (requires { context.set_gs(address); }) context.set_gs(address);
}

} // namespace

Result<long> sys_arch_prctl(Thread& thread, int code, VirtAddr address) {
    auto give = [&](VirtAddr base) { return mm::UserPtr<mm::Out, u64>(address).copy_out(base.value); };
    bool sets = code == ARCH_SET_FS || code == ARCH_SET_GS;
    if (sets && address >= arch::user_address_end) return error(Errno::EPERM);
    switch (code) {
    case ARCH_SET_FS:
        thread.registers.set_tls(address);
        return 0;
    case ARCH_SET_GS:
        set_gs_base(thread.registers, address);
        return 0;
    case ARCH_GET_FS:
        TRY(give(thread.registers.tls()));
        return 0;
    case ARCH_GET_GS:
        TRY(give(gs_base(thread.registers)));
        return 0;
    case ARCH_GET_CPUID:
        return 1; // the instruction can't be made to fault
    case ARCH_SET_CPUID:
        return error(Errno::ENODEV);
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
