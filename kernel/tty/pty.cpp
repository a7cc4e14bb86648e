// The pair: numbers, and the driver between the slave's line discipline and the master's ring.
#include "pty.hpp"

#include <algorithm>
#include <lib/own_ptr.hpp>
#include <vfs/device.hpp>

namespace linnet::tty {

using namespace abi;

namespace {

/// Which numbers are in use, and the ptys whose masters are open.
struct Registry {
    Pty* open[max_ptys] = {};
    u64 used[max_ptys / 64] = {};
};
constinit core::Mutex registry_lock;
constinit Registry* registry = nullptr; // made at the first use, never freed

Result<u32> take_number() {
    core::MutexGuard guard(registry_lock);
    if (!registry) registry = TRY(try_make<Registry>()).release();
    for (u32 word = 0; word < max_ptys / 64; ++word) {
        if (registry->used[word] == ~u64{0}) continue;
        const u32 bit = static_cast<u32>(std::countr_one(registry->used[word]));
        registry->used[word] |= u64{1} << bit;
        return word * 64 + bit;
    }
    return error(Errno::ENOSPC);
}

void give_number_back(u32 number) {
    core::MutexGuard guard(registry_lock);
    registry->used[number / 64] &= ~(u64{1} << (number % 64));
}

void set_open(u32 number, Pty* pty) {
    core::MutexGuard guard(registry_lock);
    registry->open[number] = pty;
}

} // namespace

Result<RefPtr<Terminal>> Pty::create(Pty*& pty) {
    const u32 number = TRY(take_number());
    ScopeGuard number_guard([&] { give_number_back(number); });
    pty = new (std::nothrow) Pty(number);
    if (!pty) return error(Errno::ENOMEM);
    char name[16];
    auto slave =
        Terminal::create(*pty, format_into(name, "pts/{}", number), vfs::DeviceNumber{pts_major, number}.encoded());
    if (!slave) {
        delete pty;
        return slave;
    }
    number_guard.dismiss(); // terminal_destroyed() does it from here on
    pty->slave_ = slave->get();
    set_open(number, pty);
    return slave;
}

NullableRefPtr<Terminal> Pty::find_slave(u32 number) {
    core::MutexGuard guard(registry_lock);
    if (!registry || number >= max_ptys || !registry->open[number]) return nullptr;
    // The master's file holds the terminal as long as the pty is in the table.
    return NullableRefPtr<Terminal>(registry->open[number]->slave_);
}

bool Pty::is_locked(const Terminal& slave) {
    const u32 number = vfs::DeviceNumber::decode(slave.device_number()).minor;
    core::MutexGuard guard(registry_lock);
    const Pty* pty = registry ? registry->open[number] : nullptr;
    return !pty || pty->locked.load();
}

void Pty::terminal_destroyed() {
    give_number_back(number_);
    delete this;
}

usize Pty::write(std::span<const u8> bytes) {
    usize count = 0;
    {
        core::SpinGuard guard(lock_);
        while (count < bytes.size() && head_ - tail_ < ring_capacity) ring_[head_++ % ring_capacity] = bytes[count++];
    }
    if (count > 0) master_events.notify(POLLIN | POLLRDNORM);
    return count;
}

usize Pty::write_room() {
    core::SpinGuard guard(lock_);
    return ring_capacity - (head_ - tail_);
}

/// What is in the ring counts as sent: the master could have read it already. Only the flush itself is told.
void Pty::discard_output() { note_status(TIOCPKT_FLUSHWRITE); }

void Pty::note_status(u8 bits) {
    {
        core::SpinGuard guard(lock_);
        if (packet_mode_ == PacketMode::Off) return;
        // Of a pair of opposites the later one counts.
        if (bits & TIOCPKT_STOP) packet_status_ &= static_cast<u8>(~TIOCPKT_START);
        if (bits & TIOCPKT_START) packet_status_ &= static_cast<u8>(~TIOCPKT_STOP);
        if (bits & TIOCPKT_DOSTOP) packet_status_ &= static_cast<u8>(~TIOCPKT_NOSTOP);
        if (bits & TIOCPKT_NOSTOP) packet_status_ &= static_cast<u8>(~TIOCPKT_DOSTOP);
        packet_status_ |= bits;
    }
    master_events.notify(POLLIN | POLLRDNORM | POLLPRI);
}

void Pty::settings_changed(termios2& settings, const termios2& before) {
    settings.c_cflag = (settings.c_cflag & ~(CSIZE | PARENB)) | CS8 | CREAD;
    const auto stops_by_usual_keys = [](const termios2& t) {
        return (t.c_iflag & IXON) && t.c_cc[VSTOP] == 0x13 && t.c_cc[VSTART] == 0x11;
    };
    const bool now = stops_by_usual_keys(settings);
    if (now != stops_by_usual_keys(before)) note_status(now ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP);
    if ((settings.c_lflag | before.c_lflag) & EXTPROC) note_status(TIOCPKT_IOCTL);
}

void Pty::opened() {
    core::SpinGuard guard(lock_);
    slave_was_closed_ = false;
}

void Pty::closed() {
    {
        core::SpinGuard guard(lock_);
        slave_was_closed_ = true;
    }
    master_events.notify(POLLHUP | POLLIN | POLLRDNORM);
}

Result<usize> Pty::take_output(std::span<u8> out) {
    core::SpinGuard guard(lock_);
    usize count = 0;
    if (packet_mode_ == PacketMode::On) {
        if (packet_status_ != 0) {
            out[0] = std::exchange(packet_status_, u8{0});
            return 1;
        }
        if (head_ != tail_) out[count++] = TIOCPKT_DATA;
    }
    if (head_ == tail_) return error(slave_was_closed_ ? Errno::EIO : Errno::EAGAIN);
    while (count < out.size() && tail_ != head_) out[count++] = ring_[tail_++ % ring_capacity];
    return count;
}

u32 Pty::poll_master() {
    u32 mask = slave_->has_input_room() ? POLLOUT | POLLWRNORM : 0;
    core::SpinGuard guard(lock_);
    if (head_ != tail_) mask |= POLLIN | POLLRDNORM;
    if (packet_status_ != 0) mask |= POLLPRI | POLLIN | POLLRDNORM;
    if (slave_was_closed_) mask |= POLLHUP;
    return mask;
}

usize Pty::bytes_for_master() {
    core::SpinGuard guard(lock_);
    return head_ - tail_;
}

void Pty::set_packet_mode(PacketMode mode) {
    core::SpinGuard guard(lock_);
    packet_mode_ = mode;
    packet_status_ = 0;
}

void Pty::close_master() {
    set_open(number_, nullptr);
    remove_devpts_node(number_);
    master_is_open_.store(false, std::memory_order_relaxed); // seen by who sees the hang-up
    slave_->hang_up();
}

} // namespace linnet::tty
