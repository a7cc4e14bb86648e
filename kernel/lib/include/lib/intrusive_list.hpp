// A doubly linked intrusive list: no allocation, O(1) insert and remove, usable as constinit data (Boost.Intrusive's
// containers are not, which is why the list is ours while trees are theirs).
//
//     struct Waiter { ListNode node; … };
//     IntrusiveList<Waiter, &Waiter::node> waiters;
#pragma once

#include <lib/assert.hpp>
#include <lib/types.hpp>

namespace linnet {

struct ListNode {
    ListNode* next = nullptr;
    ListNode* previous = nullptr;
    constexpr ListNode() = default;
    ListNode(const ListNode&) = delete;
    ListNode& operator=(const ListNode&) = delete;
    [[nodiscard]] bool is_linked() const { return next != nullptr; }
    /// Takes the node out of whatever list it is in; nothing happens when it is in none.
    void unlink() {
        if (!next) return;
        next->previous = previous;
        previous->next = next;
        next = previous = nullptr;
    }
};

template <typename T, ListNode T::* Member>
class IntrusiveList {
public:
    constexpr IntrusiveList() = default;
    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;

    [[nodiscard]] bool is_empty() const { return head_.next == nullptr || head_.next == &head_; }
    [[nodiscard]] T* first() { return is_empty() ? nullptr : owner(head_.next); }
    [[nodiscard]] T* last() { return is_empty() ? nullptr : owner(head_.previous); }
    /// The element behind `item`, or null at the end.
    [[nodiscard]] T* next(T& item) {
        ListNode* node = (item.*Member).next;
        return node == &head_ ? nullptr : owner(node);
    }
    void push_back(T& item) { insert_between(head_.previous ? head_.previous : init(), item, &head_); }
    void push_front(T& item) { insert_between(&head_, item, head_.next ? head_.next : init()); }
    void insert_before(T& position, T& item) { insert_between((position.*Member).previous, item, &(position.*Member)); }
    /// `item` must be in this list.
    void remove(T& item) { (item.*Member).unlink(); }
    T* pop_front() {
        T* item = first();
        if (item) remove(*item);
        return item;
    }
    /// Moves all of `other` to the end of this list.
    void splice_back(IntrusiveList& other) {
        while (T* item = other.pop_front()) push_back(*item);
    }

    /// Forward iteration; removing the element that the iterator stands on is not allowed.
    class Iterator {
    public:
        explicit Iterator(ListNode* node) : node_(node) {}
        T& operator*() const { return *owner(node_); }
        T* operator->() const { return owner(node_); }
        Iterator& operator++() { return node_ = node_->next, *this; }
        bool operator==(const Iterator&) const = default;

    private:
        ListNode* node_;
    };
    Iterator begin() { return Iterator(head_.next ? head_.next : &head_); }
    Iterator end() { return Iterator(&head_); }

private:
    ListNode* init() { return head_.next = head_.previous = &head_; }
    static void insert_between(ListNode* before, T& item, ListNode* after) {
        ListNode* node = &(item.*Member);
        DEBUG_ASSERT(!node->is_linked());
        node->previous = before;
        node->next = after;
        before->next = node;
        after->previous = node;
    }
    static T* owner(ListNode* node) {
        // Computed on a dummy address: the member's offset within T.
        constexpr usize probe = 4096;
        auto offset = reinterpret_cast<usize>(&(reinterpret_cast<T*>(probe)->*Member)) - probe;
        return reinterpret_cast<T*>(reinterpret_cast<char*>(node) - offset);
    }

    ListNode head_;
};

} // namespace linnet
