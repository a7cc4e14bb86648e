// 16550 UARTs that a device tree describes: /dev/ttyS0 …
#include <core/irq.hpp>
#include <core/log.hpp>
#include <drivers/driver.hpp>
#include <drivers/uart_16550.hpp>

namespace linnet::drivers {

extern const Driver uart_16550_driver;

namespace {

constexpr usize most_ports = 4;
constinit Uart16550<MmioUartAccess> ports[most_ports];
constinit usize port_count = 0;

constexpr u32 tty_major = 4, first_minor = 64; // Linux's numbers of ttyS0

Result<void> probe(const Device& device) {
    if (port_count == most_ports) return error(Errno::ENOSPC);
    auto& port = ports[port_count];
    MmioUartAccess access;
    access.base = TRY(device.map_region());
    access.base += device.node.number("reg-offset").value_or(0);
    access.shift = device.node.cell("reg-shift", 0).value_or(0);
    access.is_wide = device.node.cell("reg-io-width", 0) == 4;
    TRY(port.initialise(access));
    Interrupt interrupt = TRY(device.interrupt());
    TRY(core::request_irq(interrupt.irq, interrupt.trigger, SerialPort::interrupt_handler, &port, "ttyS"));
    u32 number = static_cast<u32>(port_count++);
    if (number == 0 || device.is_standard_output()) core::set_log_console(&port);
    char name[16];
    return port.attach(format_into(name, "ttyS{}", number), {tty_major, first_minor + number});
}

constexpr const char* names[] = {"ns16550a", "ns16550", "snps,dw-apb-uart"};

} // namespace

constinit const Driver uart_16550_driver{
    .name = "uart_16550", .stage = Stage::Console, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
