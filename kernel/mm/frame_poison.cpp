// The pattern in free frames. Owns a bit of a free page's flags, which says that the pattern is there: what boot hands
// over has none.
#include "frame_poison.hpp"

#ifdef LINNET_DEBUG
#include <core/panic.hpp>

namespace linnet::mm::frame_poison {

namespace {
constexpr u64 pattern = 0xfeee'd0fd'eadf'4a00; // even: not valid where bit 0 says so; not canonical on x86_64
constexpr u32 filled_mark = 1u << 31;
} // namespace

void fill(Page& first, u64 count) {
    for (Page* page = &first; page != &first + count; ++page) {
        auto* word = page_data<u64>(*page);
        for (auto* end = word + arch::page_size / sizeof(u64); word != end; ++word) *word = pattern;
        page->flags.store(filled_mark, std::memory_order_relaxed);
    }
}

void check(Page& first, u64 count) {
    for (Page* page = &first; page != &first + count; ++page) {
        if (!(page->flags.load(std::memory_order_relaxed) & filled_mark)) continue;
        page->flags.store(0, std::memory_order_relaxed);
        const auto* words = page_data<const volatile u64>(*page);
        for (usize i = 0; i < arch::page_size / sizeof(u64); ++i)
            if (words[i] != pattern)
                core::panic("free frame {} was written to: {} at offset {}", page_address(*page),
                            reinterpret_cast<const void*>(words[i]), i * sizeof(u64));
    }
}

} // namespace linnet::mm::frame_poison
#endif
