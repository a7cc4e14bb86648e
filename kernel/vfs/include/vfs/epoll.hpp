// epoll(7): a set of watched files and the list of those that may be ready.
//
// Locks:
//
//     epoll_tree_lock      (sleeping, one for all) which file is watched by which instance: add, remove,
//     close, loop check
//       EpollFile::mutex_  (sleeping) the items of one instance and the delivery of events; an outer
//       instance's before
//                          those it watches
//         File::poll()'s own locks
//         an EventSource's queue lock
//           EpollFile::ready_lock_ (spinning, masks interrupts) the ready list; callbacks take it
//             the instance's own EventSource
#pragma once

#include <core/mutex.hpp>
#include <lib/intrusive_tree.hpp>
#include <vfs/file.hpp>

namespace linnet::vfs {

/// One watched (file, descriptor) of one instance.
struct EpollItem {
    EpollItem(EpollFile& epoll, File& watched, int descriptor)
        : owner(epoll), file(watched), key{&watched, descriptor} {}

    struct Key {
        File* file;
        int fd;
        auto operator<=>(const Key&) const = default;
    };
    struct KeyOf {
        using type = Key;
        const Key& operator()(const EpollItem& item) const { return item.key; }
    };
    struct Waiter : core::WaitQueue::Waiter {
        EpollItem* item = nullptr;
    };

    EpollFile& owner;
    File& file; // not counted: the file's end removes the item
    const Key key;
    u32 events = 0; // asked for, with EPOLLET and EPOLLONESHOT; mutex_, read by the callback
    u64 data = 0;
    TreeNode tree_node;
    ListNode ready_node;               // ready_lock_
    EpollItem* next_of_file = nullptr; // epoll_tree_lock
    Waiter waiter;
};

class EpollFile final : public File {
public:
    static Result<RefPtr<EpollFile>> create(u32 flags);
    ~EpollFile() override;

    /// epoll_ctl(2). `event` is ignored by EPOLL_CTL_DEL.
    Result<void> control(int operation, int fd, File& file, const abi::epoll_event& event);
    /// epoll_wait(2): calls `deliver` for at most `limit` events; waits until the deadline for the first one.
    Result<usize> wait(usize limit, core::Deadline deadline,
                       FunctionRef<Result<void>(usize, abi::epoll_event)> deliver);

    /// The `position`-th of the watched files with that descriptor, to compare with; null when there is none.
    const File* find_watched(int fd, u32 position);

    u32 poll() override;
    EventSource* event_source() override { return &source_; }
    EpollFile* as_epoll() override { return this; }
    void describe(TextSink sink) const override { sink("anon_inode:[eventpoll]"); }
    void show_fdinfo(TextSink sink) const override;

    /// A file is going: drops every watch on it.
    static void forget(File& file);

private:
    explicit EpollFile(RefPtr<Inode> inode, u32 flags) : File(std::move(inode), flags, Positioning::Stream) {}

    Result<void> add(int fd, File& file, const abi::epoll_event& event);
    Result<void> modify(EpollItem& item, const abi::epoll_event& event);
    void remove(EpollItem& item);
    EpollItem* find(File& file, int fd);
    void mark_ready(EpollItem& item);
    EpollItem* take_ready();
    Result<usize> collect(usize limit, FunctionRef<Result<void>(usize, abi::epoll_event)> deliver);
    Result<bool> deliver_one(EpollItem& item, usize index, FunctionRef<Result<void>(usize, abi::epoll_event)> deliver);
    static u32 depth_below(EpollFile& from, const EpollFile& sought, u32 depth);
    static u32 depth_above(const File& file);
    static void on_event(core::WaitQueue::Waiter& waiter, u32 events);

    mutable core::Mutex mutex_;
    IntrusiveTree<EpollItem, &EpollItem::tree_node, EpollItem::KeyOf> items_;
    core::InterruptSpinLock ready_lock_;
    IntrusiveList<EpollItem, &EpollItem::ready_node> ready_;
    usize ready_count_ = 0;
    EventSource source_;
};

} // namespace linnet::vfs
