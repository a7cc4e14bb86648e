// Leases: the files that have asked to hear of it before others open one inode in a way that conflicts (fcntl(2),
// "Leases"). A lease is a file's, so descriptors that share it share that.
//
// Who opens marks the leases that are in the way, has their owners told by a signal, and waits until they are given up,
// lowered, or overdue: then they are taken away.
//
// Lock order: Leases::lock_ → the list of all files with locks → Leases::list_lock_.
#pragma once

#include <core/mutex.hpp>
#include <core/wait_queue.hpp>
#include <lib/array_list.hpp>
#include <lib/intrusive_list.hpp>
#include <vfs/event_source.hpp>
#include <vfs/file.hpp>
#include <vfs/lock_list.hpp>

namespace linnet::vfs {

class Leases final : public LockedFile {
public:
    explicit Leases(Inode& inode) : LockedFile(inode) { join_list(); }
    ~Leases() override { leave_list(); }

    /// Read: until others open the file for writing or truncate it. Write: until others open it at all.
    enum class Kind : u8 { None, Read, Write };
    /// What somebody is about to do.
    enum class Use : u8 { Read, Write };

    /// F_SETLEASE by way of descriptor `fd`. EAGAIN when the file is open in other ways, when others have leases that
    /// don't go with it, or, for None, when there is none; ENOMEM.
    Result<void> set(File& file, Kind kind, int fd);
    /// What the file has, or is to lower it to.
    Kind kind_of(const File& file);
    /// Waits until nothing is in the way of `use`, EAGAIN if it may not wait. RestartIfRequested when a signal ends the
    /// wait.
    Result<void> give_way_to(Use use, Blocking blocking);
    /// The file is going.
    void forget(const File& file);

    usize record_count() override;
    void add_records(LockRecords& records) override;

    /// fs.leases-enable; fs.lease-break-time in seconds, 0: for ever.
    static std::atomic<u64> is_enabled, break_time;

private:
    struct Lease {
        File* file;
        int fd;
        i32 process_id; // who took it
        Kind kind;
        Kind target; // what it is to become; otherwise the same as `kind`
        core::Deadline deadline;
    };
    /// Who waits for leases to be given up. On the waiter's stack.
    struct Breaker {
        ListNode node;
        Use use;
        i32 process_id;
    };
    static bool is_open_otherwise(const File& file, Kind kind);
    Lease* find(const File& file);
    Result<Lease> joined(File& file, Kind kind, int fd);
    bool remove(const File& file);
    void take_away_overdue();
    void changed();

    core::Mutex lock_;
    core::SpinLock list_lock_;
    ArrayList<Lease> leases_;                         // changed under both locks, read under either
    IntrusiveList<Breaker, &Breaker::node> breakers_; // list_lock_
    std::atomic<u32> changes_{0};
    core::WaitQueue has_changed_;
};

/// Somebody is about to open or truncate the inode, and may already be counted among its users. See give_way_to().
inline Result<void> make_leases_give_way(Inode& inode, Leases::Use use, Blocking blocking) {
    Leases* leases = inode.existing_leases();
    return leases ? leases->give_way_to(use, blocking) : Result<void>{};
}

} // namespace linnet::vfs
