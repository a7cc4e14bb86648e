// What all UART drivers share: the kernel log's console, a terminal's transmit ring and the hand-over of
// received bytes. A UART derives from SerialPort and says how its FIFOs and interrupts work.
//
// Lock: lock_, masks interrupts, a leaf: around the hardware's registers and both buffers. Not held while the
// terminal is called.
#pragma once

#include <array>
#include <core/log.hpp>
#include <core/spinlock.hpp>
#include <lib/result.hpp>
#include <span>
#include <string_view>
#include <tty/device.hpp>

namespace linnet::drivers {

class SerialPort : public core::LogConsole, public tty::TerminalDriver {
public:
    static constexpr usize transmit_capacity = 4096;
    static constexpr usize receive_batch = 64;

    constexpr SerialPort() = default;
    SerialPort(const SerialPort&) = delete;
    SerialPort& operator=(const SerialPort&) = delete;

    /// Makes the port the terminal /dev/NAME (name with its number) and turns the receive interrupt on. May
    /// sleep.
    Result<void> attach(std::string_view name, vfs::DeviceNumber number);

    /// The port's interrupt; returns whether there was anything to do.
    bool handle_interrupt();
    /// For core::request_irq: `context` is the SerialPort.
    static bool interrupt_handler(void* context) { return static_cast<SerialPort*>(context)->handle_interrupt(); }

    // LogConsole: any context, a panic included
    void write(std::string_view text) override;

    // TerminalDriver
    usize write(std::span<const u8> bytes) override;
    usize write_room() override;
    usize pending_output() override;
    void discard_output() override;
    void input_has_room() override;

protected:
    enum class Direction : u8 { Receive, Transmit };
    enum class Switch : u8 { Off, On };

    // ---- the hardware, called with lock_ held ----
    /// Takes what has come, up to the buffer's size.
    virtual usize receive(std::span<u8> buffer) = 0;
    /// Gives the transmitter what it takes without waiting; returns how many bytes that was.
    virtual usize send(std::span<const u8> bytes) = 0;
    virtual void switch_interrupt(Direction direction, Switch state) = 0;
    /// Begins to treat an interrupt: acknowledges where the hardware wants that. False: none pending.
    virtual bool acknowledge_interrupt() = 0;

    ~SerialPort() = default;

private:
    void send_polled(std::string_view text);
    usize pump_transmitter();
    void deliver(std::span<const u8> bytes);

    core::InterruptSpinLock lock_;
    tty::Terminal* terminal_ = nullptr; // holds a reference for good once set
    std::array<u8, transmit_capacity> ring_{};
    usize ring_head_ = 0; // positions only grow; head - tail bytes are stored
    usize ring_tail_ = 0;
    std::array<u8, receive_batch> held_{}; // received, but the terminal had no room
    usize held_count_ = 0;
};

} // namespace linnet::drivers
