// The master's file, /dev/ptmx, and opening slaves.
#include "pty.hpp"
#include "terminal_file.hpp"

#include <abi/linux/signal.hpp>
#include <abi/linux/stat.hpp>
#include <algorithm>
#include <mm/usercopy.hpp>
#include <process/process.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/operations.hpp>

namespace linnet::tty {

using namespace abi;
using vfs::Blocking;

namespace {

constexpr u32 TIOCSIG = 0x40045436;
constexpr usize chunk_size = 512;

class PtyMasterFile final : public vfs::File {
public:
    PtyMasterFile(const vfs::Path& path, u32 flags, RefPtr<Terminal> slave, Pty& pty)
        : File(path, flags, Positioning::Stream), slave_(std::move(slave)), pty_(pty) {}
    ~PtyMasterFile() override { pty_.close_master(); }

    Result<usize> read(vfs::IoBuffer& to, u64) override;
    Result<usize> write(vfs::IoBuffer& from, u64) override;
    bool feeds_pipes() const override { return true; }
    bool takes_from_pipes() const override { return true; }
    Result<long> ioctl(u32 command, u64 argument) override;
    u32 poll() override { return pty_.poll_master(); }
    vfs::EventSource* event_source() override { return &pty_.master_events; }
    vfs::EventSource* async_source() override { return &pty_.master_events; }
    void show_fdinfo(TextSink sink) const override { format_to(sink, "tty-index:\t{}\n", pty_.number()); }

private:
    [[nodiscard]] Blocking blocking() const { return is_nonblocking() ? Blocking::Refuse : Blocking::Wait; }
    Result<long> open_peer(u32 flags);

    RefPtr<Terminal> slave_;
    Pty& pty_; // owned by slave_
};

Result<usize> PtyMasterFile::read(vfs::IoBuffer& to, u64) {
    usize total = 0;
    u8 chunk[chunk_size];
    while (to.remaining() > 0) {
        const std::span<u8> part = std::span(chunk).first(std::min(sizeof(chunk), to.remaining()));
        Result<usize> count =
            vfs::try_then_wait(pty_.master_events, POLLIN | POLLPRI, total > 0 ? Blocking::Refuse : blocking(),
                               [&]() -> Result<usize> { return pty_.take_output(part); });
        if (!count) {
            if (total > 0) break;
            return count;
        }
        const usize moved = TRY(to.copy_out(part.first(*count)));
        total += moved;
        // A packet is one read; and a chunk that wasn't filled was the last.
        if (pty_.packet_mode() == Pty::PacketMode::On || *count < part.size()) break;
    }
    slave_->resume_device_output();
    return total;
}

Result<usize> PtyMasterFile::write(vfs::IoBuffer& from, u64) {
    usize total = 0;
    u8 chunk[chunk_size];
    while (from.remaining() > 0) {
        Result<usize> count = from.copy_in(std::span(chunk).first(std::min(sizeof(chunk), from.remaining())));
        if (!count) {
            if (total > 0) break;
            return count;
        }
        usize sent = 0;
        Result<void> result = vfs::try_then_wait(pty_.master_events, POLLOUT, blocking(), [&]() -> Result<void> {
            sent += slave_->receive(std::span<const u8>(chunk).subspan(sent, *count - sent));
            if (sent < *count) return error(Errno::EAGAIN);
            return {};
        });
        total += sent;
        if (!result) {
            if (total > 0) break;
            return error(result.error());
        }
    }
    return total;
}

template <typename T>
Result<long> put(u64 argument, T value) {
    TRY((mm::UserPtr<mm::Out, T>(VirtAddr{argument}).copy_out(value)));
    return 0;
}

Result<long> PtyMasterFile::ioctl(u32 command, u64 argument) {
    switch (command) {
    case TIOCGPTN:
        return put<u32>(argument, pty_.number());
    case TIOCSPTLCK:
        pty_.locked.store(TRY((mm::UserPtr<mm::In, i32>(VirtAddr{argument}).copy_in())) != 0);
        return 0;
    case TIOCGPTLCK:
        return put<i32>(argument, pty_.locked.load() ? 1 : 0);
    case TIOCPKT: {
        const bool on = TRY((mm::UserPtr<mm::In, i32>(VirtAddr{argument}).copy_in())) != 0;
        pty_.set_packet_mode(on ? Pty::PacketMode::On : Pty::PacketMode::Off);
        return 0;
    }
    case TIOCGPKT:
        return put<i32>(argument, pty_.packet_mode() == Pty::PacketMode::On ? 1 : 0);
    case TIOCGPTPEER:
        return open_peer(static_cast<u32>(argument));
    case TIOCSIG: {
        const int signo = static_cast<int>(argument);
        if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP) return error(Errno::EINVAL);
        slave_->send_to_foreground(signo);
        return 0;
    }
    case FIONREAD:
        return put<i32>(argument, static_cast<i32>(pty_.bytes_for_master()));
    case TIOCOUTQ:
        return put<i32>(argument, 0);
    default:
        return terminal_ioctl(*slave_, *this, Side::PtyMaster, command, argument);
    }
}

/// TIOCGPTPEER: a descriptor of the slave without going by its name.
Result<long> PtyMasterFile::open_peer(u32 flags) {
    char text[24];
    const std::string_view name = format_into(text, "/dev/pts/{}", pty_.number());
    vfs::FdTable& files = vfs::current_files();
    vfs::FdReservation reservation = TRY(vfs::FdReservation::create(files));
    vfs::Path place = TRY(vfs::lookup(name));
    RefPtr<vfs::File> file = TRY(open_terminal(place, flags | O_NOCTTY, slave_, FileKind::Ordinary));
    return reservation.install(std::move(file), vfs::close_on_exec(flags));
}

class PtmxDevice final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "/dev/ptmx"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber, const vfs::Path& path, u32 flags) override {
        Pty* pty = nullptr;
        RefPtr<Terminal> slave = TRY(Pty::create(pty));
        auto* file = new (std::nothrow) PtyMasterFile(path, flags, slave, *pty);
        if (!file) {
            pty->close_master();
            return error(Errno::ENOMEM);
        }
        RefPtr<vfs::File> master = RefPtr<vfs::File>::adopt(*file);
        TRY(add_devpts_node(pty->number()));
        return master;
    }
};

class SlaveDevices final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "pts"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber number, const vfs::Path& path, u32 flags) override {
        NullableRefPtr<Terminal> slave = Pty::find_slave(number.minor);
        if (!slave) return error(Errno::EIO);
        if (Pty::is_locked(*slave)) return error(Errno::EIO);
        return open_terminal(path, flags, RefPtr<Terminal>(std::move(slave)), FileKind::Ordinary);
    }
};

constinit PtmxDevice ptmx_device;
constinit SlaveDevices slave_devices;

} // namespace

Result<void> initialise_ptys() {
    TRY(vfs::register_character_device(5, 2, 1, ptmx_device));
    TRY(vfs::register_character_device(pts_major, 0, max_ptys, slave_devices));
    TRY(vfs::announce_device("ptmx", S_IFCHR | 0666, {5, 2}, "tty"));
    return register_devpts();
}

} // namespace linnet::tty
