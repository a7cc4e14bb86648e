// The list of all files with locks or leases, and the text of /proc/locks, as Linux words it.
//
// A record is first copied, with the locks held under which nothing may be allocated, and worded afterwards.
#include <vfs/lock_list.hpp>

#include <algorithm>
#include <core/mutex.hpp>
#include <vfs/file.hpp>
#include <vfs/file_locks.hpp>
#include <vfs/leases.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

namespace {

constinit core::Mutex list_lock; // nothing is allocated under it: reclaim may have to end an inode
[[clang::no_destroy]] constinit IntrusiveList<LockedFile, &LockedFile::node> locked_files;

/// Which waiters are who's: sorted by this, those of one holder are neighbours.
auto holder_of(const LockRecord& waiter) { return std::tuple(waiter.inode, waiter.waits_for, waiter.kind); }

bool overlap(const LockRecord& a, const LockRecord& b) { return a.begin < b.end && b.begin < a.end; }

void put_kind(TextSink sink, const LockRecord& record) {
    switch (record.kind) {
    case LockRecord::Kind::Record:
        return sink("POSIX  ADVISORY  ");
    case LockRecord::Kind::OpenFileRecord:
        return sink("OFDLCK ADVISORY  ");
    case LockRecord::Kind::Whole:
        return sink("FLOCK  ADVISORY  ");
    case LockRecord::Kind::Lease:
        if (record.waits_for) return sink("LEASE  BREAKER   ");
        return sink(record.state == LockRecord::State::Breaking ? "LEASE  BREAKING  " : "LEASE  ACTIVE    ");
    }
}

void put_record(TextSink sink, u64 number, const LockRecord& record) {
    format_to(sink, "{}: {}", number, std::string_view(record.waits_for ? "-> " : ""));
    put_kind(sink, record);
    constexpr std::string_view types[] = {"UNLCK", "READ", "WRITE"};
    format_to(sink, "{} {} ", types[static_cast<usize>(record.type)], record.process_id);
    const auto device = DeviceNumber::decode(record.device);
    if (record.kind == LockRecord::Kind::Lease && record.waits_for)
        sink("<none>:0"); // who opens a file has no lock of it
    else
        format_to(sink, "{02x}:{02x}:{}", device.major, device.minor, record.inode_number);
    if (record.end == ~u64{0})
        format_to(sink, " {} EOF\n", record.begin);
    else
        format_to(sink, " {} {}\n", record.begin, record.end - 1);
}

/// Fills `records`, calling `add` again with more room until all of them fit.
Result<void> collect(LockRecords& records, FunctionRef<usize()> count, FunctionRef<void()> add) {
    do {
        TRY(records.reserve(count() + records.missed() + 16));
        records.clear();
        add();
    } while (records.missed() > 0);
    return {};
}

} // namespace

void LockRecords::add(LockRecord record) {
    if (records_.size() == records_.capacity()) {
        ++missed_;
        return;
    }
    record.device = record.inode->superblock().device().encoded();
    record.inode_number = record.inode->number();
    MUST(records_.try_push(record)); // there is room
}

void LockedFile::join_list() {
    core::MutexGuard guard(list_lock);
    locked_files.push_back(*this);
}

void LockedFile::leave_list() {
    core::MutexGuard guard(list_lock);
    locked_files.remove(*this);
}

Result<void> show_locks(TextSink sink) {
    LockRecords records;
    TRY(collect(
        records,
        [] {
            core::MutexGuard guard(list_lock);
            usize count = 0;
            for (LockedFile& file : locked_files) count += file.record_count();
            return count;
        },
        [&] {
            core::MutexGuard guard(list_lock);
            for (LockedFile& file : locked_files) file.add_records(records);
        }));
    auto& all = records.all();
    auto* const waiters =
        std::stable_partition(all.begin(), all.end(), [](const auto& record) { return !record.waits_for; });
    std::sort(waiters, all.end(), [](const auto& a, const auto& b) { return holder_of(a) < holder_of(b); });
    u64 number = 0;
    for (auto* held = all.begin(); held != waiters; ++held) {
        put_record(sink, ++number, *held);
        const auto holder = std::tuple(held->inode, held->owner, held->kind);
        auto* waiter = std::lower_bound(waiters, all.end(), holder,
                                        [](const auto& record, const auto& key) { return holder_of(record) < key; });
        for (; waiter != all.end() && holder_of(*waiter) == holder; ++waiter) {
            if (waiter->begin == waiter->end || !overlap(*held, *waiter)) continue;
            put_record(sink, number, *waiter);
            waiter->begin = waiter->end; // shown
        }
    }
    return {};
}

Result<void> show_locks_of(File& file, const FdTable* table, TextSink sink) {
    LockRecords records;
    LockedFile* const parts[] = {file.inode().existing_file_locks(), file.inode().existing_leases()};
    TRY(collect(
        records,
        [&] {
            usize count = 0;
            for (LockedFile* part : parts) count += part ? part->record_count() : 0;
            return count;
        },
        [&] {
            for (LockedFile* part : parts)
                if (part) part->add_records(records);
        }));
    u64 number = 0;
    for (const LockRecord& record : records.all()) {
        if (record.waits_for || (record.owner != &file && record.owner != table)) continue;
        sink("lock:\t");
        put_record(sink, ++number, record);
    }
    return {};
}

} // namespace linnet::vfs
