// How much memory may be promised: the three modes of overcommit_memory (Linux's documentation, "overcommit
// accounting"), the count of what has been promised, and the knobs of mm.
//
// The count is added to under the lock of whatever is promised to (an address space, an object), but the question comes
// before and apart: processes that ask at the same time may pass the limit by what they ask for, as on Linux.
#include "page_allocator.hpp"
#include "space.hpp"
#include <algorithm>
#include <mm/statistics.hpp>

namespace linnet::mm {

constinit Tunable<u64> overcommit_mode{overcommit_guess};
constinit Tunable<u64> overcommit_ratio{50};
constinit Tunable<u64> overcommit_kbytes{0};
constinit Tunable<u64> user_reserve_kbytes{0};
constinit Tunable<u64> admin_reserve_kbytes{0};
constinit Tunable<usize> max_map_count{65530};
constinit Tunable<VirtAddr> lowest_user_address{65536};

namespace {

constinit std::atomic<i64> committed{0};
constinit std::atomic<PrivilegeProbe> privilege_probe{nullptr};

constexpr u64 pages_of_kib(u64 kib) { return kib / (arch::page_size / 1024); }

} // namespace

void set_privilege_probe(PrivilegeProbe probe) { privilege_probe.store(probe); }

void commit_pages(i64 pages) { committed.fetch_add(pages, std::memory_order_relaxed); }

u64 committed_pages() {
    const i64 pages = committed.load(std::memory_order_relaxed);
    return pages > 0 ? static_cast<u64>(pages) : 0;
}

u64 commit_limit() {
    const u64 kbytes = overcommit_kbytes;
    return kbytes != 0 ? pages_of_kib(kbytes) : managed_frames() * overcommit_ratio / 100;
}

bool can_commit(u64 pages, u64 total_pages_of_asker) {
    const u64 mode = overcommit_mode;
    if (mode == overcommit_always) return true;
    if (mode == overcommit_guess) return pages <= managed_frames();
    u64 kept = std::min(total_pages_of_asker / 32, pages_of_kib(user_reserve_kbytes));
    const PrivilegeProbe may_use_all = privilege_probe.load();
    if (!may_use_all || !may_use_all()) kept += pages_of_kib(admin_reserve_kbytes);
    const u64 limit = commit_limit();
    return limit > kept && committed_pages() + pages < limit - kept;
}

bool AddressSpace::can_commit(u64 pages) const {
    return mm::can_commit(pages, total_pages_.load(std::memory_order_relaxed));
}

void initialise_knobs() {
    const u64 free_kib = free_frames() * (arch::page_size / 1024);
    user_reserve_kbytes.stored = std::min(free_kib / 32, u64{128} << 10);
    admin_reserve_kbytes.stored = std::min(free_kib / 32, u64{8} << 10);
}

} // namespace linnet::mm
