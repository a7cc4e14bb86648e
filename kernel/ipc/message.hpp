// A message on its way from one program to another: a heap block with the bytes behind this header.
#pragma once

#include <algorithm>
#include <lib/intrusive_list.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/result.hpp>
#include <memory>
#include <mm/usercopy.hpp>

namespace linnet::ipc {

class Message {
public:
    /// With room for `size` bytes. ENOMEM.
    static Result<std::unique_ptr<Message>> create(usize size);
    /// A copy of what lies in user memory. ENOMEM, EFAULT.
    static Result<std::unique_ptr<Message>> copy_in(mm::UserSpan from);
    static void operator delete(void* block) { ::operator delete(block); }

    [[nodiscard]] usize size() const { return size_; }
    /// Forgets the end of it.
    void shorten(usize size) { size_ = std::min(size_, size); }
    [[nodiscard]] std::span<u8> bytes() { return {reinterpret_cast<u8*>(this + 1), size_}; }

    /// The order of a queue with priorities: the highest first, then the oldest.
    friend bool operator<(const Message& first, const Message& second) {
        return first.type != second.type ? first.type > second.type : first.sequence < second.sequence;
    }

    ListNode node;      // of a queue without priorities
    TreeNode tree_node; // of one with them
    i64 type = 0;       // or the priority
    u64 sequence = 0;   // the order in which they came

private:
    explicit Message(usize size) : size_(size) {}
    usize size_;
};
using Messages = IntrusiveList<Message, &Message::node>;

} // namespace linnet::ipc
