// What /proc/sys/vm and /proc/sys/kernel/randomize_va_space tune of memory (proc_sys_vm(5)). Whoever reads one reads it
// once: it may change at any time.
#pragma once

#include <atomic>
#include <lib/address.hpp>
#include <string_view>

namespace linnet::mm {

/// A number that may change while the kernel runs; used like a constant.
template <typename T>
class Tunable {
public:
    constexpr explicit Tunable(u64 value) : stored(value) {}
    operator T() const { return T{stored.load(std::memory_order_relaxed)}; }
    std::atomic<u64> stored;
};

enum RandomisationMode : u64 { randomise_nothing = 0, randomise_all_but_heap = 1, randomise_heap_too = 2 };
/// When private memory gets huge pages without being asked (/sys/kernel/mm/transparent_hugepage/enabled).
enum HugePageMode : u64 { huge_always = 0, huge_madvise = 1, huge_never = 2 };
/// The same for shared anonymous memory (shmem_enabled). Files of a size of their own are huge only where they reach.
enum SharedHugePageMode : u64 {
    shared_huge_always = 0,
    shared_huge_within_size = 1,
    shared_huge_advise = 2,
    shared_huge_never = 3,
    shared_huge_deny = 4,
    shared_huge_force = 5
};
inline constexpr std::string_view huge_page_mode_words[] = {"always", "madvise", "never"};
/// Sets transparent_hugepage by one of these words; false when it is none.
bool set_huge_page_mode(std::string_view word);
/// When caches are shrunk for a huge page (transparent_hugepage/defrag); the two that Linux defers to the background
/// don't.
enum HugePageDefrag : u64 {
    defrag_always = 0,
    defrag_defer = 1,
    defrag_defer_or_madvise = 2,
    defrag_madvise = 3,
    defrag_never = 4
};
enum OvercommitMode : u64 { overcommit_guess = 0, overcommit_always = 1, overcommit_never = 2 };

extern constinit Tunable<u64> overcommit_mode;
extern constinit Tunable<u64> overcommit_ratio;     // percent of RAM, mode 2
extern constinit Tunable<u64> overcommit_kbytes;    // instead of the ratio, unless 0
extern constinit Tunable<u64> user_reserve_kbytes;  // mode 2: kept from the largest process
extern constinit Tunable<u64> admin_reserve_kbytes; // mode 2: kept for CAP_SYS_ADMIN
extern constinit Tunable<usize> max_map_count;
extern constinit Tunable<VirtAddr> lowest_user_address; // mmap_min_addr
extern constinit Tunable<u64> min_free_kbytes;          // free memory that only the kernel itself may have
extern constinit Tunable<u64> watermark_scale_factor;   // distance of the watermarks, in 10,000ths of memory
extern constinit Tunable<u64> randomize_va_space;       // RandomisationMode
extern constinit Tunable<u64> mmap_rnd_bits;
extern constinit Tunable<u64> legacy_va_layout;
extern constinit Tunable<u64> transparent_hugepage;        // HugePageMode
extern constinit Tunable<u64> transparent_hugepage_defrag; // HugePageDefrag
extern constinit Tunable<u64> shared_hugepage;             // SharedHugePageMode
extern constinit Tunable<u64> huge_zero_pages;             // reads of untouched memory get a huge page of zeros
// Of the thread that makes huge pages in the background: how hard it tries, how much it looks at in a round, pauses in
// milliseconds, and how many pages of a huge page may be absent or shared with others.
extern constinit Tunable<u64> khugepaged_defrag;
extern constinit Tunable<u64> khugepaged_pages_to_scan;
extern constinit Tunable<u64> khugepaged_scan_sleep_ms;
extern constinit Tunable<u64> khugepaged_alloc_sleep_ms;
extern constinit Tunable<u64> khugepaged_max_absent;
extern constinit Tunable<u64> khugepaged_max_shared;
/// Once at boot; and when its knobs have changed.
void start_khugepaged();
void wake_khugepaged();

/// The reserves that depend on how much memory there is; once at boot, when the allocator works.
void initialise_knobs();
/// To be called when min_free_kbytes or watermark_scale_factor has changed.
void apply_min_free();
/// Lets go of clean file pages that nobody maps.
void drop_page_cache();
/// Lets go of whatever else the kernel only keeps to be faster. May sleep.
void drop_kernel_caches();

/// Asked whether the current thread may use what is kept for administrators. Registered by process.
using PrivilegeProbe = bool (*)();
void set_privilege_probe(PrivilegeProbe probe);

} // namespace linnet::mm
