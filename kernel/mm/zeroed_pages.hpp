// The pool of cleared frames (zeroed_pages.cpp).
#pragma once

#include <mm/page.hpp>

namespace linnet::mm {

extern constinit std::atomic<u64> zeroed_frames; // that the pool has

/// A cleared frame, or null. The caller counts it as in use.
Page* pop_zeroed_frame();
/// Whether the pool has room and memory is plentiful; and clearing one frame more. For CPUs with nothing else to do.
bool wants_zeroed_frame();
void make_zeroed_frame();
/// Gives all of them back; how many.
u64 drain_zeroed_frames();

u64 zeroed_frames_made();
u64 zeroed_frames_taken();

} // namespace linnet::mm
