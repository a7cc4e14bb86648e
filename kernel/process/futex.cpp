// Futexes: hashed queues of sleepers on words of user memory.
//
// A waiter queues itself first and looks at the word after that; a waker changes the word first and looks at
// the queue after that. So no wake-up is lost although the look at the word needs no lock and may fault a
// page in. Who compares and requeues in one step looks at the word under the bucket locks, where a fault
// can't be served: then the page is brought in without the locks and the step begun anew.
//
// Locks: a bucket's, two of them in order of address; then that of priority inheritance. A woken waiter passes through
// its bucket's lock once more, so it (and its stack, where the FutexWaiter lies) can't be gone while the waker still
// looks at it.
#include <abi/linux/futex.hpp>
#include <algorithm>
#include <core/sched.hpp>
#include <lib/own_ptr.hpp>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>
#include <optional>
#include <process/futex.hpp>
#include <process/futex_pi.hpp>
#include <process/thread.hpp>

#include "futex_word.hpp"
#include "pi_lock.hpp"

namespace linnet::process {

Result<mm::MemoryIdentity> futex_key(VirtAddr address, FutexScope scope) {
    if (address.value % 4 != 0) return error(Errno::EINVAL);
    if (!arch::is_user_range(address, 4)) return error(Errno::EFAULT);
    mm::AddressSpace& space = current().own_address_space();
    const mm::MemoryIdentity own = space.private_identity(address);
    if (scope == FutexScope::Private) return own;
    mm::MemoryIdentity key = TRY(space.identify(address));
    // In memory of its own a process still has two queues for a word, one for each scope.
    if (key == own) key.offset |= 1;
    return key;
}

namespace {

constinit core::LockClass bucket_class{"futex bucket"};

struct Bucket;

struct FutexWaiter {
    ListNode node;
    mm::MemoryIdentity key;
    u32 bitset = 0;
    core::Thread* thread = nullptr;
    std::atomic<Bucket*> bucket{nullptr}; // changes only under the lock of the bucket it names
    std::atomic<bool> woken{false};       // taken out by a waker
    PiWaiter* requeue = nullptr;          // FUTEX_WAIT_REQUEUE_PI: how it is to wait for the lock `target`
    mm::MemoryIdentity target{};
};

struct Bucket {
    core::SpinLock lock{bucket_class};
    std::atomic<u32> pi_locks{0}; // words of it that somebody waits for with priority inheritance
    IntrusiveList<FutexWaiter, &FutexWaiter::node> waiters;
};

constexpr usize bucket_count = 256;
constinit Bucket buckets[bucket_count];

Bucket& bucket_of(const mm::MemoryIdentity& key) {
    u64 hash = (key.owner ^ (key.offset >> 2)) * 0x9e37'79b9'7f4a'7c15u;
    return buckets[hash >> 56];
}

/// Two buckets locked in order of address; the same one once.
class TwoBuckets {
public:
    TwoBuckets(Bucket& one, Bucket& other) : low_(std::min(&one, &other)->lock) {
        if (&one != &other) high_.emplace(std::max(&one, &other)->lock);
    }

private:
    core::SpinGuard low_;
    std::optional<core::SpinGuard> high_;
};

/// Takes the waiter out of its queue; false when a waker was quicker, who then has finished with it.
bool take_back(FutexWaiter& waiter) {
    for (;;) {
        Bucket* bucket = waiter.bucket.load(std::memory_order_acquire);
        core::SpinGuard guard(bucket->lock);
        if (waiter.bucket.load(std::memory_order_relaxed) != bucket) continue; // requeued meanwhile
        if (waiter.woken.load(std::memory_order_relaxed)) return false;
        waiter.node.unlink();
        return true;
    }
}

/// EINVAL for a word that threads wait for with priority inheritance: only FUTEX_UNLOCK_PI may wake those.
Result<void> check_no_pi_waiters(const mm::MemoryIdentity& key) {
    if (bucket_of(key).pi_locks.load(std::memory_order_relaxed) == 0) [[likely]]
        return {};
    if (has_pi_waiters(key)) return error(Errno::EINVAL);
    return {};
}

/// Wakes up to `count` waiters of `key`. EINVAL at one whom only FUTEX_CMP_REQUEUE_PI may wake. The bucket's lock is
/// held.
Result<u32> wake_locked(Bucket& bucket, const mm::MemoryIdentity& key, u32 count, u32 bitset) {
    TRY(check_no_pi_waiters(key));
    u32 woken = 0;
    for (FutexWaiter* waiter = bucket.waiters.first(); waiter && woken < count;) {
        FutexWaiter* next = bucket.waiters.next(*waiter);
        if (waiter->key == key && waiter->requeue) return error(Errno::EINVAL);
        if (waiter->key == key && (waiter->bitset & bitset)) {
            bucket.waiters.remove(*waiter);
            waiter->woken.store(true, std::memory_order_release);
            core::wake_thread(*waiter->thread);
            ++woken;
        }
        waiter = next;
    }
    return woken;
}

} // namespace

void count_pi_lock(const mm::MemoryIdentity& key, bool exists) {
    std::atomic<u32>& count = bucket_of(key).pi_locks;
    exists ? count.fetch_add(1, std::memory_order_relaxed) : count.fetch_sub(1, std::memory_order_relaxed);
}

bool has_plain_waiters(const mm::MemoryIdentity& key) {
    Bucket& bucket = bucket_of(key);
    core::SpinGuard guard(bucket.lock);
    for (FutexWaiter& waiter : bucket.waiters)
        if (waiter.key == key) return true;
    return false;
}

namespace {

/// Puts the waiter in its queue; EAGAIN or EFAULT when its word, looked at after that, is not as expected.
Result<void> join_queue(FutexWaiter& waiter, const FutexWait& wait) {
    Bucket& bucket = *waiter.bucket.load(std::memory_order_relaxed);
    {
        core::SpinGuard guard(bucket.lock);
        bucket.waiters.push_back(waiter);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (TRY(load_futex_word(wait.address)) != wait.expected) return error(Errno::EAGAIN);
    return {};
}

/// One waiter for each word. A wake-up counts even where another word is not as expected, or time is over. The number
/// is part of the type where it is known, for most calls wait on one word.
template <usize extent>
Result<FutexWaitEnd> wait_with(std::span<FutexWaiter, extent> waiters, std::span<const FutexWait, extent> waits,
                               core::Deadline deadline, usize& which) {
    for (usize i = 0; i < waits.size(); ++i) {
        if (waits[i].bitset == 0) return error(Errno::EINVAL);
        waiters[i].key = TRY(futex_key(waits[i].address, waits[i].scope));
        waiters[i].bitset = waits[i].bitset;
        waiters[i].thread = &current();
        waiters[i].bucket.store(&bucket_of(waiters[i].key), std::memory_order_relaxed);
    }
    Result<void> joined;
    usize count = 0;
    while (count < waits.size() && joined) {
        joined = join_queue(waiters[count], waits[count]);
        ++count;
    }
    auto is_woken = [&] {
        return std::ranges::any_of(waiters,
                                   [](const FutexWaiter& one) { return one.woken.load(std::memory_order_acquire); });
    };
    core::WaitResult result = core::WaitResult::Ready;
    while (joined && result == core::WaitResult::Ready && !is_woken()) {
        core::prepare_to_sleep(core::Sleep::Interruptible);
        if (is_woken()) break;
        result = core::sleep_until(core::Sleep::Interruptible, deadline);
    }
    core::cancel_sleep();
    bool is_taken = false;
    for (usize i = 0; i < count; ++i) {
        if (take_back(waiters[i])) continue;
        is_taken = true;
        which = i;
    }
    if (is_taken) return FutexWaitEnd::Woken;
    if (!joined) return error(joined.error());
    return result == core::WaitResult::TimedOut ? FutexWaitEnd::TimedOut : FutexWaitEnd::Interrupted;
}

Result<FutexWaitEnd> wait_on_one(FutexWaiter& waiter, const FutexWait& wait, core::Deadline deadline) {
    usize which;
    return wait_with<1>(std::span<FutexWaiter, 1>{&waiter, 1}, std::span<const FutexWait, 1>{&wait, 1}, deadline,
                        which);
}

} // namespace

Result<FutexWaitEnd> futex_wait(const FutexWait& wait, core::Deadline deadline) {
    FutexWaiter waiter;
    return wait_on_one(waiter, wait, deadline);
}

Result<FutexWaitEnd> futex_wait_any(std::span<const FutexWait> waits, core::Deadline deadline, usize& which) {
    OwnPtr<FutexWaiter[]> waiters(new (std::nothrow) FutexWaiter[waits.size()]);
    if (!waiters) return error(Errno::ENOMEM);
    return wait_with<std::dynamic_extent>({waiters.get(), waits.size()}, waits, deadline, which);
}

Result<long> futex_wake(VirtAddr address, FutexScope scope, u32 count, u32 bitset) {
    if (bitset == 0) return error(Errno::EINVAL);
    mm::MemoryIdentity key = TRY(futex_key(address, scope));
    Bucket& bucket = bucket_of(key);
    core::SpinGuard guard(bucket.lock);
    return TRY(wake_locked(bucket, key, count, bitset));
}

namespace {

struct RequeueCounts {
    u32 woken = 0;
    u32 requeued = 0;
};

Result<RequeueCounts> requeue_locked(Bucket& from, const mm::MemoryIdentity& from_key, Bucket& to,
                                     const mm::MemoryIdentity& to_key, u32 wake_count, u32 requeue_count) {
    RequeueCounts counts{.woken = TRY(wake_locked(from, from_key, wake_count, abi::FUTEX_BITSET_MATCH_ANY))};
    for (FutexWaiter* waiter = from.waiters.first(); waiter && counts.requeued < requeue_count;) {
        FutexWaiter* next = from.waiters.next(*waiter);
        if (waiter->key == from_key) {
            if (waiter->requeue) return error(Errno::EINVAL);
            ++counts.requeued;
            if (&from != &to || !(from_key == to_key)) {
                from.waiters.remove(*waiter);
                waiter->key = to_key;
                to.waiters.push_back(*waiter);
                waiter->bucket.store(&to, std::memory_order_release);
            }
        }
        // Moved within one bucket, a waiter is met again at the end, where its key no longer matches.
        waiter = next;
    }
    return counts;
}

} // namespace

Result<long> futex_requeue(VirtAddr from, VirtAddr to, FutexScope scope, u32 wake_count, u32 requeue_count,
                           const u32* expected) {
    mm::MemoryIdentity from_key = TRY(futex_key(from, scope));
    mm::MemoryIdentity to_key = TRY(futex_key(to, scope));
    Bucket& from_bucket = bucket_of(from_key);
    Bucket& to_bucket = bucket_of(to_key);
    for (;;) {
        if (expected) TRY(load_futex_word(from));
        TwoBuckets guard(from_bucket, to_bucket);
        if (expected) {
            u32 value;
            if (arch::arch_load_user_u32(&value, futex_word(from)) != 0) continue; // paged out again: bring it back
            if (value != *expected) return error(Errno::EAGAIN);
        }
        const RequeueCounts counts =
            TRY(requeue_locked(from_bucket, from_key, to_bucket, to_key, wake_count, requeue_count));
        return counts.woken + (expected ? counts.requeued : 0);
    }
}

// ---- requeueing to a lock with priority inheritance ----

Result<void> futex_wait_requeue_pi(const FutexWait& wait, VirtAddr target, core::Deadline deadline) {
    PiWaiter inheriting(current());
    FutexWaiter waiter;
    waiter.requeue = &inheriting;
    waiter.target = TRY(futex_key(target, wait.scope));
    if (waiter.target == TRY(futex_key(wait.address, wait.scope))) return error(Errno::EINVAL);
    switch (TRY(wait_on_one(waiter, wait, deadline))) {
    case FutexWaitEnd::Woken:
        break;
    case FutexWaitEnd::TimedOut:
        return error(Errno::ETIMEDOUT);
    case FutexWaitEnd::Interrupted:
        return error(Errno::RestartAlways);
    }
    const Result<void> locked = wait_for_pi_lock(inheriting, target, deadline);
    // It no longer waits for the first word, so the call can't be begun anew.
    if (!locked && locked.error() == Errno::RestartAlways) return error(Errno::EAGAIN);
    return locked;
}

namespace {

enum class Step : u8 { Moved, Again, NobodyLeft };

/// Gives the lock to the first waiter of `from`, or queues it for that. The bucket's lock is held.
Result<Step> move_first(Bucket& bucket, const mm::MemoryIdentity& from, VirtAddr target,
                        const mm::MemoryIdentity& target_key, PiAttempt& prepared) {
    FutexWaiter* waiter = bucket.waiters.first();
    while (waiter && !(waiter->key == from)) waiter = bucket.waiters.next(*waiter);
    if (!waiter) return Step::NobodyLeft;
    if (!waiter->requeue || !(waiter->target == target_key)) return error(Errno::EINVAL);
    PiWaiter& inheriting = *waiter->requeue;
    const PiOutcome outcome =
        TRY(prepared.make({.address = target, .key = target_key, .thread = inheriting.thread, .waiter = &inheriting}));
    if (outcome == PiOutcome::Changed) return Step::Again;
    bucket.waiters.remove(*waiter);
    if (outcome == PiOutcome::Locked) inheriting.owns.store(true, std::memory_order_release);
    waiter->woken.store(true, std::memory_order_release);
    // Who is only queued sleeps on: the one who hands over the lock wakes it.
    if (outcome == PiOutcome::Locked) core::wake_thread(inheriting.thread);
    return Step::Moved;
}

} // namespace

Result<long> futex_requeue_pi(VirtAddr from, VirtAddr target, FutexScope scope, u32 requeue_count, u32 expected) {
    const mm::MemoryIdentity from_key = TRY(futex_key(from, scope));
    const mm::MemoryIdentity target_key = TRY(futex_key(target, scope));
    if (from_key == target_key) return error(Errno::EINVAL);
    Bucket& bucket = bucket_of(from_key);
    long moved = 0;
    for (bool is_compared = false; moved <= static_cast<long>(requeue_count);) {
        PiAttempt prepared(PiAttempt::For::Waiter);
        TRY(prepared.look_at(target));
        if (!is_compared) TRY(load_futex_word(from));
        if (current().has_fatal_signal()) return error(Errno::EINTR);
        core::SpinGuard guard(bucket.lock);
        if (!is_compared) {
            const auto value = load_futex_word(from);
            if (!value) continue; // paged out again: bring it back
            if (*value != expected) return error(Errno::EAGAIN);
            is_compared = true;
        }
        const Result<Step> step = move_first(bucket, from_key, target, target_key, prepared);
        if (!step && moved == 0) return error(step.error());
        if (!step || *step == Step::NobodyLeft) break;
        if (*step == Step::Moved) ++moved;
    }
    return moved;
}

namespace {

struct WakeOperation {
    u32 operation, comparison;
    i32 operand, compared_with;
};

i32 sign_extend_12(u32 value) { return static_cast<i32>(value << 20) >> 20; }

Result<WakeOperation> decode(u32 packed) {
    WakeOperation decoded{.operation = (packed >> 28) & 7,
                          .comparison = (packed >> 24) & 15,
                          .operand = sign_extend_12(packed >> 12),
                          .compared_with = sign_extend_12(packed)};
    if (packed >> 31) decoded.operand = static_cast<i32>(1u << (static_cast<u32>(decoded.operand) & 31));
    if (decoded.operation > abi::FUTEX_OP_XOR || decoded.comparison > abi::FUTEX_OP_CMP_GE) return error(Errno::ENOSYS);
    return decoded;
}

u32 apply(const WakeOperation& operation, u32 old) {
    auto operand = static_cast<u32>(operation.operand);
    switch (operation.operation) {
    case abi::FUTEX_OP_SET:
        return operand;
    case abi::FUTEX_OP_ADD:
        return old + operand;
    case abi::FUTEX_OP_OR:
        return old | operand;
    case abi::FUTEX_OP_ANDN:
        return old & ~operand;
    default:
        return old ^ operand;
    }
}

bool compare(const WakeOperation& operation, i32 old) {
    switch (operation.comparison) {
    case abi::FUTEX_OP_CMP_EQ:
        return old == operation.compared_with;
    case abi::FUTEX_OP_CMP_NE:
        return old != operation.compared_with;
    case abi::FUTEX_OP_CMP_LT:
        return old < operation.compared_with;
    case abi::FUTEX_OP_CMP_LE:
        return old <= operation.compared_with;
    case abi::FUTEX_OP_CMP_GT:
        return old > operation.compared_with;
    default:
        return old >= operation.compared_with;
    }
}

/// The atomic read-modify-write of FUTEX_WAKE_OP; false when the page isn't there for writing.
bool try_operation(const WakeOperation& operation, VirtAddr address, u32& old) {
    u32 value;
    if (arch::arch_load_user_u32(&value, futex_word(address)) != 0) return false;
    for (;;) {
        u32 observed;
        u32* word = futex_word(address);
        if (arch::arch_compare_exchange_user_u32(&observed, word, value, apply(operation, value)) != 0) return false;
        if (observed == value) break;
        value = observed;
    }
    old = value;
    return true;
}

} // namespace

Result<long> futex_wake_op(VirtAddr first, VirtAddr second, FutexScope scope, u32 first_count, u32 second_count,
                           u32 packed) {
    WakeOperation operation = TRY(decode(packed));
    mm::MemoryIdentity first_key = TRY(futex_key(first, scope));
    mm::MemoryIdentity second_key = TRY(futex_key(second, scope));
    Bucket& first_bucket = bucket_of(first_key);
    Bucket& second_bucket = bucket_of(second_key);
    for (;;) {
        TRY(make_futex_word_writable(second));
        TwoBuckets guard(first_bucket, second_bucket);
        u32 old;
        if (!try_operation(operation, second, old)) continue;
        u32 woken = TRY(wake_locked(first_bucket, first_key, first_count, abi::FUTEX_BITSET_MATCH_ANY));
        if (compare(operation, static_cast<i32>(old)))
            woken += TRY(wake_locked(second_bucket, second_key, second_count, abi::FUTEX_BITSET_MATCH_ANY));
        return woken;
    }
}

// ---- what a dying thread owes ----

namespace {

enum class Pending : u8 { No, Yes };
enum class Inherits : u8 { No, Yes }; // a lock with priority inheritance: its waiters are release_pi_locks()'s business

/// Marks one word of the robust list if the dying thread owns it. False when the list can't be followed
/// further.
bool mark_owner_dead(VirtAddr word, Pid tid, Pending pending, Inherits inherits) {
    if (word.value % 4 != 0 || !arch::is_user_range(word, 4)) return false;
    Result<u32> value = load_futex_word(word);
    if (!value) return false;
    for (;;) {
        // Released, but the waiter that should have been told may not have been.
        if (*value == 0 && pending == Pending::Yes && inherits == Inherits::No)
            return (void)futex_wake(word, FutexScope::Shared, 1, abi::FUTEX_BITSET_MATCH_ANY), true;
        if ((*value & abi::FUTEX_TID_MASK) != static_cast<u32>(tid)) return true;
        u32 dead = (*value & abi::FUTEX_WAITERS) | abi::FUTEX_OWNER_DIED;
        u32 observed;
        if (arch::arch_compare_exchange_user_u32(&observed, futex_word(word), *value, dead) != 0) return false;
        if (observed == *value) break;
        value = observed;
    }
    if ((*value & abi::FUTEX_WAITERS) && inherits == Inherits::No)
        (void)futex_wake(word, FutexScope::Shared, 1, abi::FUTEX_BITSET_MATCH_ANY);
    return true;
}

/// The list is user memory: it may be cut, circular or garbage. Bit 0 of a link marks priority-inheritance
/// futexes.
void walk_robust_list(Thread& thread) {
    VirtAddr head_address = thread.robust_list;
    auto head = mm::UserPtr<mm::In, abi::robust_list_head>(head_address).copy_in();
    if (!head) return;
    auto word_of = [&](u64 entry) { return VirtAddr{(entry & ~u64{1}) + static_cast<u64>(head->futex_offset)}; };
    u64 entry = head->list;
    auto inherits = [](u64 link) { return link & 1 ? Inherits::Yes : Inherits::No; };
    u64 pending = head->list_op_pending & ~u64{1};
    for (u32 i = 0; i < abi::ROBUST_LIST_LIMIT && (entry & ~u64{1}) != head_address.value; ++i) {
        auto next = mm::UserPtr<mm::In, u64>(VirtAddr{entry & ~u64{1}}).copy_in();
        if ((entry & ~u64{1}) != pending &&
            !mark_owner_dead(word_of(entry), thread.tid(), Pending::No, inherits(entry)))
            return;
        if (!next) return;
        entry = *next;
    }
    if (pending) mark_owner_dead(word_of(pending), thread.tid(), Pending::Yes, inherits(head->list_op_pending));
}

} // namespace

void release_futexes(Thread& thread) {
    if (thread.robust_list.value) walk_robust_list(thread);
    thread.robust_list = {};
    release_pi_locks(thread);
    VirtAddr word = std::exchange(thread.clear_child_tid, {});
    // With nobody left who could look, the store would only cost a copied page.
    if (word.value == 0 || thread.own_address_space().ref_count() <= 1) return;
    if (mm::UserPtr<mm::Out, u32>(word).copy_out(0))
        (void)futex_wake(word, FutexScope::Shared, 1, abi::FUTEX_BITSET_MATCH_ANY);
}

} // namespace linnet::process
