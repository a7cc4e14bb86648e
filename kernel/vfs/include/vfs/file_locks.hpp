// FileLocks: the advisory locks of one inode: POSIX record locks (owned by a descriptor table), OFD record locks (owned
// by an open file) and flock(2) locks (owned by an open file, the whole file). fcntl_locking(2), flock(2).
//
// Lock order: the list of all files with locks → FileLocks::lock_ → the list of waiting owners (deadlock detection).
#pragma once

#include <core/wait_queue.hpp>
#include <lib/array_list.hpp>
#include <lib/intrusive_list.hpp>
#include <optional>
#include <vfs/lock_list.hpp>

namespace linnet::vfs {

class FileLocks final : public LockedFile {
public:
    enum class Mode : u8 { Shared, Exclusive };
    /// Bytes [begin, end); end ~0 is "to the end of the file, however it grows".
    struct Range {
        u64 begin = 0;
        u64 end = ~u64{0};
    };
    struct Lock {
        const void* owner = nullptr; // FdTable or File; compared, never followed
        i32 process_id = 0;          // reported by F_GETLK; -1 for OFD locks
        Mode mode = Mode::Shared;
        Range range{};
    };
    enum class Waiting : u8 { Refuse, Wait, WaitCheckDeadlock };

    explicit FileLocks(Inode& inode) : LockedFile(inode) { join_list(); }
    ~FileLocks() override { leave_list(); }

    /// Sets a record lock, replacing what the owner had in the range. EAGAIN when refused, EDEADLK, ENOLCK/ENOMEM,
    /// RestartIfRequested when a signal ends the wait.
    Result<void> set(const Lock& lock, Waiting waiting);
    Result<void> unset(const void* owner, Range range);
    /// The first lock that keeps `lock` from being set.
    std::optional<Lock> find_conflict(const Lock& lock);

    Result<void> set_whole(const void* owner, i32 process_id, Mode mode, Waiting waiting);
    void unset_whole(const void* owner);

    /// Drops every record lock of the owner: it closed the file.
    void release_owner(const void* owner);

    usize record_count() override;
    void add_records(LockRecords& records) override;

private:
    /// Who waits for a lock. On the waiter's stack; under lock_.
    struct Waiter {
        ListNode node;
        const Lock* wanted;
        LockRecord::Kind kind;
        const void* waits_for = nullptr;
    };
    static bool overlap(Range a, Range b) { return a.begin < b.end && b.begin < a.end; }
    static const Lock* conflict(const ArrayList<Lock>& locks, const Lock& wanted);
    Result<void> replace_range_locked(const void* owner, Range range, const Lock* fresh);
    template <typename Try>
    Result<void> set_waiting(const Lock& lock, LockRecord::Kind kind, Waiting waiting, Try attempt);
    LockRecord describe(const Lock& lock, LockRecord::Kind kind);

    core::SpinLock lock_;
    ArrayList<Lock> records_;
    ArrayList<Lock> wholes_;
    IntrusiveList<Waiter, &Waiter::node> waiters_;
    core::WaitQueue changed_;
};

} // namespace linnet::vfs
