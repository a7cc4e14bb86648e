// Giving and breaking leases.
//
// Who opens a file is counted among the inode's users before it looks for leases; who takes a lease enters it before it
// looks at the counts. One of the two sees the other.
#include <vfs/leases.hpp>

#include <abi/linux/poll.hpp>
#include <algorithm>
#include <vfs/current.hpp>
#include <vfs/file_owner.hpp>

namespace linnet::vfs {

constinit std::atomic<u64> Leases::is_enabled{1}, Leases::break_time{45};

bool Leases::is_open_otherwise(const File& file, Kind kind) {
    const Inode::Users users = file.inode().users();
    if (kind == Kind::Read) return users.writers > 0;
    const i32 own_writers = file.is_writable() ? 1 : 0, own_readers = file.is_readable() ? 1 - own_writers : 0;
    return users.writers != own_writers || users.readers != own_readers;
}

Leases::Lease* Leases::find(const File& file) {
    for (Lease& lease : leases_)
        if (lease.file == &file) return &lease;
    return nullptr;
}

void Leases::changed() {
    changes_.fetch_add(1, std::memory_order_release);
    has_changed_.wake_all();
}

void Leases::take_away_overdue() {
    bool any = false;
    for (usize i = leases_.size(); i-- > 0;) {
        Lease& lease = leases_[i];
        if (lease.kind == lease.target || lease.deadline.ns > core::monotonic_ns()) continue;
        core::SpinGuard guard(list_lock_);
        lease.kind = lease.target;
        if (lease.kind == Kind::None) leases_.remove_at(i);
        any = true;
    }
    if (any) changed();
}

/// What the file's lease will be, if the others let it have that.
Result<Leases::Lease> Leases::joined(File& file, Kind kind, int fd) {
    Lease fresh{&file, fd, current_process_id(), kind, kind, core::Deadline::never()};
    for (const Lease& lease : leases_) {
        if (lease.file == &file) {
            // A lease that is to be lowered stays so until it is.
            fresh = lease;
            fresh.kind = kind;
            if (lease.kind == lease.target) fresh.target = kind;
        } else if (kind == Kind::Write || lease.target == Kind::None) {
            return error(Errno::EAGAIN);
        }
    }
    return fresh;
}

Result<void> Leases::set(File& file, Kind kind, int fd) {
    if (kind == Kind::None) {
        core::MutexGuard guard(lock_);
        take_away_overdue();
        return remove(file) ? Result<void>{} : error(Errno::EAGAIN);
    }
    core::MutexGuard guard(lock_);
    take_away_overdue();
    if (is_open_otherwise(file, kind)) return error(Errno::EAGAIN);
    const Lease fresh = TRY(joined(file, kind, fd));
    if (file_owner_number(file).number == 0) TRY(set_file_owner(file, current_process_id()));
    Lease* place = find(file);
    const Lease before = place ? *place : fresh;
    {
        core::SpinGuard list_guard(list_lock_);
        if (place)
            *place = fresh;
        else
            TRY(leases_.try_push(fresh));
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (is_open_otherwise(file, kind)) { // somebody was faster
        core::SpinGuard list_guard(list_lock_);
        if (place)
            *place = before;
        else
            leases_.pop();
        return error(Errno::EAGAIN);
    }
    changed();
    return {};
}

Leases::Kind Leases::kind_of(const File& file) {
    core::MutexGuard guard(lock_);
    take_away_overdue();
    const Lease* lease = find(file);
    return lease ? lease->target : Kind::None;
}

bool Leases::remove(const File& file) {
    for (usize i = 0; i < leases_.size(); ++i) {
        if (leases_[i].file != &file) continue;
        {
            core::SpinGuard guard(list_lock_);
            leases_.remove_at(i);
        }
        changed();
        return true;
    }
    return false;
}

void Leases::forget(const File& file) {
    core::MutexGuard guard(lock_);
    (void)remove(file);
}

Result<void> Leases::give_way_to(Use use, Blocking blocking) {
    const Kind target = use == Use::Write ? Kind::None : Kind::Read;
    for (;;) {
        u32 seen;
        core::Deadline deadline;
        {
            core::MutexGuard guard(lock_);
            take_away_overdue();
            const Lease* first = nullptr;
            for (Lease& lease : leases_) {
                if (lease.kind <= target) continue;
                if (lease.target > target) {
                    const u64 seconds = break_time.load(std::memory_order_relaxed);
                    {
                        core::SpinGuard list_guard(list_lock_);
                        lease.target = target;
                        lease.deadline =
                            seconds ? core::Deadline::after(seconds * core::ns_per_second) : core::Deadline::never();
                    }
                    tell_owner(*lease.file, abi::POLLMSG, lease.fd);
                }
                if (!first) first = &lease;
            }
            if (!first) return {};
            deadline = first->deadline;
            seen = changes_.load(std::memory_order_relaxed);
        }
        if (blocking == Blocking::Refuse) return error(Errno::EAGAIN);
        Breaker breaker{{}, use, current_process_id()};
        {
            core::SpinGuard guard(list_lock_);
            breakers_.push_back(breaker);
        }
        const auto ended = core::wait_until(has_changed_, core::Sleep::Interruptible, deadline,
                                            [&] { return changes_.load(std::memory_order_acquire) != seen; });
        {
            core::SpinGuard guard(list_lock_);
            breakers_.remove(breaker);
        }
        if (ended == core::WaitResult::Interrupted) return error(Errno::RestartIfRequested);
    }
}

// ---- /proc/locks ----

usize Leases::record_count() {
    core::SpinGuard guard(list_lock_);
    usize count = leases_.size();
    for ([[maybe_unused]] const Breaker& breaker : breakers_) ++count;
    return count;
}

void Leases::add_records(LockRecords& records) {
    using Type = LockRecord::Type;
    core::SpinGuard guard(list_lock_);
    LockRecord record{.inode = &inode(),
                      .owner = nullptr,
                      .waits_for = nullptr,
                      .kind = LockRecord::Kind::Lease,
                      .state = LockRecord::State::Held,
                      .type = Type::None,
                      .process_id = 0,
                      .begin = 0,
                      .end = ~u64{0}};
    for (const Lease& lease : leases_) {
        record.owner = lease.file;
        record.process_id = lease.process_id;
        record.state = lease.kind == lease.target ? LockRecord::State::Held : LockRecord::State::Breaking;
        record.type = lease.target == Kind::None ? Type::None : lease.target == Kind::Read ? Type::Read : Type::Write;
        records.add(record);
    }
    // They wait for all that are being broken; shown behind the first of those.
    const void* waits_for = nullptr;
    for (const Lease& lease : leases_)
        if (!waits_for && lease.kind != lease.target) waits_for = lease.file;
    if (!waits_for) return;
    for (const Breaker& breaker : breakers_) {
        record.waits_for = waits_for;
        record.process_id = breaker.process_id;
        record.type = breaker.use == Use::Write ? Type::Write : Type::Read;
        records.add(record);
    }
}

} // namespace linnet::vfs
