// PL011 UARTs (Arm DDI 0183) that a device tree describes: /dev/ttyAMA0 …
#include <core/irq.hpp>
#include <core/log.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>
#include <drivers/serial_port.hpp>

namespace linnet::drivers {

extern const Driver pl011_driver;

namespace {

constexpr u64 uart_data = 0x00, uart_flags = 0x18, uart_line_control = 0x2c, uart_control = 0x30,
              uart_interrupt_mask = 0x38, uart_interrupt_status = 0x40, uart_interrupt_clear = 0x44;
constexpr u32 flag_receive_empty = 1 << 4, flag_transmit_full = 1 << 5;
constexpr u32 line_fifo_8bit = 0x70;
constexpr u32 control_enabled = 1 << 0 | 1 << 8 | 1 << 9; // UART, transmitter, receiver
constexpr u32 interrupt_receive = 1 << 4 | 1 << 6;        // FIFO level reached, or bytes waiting in it for a while
constexpr u32 interrupt_transmit = 1 << 5;                // FIFO drained to its level
constexpr u32 all_interrupts = 0x7ff;

class Pl011 final : public SerialPort {
public:
    void initialise(VirtAddr registers);

protected:
    usize receive(std::span<u8> buffer) override;
    usize send(std::span<const u8> bytes) override;
    void switch_interrupt(Direction direction, Switch state) override;
    bool acknowledge_interrupt() override;

private:
    u32 read(u64 offset) const { return mmio_read<u32>(registers_ + offset); }
    void write_register(u64 offset, u32 value) { mmio_write<u32>(registers_ + offset, value); }

    VirtAddr registers_{};
    u32 enabled_interrupts_ = 0;
};

void Pl011::initialise(VirtAddr registers) {
    registers_ = registers;
    write_register(uart_interrupt_mask, 0);
    write_register(uart_line_control, line_fifo_8bit);
    write_register(uart_control, control_enabled);
    write_register(uart_interrupt_clear, all_interrupts);
    // A byte that is there already would keep the next ones from interrupting.
    while (!(read(uart_flags) & flag_receive_empty)) (void)read(uart_data);
}

usize Pl011::receive(std::span<u8> buffer) {
    usize count = 0;
    while (count < buffer.size() && !(read(uart_flags) & flag_receive_empty))
        buffer[count++] = static_cast<u8>(read(uart_data)); // error bits lie above
    return count;
}

usize Pl011::send(std::span<const u8> bytes) {
    usize count = 0;
    while (count < bytes.size() && !(read(uart_flags) & flag_transmit_full)) write_register(uart_data, bytes[count++]);
    return count;
}

void Pl011::switch_interrupt(Direction direction, Switch state) {
    u32 bits = direction == Direction::Receive ? interrupt_receive : interrupt_transmit;
    enabled_interrupts_ = state == Switch::On ? enabled_interrupts_ | bits : enabled_interrupts_ & ~bits;
    write_register(uart_interrupt_mask, enabled_interrupts_);
}

/// Reading the FIFO ends the receive interrupts. Cleared earlier they would not come again for the bytes that are still
/// in it, so they are cleared only where there is nothing to read.
bool Pl011::acknowledge_interrupt() {
    u32 pending = read(uart_interrupt_status);
    u32 cleared = pending & ~interrupt_receive;
    if (read(uart_flags) & flag_receive_empty) cleared |= interrupt_receive;
    write_register(uart_interrupt_clear, cleared);
    return pending != 0;
}

constexpr usize most_ports = 4;
constinit Pl011 ports[most_ports];
constinit usize port_count = 0;

constexpr u32 tty_major = 204, first_minor = 64; // Linux's numbers of ttyAMA0

Result<void> probe(const Device& device) {
    if (port_count == most_ports) return error(Errno::ENOSPC);
    Pl011& port = ports[port_count];
    port.initialise(TRY(device.map_region()));
    Interrupt interrupt = TRY(device.interrupt());
    TRY(core::request_irq(interrupt.irq, interrupt.trigger, SerialPort::interrupt_handler, &port, "uart-pl011"));
    u32 number = static_cast<u32>(port_count++);
    if (number == 0 || device.is_standard_output()) core::set_log_console(&port);
    char name[16];
    return port.attach(format_into(name, "ttyAMA{}", number), {tty_major, first_minor + number});
}

constexpr const char* names[] = {"arm,pl011"};

} // namespace

constinit const Driver pl011_driver{
    .name = "pl011", .stage = Stage::Console, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
