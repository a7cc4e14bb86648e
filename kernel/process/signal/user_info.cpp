// siginfo between the kernel, which keeps what has a meaning, and user space, which has room for more.
#include <algorithm>
#include <iterator>
#include <process/signal.hpp>

namespace linnet::process {
namespace {

struct CodesOfSignal {
    int signal;
    int last; // si_code from 1 to here is the kernel's, as of Linux 6.12
};
constexpr CodesOfSignal codes[] = {{abi::SIGILL, 11}, {abi::SIGFPE, 15}, {abi::SIGSEGV, 10}, {abi::SIGBUS, 5},
                                   {abi::SIGTRAP, 6}, {abi::SIGCHLD, 6}, {abi::SIGIO, 6},    {abi::SIGSYS, 2}};

/// Whether it is known what a siginfo of this code holds. What isn't may use all of its room, and that can't be kept.
bool has_known_layout(int signal, int code) {
    constexpr int any_signal_last = 6; // POLL_HUP: SIGIO's codes may come with any signal (F_SETSIG)
    constexpr int name_lookup = -60;   // SI_ASYNCNL
    if (code == abi::SI_KERNEL || code == name_lookup) return true;
    if (code <= 0) return code >= abi::SI_DETHREAD;
    const auto* own = std::ranges::find(codes, signal, &CodesOfSignal::signal);
    return code <= (own != std::end(codes) ? own->last : any_signal_last);
}

} // namespace

Result<abi::siginfo_t> read_signal_info(mm::UserPtr<mm::In, abi::user_siginfo_t> from, int signal) {
    abi::user_siginfo_t raw = TRY(from.copy_in());
    if (signal != 0) raw.known.si_signo = signal;
    const auto is_zero = [](u8 byte) { return byte == 0; };
    if (!has_known_layout(raw.known.si_signo, raw.known.si_code) && !std::ranges::all_of(raw.unused, is_zero))
        return error(Errno::E2BIG);
    return raw.known;
}

Result<void> write_signal_info(mm::UserPtr<mm::Out, abi::user_siginfo_t> to, const abi::siginfo_t& info) {
    return to.copy_out({info, {}});
}

} // namespace linnet::process
