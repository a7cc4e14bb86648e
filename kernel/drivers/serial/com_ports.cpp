// The UARTs of PCs at their customary ports: /dev/ttyS0 …
#include <arch_impl/port_io.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <drivers/driver.hpp>
#include <drivers/isa.hpp>
#include <drivers/uart_16550.hpp>

namespace linnet::drivers {

extern const Driver com_port_driver;

namespace {

struct PortUartAccess {
    u16 base = 0;
    u8 read(u32 index) const { return arch::port_read8(static_cast<u16>(base + index)); }
    void write(u32 index, u8 value) const { arch::port_write8(static_cast<u16>(base + index), value); }
};

struct Place {
    u16 port;
    u8 interrupt;
};
constexpr Place places[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
constinit Uart16550<PortUartAccess> ports[std::size(places)];

constexpr u32 tty_major = 4, first_minor = 64; // Linux's numbers of ttyS0

Result<void> probe_place(u32 number) {
    auto& port = ports[number];
    TRY(port.initialise(PortUartAccess{places[number].port}));
    Interrupt interrupt = isa_interrupt(places[number].interrupt);
    TRY(core::request_irq(interrupt.irq, interrupt.trigger, SerialPort::interrupt_handler, &port, "ttyS"));
    if (number == 0) core::set_log_console(&port);
    char name[16];
    return port.attach(format_into(name, "ttyS{}", number), {tty_major, first_minor + number});
}

Result<void> probe() {
    for (u32 number = 0; number < std::size(places); ++number) {
        auto result = probe_place(number);
        if (!result && result.error() != Errno::ENODEV)
            core::log_warning("ttyS{}: not usable, errno {}", number, result.error());
    }
    return {};
}

} // namespace

constinit const Driver com_port_driver{
    .name = "com", .stage = Stage::Console, .compatible = {}, .probe = nullptr, .probe_platform = probe};

} // namespace linnet::drivers
