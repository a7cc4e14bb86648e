// Finds writes to frames that are free: by a processor that still has a translation for one, by a device, by the kernel
// itself. Debug builds fill a frame (a page table too) with a pattern when it is freed and look at every word when it
// is handed out again; a stranger's word is a panic. The pattern is no valid entry of a page table on any architecture,
// and no address.
#pragma once

#include <mm/page.hpp>

namespace linnet::mm::frame_poison {

#ifdef LINNET_DEBUG
inline constexpr bool is_on = true;
/// The caller has the frames to itself.
void fill(Page& first, u64 count);
/// Panics if one was filled and isn't as it was.
void check(Page& first, u64 count);
#else
inline constexpr bool is_on = false;
inline void fill(Page&, u64) {}
inline void check(Page&, u64) {}
#endif

} // namespace linnet::mm::frame_poison
