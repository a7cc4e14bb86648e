// The radix tree behind PageIndex.
#include <bit>
#include <mm/page_index.hpp>
#include <new>

namespace linnet::mm {

PageIndex::~PageIndex() {
    if (root_ && height_ > 0) free_node(static_cast<Node*>(root_), height_);
}

void PageIndex::free_node(Node* node, unsigned height) {
    if (height > 1)
        for (void* slot : node->slots)
            if (slot) free_node(static_cast<Node*>(slot), height - 1);
    delete node;
}

Page* PageIndex::find(u64 index) const {
    if (!covers(index)) return nullptr;
    void* entry = root_;
    for (unsigned level = height_; level > 0 && entry; --level)
        entry = static_cast<Node*>(entry)->slots[(index >> ((level - 1) * bits)) & (ways - 1)];
    return static_cast<Page*>(entry);
}

Page* const* PageIndex::run(u64 index, usize& count) const {
    count = height_ == 0 ? 1 : ways - (index & (ways - 1));
    if (!covers(index)) return nullptr;
    if (height_ == 0) return reinterpret_cast<Page* const*>(&root_);
    void* entry = root_;
    for (unsigned level = height_; level > 1 && entry; --level)
        entry = static_cast<Node*>(entry)->slots[(index >> ((level - 1) * bits)) & (ways - 1)];
    if (!entry) return nullptr;
    return reinterpret_cast<Page* const*>(&static_cast<Node*>(entry)->slots[index & (ways - 1)]);
}

Result<void> PageIndex::insert(u64 index, Page& page) {
    while (!covers(index)) {
        if (root_) {
            auto* node = new (std::nothrow) Node;
            if (!node) return error(Errno::ENOMEM);
            node->slots[0] = root_;
            node->used = 1;
            root_ = node;
        }
        ++height_;
    }
    void** slot = &root_;
    Node* parent = nullptr;
    for (unsigned level = height_; level > 0; --level) {
        if (!*slot) {
            auto* node = new (std::nothrow) Node;
            if (!node) {
                prune(index);
                return error(Errno::ENOMEM);
            }
            *slot = node;
            if (parent) ++parent->used;
        }
        parent = static_cast<Node*>(*slot);
        slot = &parent->slots[(index >> ((level - 1) * bits)) & (ways - 1)];
    }
    if (parent && !*slot) ++parent->used;
    *slot = &page;
    return {};
}

/// Frees the empty nodes on the way to `index`.
void PageIndex::prune(u64 index) {
    void** path[64 / bits + 2];
    unsigned depth = 0;
    void** slot = &root_;
    for (unsigned level = height_; level > 0 && *slot; --level) {
        path[depth++] = slot;
        slot = &static_cast<Node*>(*slot)->slots[(index >> ((level - 1) * bits)) & (ways - 1)];
    }
    while (depth > 0) {
        void** entry = path[--depth];
        auto* node = static_cast<Node*>(*entry);
        if (node->used != 0) return;
        delete node;
        *entry = nullptr;
        if (depth > 0) --static_cast<Node*>(*path[depth - 1])->used;
    }
    if (!root_) height_ = 0;
}

Page* PageIndex::remove(u64 index) {
    if (!covers(index)) return nullptr;
    void** slot = &root_;
    Node* parent = nullptr;
    for (unsigned level = height_; level > 0 && *slot; --level) {
        parent = static_cast<Node*>(*slot);
        slot = &parent->slots[(index >> ((level - 1) * bits)) & (ways - 1)];
    }
    auto* page = static_cast<Page*>(*slot);
    if (!page) return nullptr;
    *slot = nullptr;
    if (parent && --parent->used == 0) prune(index);
    if (!root_) height_ = 0;
    return page;
}

Page* PageIndex::find_next(u64& from) const {
    if (!root_ || !covers(from)) return nullptr;
    return find_next_in(root_, height_, 0, from);
}

Page* PageIndex::find_next_in(void* entry, unsigned height, u64 base, u64& from) {
    if (height == 0) {
        from = base;
        return static_cast<Page*>(entry);
    }
    auto* node = static_cast<Node*>(entry);
    unsigned shift = (height - 1) * bits;
    u64 first = from > base ? (from - base) >> shift : 0;
    for (u64 i = first; i < ways; ++i) {
        if (!node->slots[i]) continue;
        if (Page* found = find_next_in(node->slots[i], height - 1, base + (i << shift), from)) return found;
    }
    return nullptr;
}

} // namespace linnet::mm
