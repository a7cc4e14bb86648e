// The numbers of the oldest and the youngest generation, and how many pages are in each.
//
// Nothing is locked: a page may be given to a generation that has just ceased to be the youngest, which makes it a
// little older than it is.
#include "generations.hpp"

namespace linnet::mm::generations {

namespace {

// Both count up for ever; a page carries one more than the remainder by `most`, so that 0 means none.
constinit std::atomic<u64> oldest{0}, youngest{least - 1};
constinit std::atomic<i64> sizes[most];

u16 mark_of(u64 generation) { return static_cast<u16>(generation % most + 1); }
std::atomic_ref<u16> mark(Page& page) { return std::atomic_ref<u16>(page.generation); }

u64 size_of(u64 generation) {
    const i64 pages = sizes[generation % most].load(std::memory_order_relaxed);
    return pages > 0 ? static_cast<u64>(pages) : 0;
}

void move(Page& page, u16 to) {
    const u16 from = mark(page).exchange(to, std::memory_order_relaxed);
    if (to != 0) sizes[to - 1].fetch_add(1, std::memory_order_relaxed);
    if (from != 0) sizes[from - 1].fetch_sub(1, std::memory_order_relaxed);
}

} // namespace

void add(Page& page) { move(page, mark_of(youngest.load(std::memory_order_relaxed))); }
void remove(Page& page) { move(page, 0); }

void touch(Page& page) {
    const u16 young = mark_of(youngest.load(std::memory_order_relaxed));
    u16 seen = mark(page).load(std::memory_order_relaxed);
    if (seen == young || seen == 0) [[likely]]
        return;
    // Not by move(): a page that is being taken out must not come back.
    if (!mark(page).compare_exchange_strong(seen, young, std::memory_order_relaxed)) return;
    sizes[young - 1].fetch_add(1, std::memory_order_relaxed);
    sizes[seen - 1].fetch_sub(1, std::memory_order_relaxed);
}

bool is_oldest(const Page& page) {
    return mark(const_cast<Page&>(page)).load(std::memory_order_relaxed) ==
           mark_of(oldest.load(std::memory_order_relaxed));
}

u64 oldest_size() {
    for (u32 step = 0; step < most; ++step) {
        u64 old = oldest.load(std::memory_order_acquire);
        if (u64 pages = size_of(old)) return pages;
        // The youngest goes ahead first, so that there never are fewer than `least`.
        u64 young = youngest.load(std::memory_order_relaxed);
        if (young < old + least) youngest.compare_exchange_strong(young, young + 1, std::memory_order_release);
        oldest.compare_exchange_strong(old, old + 1, std::memory_order_release);
    }
    return 0;
}

u64 size() {
    u64 sum = 0;
    for (u32 i = 0; i < most; ++i) sum += size_of(i);
    return sum;
}

u64 active_size() {
    const u64 young = youngest.load(std::memory_order_relaxed);
    return size_of(young) + size_of(young - 1);
}

} // namespace linnet::mm::generations
