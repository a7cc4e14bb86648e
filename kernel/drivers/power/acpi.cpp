// Power-off and reset by ACPI's registers (ACPI 4.8.3.2, 4.8.3.6, 4.8.3.7), of full and of hardware-reduced machines.
#include <arch/cpu.hpp>
#include <arch_impl/port_io.hpp>
#include <boot/acpi.hpp>
#include <core/log.hpp>
#include <core/power.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>
#include <mm/kernel_area.hpp>

namespace linnet::drivers {

extern const Driver acpi_power_driver;

namespace {

/// A generic address made reachable: at power-off nothing can be mapped any more.
class Register {
public:
    constexpr Register() = default;
    static Register open(const boot::GenericAddress& address, bool is_wide) {
        Register result;
        result.space_ = address.space;
        result.port_ = static_cast<u16>(address.address);
        result.is_wide_ = is_wide;
        if (!address.exists()) return result;
        if (address.space == boot::GenericAddress::Space::Io) result.is_open_ = true;
        if (address.space == boot::GenericAddress::Space::Memory) {
            auto mapped = mm::map_device({address.address}, is_wide ? 2 : 1);
            if (mapped) result.memory_ = *mapped, result.is_open_ = true;
        }
        return result;
    }
    [[nodiscard]] bool is_open() const { return is_open_; }
    [[nodiscard]] u16 read() const {
        if (space_ == boot::GenericAddress::Space::Io)
            return is_wide_ ? arch::port_read16(port_) : arch::port_read8(port_);
        return is_wide_ ? mmio_read<u16>(memory_) : mmio_read<u8>(memory_);
    }
    void write(u16 value) const {
        auto byte = static_cast<u8>(value);
        if (space_ == boot::GenericAddress::Space::Io)
            is_wide_ ? arch::port_write16(port_, value) : arch::port_write8(port_, byte);
        else
            is_wide_ ? mmio_write<u16>(memory_, value) : mmio_write<u8>(memory_, byte);
    }

private:
    boot::GenericAddress::Space space_ = boot::GenericAddress::Space::Io;
    bool is_open_ = false;
    bool is_wide_ = false;
    u16 port_ = 0;
    VirtAddr memory_{};
};

constinit Register control_a, control_b, sleep_control, reset;
constexpr u16 control_acpi_mode = 1, control_sleep_enable = 1u << 13;

/// Time for the machine to go down.
void wait_for_the_end() {
    for (int i = 0; i < 10'000'000; ++i) arch::relax();
}

void power_off() {
    const boot::AcpiInfo& acpi = boot::acpi_info();
    if (acpi.hardware_reduced) {
        constexpr u16 sleep_enable = 1u << 5;
        sleep_control.write(static_cast<u16>(acpi.s5_type_a << 2 | sleep_enable));
        return wait_for_the_end();
    }
    if (acpi.smi_command_port && !(control_a.read() & control_acpi_mode)) {
        arch::port_write8(acpi.smi_command_port, acpi.acpi_enable_value);
        for (int i = 0; i < 1'000'000 && !(control_a.read() & control_acpi_mode); ++i) arch::relax();
    }
    constexpr u16 type_mask = 7u << 10;
    auto value = [](const Register& control, u8 type) {
        return static_cast<u16>((control.read() & ~type_mask) | type << 10 | control_sleep_enable);
    };
    control_a.write(value(control_a, acpi.s5_type_a));
    if (control_b.is_open()) control_b.write(value(control_b, acpi.s5_type_b));
    wait_for_the_end();
}

void reboot() {
    reset.write(boot::acpi_info().reset_value);
    wait_for_the_end();
}

Result<void> probe() {
    const boot::AcpiInfo& acpi = boot::acpi_info();
    if (!acpi.has_fadt) return error(Errno::ENODEV);
    control_a = Register::open(acpi.pm1a_control, true);
    control_b = Register::open(acpi.pm1b_control, true);
    sleep_control = Register::open(acpi.sleep_control, false);
    reset = Register::open(acpi.reset_register, false);
    if (acpi.has_s5 && (acpi.hardware_reduced ? sleep_control : control_a).is_open())
        core::set_power_off_handler(power_off);
    else
        core::log_warning("acpi: the tables don't tell how to power off");
    if (reset.is_open()) core::set_reboot_handler(reboot);
    return {};
}

} // namespace

constinit const Driver acpi_power_driver{
    .name = "acpi-power", .stage = Stage::Power, .compatible = {}, .probe = nullptr, .probe_platform = probe};

} // namespace linnet::drivers
