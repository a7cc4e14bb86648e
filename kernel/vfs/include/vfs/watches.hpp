// Watches: who wants to hear of what happens to a file, or to the names of a directory, puts a watch on its inode; the
// calls that change or use something tell of it here, behind the deed. While nobody watches anything, telling is a load
// and a branch. What is told is said in the bits of inotify(7), abi::IN_*; inotify.cpp is one who listens.
//
// Lock order: Inode::lock → the lock of all watches (watches.cpp) → InodeWatches::lock → what a listener takes in
// happened() and ended().
#pragma once

#include <abi/linux/inotify.hpp>
#include <core/mutex.hpp>
#include <vfs/inode.hpp>

namespace linnet::vfs {

class Dentry;
class File;
class Watch;

struct WatchEvent {
    u32 bits = 0; // one of IN_ALL_EVENTS, or renamed_within
    bool is_about_directory = false;
    bool is_about_unlinked_name = false; // by an open file whose name is gone
    u32 cookie = 0;                      // the same for both halves of a rename
    std::string_view name{};             // in the watched directory; empty: of the watched object itself
};

/// A bit beside inotify's: a name has become another one of the same directory (F_NOTIFY's DN_RENAME).
inline constexpr u32 renamed_within = 1u << 12;

enum class WatchEnd : u8 { Removed, InodeGone, Unmounted };

/// One listener's interest in one inode, which it keeps in memory until it ends.
class Watch : public RefCounted<Watch> {
public:
    virtual ~Watch() = default;

    /// Something that it wants has happened. The watches of the inode are locked: may queue and wake, not end watches.
    /// True: that was the last thing to hear of (IN_ONESHOT).
    virtual bool happened(const WatchEvent& event) = 0;
    /// No event will come any more from what was watched. The lock of all watches is held.
    virtual void ended(WatchEnd why, const Inode& watched) = 0;

    /// The bits of IN_ALL_EVENTS that happened() is called for.
    [[nodiscard]] u32 wanted() const { return wanted_.load(std::memory_order_relaxed); }
    /// What is watched; null once it has ended. The lock of all watches held.
    [[nodiscard]] Inode* inode() const { return inode_.get(); }

protected:
    /// `listener` tells whose watch it is.
    Watch(RefPtr<Inode> inode, const void* listener, u32 wanted)
        : inode_(std::move(inode)), listener_(listener), wanted_(wanted) {}

private:
    friend class WatchTable;
    friend class InodeWatches;
    NullableRefPtr<Inode> inode_;
    const void* const listener_;
    std::atomic<u32> wanted_;
    bool is_finished_ = false; // heard of what it was there for; InodeWatches::lock
    ListNode of_inode_;        // InodeWatches::lock
    ListNode of_superblock_;   // the lock of all watches

public:
    using OfSuperBlock = IntrusiveList<Watch, &Watch::of_superblock_>;
};

/// The watches on one inode; made with the first, gone with the inode.
class InodeWatches {
public:
    /// Whether anybody wants to hear of one of these.
    [[nodiscard]] bool want(u32 bits) const { return (wanted_.load(std::memory_order_relaxed) & bits) != 0; }
    void tell(const WatchEvent& event);

private:
    friend class WatchTable;
    void count_wanted();
    NullableRefPtr<Watch> pop_finished();

    core::Mutex lock_;
    IntrusiveList<Watch, &Watch::of_inode_> list_;
    std::atomic<u32> wanted_{0}; // of all of them
};

/// Makes, finds and ends watches. Functions that say "locked" want lock() held.
class WatchTable {
public:
    static core::Mutex& lock();
    /// Puts a fresh watch to its inode, which gets a reference to it. Locked. ENOMEM.
    static Result<void> add(Watch& watch);
    /// Locked.
    static void set_wanted(Watch& watch, u32 wanted);
    /// This listener's watch on the inode, or null. Locked.
    static Watch* find(Inode& inode, const void* listener);
    /// Ends it, unless it has ended or its file system is about to end it. Not locked; the last reference to the inode
    /// may go.
    static void end(Watch& watch);
    /// The last name of an inode is gone, and nobody has it open. The caller keeps the inode.
    static void inode_removed(Inode& inode);
    /// The last mount of a file system is gone, and with it the superblock will be.
    static void superblock_gone(SuperBlock& superblock);

private:
    static NullableRefPtr<Inode> take_off(Watch& watch, WatchEnd why);
};

namespace detail {
inline constinit std::atomic<u32> watch_count{0};
void tell_name(Inode& directory, const WatchEvent& event);
void tell_inode(Inode& inode, u32 bits);
void tell_dentry(const Dentry& dentry, u32 bits);
void tell_file(const File& file, u32 bits);
} // namespace detail

inline bool is_anything_watched() { return detail::watch_count.load(std::memory_order_relaxed) != 0; }

/// Something happened to a name of this directory.
inline void tell_watches(Inode& directory, const WatchEvent& event) {
    if (is_anything_watched()) [[unlikely]]
        detail::tell_name(directory, event);
}
/// To the inode, whatever its names are.
inline void tell_watches(Inode& inode, u32 bits) {
    if (is_anything_watched()) [[unlikely]]
        detail::tell_inode(inode, bits);
}
/// To what the name leads to: those who watch the directory hear of it too.
inline void tell_watches(const Dentry& dentry, u32 bits) {
    if (is_anything_watched()) [[unlikely]]
        detail::tell_dentry(dentry, bits);
}
/// To what is open, by the name that it was opened by. Nobody hears of O_PATH.
inline void tell_watches(const File& file, u32 bits) {
    if (is_anything_watched()) [[unlikely]]
        detail::tell_file(file, bits);
}

} // namespace linnet::vfs
