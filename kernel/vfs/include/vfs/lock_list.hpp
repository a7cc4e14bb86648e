// All files that have, or had, locks or leases, and what /proc/locks says of them. proc_locks(5), proc_pid_fdinfo(5).
#pragma once

#include <lib/array_list.hpp>
#include <lib/format.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/result.hpp>

namespace linnet::vfs {

class FdTable;
class File;
class Inode;

/// A lock or lease that somebody has, or waits for.
struct LockRecord {
    enum class Kind : u8 { Record, OpenFileRecord, Whole, Lease };
    enum class State : u8 { Held, Breaking }; // of a lease
    enum class Type : u8 { None, Read, Write };

    const Inode* inode;    // compared, but by who keeps it alive not followed
    const void* owner;     // FdTable or File; compared, never followed
    const void* waits_for; // the owner who is in the way; null of what is held
    Kind kind;
    State state;
    Type type;
    i32 process_id;
    u64 begin, end; // bytes [begin, end), as FileLocks::Range

    u64 device = 0, inode_number = 0; // filled in by LockRecords
};

/// Room for records, made beforehand: whoever fills it holds locks under which nothing may be allocated.
class LockRecords {
public:
    Result<void> reserve(usize count) { return records_.try_reserve(count); }
    void clear() {
        records_.clear();
        missed_ = 0;
    }
    void add(LockRecord record);
    /// How many found no room.
    [[nodiscard]] usize missed() const { return missed_; }
    [[nodiscard]] usize room() const { return records_.capacity(); }
    ArrayList<LockRecord>& all() { return records_; }

private:
    ArrayList<LockRecord> records_;
    usize missed_ = 0;
};

/// What a file's locks and its leases have in common: they stand in the list of all such, from first use until the
/// inode goes.
class LockedFile {
public:
    explicit LockedFile(const Inode& inode) : inode_(inode) {}
    LockedFile(const LockedFile&) = delete;
    virtual ~LockedFile() = default;

    /// How many add_records() would add now.
    virtual usize record_count() = 0;
    virtual void add_records(LockRecords& records) = 0;

    ListNode node; // of the list of all

protected:
    /// To be called at the end of the constructor and at the beginning of the destructor of what derives from it: who
    /// is in the list may be asked.
    void join_list();
    void leave_list();
    [[nodiscard]] const Inode& inode() const { return inode_; }

private:
    const Inode& inode_;
};

/// The text of /proc/locks. ENOMEM.
Result<void> show_locks(TextSink sink);
/// The lines "lock:" of /proc/PID/fdinfo/N: what `file`, or `table` by way of it, has. ENOMEM.
Result<void> show_locks_of(File& file, const FdTable* table, TextSink sink);

} // namespace linnet::vfs
