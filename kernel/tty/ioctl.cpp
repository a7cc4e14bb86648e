// ioctl_tty(2).
#include "terminal_file.hpp"

#include <abi/linux/signal.hpp>
#include <core/sched.hpp>
#include <mm/usercopy.hpp>
#include <vfs/current.hpp>

namespace linnet::tty {

using namespace abi;

namespace {

using When = Terminal::When;

template <typename T>
Result<long> put(u64 argument, const T& value) {
    TRY((mm::UserPtr<mm::Out, T>(VirtAddr{argument}).copy_out(value)));
    return 0;
}
template <typename T>
Result<T> take(u64 argument) {
    return mm::UserPtr<mm::In, T>(VirtAddr{argument}).copy_in();
}

/// Bits per second of the B… codes (termios(3)); BOTHER takes the speed given apart.
u32 decode_speed(u32 code, u32 other) {
    constexpr u32 slow[] = {0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
    constexpr u32 fast[] = {0,       57600,   115200,  230400,  460800,  500000,  576000,  921600,
                            1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000};
    code &= CBAUD;
    if (code == BOTHER) return other;
    return (code & CBAUDEX) ? fast[code & 0xf] : slow[code & 0xf];
}

void update_speeds(termios2& settings) {
    settings.c_ospeed = decode_speed(settings.c_cflag, settings.c_ospeed);
    const u32 input_code = settings.c_cflag >> IBSHIFT;
    settings.c_ispeed = (input_code & CBAUD) ? decode_speed(input_code, settings.c_ispeed) : settings.c_ospeed;
}

Result<long> set_settings(Terminal& terminal, termios2 settings, When when) {
    update_speeds(settings);
    TRY(terminal.check_foreground(SIGTTOU));
    TRY(terminal.set_settings(settings, when));
    return 0;
}

/// TCSETS*: all but the speeds, which c_cflag names.
Result<long> set_termios(Terminal& terminal, u64 argument, When when) {
    const abi::termios given = TRY(take<abi::termios>(argument));
    termios2 settings = terminal.settings();
    std::memcpy(&settings, &given, sizeof(given));
    return set_settings(terminal, settings, when);
}

Result<long> set_termios2(Terminal& terminal, u64 argument, When when) {
    return set_settings(terminal, TRY(take<termios2>(argument)), when);
}

/// TCSETA*: the low halves of the flags.
Result<long> set_termio(Terminal& terminal, u64 argument, When when) {
    const termio given = TRY(take<termio>(argument));
    termios2 settings = terminal.settings();
    const auto low_half = [](u32 whole, u16 low) { return (whole & 0xffff0000u) | low; };
    settings.c_iflag = low_half(settings.c_iflag, given.c_iflag);
    settings.c_oflag = low_half(settings.c_oflag, given.c_oflag);
    settings.c_cflag = low_half(settings.c_cflag, given.c_cflag);
    settings.c_lflag = low_half(settings.c_lflag, given.c_lflag);
    std::memcpy(settings.c_cc, given.c_cc, sizeof(given.c_cc));
    return set_settings(terminal, settings, when);
}

Result<long> get_termios(Terminal& terminal, u64 argument) {
    const termios2 settings = terminal.settings();
    abi::termios out;
    std::memcpy(&out, &settings, sizeof(out));
    return put(argument, out);
}

Result<long> get_termio(Terminal& terminal, u64 argument) {
    const termios2 settings = terminal.settings();
    termio out{static_cast<u16>(settings.c_iflag),
               static_cast<u16>(settings.c_oflag),
               static_cast<u16>(settings.c_cflag),
               static_cast<u16>(settings.c_lflag),
               settings.c_line,
               {}};
    std::memcpy(out.c_cc, settings.c_cc, sizeof(out.c_cc));
    return put(argument, out);
}

Result<long> settings_ioctl(Terminal& terminal, u32 command, u64 argument) {
    switch (command) {
    case TCGETS:
        return get_termios(terminal, argument);
    case TCGETS2:
        return put(argument, terminal.settings());
    case TCGETA:
        return get_termio(terminal, argument);
    case TCSETS:
        return set_termios(terminal, argument, When::Now);
    case TCSETSW:
        return set_termios(terminal, argument, When::AfterOutput);
    case TCSETSF:
        return set_termios(terminal, argument, When::AfterOutputFlushingInput);
    case TCSETS2:
        return set_termios2(terminal, argument, When::Now);
    case TCSETSW2:
        return set_termios2(terminal, argument, When::AfterOutput);
    case TCSETSF2:
        return set_termios2(terminal, argument, When::AfterOutputFlushingInput);
    case TCSETA:
        return set_termio(terminal, argument, When::Now);
    case TCSETAW:
        return set_termio(terminal, argument, When::AfterOutput);
    case TCSETAF:
        return set_termio(terminal, argument, When::AfterOutputFlushingInput);
    default:
        return error(Errno::ENOTTY);
    }
}

Result<long> control_flow(Terminal& terminal, u64 argument) {
    TRY(terminal.check_foreground(SIGTTOU));
    switch (static_cast<int>(argument)) {
    case TCOOFF:
        terminal.set_flow(Terminal::Flow::Stopped);
        return 0;
    case TCOON:
        terminal.set_flow(Terminal::Flow::Running);
        return 0;
    case TCIOFF:
        terminal.send_flow_character(VSTOP);
        return 0;
    case TCION:
        terminal.send_flow_character(VSTART);
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

Result<long> flush_queues(Terminal& terminal, Side side, u64 argument) {
    TRY(terminal.check_foreground(SIGTTOU));
    using Queues = Terminal::Queues;
    // Seen from the master, its input is what the other side put out.
    const bool mirrored = side == Side::PtyMaster;
    switch (static_cast<int>(argument)) {
    case TCIFLUSH:
        terminal.flush(mirrored ? Queues::Output : Queues::Input);
        return 0;
    case TCOFLUSH:
        terminal.flush(mirrored ? Queues::Input : Queues::Output);
        return 0;
    case TCIOFLUSH:
        terminal.flush(Queues::Both);
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

/// tcdrain(3) and tcsendbreak(3). Our lines have no break condition to send; the time it lasts passes all the
/// same.
Result<long> drain_and_break(Terminal& terminal, bool sends_break) {
    TRY(terminal.check_foreground(SIGTTOU));
    TRY(terminal.wait_until_sent());
    if (sends_break) core::sleep_for(250'000'000);
    return 0;
}

Result<long> job_ioctl(Terminal& terminal, const vfs::File& file, Side side, u32 command, u64 argument) {
    switch (command) {
    case TIOCSCTTY: {
        if (!file.is_readable() && !vfs::current_credentials().has(vfs::Capability::SysAdmin))
            return error(Errno::EPERM);
        TRY(terminal.become_controlling(argument == 1 ? Terminal::Taking::Steal : Terminal::Taking::IfFree));
        return 0;
    }
    case TIOCNOTTY:
        // A master is nobody's controlling terminal, only the other end can be.
        if (side == Side::PtyMaster) return error(Errno::ENOTTY);
        TRY(terminal.release_controlling());
        return 0;
    case TIOCGPGRP:
        if (side == Side::Terminal && !terminal.controls_current()) return error(Errno::ENOTTY);
        return put<i32>(argument, terminal.foreground_group());
    case TIOCSPGRP:
        TRY(terminal.set_foreground_group(TRY(take<i32>(argument))));
        return 0;
    case TIOCGSID:
        if (side == Side::Terminal && !terminal.controls_current()) return error(Errno::ENOTTY);
        return put<i32>(argument, TRY(terminal.session_id()));
    default:
        return error(Errno::ENOTTY);
    }
}

/// TIOCSTI: typing on behalf of the user.
Result<long> simulate_input(Terminal& terminal, u64 argument) {
    const bool is_admin = vfs::current_credentials().has(vfs::Capability::SysAdmin);
    if (!terminal.controls_current() && !is_admin) return error(Errno::EPERM);
    const u8 byte = TRY(take<u8>(argument));
    terminal.receive({&byte, 1});
    return 0;
}

} // namespace

Result<long> terminal_ioctl(Terminal& terminal, const vfs::File& file, Side side, u32 command, u64 argument) {
    switch (command) {
    case TIOCGWINSZ:
        return put(argument, terminal.window_size());
    case TIOCSWINSZ:
        terminal.set_window_size(TRY(take<winsize>(argument)));
        return 0;
    case FIONREAD:
        return put<i32>(argument, static_cast<i32>(terminal.readable_bytes()));
    case TIOCOUTQ:
        return put<i32>(argument, static_cast<i32>(terminal.unsent_bytes()));
    case TCXONC:
        return control_flow(terminal, argument);
    case TCFLSH:
        return flush_queues(terminal, side, argument);
    case TCSBRK:
        return drain_and_break(terminal, argument == 0);
    case TCSBRKP:
        return drain_and_break(terminal, true);
    case TIOCSTI:
        return simulate_input(terminal, argument);
    case TIOCGETD:
        return put<i32>(argument, N_TTY);
    case TIOCSETD:
        if (TRY(take<i32>(argument)) != N_TTY) return error(Errno::EINVAL);
        return 0;
    case TIOCEXCL:
        terminal.exclusive.store(true);
        return 0;
    case TIOCNXCL:
        terminal.exclusive.store(false);
        return 0;
    case TIOCGEXCL:
        return put<i32>(argument, terminal.exclusive.load() ? 1 : 0);
    case TIOCGDEV:
        return put<u32>(argument, static_cast<u32>(terminal.device_number()));
    case TIOCGSOFTCAR:
        return put<i32>(argument, (terminal.settings().c_cflag & CLOCAL) ? 1 : 0);
    case TIOCVHANGUP:
        if (!vfs::current_credentials().has(vfs::Capability::SysAdmin)) return error(Errno::EPERM);
        terminal.hang_up();
        return 0;
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TIOCGPGRP:
    case TIOCSPGRP:
    case TIOCGSID:
        return job_ioctl(terminal, file, side, command, argument);
    default:
        return settings_ioctl(terminal, command, argument);
    }
}

} // namespace linnet::tty
