// FileLocks: the advisory locks of one inode: POSIX record locks (owned by a descriptor table), OFD record locks (owned
// by an open file) and flock(2) locks (owned by an open file, the whole file). fcntl_locking(2), flock(2).
//
// Lock order: FileLocks::lock_ → the list of waiting owners (for deadlock detection).
#pragma once

#include <core/wait_queue.hpp>
#include <lib/array_list.hpp>
#include <optional>

namespace linnet::vfs {

class FileLocks {
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

    FileLocks() = default;
    ~FileLocks();

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
    /// For /proc/locks.
    enum class Kind : u8 { Record, Whole };
    template <typename Visit>
    void for_each(Visit visit) {
        core::SpinGuard guard(lock_);
        for (const Lock& lock : records_) visit(Kind::Record, lock);
        for (const Lock& lock : wholes_) visit(Kind::Whole, lock);
    }

private:
    static bool overlap(Range a, Range b) { return a.begin < b.end && b.begin < a.end; }
    static const Lock* conflict(const ArrayList<Lock>& locks, const Lock& wanted);
    Result<void> replace_range_locked(const void* owner, Range range, const Lock* fresh);
    template <typename Try>
    Result<void> set_waiting(const Lock& lock, Waiting waiting, Try attempt);

    core::SpinLock lock_;
    ArrayList<Lock> records_;
    ArrayList<Lock> wholes_;
    core::WaitQueue changed_;
};

} // namespace linnet::vfs
