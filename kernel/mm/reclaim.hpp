// Getting memory back: for the page allocator, and for /proc/sys/vm/drop_caches.
//
// Three marks on the number of free frames, as Linux computes them: below `low` the reclaim thread is woken and works
// until `high` is reached; at `min` user memory fails and whoever asks reclaims itself; what is below is for the
// kernel, for the dying and for those who reclaim.
#pragma once

#include <core/thread.hpp>
#include <lib/types.hpp>

namespace linnet::mm {

struct Watermarks {
    u64 min = 0, low = 0, high = 0; // frames
};

enum class Reclaimer : u8 { Background, Direct };

/// Tries to free `wanted` frames: file pages of the oldest generation, and what shrinkers give. How many pages and
/// objects went. May sleep; takes no sleeping lock but by trying.
u64 reclaim(u64 wanted, Reclaimer who);

/// Gives back all that the kernel and its CPUs keep to be faster. May sleep, as reclaim() does.
void release_kept_memory();

/// Who reclaims doesn't wait for reclaim when it allocates, and may use the reserve.
class [[nodiscard]] ReclaimScope {
public:
    ReclaimScope() : before_(core::current_thread().is_reclaiming) { core::current_thread().is_reclaiming = true; }
    ~ReclaimScope() { core::current_thread().is_reclaiming = before_; }
    ReclaimScope(const ReclaimScope&) = delete;

private:
    const bool before_;
};

/// Whether the thread may free memory before it takes some.
inline bool may_reclaim() { return !core::current_thread().is_reclaiming && core::may_sleep(); }

// background_reclaim.cpp
/// Free frames are below the low mark. Any context in which a thread may be woken.
void wake_reclaim_thread();
u64 background_reclaim_runs();
/// Something was freed after all: the reclaim thread may have luck again.
void note_reclaim_progress();
/// After direct reclaim has found nothing that can go at once: waits until the reclaim thread has freed something or a
/// store of pages has come to its end, whoever began it. Not without end, for a store may need what the caller holds.
/// False: there is no hope.
bool await_reclaim_thread();
/// As long as one lives, pages are being stored, and are soon clean. Who waits for memory then has hope.
class [[nodiscard]] StoringScope {
public:
    StoringScope();
    ~StoringScope();
    StoringScope(const StoringScope&) = delete;
    /// It has come to a good end.
    void note_stored() { is_stored_ = true; }

private:
    bool is_stored_ = false;
};
/// Empties every CPU's lists of frames and objects; waits for it. False when there is no thread yet to do it.
bool drain_every_cpu();

// fault.cpp
/// For a user thread that found no memory: somebody has been chosen to die and got a moment to do so. False when there
/// is nobody, when the thread itself is dying, and where its caller asks itself.
bool ask_out_of_memory_killer();

// page_allocator.cpp, slab.cpp
Watermarks watermarks();
/// Whether reclaim is due: what is only likely to be of use is left alone.
bool is_below_low_mark();
/// Frames in the buddy lists: without those that CPUs keep.
u64 listed_free_frames();
/// Gives back what this CPU keeps: frames, zeroed tables. How many.
u64 drain_this_cpu();

} // namespace linnet::mm
