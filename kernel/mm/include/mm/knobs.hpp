// What /proc/sys/vm and /proc/sys/kernel/randomize_va_space tune of memory (proc_sys_vm(5)). Whoever reads one reads it
// once: it may change at any time.
#pragma once

#include <atomic>
#include <lib/address.hpp>

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
enum HugePageMode : u64 { huge_never = 0, huge_madvise = 1, huge_always = 2 };
enum OvercommitMode : u64 { overcommit_guess = 0, overcommit_always = 1, overcommit_never = 2 };

extern constinit Tunable<u64> overcommit_mode;
extern constinit Tunable<u64> overcommit_ratio;     // percent of RAM, mode 2
extern constinit Tunable<u64> overcommit_kbytes;    // instead of the ratio, unless 0
extern constinit Tunable<u64> user_reserve_kbytes;  // mode 2: kept from the largest process
extern constinit Tunable<u64> admin_reserve_kbytes; // mode 2: kept for CAP_SYS_ADMIN
extern constinit Tunable<usize> max_map_count;
extern constinit Tunable<VirtAddr> lowest_user_address; // mmap_min_addr
extern constinit Tunable<u64> min_free_kbytes;          // free memory that only the kernel itself may have
extern constinit Tunable<u64> randomize_va_space;       // RandomisationMode
extern constinit Tunable<u64> mmap_rnd_bits;
extern constinit Tunable<u64> legacy_va_layout;
extern constinit Tunable<u64> transparent_hugepage; // HugePageMode

/// The reserves that depend on how much memory there is; once at boot, when the allocator works.
void initialise_knobs();
/// To be called when min_free_kbytes has changed.
void apply_min_free();
/// Lets go of whatever the kernel only keeps to be faster; returns how many objects and frames that were.
u64 drop_caches();

/// Asked whether the current thread may use what is kept for administrators. Registered by process.
using PrivilegeProbe = bool (*)();
void set_privilege_probe(PrivilegeProbe probe);

} // namespace linnet::mm
