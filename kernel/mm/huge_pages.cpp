// Blocks of frames that are mapped whole: making them, and counting who maps them.
#include "huge_pages.hpp"
#include "page_allocator.hpp"
#include "rmap.hpp"
#include <algorithm>
#include <span>

namespace linnet::mm {

constinit HugePageCounters huge_page_counters;
constinit Tunable<u64> transparent_hugepage{huge_always};
constinit Tunable<u64> transparent_hugepage_defrag{defrag_madvise};
constinit Tunable<u64> shared_hugepage{shared_huge_never};
constinit Tunable<u64> huge_zero_pages{1};

bool set_huge_page_mode(std::string_view word) {
    for (u64 mode : {huge_always, huge_madvise, huge_never}) {
        if (huge_page_mode_words[mode] != word) continue;
        transparent_hugepage.stored = mode;
        return true;
    }
    return false;
}

namespace {

constinit std::atomic<Page*> zeros{nullptr};

std::span<Page> frames_of(Page& head) { return {&head, frames_per_huge_page}; }

/// The block's entries own one reference to each frame; the last of them is gone.
void end_huge_page(Page& head) {
    head.clear(page_huge);
    huge_page_counters.anonymous.fetch_sub(1, std::memory_order_relaxed);
}

} // namespace

Page* first_frame_of_huge_page(const Page& page) {
    const u64 index = static_cast<u64>(&page - page_array.pages);
    const u64 into_block = (page_array.first_frame + index) % frames_per_huge_page;
    return into_block > index ? nullptr : &page_array.pages[index - into_block];
}

Page* allocate_huge_page(Effort effort) {
    Page* head = allocate_block(huge_page_order, PageZeroing::Zeroed, PageKind::Anonymous, effort);
    if (!head) return nullptr;
    split_block(*head, huge_page_order);
    head->set(page_huge);
    head->map_count.store(1, std::memory_order_relaxed);
    count_event(huge_page_counters.anonymous);
    return head;
}

Page* huge_zero_page() {
    if (Page* made = zeros.load(std::memory_order_acquire)) return made;
    Page* fresh = allocate_block(huge_page_order, PageZeroing::Zeroed, PageKind::Kernel, Effort::Try);
    if (!fresh) {
        count_event(huge_page_counters.zero_alloc_failed);
        return nullptr;
    }
    // Entries that show it are not counted, but whoever copies from a frame holds a reference for a moment: each frame
    // has one that stays for good.
    split_block(*fresh, huge_page_order);
    for (Page& page : frames_of(*fresh)) page.kind = PageKind::Reserved;
    Page* made = nullptr;
    if (!zeros.compare_exchange_strong(made, fresh, std::memory_order_acq_rel)) {
        for (Page& page : frames_of(*fresh)) page.kind = PageKind::Kernel;
        unref_block(*fresh, huge_page_order);
        return made;
    }
    count_event(huge_page_counters.zero_alloc);
    return fresh;
}

void note_huge_mapping(Page& head) {
    if (head.kind == PageKind::Anonymous) {
        head.map_count.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    if (head.kind == PageKind::Reserved) return;
    if (head.kind == PageKind::Shared) count_event(huge_page_counters.shared);
    for (Page& page : frames_of(head)) {
        ref_page(page);
        note_mapped(page);
    }
}

void drop_huge_mapping(Page& head) {
    if (head.kind == PageKind::Reserved) return;
    if (head.kind != PageKind::Anonymous) {
        if (head.kind == PageKind::Shared) huge_page_counters.shared.fetch_sub(1, std::memory_order_relaxed);
        for (Page& page : frames_of(head)) {
            note_unmapped(page);
            unref_page(page);
        }
        return;
    }
    if (head.map_count.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    end_huge_page(head);
    unref_block(head, huge_page_order);
}

void split_huge_mapping(Page& head) {
    DEBUG_ASSERT(head.kind == PageKind::Anonymous);
    count_event(huge_page_counters.split_mapping);
    if (head.map_count.load(std::memory_order_acquire) == 1) {
        // The reference to each frame becomes that of its entry.
        head.map_count.store(0, std::memory_order_relaxed);
        count_event(huge_page_counters.split_block);
        end_huge_page(head);
        return;
    }
    for (Page& page : frames_of(head)) ref_page(page);
    drop_huge_mapping(head);
}

bool is_only_huge_mapping(const Page& head) {
    if (head.map_count.load(std::memory_order_acquire) != 1) return false;
    if (head.kind == PageKind::Hugetlb && !is_private_block(head)) return false;
    std::span<const Page> frames{&head, frames_per_huge_page};
    return std::ranges::all_of(frames, [](const Page& page) { return page.refs.load(std::memory_order_acquire) == 1; });
}

u32 huge_mappings_of(const Page& page) {
    const Page* head = first_frame_of_huge_page(page);
    if (!head || head->kind != PageKind::Anonymous || !head->has(page_huge)) return 0;
    return head->map_count.load(std::memory_order_relaxed);
}

void forget_huge_page_of(const Page& page) {
    // The first frame may be another's, who is free to change it, unless it is marked and of this object.
    Page* head = first_frame_of_huge_page(page);
    if (head && head->has(page_huge) && __atomic_load_n(&head->object, __ATOMIC_RELAXED) == page.object)
        head->clear(page_huge);
}

} // namespace linnet::mm
