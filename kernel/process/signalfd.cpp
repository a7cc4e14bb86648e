// signalfd(2). A read takes signals that are pending for the thread that reads, as on Linux, and poll looks at those of
// the thread that polls. To epoll, which outlasts a call, readiness is announced by the process that made the file: it
// is kept (not alive, but in memory) as long as the file is.
#include <abi/linux/poll.hpp>
#include <process/process.hpp>
#include <process/signalfd.hpp>

namespace linnet::process {
namespace {

/// What a read delivers (signalfd(2)).
struct signalfd_siginfo {
    u32 ssi_signo;
    i32 ssi_errno;
    i32 ssi_code;
    u32 ssi_pid;
    u32 ssi_uid;
    i32 ssi_fd;
    u32 ssi_tid;
    u32 ssi_band;
    u32 ssi_overrun;
    u32 ssi_trapno;
    i32 ssi_status;
    i32 ssi_int;
    u64 ssi_ptr;
    u64 ssi_utime;
    u64 ssi_stime;
    u64 ssi_addr;
    u16 ssi_addr_lsb;
    u16 padding;
    i32 ssi_syscall;
    u64 ssi_call_addr;
    u32 ssi_arch;
    u8 reserved[28];
};
static_assert(sizeof(signalfd_siginfo) == 128);
static_assert(__builtin_offsetof(signalfd_siginfo, ssi_ptr) == 48);
static_assert(__builtin_offsetof(signalfd_siginfo, ssi_arch) == 96);

bool is_fault(int signo) {
    return signo == abi::SIGSEGV || signo == abi::SIGBUS || signo == abi::SIGILL || signo == abi::SIGFPE ||
           signo == abi::SIGTRAP;
}

signalfd_siginfo translate(const abi::siginfo_t& info) {
    signalfd_siginfo out{};
    out.ssi_signo = static_cast<u32>(info.si_signo);
    out.ssi_errno = info.si_errno;
    out.ssi_code = info.si_code;
    if (info.si_code == abi::SI_TIMER) {
        out.ssi_tid = static_cast<u32>(info.timer.timer_id);
        out.ssi_overrun = static_cast<u32>(info.timer.overrun);
        out.ssi_ptr = info.timer.value.sival_ptr;
        out.ssi_int = info.timer.value.sival_int;
    } else if (is_fault(info.si_signo) && info.si_code > 0 && info.si_code != abi::SI_KERNEL) {
        out.ssi_addr = info.fault.address;
        out.ssi_addr_lsb = info.fault.address_lsb;
    } else if (info.si_signo == abi::SIGCHLD && info.si_code > 0 && info.si_code != abi::SI_KERNEL) {
        out.ssi_pid = static_cast<u32>(info.child.pid);
        out.ssi_uid = info.child.uid;
        out.ssi_status = info.child.status;
        out.ssi_utime = static_cast<u64>(info.child.utime);
        out.ssi_stime = static_cast<u64>(info.child.stime);
    } else {
        out.ssi_pid = static_cast<u32>(info.kill.pid);
        out.ssi_uid = info.kill.uid;
        if (info.si_code == abi::SI_QUEUE || info.si_code == abi::SI_MESGQ) {
            out.ssi_ptr = info.kill.value.sival_ptr;
            out.ssi_int = info.kill.value.sival_int;
        }
    }
    return out;
}

class SignalFd final : public vfs::File {
public:
    SignalFd(SigSet mask, u32 flags, RefPtr<Process> process)
        : File(vfs::anonymous_inode(), abi::O_RDWR | flags, Positioning::Stream), mask_(mask.bits),
          process_(std::move(process)) {}

    Result<usize> read(vfs::IoBuffer& to, u64) override {
        if (to.remaining() < sizeof(signalfd_siginfo)) return error(Errno::EINVAL);
        usize total = 0;
        while (to.remaining() >= sizeof(signalfd_siginfo)) {
            const auto blocking = total > 0 || is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
            Result<abi::siginfo_t> info =
                vfs::try_then_wait(*event_source_of_caller(), abi::POLLIN, blocking, [&]() -> Result<abi::siginfo_t> {
                    abi::siginfo_t taken;
                    if (!take_pending_signal(current(), mask(), taken)) return error(Errno::EAGAIN);
                    return taken;
                });
            if (!info) {
                if (total > 0) break;
                return error(info.error());
            }
            TRY(to.copy_out_object(translate(*info)));
            total += sizeof(signalfd_siginfo);
        }
        return total;
    }
    u32 poll() override {
        Thread* thread = current_or_null();
        if (!thread) return 0;
        Process& process = thread->process();
        core::InterruptSpinGuard guard(process.signal_lock);
        const u64 pending = thread->signals.pending.set.bits | process.signals.pending.set.bits;
        return (pending & mask().bits) ? abi::POLLIN | abi::POLLRDNORM : 0;
    }
    vfs::EventSource* event_source() override { return &process_->signals.arrivals; }
    vfs::EventSource* event_source_of_caller() override { return &current().process().signals.arrivals; }
    void describe(TextSink sink) const override { sink("anon_inode:[signalfd]"); }
    void show_fdinfo(TextSink sink) const override { format_to(sink, "sigmask:\t{016x}\n", mask().bits); }
    const void* kind() const override { return &tag; }

    void set_mask(SigSet mask) {
        mask_.store(mask.bits);
        process_->signals.arrivals.notify(abi::POLLIN | abi::POLLRDNORM);
    }
    static const char tag;

private:
    [[nodiscard]] SigSet mask() const { return SigSet{mask_.load()}; }
    std::atomic<u64> mask_;
    RefPtr<Process> process_;
};
const char SignalFd::tag = 0;

/// SIGKILL and SIGSTOP are silently left out.
SigSet receivable(SigSet mask) {
    mask.remove(abi::SIGKILL);
    mask.remove(abi::SIGSTOP);
    return mask;
}

} // namespace

Result<RefPtr<vfs::File>> create_signalfd(SigSet mask, u32 flags) {
    auto* file = new (std::nothrow) SignalFd(receivable(mask), flags, RefPtr<Process>(current().process()));
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<vfs::File>::adopt(*file);
}

Result<void> set_signalfd_mask(vfs::File& file, SigSet mask) {
    if (file.kind() != &SignalFd::tag) return error(Errno::EINVAL);
    static_cast<SignalFd&>(file).set_mask(receivable(mask));
    return {};
}

} // namespace linnet::process
