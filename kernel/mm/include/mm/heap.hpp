// The kernel heap: size classes of 16 to 8192 bytes in slabs with per-CPU magazines, whole pages above. `operator new
// (std::nothrow)` and `delete` come from here; plain `new` doesn't exist. Not for interrupt handlers.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>
#include <span>

namespace linnet::mm {

/// Null when there is no memory. Aligned to 16, or to the size where that is a power of two up to a page.
[[nodiscard]] void* allocate_bytes(usize size);
[[nodiscard]] void* allocate_bytes_aligned(usize size, usize alignment);
/// Accepts null and what any of the functions above returned.
void free_bytes(void* pointer);
/// How many bytes `pointer`, got from allocate_bytes, may use.
usize usable_size(const void* pointer);

/// What /proc/slabinfo prints of one size class.
struct SlabClassStatistics {
    usize object_size = 0;
    u64 active_objects = 0; // handed out, those in magazines included
    u64 total_objects = 0;
    u64 slabs = 0;
    usize pages_per_slab = 0;
    usize objects_per_slab = 0;
};
usize slab_class_count();
SlabClassStatistics slab_class_statistics(usize index);

} // namespace linnet::mm
