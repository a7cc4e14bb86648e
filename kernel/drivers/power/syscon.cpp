// Power-off and reset by a value in a register, as device trees describe it ("syscon-poweroff", "syscon-reboot").
#include <arch/cpu.hpp>
#include <core/power.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>
#include <mm/kernel_area.hpp>

namespace linnet::drivers {

extern const Driver syscon_power_driver;

namespace {

struct Action {
    VirtAddr place{};
    u32 value = 0;
    u32 width = 4; // bytes

    void run() const {
        if (width == 1)
            mmio_write<u8>(place, static_cast<u8>(value));
        else
            mmio_write<u32>(place, value);
        for (int i = 0; i < 10'000'000; ++i) arch::relax(); // time for the machine to go down
    }
};
constinit Action power_off_action, reboot_action;

void power_off() { power_off_action.run(); }
void reboot() { reboot_action.run(); }

Result<void> probe(const Device& device) {
    auto map = device.node.cell("regmap", 0), offset = device.node.cell("offset", 0),
         value = device.node.cell("value", 0);
    if (!map || !offset || !value) return error(Errno::EINVAL);
    auto controller = boot::device_tree().find_phandle(*map);
    if (!controller) return error(Errno::ENODEV);
    auto region = controller->region(0);
    u32 width = controller->cell("reg-io-width", 0).value_or(4);
    if (!region || *offset >= region->size || width > region->size - *offset) return error(Errno::EINVAL);
    Action action{TRY(mm::map_device(region->begin + *offset, width)), *value, width};
    if (device.node.is_compatible("syscon-poweroff")) {
        power_off_action = action;
        core::set_power_off_handler(power_off);
    } else {
        reboot_action = action;
        core::set_reboot_handler(reboot);
    }
    return {};
}

constexpr const char* names[] = {"syscon-poweroff", "syscon-reboot"};

} // namespace

constinit const Driver syscon_power_driver{
    .name = "syscon-power", .stage = Stage::Power, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
