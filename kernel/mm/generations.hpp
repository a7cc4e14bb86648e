// Generations of pages that may be evicted, after the idea of Linux's multi-generational LRU: a page is in the youngest
// when it comes or is used, and grows older as younger generations are begun. No lists: a page carries the number of
// its generation, holders of pages look through what they have, and only the sizes are kept here.
#pragma once

#include <mm/page.hpp>

namespace linnet::mm::generations {

inline constexpr u32 most = 4; // that exist at a time
inline constexpr u32 least = 3;

/// A page begins or ceases to be evictable.
void add(Page& page);
void remove(Page& page);
/// A page was used: into the youngest. Cheap when it is there already; nothing for a page in no generation.
void touch(Page& page);
bool is_oldest(const Page& page);
/// Pages of the oldest generation; when it is empty, the next one becomes the oldest, and a younger one is begun so
/// that there always are `least`.
u64 oldest_size();
/// Pages in all, and in the two youngest: what counts as active.
u64 size();
u64 active_size();

} // namespace linnet::mm::generations
