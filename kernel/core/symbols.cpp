// Looks up the function of an address in the table that the build appends to the kernel (tools/build/symbol_table.py).
#include <core/panic.hpp>
#include <cstring>

// Absent in the first link, from whose addresses the table is made.
extern "C" [[gnu::weak]] const unsigned kernel_symbol_table[];
extern "C" const char kernel_text_start[];
extern "C" const char kernel_text_end[];

namespace linnet::core {

namespace {

// In the offsets into the names.
constexpr u32 on_hit_way = 1u << 31, on_record_way = 1u << 30, position_bits = on_record_way - 1;

Symbol make_symbol(std::string_view name, u64 offset, u32 position) {
    return {.name = name,
            .offset = offset,
            .is_on_hit_way = (position & on_hit_way) != 0,
            .is_on_record_way = (position & on_record_way) != 0};
}

} // namespace

Symbol find_symbol(uintptr_t address) {
    auto start = reinterpret_cast<uintptr_t>(kernel_text_start);
    if (!kernel_symbol_table || address < start || address >= reinterpret_cast<uintptr_t>(kernel_text_end)) return {};
    u32 count = kernel_symbol_table[0];
    const u32* offsets = kernel_symbol_table + 1;
    const u32* positions = offsets + count;
    const char* names = reinterpret_cast<const char*>(positions + count);
    auto wanted = static_cast<u32>(address - start);
    u32 low = 0, high = count; // the last entry whose offset is not above `wanted`
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (offsets[middle] <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return {};
    const u32 position = positions[low - 1];
    return make_symbol(names + (position & position_bits), wanted - offsets[low - 1], position);
}

Symbol symbol_at(u64 number) {
    if (!kernel_symbol_table || number >= kernel_symbol_table[0]) return {};
    const u32 count = kernel_symbol_table[0];
    const u32* offsets = kernel_symbol_table + 1;
    const u32* positions = offsets + count;
    const u32 position = positions[number] & position_bits;
    const char* name = reinterpret_cast<const char*>(positions + count) + position;
    // Who goes through all of them should not have to count: the next one begins behind this one's NUL.
    const std::string_view text =
        number + 1 == count ? name : std::string_view(name, (positions[number + 1] & position_bits) - position - 1);
    return make_symbol(text, offsets[number], positions[number]);
}

TextRange kernel_text() {
    return {reinterpret_cast<uintptr_t>(kernel_text_start), reinterpret_cast<uintptr_t>(kernel_text_end)};
}

} // namespace linnet::core
