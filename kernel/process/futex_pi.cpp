// Futexes with priority inheritance. While somebody waits for a word there is a PiLock for it: it knows the owner and
// the waiters in order of urgency. A thread inherits the urgency of the most urgent one that waits for anything it
// holds, and where it waits itself, passes it on to the owner of that.
//
// An unlocked word and one without waiters are none of the kernel's business: user space exchanges 0 and its thread id.
// Who comes in vain sets FUTEX_WAITERS, so that the owner has to ask the kernel to unlock, and the kernel stores the id
// of the next owner: nobody can come between. When the owner dies, the new one stores its own id, with
// FUTEX_OWNER_DIED, for only it is sure to have the word in its memory; until then the PiLock holds the word's place.
//
// One spinlock guards all of this, because a chain of owners and waiters leads through any number of words and threads.
// Only contended locks of this kind come here. Under it the word is looked at without serving faults, as in futex.cpp.
//
// Lock order: a futex bucket's lock, pi_lock, Thread::scheduling_lock.
#include <core/sched.hpp>
#include <process/futex_pi.hpp>

#include "futex_word.hpp"
#include "pi_lock.hpp"

namespace linnet::process {

namespace {

constinit core::LockClass pi_class{"priority inheritance"};
constinit core::SpinLock pi_lock{pi_class};

constexpr usize table_size = 64;
constinit IntrusiveList<PiLock, &PiLock::table_node> table[table_size];

auto& table_of(const mm::MemoryIdentity& key) {
    return table[((key.owner ^ (key.offset >> 2)) * 0x9e37'79b9'7f4a'7c15u) >> 58];
}

PiLock* find_lock(const mm::MemoryIdentity& key) {
    for (PiLock& lock : table_of(key))
        if (lock.key == key) return &lock;
    return nullptr;
}

u32 tid_in(u32 word) { return word & abi::FUTEX_TID_MASK; }
u32 tid_of(const Thread& thread) { return static_cast<u32>(thread.tid()); }
u32 own_tid() { return tid_of(current()); }

/// Takes a lock that nobody waits for any more out of the tables; to be deleted once pi_lock is free.
OwnPtr<PiLock> retire_if_idle(PiLock& lock) {
    if (!lock.waiters.empty() || !lock.is_told) return {};
    count_pi_lock(lock.key, false);
    lock.table_node.unlink();
    lock.held_node.unlink();
    return OwnPtr<PiLock>(&lock);
}

/// The most urgent waiter, of whom there is one, becomes the owner and wakes.
void hand_over(PiLock& lock, bool must_store) {
    lock.is_told = !must_store;
    auto& next = static_cast<PiWaiter&>(ThreadPiGraph::hand_over(lock));
    next.must_store = must_store;
    // The waiter passes through pi_lock once more, so that it isn't gone yet when it is woken.
    next.owns.store(true, std::memory_order_release);
    core::wake_thread(next.thread);
}

/// The word is free: nobody waits for it.
Result<PiOutcome> take_free(const PiRequest& request, u32 word) {
    const u32 mine = tid_of(request.thread) | (word & abi::FUTEX_OWNER_DIED);
    const auto before = exchange_futex_word(request.address, word, mine);
    return before && *before == word ? PiOutcome::Locked : PiOutcome::Changed;
}

Result<PiOutcome> queue_behind(PiLock& lock, PiWaiter& waiter) {
    return ThreadPiGraph::add_waiter(lock, waiter) ? Result<PiOutcome>(PiOutcome::Queued) : error(Errno::EDEADLK);
}

/// `owner` is the thread that the word named a moment ago, null for none; `fresh` becomes the PiLock if one is needed.
Result<PiOutcome> attempt(const PiRequest& request, u32 word, Thread* owner, OwnPtr<PiLock>& fresh) {
    const auto now = load_futex_word(request.address);
    if (!now || *now != word) return PiOutcome::Changed;
    if (tid_in(word) == tid_of(request.thread)) return error(Errno::EDEADLK);
    PiLock* lock = find_lock(request.key);
    if (!lock && request.word_is_plain) return error(Errno::EINVAL);
    if (!lock && tid_in(word) == 0) return take_free(request, word);
    if (lock) {
        // An owner on its way out has left the word, and is about to hand over the lock.
        const bool is_left = tid_in(word) == 0 && (word & abi::FUTEX_OWNER_DIED);
        if (lock->is_told && !is_left && tid_in(word) != tid_of(*lock->owner)) return error(Errno::EINVAL);
        if (!request.waiter) return PiOutcome::Held;
        return queue_behind(*lock, *request.waiter);
    }
    if (!owner || owner->pi.is_released) return error(Errno::ESRCH);
    if (!request.waiter) return PiOutcome::Held;
    const auto before = exchange_futex_word(request.address, word, word | abi::FUTEX_WAITERS);
    if (!before || *before != word) return PiOutcome::Changed;
    lock = fresh.release();
    lock->key = request.key;
    table_of(request.key).push_back(*lock);
    count_pi_lock(request.key, true);
    ThreadPiGraph::set_owner(*lock, *owner);
    const Result<PiOutcome> queued = queue_behind(*lock, *request.waiter);
    if (!queued) fresh = retire_if_idle(*lock);
    return queued;
}

/// Tries until the answer is one.
Result<PiOutcome> begin(PiRequest request) {
    request.word_is_plain = has_plain_waiters(request.key);
    PiAttempt prepared(request.waiter ? PiAttempt::For::Waiter : PiAttempt::For::Trial);
    for (;;) {
        TRY(prepared.look_at(request.address));
        const Result<PiOutcome> result = prepared.make(request);
        if (!result || *result != PiOutcome::Changed) return result;
        if (current().has_fatal_signal()) return error(Errno::EINTR); // a hostile neighbour may change it for ever
    }
}

/// A lock whose owner died is this thread's; the word shall say so.
Result<void> store_ownership(PiWaiter& waiter, VirtAddr address) {
    Result<void> stored;
    for (bool done = false; !done;) {
        stored = make_futex_word_writable(address);
        if (current().has_fatal_signal()) stored = error(Errno::EINTR); // a hostile neighbour may change it for ever
        OwnPtr<PiLock> idle;
        core::SpinGuard guard(pi_lock);
        PiLock& lock = lock_of(waiter);
        if (stored) {
            const auto word = load_futex_word(address);
            if (!word) continue;
            const u32 mine = own_tid() | abi::FUTEX_WAITERS | abi::FUTEX_OWNER_DIED;
            const auto before = exchange_futex_word(address, *word, mine);
            if (!before || *before != *word) continue;
        }
        done = true;
        lock.is_told = true;
        // The memory is gone, or this thread dies: the next one is to try.
        if (!stored && !lock.waiters.empty()) hand_over(lock, true);
        idle = retire_if_idle(lock);
        guard.unlock();
    }
    return stored;
}

/// Sleeps until the lock is handed over, or gives up.
Result<void> wait_for_lock(PiWaiter& waiter, VirtAddr address, core::Deadline deadline) {
    core::WaitResult result = core::WaitResult::Ready;
    const auto owns = [&waiter] { return waiter.owns.load(std::memory_order_acquire); };
    while (result == core::WaitResult::Ready && !owns()) {
        core::prepare_to_sleep(core::Sleep::Interruptible);
        if (owns()) break;
        result = core::sleep_until(core::Sleep::Interruptible, deadline);
    }
    core::cancel_sleep();
    OwnPtr<PiLock> idle;
    {
        // Also for who owns it: whoever handed it over has finished with the waiter once the lock can be had.
        core::SpinGuard guard(pi_lock);
        if (!owns()) {
            ThreadPiGraph::remove_waiter(waiter);
            idle = retire_if_idle(lock_of(waiter));
        }
    }
    if (owns()) return waiter.must_store ? store_ownership(waiter, address) : Result<void>{};
    return error(result == core::WaitResult::TimedOut ? Errno::ETIMEDOUT : Errno::RestartAlways);
}

} // namespace

bool has_pi_waiters(const mm::MemoryIdentity& key) {
    core::SpinGuard guard(pi_lock);
    const PiLock* lock = find_lock(key);
    return lock && !lock->waiters.empty();
}

PiAttempt::PiAttempt(For what) {
    if (what == For::Trial) return;
    fresh_ = OwnPtr<PiLock>(new (std::nothrow) PiLock);
    if (!fresh_) status_ = error(Errno::ENOMEM);
}

Result<void> PiAttempt::look_at(VirtAddr address) {
    TRY(status_);
    TRY(make_futex_word_writable(address));
    word_ = TRY(load_futex_word(address));
    owner_ = {};
    if (tid_in(word_) != 0) owner_ = find_thread(static_cast<Pid>(tid_in(word_)));
    return {};
}

Result<PiOutcome> PiAttempt::make(const PiRequest& request) {
    core::SpinGuard guard(pi_lock);
    return attempt(request, word_, owner_.get(), fresh_);
}

Result<void> wait_for_pi_lock(PiWaiter& waiter, VirtAddr address, core::Deadline deadline) {
    return wait_for_lock(waiter, address, deadline);
}

Result<void> lock_pi(VirtAddr address, FutexScope scope, core::Deadline deadline) {
    PiWaiter waiter(current());
    const PiRequest request{
        .address = address, .key = TRY(futex_key(address, scope)), .thread = current(), .waiter = &waiter};
    if (TRY(begin(request)) == PiOutcome::Queued) return wait_for_lock(waiter, address, deadline);
    return {};
}

Result<void> try_lock_pi(VirtAddr address, FutexScope scope) {
    const PiRequest request{
        .address = address, .key = TRY(futex_key(address, scope)), .thread = current(), .waiter = nullptr};
    if (TRY(begin(request)) == PiOutcome::Held) return error(Errno::EAGAIN);
    return {};
}

Result<void> unlock_pi(VirtAddr address, FutexScope scope) {
    const mm::MemoryIdentity key = TRY(futex_key(address, scope));
    for (;;) {
        TRY(make_futex_word_writable(address));
        const u32 word = TRY(load_futex_word(address));
        if (tid_in(word) != own_tid()) return error(Errno::EPERM);
        const bool is_plain = has_plain_waiters(key);
        OwnPtr<PiLock> idle;
        core::SpinGuard guard(pi_lock);
        PiLock* lock = find_lock(key);
        if (lock ? lock->owner != &current() : is_plain) return error(Errno::EINVAL);
        u32 next = 0;
        if (lock && !lock->waiters.empty()) next = tid_of(lock->waiters.begin()->thread) | abi::FUTEX_WAITERS;
        const auto before = exchange_futex_word(address, word, next);
        if (!before || *before != word) {
            if (current().has_fatal_signal()) return error(Errno::EINTR);
            continue;
        }
        if (!lock) return {};
        if (!lock->waiters.empty()) hand_over(*lock, false);
        idle = retire_if_idle(*lock);
        guard.unlock();
        return {};
    }
}

void propagate_urgency(Thread& thread) {
    core::SpinGuard guard(pi_lock);
    ThreadPiGraph::inherit_along(&thread);
}

void release_pi_locks(Thread& thread) {
    core::SpinGuard guard(pi_lock);
    thread.pi.is_released = true;
    while (HeldPiLock* lock = thread.pi.held.first()) hand_over(static_cast<PiLock&>(*lock), true);
}

void begin_pi_locks(Thread& thread) {
    core::SpinGuard guard(pi_lock);
    thread.pi.is_released = false;
}

} // namespace linnet::process
