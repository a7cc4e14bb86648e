// Names of root devices.
#include "root_device.hpp"

#include <algorithm>
#include <block/disk.hpp>

namespace linnet::init {
namespace {

using block::Device;
using vfs::DeviceNumber;

/// Calls `visit` for every device of every disk until it says true.
bool any_device(FunctionRef<bool(Device&)> visit) {
    bool found = false;
    block::for_each_disk([&](block::Disk& disk) {
        ArrayList<RefPtr<Device>> devices;
        if (found || !disk.devices(devices)) return;
        for (const RefPtr<Device>& device : devices.span()) {
            found = visit(*device);
            if (found) return;
        }
    });
    return found;
}

std::optional<DeviceNumber> number_of(FunctionRef<bool(Device&)> is_wanted) {
    std::optional<DeviceNumber> number;
    any_device([&](Device& device) {
        if (is_wanted(device)) number = device.number();
        return number.has_value();
    });
    return number;
}

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; }

/// All of it must be digits. (std::from_chars with a base needs floating-point code where it is not inlined.)
std::optional<u32> parse(std::string_view digits, u32 base) {
    if (digits.empty()) return {};
    u32 value = 0;
    for (const char c : digits) {
        const char lower = to_lower(c);
        const u32 digit = c >= '0' && c <= '9'           ? static_cast<u32>(c - '0')
                          : lower >= 'a' && lower <= 'f' ? static_cast<u32>(lower - 'a') + 10
                                                         : base;
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return {};
    }
    return value;
}

std::optional<DeviceNumber> by_name(std::string_view wanted) {
    return number_of([&](Device& device) {
        char name[24];
        return std::string_view(name, device.name(name)) == wanted;
    });
}

/// With /PARTNROFF=N it is the partition whose number is larger by N than the one that has the id.
std::optional<DeviceNumber> by_uuid(std::string_view value) {
    constexpr std::string_view offset_word = "/PARTNROFF=";
    const usize id_end = value.find('/');
    const std::string_view id = value.substr(0, id_end);
    i64 offset = 0;
    if (id_end != std::string_view::npos) {
        std::string_view text = value.substr(id_end);
        if (!text.starts_with(offset_word)) return {};
        text.remove_prefix(offset_word.size());
        const bool is_negative = text.starts_with('-');
        if (is_negative) text.remove_prefix(1);
        const std::optional<u32> amount = parse(text, 10);
        if (!amount) return {};
        offset = is_negative ? -i64{*amount} : i64{*amount};
    }
    std::optional<DeviceNumber> number = number_of([&](Device& device) {
        const std::string_view own(device.partition_name().uuid);
        return !own.empty() && std::ranges::equal(own, id, {}, {}, to_lower);
    });
    if (!number || offset == 0) return number;
    const i64 minor = i64{number->minor} + offset;
    if (minor < 0 || minor / block::Disk::minors != number->minor / block::Disk::minors) return {};
    number->minor = static_cast<u32>(minor);
    return has_device(*number) ? number : std::nullopt;
}

std::optional<DeviceNumber> by_label(std::string_view label) {
    if (label.empty()) return {};
    return number_of([&](Device& device) { return std::string_view(device.partition_name().label) == label; });
}

/// "254:1", or as new_encode_dev() packs it: the minor's low byte, twelve bits of major, the minor's rest.
std::optional<DeviceNumber> by_number(std::string_view text) {
    if (const usize colon = text.find(':'); colon != std::string_view::npos) {
        const std::optional<u32> major = parse(text.substr(0, colon), 10), minor = parse(text.substr(colon + 1), 10);
        constexpr u32 most_major = 0xfff, most_minor = 0xfffff;
        if (!major || !minor || *major > most_major || *minor > most_minor) return {};
        return DeviceNumber{*major, *minor};
    }
    const std::optional<u32> packed = parse(text, 16);
    if (!packed) return {};
    return DeviceNumber{*packed >> 8 & 0xfff, (*packed & 0xff) | (*packed >> 12 & 0xfff00)};
}

} // namespace

bool has_device(DeviceNumber number) {
    return any_device([&](Device& device) { return device.number() == number; });
}

std::optional<DeviceNumber> find_root_device(std::string_view name) {
    const auto behind = [&](std::string_view prefix) -> std::optional<std::string_view> {
        if (!name.starts_with(prefix)) return {};
        return name.substr(prefix.size());
    };
    if (const auto rest = behind("PARTUUID=")) return by_uuid(*rest);
    if (const auto rest = behind("PARTLABEL=")) return by_label(*rest);
    if (const auto rest = behind("/dev/")) return by_name(*rest);
    return by_number(name);
}

} // namespace linnet::init
