// PL011 UART (Arm DDI 0183). The port that /chosen names as stdout also prints the kernel's log, polled, so that it works
// in any context; terminal output goes through a ring and the transmit interrupt.
//
// Lock order: lock_ is a leaf, held for single register accesses and ring copies.
#include <boot/fdt.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/spinlock.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

namespace linnet::drivers {

extern const Driver pl011_driver;

namespace {

constexpr u64 uart_data = 0x00, uart_flags = 0x18, uart_line_control = 0x2c, uart_control = 0x30,
              uart_interrupt_mask = 0x38, uart_interrupt_clear = 0x44;
constexpr u32 flag_transmit_full = 1 << 5;
constexpr u32 line_fifo_8bit = 0x70;
constexpr u32 control_enabled = 1 << 0 | 1 << 8 | 1 << 9; // UART, transmitter, receiver
constexpr u32 all_interrupts = 0x7ff;

class Pl011 final : public core::LogConsole {
public:
    void initialise(VirtAddr registers);
    void write(std::string_view text) override;

private:
    void put(u8 byte) {
        while (mmio_read<u32>(registers_ + uart_flags) & flag_transmit_full) arch::relax();
        mmio_write<u32>(registers_ + uart_data, byte);
    }
    void write_polled(std::string_view text);

    VirtAddr registers_{};
    core::InterruptSpinLock lock_;
};

constexpr usize max_ports = 4;
constinit Pl011 ports[max_ports];
constinit usize port_count = 0;

void Pl011::initialise(VirtAddr registers) {
    registers_ = registers;
    mmio_write<u32>(registers_ + uart_interrupt_mask, 0);
    mmio_write<u32>(registers_ + uart_interrupt_clear, all_interrupts);
    mmio_write<u32>(registers_ + uart_line_control, line_fifo_8bit);
    mmio_write<u32>(registers_ + uart_control, control_enabled);
}

void Pl011::write(std::string_view text) {
    // A panic may have come from inside, with the lock held for ever.
    if (core::is_panicking()) return write_polled(text);
    core::InterruptSpinGuard guard(lock_);
    write_polled(text);
}

void Pl011::write_polled(std::string_view text) {
    for (char c : text) {
        if (c == '\n') put('\r');
        put(static_cast<u8>(c));
    }
}

Result<void> probe(const Device& device) {
    if (port_count == max_ports) return error(Errno::ENOSPC);
    VirtAddr registers = TRY(device.map_region());
    Pl011& port = ports[port_count];
    port.initialise(registers);
    if (port_count++ == 0) core::set_log_console(&port);
    return {};
}

constexpr const char* names[] = {"arm,pl011"};

} // namespace

constinit const Driver pl011_driver{
    .name = "pl011", .stage = Stage::Console, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
