// Making, replacing, ending and naming processes: fork(2), clone(2), execve(2), exit(2), wait4(2), setpgid(2),
// pidfd_open(2).
#pragma once

#include <abi/linux/resource.hpp>
#include <abi/linux/sched.hpp>
#include <abi/linux/signal.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using process::Pid;

/// Process accounting; a null name ends it.
Result<long> sys_acct(process::Thread&, mm::UserString name);
Result<long> sys_arch_prctl(process::Thread&, int code, VirtAddr address);
Result<long> sys_clone(process::Thread&, u64 flags, VirtAddr stack, VirtAddr parent_tid, VirtAddr fourth,
                       VirtAddr fifth);
Result<long> sys_clone3(process::Thread&, VirtAddr arguments, u64 size);
Result<long> sys_execve(process::Thread&, mm::UserString path, VirtAddr argv, VirtAddr envp);
Result<long> sys_execveat(process::Thread&, int dirfd, mm::UserString path, VirtAddr argv, VirtAddr envp, u32 flags);
Result<long> sys_exit(process::Thread&, int code);
Result<long> sys_exit_group(process::Thread&, int code);
Result<long> sys_fork(process::Thread&);
Result<long> sys_getpgid(process::Thread&, Pid pid);
Result<long> sys_getpgrp(process::Thread&);
Result<long> sys_getpid(process::Thread&);
Result<long> sys_getppid(process::Thread&);
Result<long> sys_getsid(process::Thread&, Pid pid);
Result<long> sys_gettid(process::Thread&);
Result<long> sys_kcmp(process::Thread&, Pid first, Pid second, i32 type, u64 first_index, u64 second_index);
Result<long> sys_pidfd_getfd(process::Thread&, int pidfd, int fd, u32 flags);
Result<long> sys_pidfd_open(process::Thread&, Pid pid, u32 flags);
Result<long> sys_pidfd_send_signal(process::Thread&, int pidfd, int signal,
                                   mm::UserPtr<mm::In, abi::user_siginfo_t> info, u32 flags);
Result<long> sys_set_tid_address(process::Thread&, VirtAddr word);
Result<long> sys_setpgid(process::Thread&, Pid pid, Pid pgid);
Result<long> sys_setsid(process::Thread&);
Result<long> sys_vhangup(process::Thread&);
Result<long> sys_vfork(process::Thread&);
Result<long> sys_wait4(process::Thread&, Pid pid, mm::UserPtr<mm::Out, int> status, u32 options,
                       mm::UserPtr<mm::Out, abi::rusage> usage);
Result<long> sys_waitid(process::Thread&, int id_type, Pid id, mm::UserPtr<mm::Out, abi::user_siginfo_t> info,
                        u32 options, mm::UserPtr<mm::Out, abi::rusage> usage);

inline constexpr Entry process_calls[] = {
    entry<sys_acct>("acct", nr::acct),
    entry<sys_arch_prctl>("arch_prctl", nr::arch_prctl, Support::Partial,
                          "the bases of FS and GS, CPUID; others EINVAL"),
    entry<sys_clone>("clone", nr::clone, Support::Partial, "namespaces: EINVAL"),
    entry<sys_clone3>("clone3", nr::clone3, Support::Partial, "namespaces and cgroups: EINVAL"),
    entry<sys_execve>("execve", nr::execve),
    entry<sys_execveat>("execveat", nr::execveat),
    entry<sys_exit>("exit", nr::exit),
    entry<sys_exit_group>("exit_group", nr::exit_group),
    entry<sys_fork>("fork", nr::fork),
    entry<sys_getpgid>("getpgid", nr::getpgid),
    entry<sys_getpgrp>("getpgrp", nr::getpgrp),
    entry<sys_getpid>("getpid", nr::getpid),
    entry<sys_getppid>("getppid", nr::getppid),
    entry<sys_getsid>("getsid", nr::getsid),
    entry<sys_gettid>("gettid", nr::gettid),
    entry<sys_kcmp>("kcmp", nr::kcmp, Support::Partial, "nobody has I/O contexts: always equal"),
    entry<sys_pidfd_getfd>("pidfd_getfd", nr::pidfd_getfd),
    entry<sys_pidfd_open>("pidfd_open", nr::pidfd_open),
    entry<sys_pidfd_send_signal>("pidfd_send_signal", nr::pidfd_send_signal),
    entry<sys_set_tid_address>("set_tid_address", nr::set_tid_address),
    entry<sys_setpgid>("setpgid", nr::setpgid),
    entry<sys_setsid>("setsid", nr::setsid),
    entry<sys_vhangup>("vhangup", nr::vhangup),
    entry<sys_vfork>("vfork", nr::vfork),
    entry<sys_wait4>("wait4", nr::wait4),
    entry<sys_waitid>("waitid", nr::waitid),
};

} // namespace linnet::syscalls
