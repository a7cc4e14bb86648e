// The part of UART drivers that doesn't depend on the UART.
#include <algorithm>
#include <core/panic.hpp>
#include <drivers/serial_port.hpp>

namespace linnet::drivers {

namespace {

/// A transmitter that takes nothing for so many tries is dead; the log goes on without it.
constexpr u32 send_patience = 1'000'000;
/// Fill of the ring below which the terminal is told to send more.
constexpr usize low_water = SerialPort::transmit_capacity / 4;

} // namespace

Result<void> SerialPort::attach(std::string_view name, vfs::DeviceNumber number) {
    RefPtr<tty::Terminal> terminal = TRY(tty::register_terminal(*this, name, number));
    terminal->ref(); // never given back: ports stay
    core::InterruptSpinGuard guard(lock_);
    terminal_ = terminal.get();
    switch_interrupt(Direction::Receive, Switch::On);
    return {};
}

// ---- transmitting ----

/// With the lock held, or in a panic without it.
void SerialPort::send_polled(std::string_view text) {
    u32 patience = send_patience;
    while (!text.empty() && patience > 0) {
        usize sent = send({reinterpret_cast<const u8*>(text.data()), text.size()});
        text.remove_prefix(sent);
        if (sent == 0) --patience;
    }
}

void SerialPort::write(std::string_view text) {
    auto send_lines = [&] {
        while (!text.empty()) {
            usize end = text.find('\n');
            send_polled(text.substr(0, end));
            if (end == text.npos) break;
            send_polled("\r\n");
            text.remove_prefix(end + 1);
        }
    };
    if (core::is_panicking()) return send_lines(); // a stopped CPU may hold the lock
    core::InterruptSpinGuard guard(lock_);
    send_lines();
}

/// Moves bytes from the ring to the hardware; returns how many stay.
usize SerialPort::pump_transmitter() {
    while (ring_tail_ != ring_head_) {
        usize begin = ring_tail_ % transmit_capacity;
        usize length = std::min(ring_head_ - ring_tail_, transmit_capacity - begin);
        usize sent = send({ring_.data() + begin, length});
        ring_tail_ += sent;
        if (sent < length) break;
    }
    usize left = ring_head_ - ring_tail_;
    switch_interrupt(Direction::Transmit, left > 0 ? Switch::On : Switch::Off);
    return left;
}

usize SerialPort::write(std::span<const u8> bytes) {
    core::InterruptSpinGuard guard(lock_);
    usize taken = 0;
    // What the hardware takes at once needs no interrupt.
    if (ring_head_ == ring_tail_) {
        while (taken < bytes.size()) {
            usize sent = send(bytes.subspan(taken));
            if (sent == 0) break;
            taken += sent;
        }
    }
    for (; taken < bytes.size() && ring_head_ - ring_tail_ < transmit_capacity; ++taken)
        ring_[ring_head_++ % transmit_capacity] = bytes[taken];
    if (ring_head_ != ring_tail_) switch_interrupt(Direction::Transmit, Switch::On);
    return taken;
}

usize SerialPort::write_room() {
    core::InterruptSpinGuard guard(lock_);
    return transmit_capacity - (ring_head_ - ring_tail_);
}

usize SerialPort::pending_output() {
    core::InterruptSpinGuard guard(lock_);
    return ring_head_ - ring_tail_;
}

void SerialPort::discard_output() {
    core::InterruptSpinGuard guard(lock_);
    ring_tail_ = ring_head_;
}

// ---- receiving ----

/// Without the lock. What the terminal can't take waits here, with the receive interrupt off, until it has
/// room: nothing is lost as long as the other side heeds its flow control.
void SerialPort::deliver(std::span<const u8> bytes) {
    usize taken = terminal_ ? terminal_->receive_later(bytes) : bytes.size();
    if (taken >= bytes.size()) return;
    core::InterruptSpinGuard guard(lock_);
    held_count_ = bytes.size() - taken;
    std::copy_n(bytes.begin() + static_cast<isize>(taken), held_count_, held_.begin());
    switch_interrupt(Direction::Receive, Switch::Off);
}

void SerialPort::input_has_room() {
    std::array<u8, receive_batch> bytes;
    usize count;
    {
        core::InterruptSpinGuard guard(lock_);
        count = std::exchange(held_count_, 0);
        if (count == 0) return;
        std::copy_n(held_.begin(), count, bytes.begin());
    }
    deliver({bytes.data(), count});
    core::InterruptSpinGuard guard(lock_);
    if (held_count_ == 0) switch_interrupt(Direction::Receive, Switch::On);
}

bool SerialPort::handle_interrupt() {
    bool was_ours = false;
    for (;;) {
        std::array<u8, receive_batch> bytes;
        usize count = 0, before = 0, left = 0;
        {
            core::InterruptSpinGuard guard(lock_);
            if (!acknowledge_interrupt()) return was_ours;
            was_ours = true;
            if (held_count_ == 0) count = receive(bytes);
            before = ring_head_ - ring_tail_;
            left = pump_transmitter();
        }
        if (count > 0) deliver({bytes.data(), count});
        // Writers wait for room, tcdrain(3) for the end.
        const bool is_drained = before > 0 && left == 0;
        if (terminal_ && ((before >= low_water && left < low_water) || is_drained)) terminal_->output_has_room();
    }
}

} // namespace linnet::drivers
