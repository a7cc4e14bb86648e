// Advisory locks: setting, splitting, waiting, and deadlock detection among owners of POSIX locks.
#include <vfs/file_locks.hpp>

#include <algorithm>
#include <core/mutex.hpp>
#include <lib/intrusive_list.hpp>

namespace linnet::vfs {

namespace {

/// An owner that waits for another. On the waiter's stack.
struct BlockedOwner {
    ListNode node;
    const void* owner = nullptr;
    const void* waits_for = nullptr;
};
constinit core::SpinLock blocked_lock;
[[clang::no_destroy]] constinit IntrusiveList<BlockedOwner, &BlockedOwner::node> blocked_owners;

/// Whether `owner`, when it waits for `holder`, would wait for itself. blocked_lock held.
bool would_deadlock(const void* owner, const void* holder) {
    constexpr int longest_chain = 64;
    for (int i = 0; i < longest_chain && holder; ++i) {
        if (holder == owner) return true;
        const void* next = nullptr;
        for (BlockedOwner& blocked : blocked_owners)
            if (blocked.owner == holder) next = blocked.waits_for;
        holder = next;
    }
    return false;
}

LockRecord::Kind record_kind(const FileLocks::Lock& lock) {
    return lock.process_id == -1 ? LockRecord::Kind::OpenFileRecord : LockRecord::Kind::Record;
}

} // namespace

const FileLocks::Lock* FileLocks::conflict(const ArrayList<Lock>& locks, const Lock& wanted) {
    for (const Lock& lock : locks)
        if (lock.owner != wanted.owner && overlap(lock.range, wanted.range) &&
            (lock.mode == Mode::Exclusive || wanted.mode == Mode::Exclusive))
            return &lock;
    return nullptr;
}

std::optional<FileLocks::Lock> FileLocks::find_conflict(const Lock& lock) {
    core::SpinGuard guard(lock_);
    const Lock* first = nullptr;
    for (const Lock& other : records_)
        if (other.owner != lock.owner && overlap(other.range, lock.range) &&
            (other.mode == Mode::Exclusive || lock.mode == Mode::Exclusive) &&
            (!first || other.range.begin < first->range.begin))
            first = &other;
    if (!first) return std::nullopt;
    return *first;
}

/// Cuts `range` out of the owner's locks, then adds `fresh` (merged with equal neighbours). Room is made
/// first, so that it happens wholly or not at all.
Result<void> FileLocks::replace_range_locked(const void* owner, Range range, const Lock* fresh) {
    TRY(records_.try_reserve(records_.size() + 2));
    for (usize i = 0; i < records_.size();) {
        Lock& lock = records_[i];
        if (lock.owner != owner || !overlap(lock.range, range)) {
            ++i;
            continue;
        }
        Lock old = lock;
        records_.remove_at(i);
        if (old.range.begin < range.begin) {
            Lock left = old;
            left.range.end = range.begin;
            TRY(records_.try_push(left));
        }
        if (old.range.end > range.end) {
            Lock right = old;
            right.range.begin = range.end;
            TRY(records_.try_push(right));
        }
    }
    if (!fresh) return {};
    Lock merged = *fresh;
    for (usize i = 0; i < records_.size();) {
        const Lock& lock = records_[i];
        if (lock.owner == owner && lock.mode == merged.mode &&
            (lock.range.end == merged.range.begin || lock.range.begin == merged.range.end)) {
            merged.range.begin = std::min(merged.range.begin, lock.range.begin);
            merged.range.end = std::max(merged.range.end, lock.range.end);
            records_.remove_at(i);
        } else {
            ++i;
        }
    }
    return records_.try_push(merged);
}

/// "Try, then wait" for locks: `attempt(blocker)`, called under lock_, answers EAGAIN and names who is in the way.
template <typename Try>
Result<void> FileLocks::set_waiting(const Lock& lock, LockRecord::Kind kind, Waiting waiting, Try attempt) {
    Waiter waiter{{}, &lock, kind};
    bool waits = false;
    Result<void> result;
    auto try_once = [&] {
        core::SpinGuard guard(lock_);
        result = attempt(waiter.waits_for);
        const bool refused = !result && result.error() == Errno::EAGAIN;
        if (waits && !refused) waiters_.remove(waiter);
        if (!waits && refused && waiting != Waiting::Refuse) waiters_.push_back(waiter);
        waits = refused && waiting != Waiting::Refuse;
        return waits;
    };
    if (!try_once()) return result;

    BlockedOwner blocked;
    blocked.owner = lock.owner;
    bool listed = false;
    auto note_blocker = [&]() -> bool {
        if (waiting != Waiting::WaitCheckDeadlock) return true;
        core::SpinGuard guard(blocked_lock);
        if (would_deadlock(lock.owner, waiter.waits_for)) return false;
        blocked.waits_for = waiter.waits_for;
        if (!listed) blocked_owners.push_back(blocked);
        listed = true;
        return true;
    };
    bool deadlock = !note_blocker();
    core::WaitResult ended = core::WaitResult::Ready;
    if (!deadlock)
        ended = core::wait_until(changed_, core::Sleep::Interruptible, core::Deadline::never(), [&] {
            if (!try_once()) return true;
            deadlock = !note_blocker();
            return deadlock;
        });
    if (listed) {
        core::SpinGuard guard(blocked_lock);
        blocked_owners.remove(blocked);
    }
    if (waits) {
        core::SpinGuard guard(lock_);
        waiters_.remove(waiter);
    }
    if (deadlock) return error(Errno::EDEADLK);
    if (ended != core::WaitResult::Ready) return error(Errno::RestartIfRequested);
    return result;
}

Result<void> FileLocks::set(const Lock& lock, Waiting waiting) {
    auto result = set_waiting(lock, record_kind(lock), waiting, [&](const void*& blocker) -> Result<void> {
        if (const Lock* other = conflict(records_, lock)) {
            blocker = other->owner;
            return error(Errno::EAGAIN);
        }
        return replace_range_locked(lock.owner, lock.range, &lock);
    });
    if (result) changed_.wake_all(); // an exclusive lock may have become a shared one
    return result;
}

Result<void> FileLocks::unset(const void* owner, Range range) {
    {
        core::SpinGuard guard(lock_);
        TRY(replace_range_locked(owner, range, nullptr));
    }
    changed_.wake_all();
    return {};
}

Result<void> FileLocks::set_whole(const void* owner, i32 process_id, Mode mode, Waiting waiting) {
    {
        core::SpinGuard guard(lock_);
        for (const Lock& held : wholes_)
            if (held.owner == owner && held.mode == mode) return {};
    }
    // A conversion is not atomic (flock(2)): the old lock is given up first.
    unset_whole(owner);
    Lock lock{owner, process_id, mode, {}};
    return set_waiting(lock, LockRecord::Kind::Whole, waiting, [&](const void*& blocker) -> Result<void> {
        if (const Lock* other = conflict(wholes_, lock)) {
            blocker = other->owner;
            return error(Errno::EAGAIN);
        }
        return wholes_.try_push(lock);
    });
}

void FileLocks::unset_whole(const void* owner) {
    bool changed = false;
    {
        core::SpinGuard guard(lock_);
        for (usize i = 0; i < wholes_.size();)
            if (wholes_[i].owner == owner) {
                wholes_.remove_at(i);
                changed = true;
            } else {
                ++i;
            }
    }
    if (changed) changed_.wake_all();
}

void FileLocks::release_owner(const void* owner) {
    bool changed = false;
    {
        core::SpinGuard guard(lock_);
        for (usize i = 0; i < records_.size();)
            if (records_[i].owner == owner) {
                records_.remove_at(i);
                changed = true;
            } else {
                ++i;
            }
    }
    if (changed) changed_.wake_all();
}

// ---- /proc/locks ----

LockRecord FileLocks::describe(const Lock& lock, LockRecord::Kind kind) {
    return {.inode = &inode(),
            .owner = lock.owner,
            .waits_for = nullptr,
            .kind = kind,
            .state = LockRecord::State::Held,
            .type = lock.mode == Mode::Exclusive ? LockRecord::Type::Write : LockRecord::Type::Read,
            .process_id = lock.process_id,
            .begin = lock.range.begin,
            .end = lock.range.end};
}

usize FileLocks::record_count() {
    core::SpinGuard guard(lock_);
    usize count = records_.size() + wholes_.size();
    for ([[maybe_unused]] const Waiter& waiter : waiters_) ++count;
    return count;
}

void FileLocks::add_records(LockRecords& records) {
    core::SpinGuard guard(lock_);
    for (const Lock& lock : wholes_) records.add(describe(lock, LockRecord::Kind::Whole));
    for (const Lock& lock : records_) records.add(describe(lock, record_kind(lock)));
    for (const Waiter& waiter : waiters_) {
        LockRecord record = describe(*waiter.wanted, waiter.kind);
        record.waits_for = waiter.waits_for;
        records.add(record);
    }
}

} // namespace linnet::vfs
