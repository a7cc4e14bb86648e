// Matches drivers to devices, and translates device-tree interrupts through the controllers' drivers.
#include <core/log.hpp>
#include <drivers/driver.hpp>
#include <mm/kernel_area.hpp>

namespace linnet::drivers {

namespace {

struct TranslatorEntry {
    boot::FdtNode controller;
    InterruptTranslator translate = nullptr;
};

// Filled by the drivers of the first stage on the boot CPU, read only afterwards: no lock.
constexpr usize max_translators = 8;
constinit TranslatorEntry translators[max_translators];
constinit usize translator_count = 0;

void report(const Driver& driver, std::string_view device, Errno code) {
    if (code == Errno::ENODEV) return;
    core::log_warning("{}: {}: probe failed, errno {}", driver.name, device, static_cast<int>(code));
}

bool serves(const Driver& driver, const boot::FdtNode& node) {
    for (const char* name : driver.compatible)
        if (node.is_compatible(name)) return true;
    return false;
}

void probe_nodes(const Driver& driver) {
    const boot::Fdt& tree = boot::device_tree();
    for (auto node = tree.root(); node; node = tree.next(*node)) {
        if (!serves(driver, *node) || !node->is_enabled()) continue;
        if (auto result = driver.probe(Device{*node}); !result) report(driver, node->name(), result.error());
    }
}

} // namespace

Result<boot::FdtRegion> Device::region(usize index) const {
    auto region = node.region(index);
    if (!region) return error(Errno::ENODEV);
    return *region;
}

Result<VirtAddr> Device::map_region(usize index, u64 least) const {
    constexpr u64 most = u64{1} << 30;
    boot::FdtRegion region = TRY(this->region(index));
    if (region.size < least || region.size > most) return error(Errno::EINVAL);
    return mm::map_device(region.begin, region.size);
}

Result<Interrupt> Device::interrupt(usize index) const {
    auto interrupt = node.interrupt(index);
    if (!interrupt) return error(Errno::ENODEV);
    return translate_interrupt(*interrupt);
}

bool Device::is_standard_output() const {
    const boot::Fdt& tree = boot::device_tree();
    auto chosen = tree.find_path("/chosen");
    auto path = chosen ? chosen->text("stdout-path") : std::nullopt;
    if (!path) return false;
    std::string_view name = path->substr(0, path->find(':')); // line settings follow
    if (!name.starts_with('/')) {
        auto aliases = tree.find_path("/aliases");
        auto alias = aliases ? aliases->text(name) : std::nullopt;
        if (!alias) return false;
        name = *alias;
    }
    auto console = tree.find_path(name);
    return console && *console == node;
}

void probe_drivers(Stage stage) {
    for (const Driver* driver : driver_list) {
        if (driver->stage != stage) continue;
        if (driver->probe_platform) {
            if (auto result = driver->probe_platform(); !result) report(*driver, "platform", result.error());
        }
        if (driver->probe) probe_nodes(*driver);
    }
}

Result<void> register_interrupt_translator(const boot::FdtNode& controller, InterruptTranslator translator) {
    if (translator_count == max_translators) return error(Errno::ENOSPC);
    translators[translator_count++] = {controller, translator};
    return {};
}

Result<Interrupt> translate_interrupt(const boot::FdtInterrupt& interrupt) {
    for (usize i = 0; i < translator_count; ++i)
        if (translators[i].controller == interrupt.controller)
            return translators[i].translate(std::span(interrupt.cells).first(interrupt.cell_count));
    return error(Errno::EAGAIN);
}

} // namespace linnet::drivers
