// virtio-mmio devices of x86 machines: those in ACPI's DSDT, and those named on the command line as
// virtio_mmio.device=<size>@<address>:<interrupt>[:<id>] (Linux's kernel-parameters; QEMU's microvm adds them).
#include "../mmio_transport.hpp"

#include <boot/acpi.hpp>
#include <boot/boot_info.hpp>
#include <charconv>
#include <core/log.hpp>
#include <optional>

namespace linnet::drivers {

extern const Driver virtio_firmware_driver;

namespace {

struct Description {
    u64 size = 0;
    u64 address = 0;
    u32 interrupt = 0;
};

/// A number as strtoull reads it: decimal or 0x; takes it off the front.
std::optional<u64> take_number(std::string_view& text) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    }
    u64 value = 0;
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (failure != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<usize>(end - text.data()));
    return value;
}

/// The suffixes K, M and G of memparse.
void apply_suffix(std::string_view& text, u64& value) {
    constexpr std::string_view suffixes = "kmg";
    if (text.empty()) return;
    usize index = suffixes.find(static_cast<char>(text.front() | 0x20));
    if (index == suffixes.npos) return;
    value <<= 10 * (index + 1);
    text.remove_prefix(1);
}

std::optional<Description> parse(std::string_view text) {
    auto size = take_number(text);
    if (!size) return std::nullopt;
    apply_suffix(text, *size);
    if (!text.starts_with('@')) return std::nullopt;
    text.remove_prefix(1);
    auto address = take_number(text);
    if (!address || !text.starts_with(':')) return std::nullopt;
    text.remove_prefix(1);
    auto interrupt = take_number(text);
    if (!interrupt) return std::nullopt;
    return Description{*size, *address, static_cast<u32>(*interrupt)};
}

void add(const Description& device) {
    constexpr u64 least = 0x100, most = 1u << 20;
    Result<void> added = error(Errno::EINVAL);
    if (device.size >= least && device.size <= most && device.address <= ~u64{0} - device.size)
        added = add_virtio_mmio({device.address}, device.size, {device.interrupt, core::Trigger::Edge});
    if (!added && added.error() != Errno::ENODEV)
        core::log_warning("virtio-mmio: {#x} is unusable, errno {}", device.address, added.error());
}

Result<void> probe() {
    for (const boot::VirtioMmioInfo& device : boot::acpi_info().all_virtio())
        add({device.size, device.address.value, device.gsi});
    constexpr std::string_view key = "virtio_mmio.device=";
    std::string_view line = boot::boot_info().command_line;
    for (usize at = line.find(key); at != line.npos; at = line.find(key)) {
        line.remove_prefix(at + key.size());
        if (auto device = parse(line.substr(0, line.find(' ')))) add(*device);
    }
    return {};
}

} // namespace

constinit const Driver virtio_firmware_driver{
    .name = "virtio-mmio", .stage = Stage::Device, .compatible = {}, .probe = nullptr, .probe_platform = probe};

} // namespace linnet::drivers
