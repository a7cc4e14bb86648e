// The ordered set of mappings.
#include <mm/vma.hpp>

namespace linnet::mm {

bool Vma::counts_as_writable_mapping() const { return is(vma_shared) && (max_prot & 2) != 0; }

Vma* VmaMap::find_in_tree(VirtAddr address) {
    auto it = tree_.upper_bound(address);
    Vma* found = it == tree_.end() ? last_ : it->previous;
    if (!found || !found->contains(address)) return nullptr;
    last_found_.store(found, std::memory_order_relaxed);
    return found;
}

Vma* VmaMap::find_ending_after_in_tree(VirtAddr address) {
    auto it = tree_.upper_bound(address);
    Vma* behind = it == tree_.end() ? nullptr : &*it;
    Vma* before = behind ? behind->previous : last_;
    Vma* found = before && before->end > address ? before : behind;
    if (found) last_found_.store(found, std::memory_order_relaxed);
    return found;
}

// ThreadSanitizer is told what the walk without a lock synchronises with, and doesn't watch the walk itself: it would
// ask for atomic links.
#if __has_feature(thread_sanitizer)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#define UNWATCHED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNWATCHED
#endif

namespace {

/// What the mapping is must be visible before the tree leads to it.
void publish(Vma& vma) {
    vma.is_mapped = true;
    std::atomic_thread_fence(std::memory_order_release);
#if __has_feature(thread_sanitizer)
    __tsan_release(&vma);
#endif
}

} // namespace

// The tree is changed while others walk down it: they may be led astray, and then find too little or the wrong one, but
// every node that they meet is or was a mapping.
UNWATCHED Vma* VmaMap::find_unlocked(VirtAddr address) {
    constexpr int most_steps = 64; // more than any tree is deep
    Vma* found = nullptr;
    auto node = __atomic_load_n(&tree_.end().pointed_node()->parent_, __ATOMIC_ACQUIRE); // the header's is the root
    for (int step = 0; node && step < most_steps; ++step) {
        Vma* vma = Tree::value_traits::to_value_ptr(node);
        if (__atomic_load_n(&vma->begin.value, __ATOMIC_RELAXED) <= address.value) {
            found = vma;
            node = __atomic_load_n(&node->right_, __ATOMIC_ACQUIRE);
        } else {
            node = __atomic_load_n(&node->left_, __ATOMIC_ACQUIRE);
        }
    }
#if __has_feature(thread_sanitizer)
    if (found) __tsan_acquire(found);
#endif
    return found;
}

void VmaMap::insert(Vma& vma) {
    // Fork and exec add in order.
    if (last_ && last_->begin < vma.begin) return insert_behind(*last_, vma);
    publish(vma);
    auto next = std::next(tree_.insert(tree_.end(), vma));
    Vma* behind = next == tree_.end() ? nullptr : &*next;
    link(vma, behind ? behind->previous : nullptr, behind);
    ++count_;
}

void VmaMap::insert_behind(Vma& before, Vma& vma) {
    publish(vma);
    tree_.insert_before(before.next ? tree_.iterator_to(*before.next) : tree_.end(), vma);
    link(vma, &before, before.next);
    ++count_;
}

void VmaMap::link(Vma& vma, Vma* previous, Vma* next) {
    vma.previous = previous;
    vma.next = next;
    last_found_.store(&vma, std::memory_order_relaxed);
    (previous ? previous->next : first_) = &vma;
    (next ? next->previous : last_) = &vma;
}

void VmaMap::remove(Vma& vma) {
    // Who looks next may well look for what can be put there.
    last_found_.store(vma.next, std::memory_order_relaxed);
    tree_.erase(tree_.iterator_to(vma));
    (vma.previous ? vma.previous->next : first_) = vma.next;
    (vma.next ? vma.next->previous : last_) = vma.previous;
    vma.is_mapped = false;
    --count_;
}

namespace {
/// Where the range that `vma` keeps for itself begins: a stack wants room to grow.
u64 guarded_begin(const Vma& vma, u64 guard) {
    if (!vma.is(vma_grows_down)) return vma.begin.value;
    return vma.begin.value > guard ? vma.begin.value - guard : 0;
}
} // namespace

VirtAddr VmaMap::find_gap_top_down(u64 length, VirtAddr low, VirtAddr high, u64 alignment, u64 guard,
                                   u64* largest_skipped) {
    u64 top = high.value;
    Vma* above = find_ending_after(high);
    if (above && above->begin < high) above = above->next;
    // The mapping above may be a stack that reaches into the range with its guard.
    if (above) top = std::min(top, guarded_begin(*above, guard));
    for (Vma* below = above ? above->previous : last_;; below = below->previous) {
        const u64 bottom = below ? std::max(low.value, below->end.value) : low.value;
        if (top >= length && top >= bottom) {
            u64 start = align_down(top - length, alignment);
            if (start >= bottom && start >= low.value) return {start};
        }
        if (largest_skipped && top > bottom) *largest_skipped = std::max(*largest_skipped, top - bottom);
        if (!below || bottom <= low.value) return {0};
        top = std::min(top, guarded_begin(*below, guard));
        if (top <= low.value) return {0};
    }
}

VirtAddr VmaMap::find_gap_bottom_up(u64 length, VirtAddr low, VirtAddr high, u64 alignment, u64 guard) {
    u64 start = align_up(low.value, alignment);
    Vma* vma = find_ending_after(low);
    for (;;) {
        u64 end = vma ? std::min(guarded_begin(*vma, guard), high.value) : high.value;
        if (start < end && end - start >= length) return {start};
        if (!vma || vma->end >= high) return {0};
        start = std::max(start, align_up(vma->end.value, alignment));
        vma = next(*vma);
    }
}

} // namespace linnet::mm
