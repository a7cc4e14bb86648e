// Reading and writing terminals: termios(3)'s VMIN and VTIME, job control, hang-ups.
#include "terminal_file.hpp"

#include <abi/linux/signal.hpp>
#include <algorithm>
#include <vfs/current.hpp>

namespace linnet::tty {

using namespace abi;
using vfs::Blocking;

namespace {
constexpr u32 hung_up_events =
    POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM; // what every operation of a dead file is: at once
constexpr usize chunk_size = 512;
} // namespace

TerminalFile::TerminalFile(const vfs::Path& path, u32 flags, RefPtr<Terminal> terminal, FileKind kind)
    : File(path, flags, Positioning::Stream), terminal_(std::move(terminal)), kind_(kind),
      generation_(terminal_->open_file()) {}

Result<LineDiscipline::ReadStep> TerminalFile::read_chunk(std::span<u8> chunk, Blocking blocking,
                                                          core::Deadline deadline) {
    using Step = LineDiscipline::ReadStep;
    return vfs::try_then_wait(terminal_->events(), POLLIN, blocking, deadline, [&]() -> Result<Step> {
        if (is_hung_up()) {
            // A read that has begun already tells the difference; those that come later find the end of the file.
            if (terminal_->is_cut_off()) return error(Errno::EIO);
            return Step{0, true};
        }
        return terminal_->read(chunk);
    });
}

Result<usize> TerminalFile::read(vfs::IoBuffer& to, u64) {
    if (is_hung_up() || to.remaining() == 0) return 0;
    if (kind_ != FileKind::Console) TRY(terminal_->check_foreground(SIGTTIN));
    const Terminal::ReadMode mode = terminal_->read_mode();
    const usize minimum = mode.canonical ? 1 : std::min<usize>(mode.minimum, to.remaining());
    const u64 interval_ns = u64{mode.tenths} * 100'000'000;
    const bool timed = !mode.canonical && mode.tenths > 0;
    usize total = 0;
    u8 chunk[chunk_size];
    while (to.remaining() > 0) {
        // What is beyond the minimum is taken without waiting; between bytes VTIME runs, and before the first
        // one only where VMIN is 0.
        const bool satisfied = total >= minimum && (total > 0 || !timed);
        core::Deadline deadline = core::Deadline::never();
        if (timed && (total > 0 || minimum == 0)) deadline = core::Deadline::after(interval_ns);
        Result<LineDiscipline::ReadStep> step =
            read_chunk(std::span(chunk).first(std::min(sizeof(chunk), to.remaining())),
                       satisfied ? Blocking::Refuse : blocking(), deadline);
        if (!step) {
            const bool nothing_more = step.error() == Errno::EAGAIN && (satisfied || !deadline.is_never());
            if (total > 0 || (nothing_more && !is_nonblocking())) return total;
            if (minimum == 0 && !timed && !mode.canonical) return 0;
            return error(step.error());
        }
        const usize moved = TRY(to.copy_out(std::span<const u8>(chunk).first(step->count)));
        total += moved;
        if (step->ends_read || moved < step->count) break;
    }
    return total;
}

Result<void> TerminalFile::write_chunk(std::span<const u8> chunk, usize& sent) {
    return vfs::try_then_wait(terminal_->events(), POLLOUT, blocking(), [&]() -> Result<void> {
        if (is_hung_up()) return error(Errno::EIO);
        sent += TRY(terminal_->write(chunk.subspan(sent)));
        if (sent < chunk.size()) return error(Errno::EAGAIN);
        return {};
    });
}

Result<usize> TerminalFile::write(vfs::IoBuffer& from, u64) {
    if (is_hung_up()) return error(Errno::EIO);
    if (kind_ != FileKind::Console && terminal_->stops_background_output()) TRY(terminal_->check_foreground(SIGTTOU));
    usize total = 0;
    u8 chunk[chunk_size];
    while (from.remaining() > 0) {
        Result<usize> count = from.copy_in(std::span(chunk).first(std::min(sizeof(chunk), from.remaining())));
        usize sent = 0;
        Result<void> result =
            count ? write_chunk(std::span<const u8>(chunk).first(*count), sent) : error(count.error());
        total += sent;
        if (!result) {
            if (total > 0) break;
            return error(result.error());
        }
    }
    return total;
}

u32 TerminalFile::poll() {
    if (is_hung_up()) return hung_up_events;
    return terminal_->poll();
}

Result<long> TerminalFile::ioctl(u32 command, u64 argument) {
    if (is_hung_up()) return error(command == TIOCSPGRP ? Errno::ENOTTY : Errno::EIO);
    return terminal_ioctl(*terminal_, *this, Side::Terminal, command, argument);
}

Result<RefPtr<vfs::File>> open_terminal(const vfs::Path& path, u32 flags, RefPtr<Terminal> terminal, FileKind kind) {
    if (terminal->exclusive.load() && terminal->open_files() > 0 &&
        !vfs::current_credentials().has(vfs::Capability::SysAdmin))
        return error(Errno::EBUSY);
    auto* file = new (std::nothrow) TerminalFile(path, flags, terminal, kind);
    if (!file) return error(Errno::ENOMEM);
    RefPtr<vfs::File> opened = RefPtr<vfs::File>::adopt(*file);
    if (kind == FileKind::Ordinary && !(flags & O_NOCTTY) && opened->is_readable() && process::current_or_null())
        terminal->become_controlling_if_free();
    return opened;
}

} // namespace linnet::tty
