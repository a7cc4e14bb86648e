// The kernel's address sanitizer (builds with --sanitize): which bytes of the direct map may be touched.
//
// The compiler calls a check before each access (kasan.cpp); a byte of shadow describes eight bytes of RAM. The
// allocators say here what they hand out and take back. In other builds all of this is empty.
#pragma once

#include <lib/types.hpp>

namespace linnet::mm::kasan {

/// Shadow values; 0: all eight bytes may be touched, 1 … 7: that many of them.
enum class Poison : u8 {
    FreePage = 0xff,   // in the page allocator
    Redzone = 0xfc,    // behind a heap object
    FreeObject = 0xfb, // a heap object that was freed, or never handed out
};

#ifdef LINNET_SANITIZE

/// Bytes that stay behind every heap object at least.
inline constexpr usize redzone_size = 16;

/// Bytes of shadow for so many frames.
u64 shadow_size(u64 frames);
/// Begins checking, with everything allowed. `shadow` holds shadow_size() bytes for the frames from `first` on.
void start(void* shadow, u64 first_frame, u64 frames);
/// Lets the bytes be touched.
void allow(const void* begin, usize size);
/// Forbids whole granules of eight bytes.
void forbid(const void* begin, usize size, Poison why);
/// A heap object of `size` bytes in a place of `room` bytes.
void hand_out(const void* object, usize size, usize room);
/// Takes a heap object back; a second time is reported. Returns one that has waited long enough to be reused, or null.
void* take_back(void* object, usize room);

#else

inline constexpr usize redzone_size = 0;

inline u64 shadow_size(u64) { return 0; }
inline void start(void*, u64, u64) {}
inline void allow(const void*, usize) {}
inline void forbid(const void*, usize, Poison) {}
inline void hand_out(const void*, usize, usize) {}
inline void* take_back(void* object, usize) { return object; }

#endif

} // namespace linnet::mm::kasan
