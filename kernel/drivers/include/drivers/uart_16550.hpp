// The 16550 UART and its clones, over memory or I/O ports: `Access` has u8 read(u32 register) and
// void write(u32 register, u8 value).
#pragma once

#include <drivers/mmio.hpp>
#include <drivers/serial_port.hpp>

namespace linnet::drivers {

/// Registers in memory, `1 << shift` bytes apart, accessed as 1 or 4 bytes.
struct MmioUartAccess {
    VirtAddr base{};
    u32 shift = 0;
    bool is_wide = false;

    u8 read(u32 index) const {
        VirtAddr place = base + (u64{index} << shift);
        return is_wide ? static_cast<u8>(mmio_read<u32>(place)) : mmio_read<u8>(place);
    }
    void write(u32 index, u8 value) const {
        VirtAddr place = base + (u64{index} << shift);
        if (is_wide)
            mmio_write<u32>(place, value);
        else
            mmio_write<u8>(place, value);
    }
};

template <typename Access>
class Uart16550 final : public SerialPort {
public:
    constexpr Uart16550() = default;

    /// 8 data bits, FIFOs on, interrupts off; the speed stays as the firmware set it. ENODEV when nothing
    /// answers there.
    Result<void> initialise(Access access) {
        access_ = access;
        constexpr u8 probe_value = 0x5a;
        access_.write(scratch, probe_value);
        if (access_.read(scratch) != probe_value) return error(Errno::ENODEV);
        access_.write(interrupt_enable, 0);
        access_.write(line_control, eight_bits);
        access_.write(fifo_control, fifo_enable | fifo_clear_receive | fifo_clear_transmit);
        access_.write(modem_control, ready_to_send | terminal_ready | interrupt_gate);
        while (access_.read(line_status) & data_ready) access_.read(data);
        return {};
    }

private:
    static constexpr u32 data = 0, interrupt_enable = 1, interrupt_id = 2, fifo_control = 2, line_control = 3,
                         modem_control = 4, line_status = 5, scratch = 7;
    static constexpr u8 enable_receive = 1, enable_transmit = 2;
    static constexpr u8 no_interrupt = 1;
    static constexpr u8 fifo_enable = 1, fifo_clear_receive = 2, fifo_clear_transmit = 4;
    static constexpr u8 eight_bits = 3;
    static constexpr u8 terminal_ready = 1, ready_to_send = 2,
                        interrupt_gate = 8; // OUT2: PCs pass interrupts by it
    static constexpr u8 data_ready = 1, transmitter_empty = 0x20;
    static constexpr usize fifo_size = 16;

    usize receive(std::span<u8> buffer) override {
        usize count = 0;
        while (count < buffer.size() && (access_.read(line_status) & data_ready)) buffer[count++] = access_.read(data);
        return count;
    }
    usize send(std::span<const u8> bytes) override {
        if (!(access_.read(line_status) & transmitter_empty)) return 0;
        usize count = bytes.size() < fifo_size ? bytes.size() : fifo_size;
        for (usize i = 0; i < count; ++i) access_.write(data, bytes[i]);
        return count;
    }
    void switch_interrupt(Direction direction, Switch state) override {
        u8 bit = direction == Direction::Receive ? enable_receive : enable_transmit;
        u8 enabled = state == Switch::On ? enabled_ | bit : enabled_ & ~bit;
        if (enabled == enabled_) return;
        enabled_ = enabled;
        access_.write(interrupt_enable, enabled);
    }
    bool acknowledge_interrupt() override { return !(access_.read(interrupt_id) & no_interrupt); }

    Access access_{};
    u8 enabled_ = 0;
};

} // namespace linnet::drivers
