// Looks up the function of an address in the table that the build appends to the kernel (tools/build/symbol_table.py).
#include <core/panic.hpp>
#include <cstring>

// Absent in the first link, from whose addresses the table is made.
extern "C" [[gnu::weak]] const unsigned kernel_symbol_table[];
extern "C" const char kernel_text_start[];
extern "C" const char kernel_text_end[];

namespace linnet::core {

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
    return {std::string_view(names + positions[low - 1]), wanted - offsets[low - 1]};
}

Symbol symbol_at(u64 number) {
    if (!kernel_symbol_table || number >= kernel_symbol_table[0]) return {};
    const u32 count = kernel_symbol_table[0];
    const u32* offsets = kernel_symbol_table + 1;
    const u32* positions = offsets + count;
    const char* name = reinterpret_cast<const char*>(positions + count) + positions[number];
    // Who goes through all of them should not have to count: the next one begins behind this one's NUL.
    if (number + 1 == count) return {std::string_view(name), offsets[number]};
    return {{name, positions[number + 1] - positions[number] - 1}, offsets[number]};
}

TextRange kernel_text() {
    return {reinterpret_cast<uintptr_t>(kernel_text_start), reinterpret_cast<uintptr_t>(kernel_text_end)};
}

} // namespace linnet::core
