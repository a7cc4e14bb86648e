// The buddy allocator's lists and arithmetic.
#include "buddy.hpp"

namespace linnet::mm {

namespace {
u64 frame_number(const Page& page) { return page_array.first_frame + static_cast<u64>(&page - page_array.pages); }
Page& page_at(u64 frame) { return page_array.pages[frame - page_array.first_frame]; }
} // namespace

void BuddyAllocator::push(Page& head, unsigned order) {
    head.kind = PageKind::Free;
    head.order = static_cast<u8>(order);
    head.previous = nullptr;
    head.next = lists_[order];
    if (head.next) head.next->previous = &head;
    lists_[order] = &head;
    ++counts_[order];
}

void BuddyAllocator::unlink(Page& head, unsigned order) {
    (head.previous ? head.previous->next : lists_[order]) = head.next;
    if (head.next) head.next->previous = head.previous;
    // Whatever the frame becomes now, a neighbour that is freed must not take it for a free block.
    head.kind = PageKind::Kernel;
    --counts_[order];
}

Page* BuddyAllocator::allocate(unsigned order) {
    unsigned found = order;
    while (found <= max_order && !lists_[found]) ++found;
    if (found > max_order) return nullptr;
    Page* head = lists_[found];
    unlink(*head, found);
    while (found > order) {
        --found;
        push(head[usize{1} << found], found);
    }
    head->order = static_cast<u8>(order);
    free_frames_ -= u64{1} << order;
    return head;
}

void BuddyAllocator::free(Page& block, unsigned order) {
    DEBUG_ASSERT(block.kind != PageKind::Free);
    u64 frame = frame_number(block);
    free_frames_ += u64{1} << order;
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
