// SIGIO and what F_SETSIG puts in its place (fcntl(2), sigaction(2)): vfs's hooks.
#include <abi/linux/poll.hpp>
#include <process/process.hpp>
#include <process/session.hpp>
#include <vfs/credentials.hpp>
#include <vfs/file_owner.hpp>

namespace linnet::process {
namespace {

/// si_code and si_band of events: the most urgent one counts.
struct Reason {
    int code;
    i64 band;
};
Reason reason_of(u32 events) {
    using namespace abi;
    if (events & POLLMSG) return {POLL_MSG, POLLIN | POLLRDNORM | POLLMSG};
    if (events & POLLHUP) return {POLL_HUP, POLLHUP | POLLERR};
    if (events & POLLERR) return {POLL_ERR, POLLERR};
    if (events & POLLPRI) return {POLL_PRI, POLLPRI | POLLRDBAND};
    if (events & POLLIN) return {POLL_IN, POLLIN | POLLRDNORM};
    return {POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND};
}

/// kill(2)'s rule, for who set the owner.
bool may_signal(const vfs::FileOwner::Owner& owner, Process& target) {
    RefPtr<const vfs::Credentials> theirs = target.credentials();
    return owner.euid == 0 || owner.euid == theirs->suid || owner.euid == theirs->uid || owner.uid == theirs->suid ||
           owner.uid == theirs->uid;
}

void send_to(Process& process, Thread* thread, int signal, const Reason& reason, int fd) {
    if (signal != 0) {
        abi::siginfo_t info{};
        info.si_signo = signal;
        info.si_code = reason.code;
        info.poll.band = reason.band;
        info.poll.fd = fd;
        if (thread ? try_send_signal(*thread, info) : try_send_signal(process, info)) return;
    }
    if (thread)
        send_kernel_signal(*thread, abi::SIGIO);
    else
        send_kernel_signal(process, abi::SIGIO);
}

} // namespace
} // namespace linnet::process

namespace linnet::vfs {

void send_ready_signal(const FileOwner::Owner& owner, int signal, u32 events, int fd) {
    using namespace process;
    // All identities are PidRecords.
    auto& record = static_cast<PidRecord&>(*owner.who);
    const Reason reason = reason_of(events);
    switch (owner.kind) {
    case FileOwner::Kind::Thread:
        if (NullableRefPtr<Thread> thread = record.thread(); thread && may_signal(owner, thread->process()))
            send_to(thread->process(), thread.get(), signal, reason, fd);
        return;
    case FileOwner::Kind::Process:
        if (NullableRefPtr<Process> target = record.process(); target && may_signal(owner, *target))
            send_to(*target, nullptr, signal, reason, fd);
        return;
    case FileOwner::Kind::Group:
        if (NullableRefPtr<ProcessGroup> group = record.group())
            for (NullableRefPtr<Process> member = next_process(1); member; member = next_process(member->pid() + 1))
                if (member->process_group().get() == group.get() && may_signal(owner, *member))
                    send_to(*member, nullptr, signal, reason, fd);
        return;
    }
}

NullableRefPtr<ProcessIdentity> find_owner(FileOwner::Kind kind, i32 number) {
    NullableRefPtr<process::PidRecord> record = process::find_pid(number);
    if (!record) return {};
    const bool is_borne = kind == FileOwner::Kind::Thread    ? static_cast<bool>(record->thread())
                          : kind == FileOwner::Kind::Process ? static_cast<bool>(record->process())
                                                             : static_cast<bool>(record->group());
    if (!is_borne) return {};
    return record;
}

} // namespace linnet::vfs
