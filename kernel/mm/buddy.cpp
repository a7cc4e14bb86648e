// The buddy allocator's lists and arithmetic.
#include "buddy.hpp"
#include <algorithm>

namespace linnet::mm {

namespace {
u64 frame_number(const Page& page) { return page_array.first_frame + static_cast<u64>(&page - page_array.pages); }
Page& page_at(u64 frame) { return page_array.pages[frame - page_array.first_frame]; }
} // namespace

Mobility& BuddyAllocator::mobility_of(const Page& page) {
    return map_[(frame_number(page) >> huge_page_order) - (page_array.first_frame >> huge_page_order)];
}

void BuddyAllocator::push(Page& head, unsigned order) {
    Page*& first = list(head, order);
    head.kind = PageKind::Free;
    head.order = static_cast<u8>(order);
    head.previous = nullptr;
    head.next = first;
    if (head.next) head.next->previous = &head;
    first = &head;
    ++counts_[order];
}

void BuddyAllocator::unlink(Page& head, unsigned order) {
    (head.previous ? head.previous->next : list(head, order)) = head.next;
    if (head.next) head.next->previous = head.previous;
    // Whatever the frame becomes now, a neighbour that is freed must not take it for a free block.
    head.kind = PageKind::Kernel;
    --counts_[order];
}

/// Splits the first block of the list of order `found` that `mobility` looks into.
Page* BuddyAllocator::take(unsigned order, unsigned found, Mobility mobility) {
    const bool is_whole = found >= huge_page_order;
    Page* head = lists_[is_whole ? 0 : static_cast<usize>(mobility)][found];
    unlink(*head, found);
    for (; found > order; push(head[usize{1} << found], found)) {
        if (found == huge_page_order) mobility_of(*head) = mobility;
        --found;
    }
    if (order >= huge_page_order) // what is given back by the frame belongs to the same lists
        std::fill_n(&mobility_of(*head), usize{1} << (order - huge_page_order), mobility);
    head->order = static_cast<u8>(order);
    count_free(-(u64{1} << order));
    return head;
}

Page* BuddyAllocator::allocate(unsigned order, Mobility mobility) {
    const auto own = static_cast<usize>(mobility);
    unsigned found = order;
    while (found < huge_page_order && !lists_[own][found]) ++found;
    if (found >= huge_page_order)
        while (found <= max_order && !lists_[0][found]) ++found;
    if (found <= max_order) return take(order, found, mobility);
    // From the others then, and of what is largest, so that few of their blocks are mixed.
    const Mobility others = mobility == Mobility::User ? Mobility::Kernel : Mobility::User;
    for (found = huge_page_order; found-- > order;)
        if (lists_[1 - own][found]) return take(order, found, others);
    return nullptr;
}

void BuddyAllocator::free(Page& block, unsigned order) {
    DEBUG_ASSERT(block.kind != PageKind::Free);
    u64 frame = frame_number(block);
    count_free(u64{1} << order);
    for (; order < max_order; ++order) {
        u64 buddy = frame ^ (u64{1} << order);
        if (buddy < page_array.first_frame || buddy - page_array.first_frame >= page_array.count) break;
        Page& other = page_at(buddy);
        if (other.kind != PageKind::Free || other.order != order) break;
        unlink(other, order);
        frame &= ~(u64{1} << order);
    }
    Page& head = page_at(frame);
    // A block that was the upper half before must not look free by itself.
    if (&head != &block) block.kind = PageKind::Kernel;
    push(head, order);
}

void BuddyAllocator::free_range(u64 first, u64 end) {
    while (first < end) {
        unsigned order = first == 0 ? max_order : static_cast<unsigned>(std::countr_zero(first));
        if (order > max_order) order = max_order;
        while ((u64{1} << order) > end - first) --order;
        Page& head = page_at(first);
        head.kind = PageKind::Kernel;
        free(head, order);
        first += u64{1} << order;
    }
}

} // namespace linnet::mm
