// Checked big-endian reads out of a device-tree blob.
#pragma once

#include <lib/types.hpp>
#include <optional>
#include <span>
#include <string_view>

namespace linnet::boot {

/// The 32-bit cell at byte `offset`; nothing when it doesn't lie inside.
inline std::optional<u32> read_cell(std::span<const u8> bytes, usize offset) {
    if (offset > bytes.size() || bytes.size() - offset < 4) return {};
    const u8* p = bytes.data() + offset;
    return u32{p[0]} << 24 | u32{p[1]} << 16 | u32{p[2]} << 8 | u32{p[3]};
}

/// A number of `cells` cells, 0 … 3; of more than two, the upper ones are dropped (PCI addresses begin with
/// flags).
inline std::optional<u64> read_number(std::span<const u8> bytes, usize offset, u32 cells) {
    u64 value = 0;
    for (u32 i = 0; i < cells; ++i) {
        auto cell = read_cell(bytes, offset + i * 4);
        if (!cell) return {};
        value = value << 32 | *cell;
    }
    return value;
}

/// The string at `offset`, without its NUL; nothing when no NUL follows.
inline std::optional<std::string_view> read_string(std::span<const u8> bytes, usize offset) {
    if (offset >= bytes.size()) return {};
    auto* text = reinterpret_cast<const char*>(bytes.data()) + offset;
    usize room = bytes.size() - offset;
    for (usize length = 0; length < room; ++length)
        if (text[length] == 0) return std::string_view(text, length);
    return {};
}

} // namespace linnet::boot
