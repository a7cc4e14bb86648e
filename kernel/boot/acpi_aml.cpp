// Two facts out of AML without an interpreter: the package \_S5 (how to power off; ACPI 7.4.2) and the virtio-mmio
// devices
// (_HID "LNRO0005") with the resources their _CRS buffers list. Both are static data in every firmware we serve, found
// by their encoding (ACPI chapter 20); what isn't encoded that way is not found.
#include "acpi.hpp"

#include <string_view>

namespace linnet::boot {

namespace {

constexpr u8 zero_op = 0x00, one_op = 0x01, name_op = 0x08, byte_prefix = 0x0a, package_op = 0x12, extended_op = 0x5b,
             device_op = 0x82;

/// A package length: how long the package is from this field on, and how long the field itself.
struct PackageLength {
    usize total = 0;
    usize field = 0;
};
std::optional<PackageLength> read_package_length(Bytes aml, usize at) {
    if (at >= aml.size()) return std::nullopt;
    u8 lead = aml[at];
    usize more = lead >> 6;
    if (aml.size() - at <= more) return std::nullopt;
    usize total = more == 0 ? lead & 0x3f : lead & 0x0f;
    for (usize i = 0; i < more; ++i) total |= usize{aml[at + 1 + i]} << (4 + 8 * i);
    if (total < 1 + more || total > aml.size() - at) return std::nullopt;
    return PackageLength{total, 1 + more};
}

bool matches(Bytes aml, usize at, std::string_view text) {
    return at <= aml.size() && aml.size() - at >= text.size() &&
           std::memcmp(aml.data() + at, text.data(), text.size()) == 0;
}

/// An integer of a package; moves `at` behind it.
std::optional<u8> read_small_integer(Bytes aml, usize& at) {
    if (at >= aml.size()) return std::nullopt;
    u8 op = aml[at++];
    if (op == zero_op || op == one_op) return op;
    if (op == byte_prefix && at < aml.size()) return aml[at++];
    return std::nullopt;
}

/// At Name (_S5_, Package () {type a, type b, …}).
void decode_s5(Bytes aml, usize at, AcpiInfo& acpi) {
    at += 5;
    if (at >= aml.size() || aml[at] != package_op) return;
    auto length = read_package_length(aml, at + 1);
    if (!length) return;
    Bytes package = aml.subspan(at + 1, length->total);
    usize element = length->field + 1; // behind the number of elements
    auto type_a = read_small_integer(package, element);
    if (!type_a) return;
    auto type_b = read_small_integer(package, element);
    acpi.s5_type_a = *type_a & 7;
    acpi.s5_type_b = type_b.value_or(0) & 7;
    acpi.has_s5 = true;
}

/// In the body of a device with our _HID: a 32-bit fixed memory range and an extended interrupt
/// (ACPI 6.4.3.4, 6.4.3.6).
void decode_virtio(Bytes body, AcpiInfo& acpi) {
    constexpr std::string_view memory32("\x86\x09\x00", 3), interrupt("\x89\x06\x00", 3);
    VirtioMmioInfo found;
    for (usize at = 0; at < body.size(); ++at) {
        if (matches(body, at, memory32) && found.size == 0) {
            found.address = {read_field<u32>(body, at + 4)};
            found.size = read_field<u32>(body, at + 8);
        } else if (matches(body, at, interrupt) && found.gsi == 0) {
            found.gsi = read_field<u32>(body, at + 5);
        }
    }
    if (found.size != 0 && found.gsi != 0 && acpi.virtio_count < AcpiInfo::max_virtio)
        acpi.virtio[acpi.virtio_count++] = found;
}

} // namespace

void decode_aml(Bytes aml, AcpiInfo& acpi) {
    for (usize at = 0; at + 5 < aml.size(); ++at) {
        if (aml[at] == name_op && matches(aml, at + 1, "_S5_")) {
            decode_s5(aml, at, acpi);
        } else if (aml[at] == extended_op && aml[at + 1] == device_op) {
            auto length = read_package_length(aml, at + 2);
            if (!length) continue;
            Bytes body = aml.subspan(at + 2 + length->field, length->total - length->field);
            // The _HID comes right behind the device's four-letter name.
            constexpr std::string_view hid("\x08_HID\x0dLNRO0005", 14);
            if (matches(body, 4, hid)) decode_virtio(body, acpi);
        }
    }
}

} // namespace linnet::boot
