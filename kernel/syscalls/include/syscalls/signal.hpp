// Signal calls: kill(2), sigaction(2), sigprocmask(2), sigsuspend(2), sigtimedwait(2), sigaltstack(2), sigreturn(2) …
#pragma once

#include <abi/linux/signal.hpp>
#include <abi/linux/time.hpp>
#include <process/signal.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

using process::SigSet;
using SigSetIn = mm::UserPtr<mm::In, SigSet>;
using SigSetOut = mm::UserPtr<mm::Out, SigSet>;

Result<long> sys_kill(process::Thread&, int pid, int signal);
Result<long> sys_tkill(process::Thread&, int tid, int signal);
Result<long> sys_tgkill(process::Thread&, int tgid, int tid, int signal);
Result<long> sys_rt_sigqueueinfo(process::Thread&, int pid, int signal, mm::UserPtr<mm::In, abi::user_siginfo_t> info);
Result<long> sys_rt_tgsigqueueinfo(process::Thread&, int tgid, int tid, int signal,
                                   mm::UserPtr<mm::In, abi::user_siginfo_t> info);
Result<long> sys_rt_sigaction(process::Thread&, int signal, VirtAddr fresh, VirtAddr old, u64 set_size);
Result<long> sys_rt_sigprocmask(process::Thread&, int how, SigSetIn fresh, SigSetOut old, u64 set_size);
Result<long> sys_rt_sigpending(process::Thread&, SigSetOut set, u64 set_size);
Result<long> sys_rt_sigsuspend(process::Thread&, SigSetIn mask, u64 set_size);
Result<long> sys_rt_sigtimedwait(process::Thread&, SigSetIn wanted, mm::UserPtr<mm::Out, abi::user_siginfo_t> info,
                                 mm::UserPtr<mm::In, abi::timespec> timeout, u64 set_size);
Result<long> sys_sigaltstack(process::Thread&, mm::UserPtr<mm::In, abi::stack_t> fresh,
                             mm::UserPtr<mm::Out, abi::stack_t> old);
Result<long> sys_rt_sigreturn(process::Thread&);
Result<long> sys_pause(process::Thread&);
Result<long> sys_restart_syscall(process::Thread&);

inline constexpr Entry signal_calls[] = {
    entry<sys_kill>("kill", nr::kill),
    entry<sys_pause>("pause", nr::pause),
    entry<sys_restart_syscall>("restart_syscall", nr::restart_syscall),
    entry<sys_rt_sigaction>("rt_sigaction", nr::rt_sigaction),
    entry<sys_rt_sigpending>("rt_sigpending", nr::rt_sigpending),
    entry<sys_rt_sigprocmask>("rt_sigprocmask", nr::rt_sigprocmask),
    entry<sys_rt_sigqueueinfo>("rt_sigqueueinfo", nr::rt_sigqueueinfo),
    entry<sys_rt_sigreturn>("rt_sigreturn", nr::rt_sigreturn),
    entry<sys_rt_sigsuspend>("rt_sigsuspend", nr::rt_sigsuspend),
    entry<sys_rt_sigtimedwait>("rt_sigtimedwait", nr::rt_sigtimedwait),
    entry<sys_rt_tgsigqueueinfo>("rt_tgsigqueueinfo", nr::rt_tgsigqueueinfo),
    entry<sys_sigaltstack>("sigaltstack", nr::sigaltstack),
    entry<sys_tgkill>("tgkill", nr::tgkill),
    entry<sys_tkill>("tkill", nr::tkill),
};

} // namespace linnet::syscalls
