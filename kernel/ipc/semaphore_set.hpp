// A set of semaphores: values, who waits for them, and what is to be taken back when processes end.
//
// Whoever changes values carries out what others wait to do, in the order in which they came, so that a semaphore never
// stands free while somebody who could have it is only waking up (request.hpp).
//
// Queues: who waits for one semaphore waits at that. As long as somebody waits to change several at once, all who want
// to change something wait in one queue, for any of them may have to be passed over for the sake of another.
//
// Locks, outermost first:
//
//     IdTable::lock                  keys and ids
//     process::SemaphoreUndo::lock   the list of a process's adjustments
//       SemaphoreSet::lock           all of a set; the adjustments to it
#pragma once

#include <abi_arch/ipc.hpp>
#include <core/mutex.hpp>
#include <ipc/keyed_object.hpp>
#include <memory>
#include <process/semaphore_undo.hpp>
#include <process/thread.hpp>
#include <span>

#include "id_table.hpp"
#include "request.hpp"

namespace linnet::ipc {

class SemaphoreSet;

/// What one process has to take back in one set.
class Adjustments final : public process::SemaphoreUndo::Entry {
public:
    /// Lets the set know of it. ENOMEM, EIDRM. The lock of the list that it is for is held.
    static Result<std::unique_ptr<Adjustments>> create(RefPtr<SemaphoreSet> set);
    void take_back() override;
    [[nodiscard]] const SemaphoreSet& set() const { return *set_; }
    /// The set has been removed, and knows nothing of it any more.
    [[nodiscard]] bool is_void() const;

    ListNode set_node;                // the set's lock
    std::unique_ptr<i16[]> by_number; // the set's lock; null once that has been removed

private:
    explicit Adjustments(RefPtr<SemaphoreSet> set) : set_(std::move(set)) {}
    const RefPtr<SemaphoreSet> set_;
};
using AdjustmentsList = IntrusiveList<Adjustments, &Adjustments::set_node>;

/// One semop(2) of one thread.
struct Operation : Request {
    std::span<const abi::sembuf> steps;
    Adjustments* adjustments = nullptr; // for SEM_UNDO
    i32 pid = 0;
    bool alters = false; // it doesn't only wait for zeros

    // ---- the set's lock, once it waits ----
    ListNode node;
    u16 blocked_at = 0;          // the semaphore that keeps it from going on
    bool waits_for_zero = false; // there

    [[nodiscard]] bool is_simple() const { return steps.size() == 1; }
};
using Operations = IntrusiveList<Operation, &Operation::node>;

struct Semaphore {
    i32 value = 0;
    i32 last_pid = 0;
    Operations alterers, zero_waiters; // simple ones
};

enum class Attempt : u8 { Done, Blocked };

class SemaphoreSet final : public KeyedObject, public RefCounted<SemaphoreSet> {
public:
    static Result<RefPtr<SemaphoreSet>> create(i32 key, u32 count, u32 mode, const vfs::Credentials& creator);
    [[nodiscard]] u32 count() const { return count_; }

    core::Mutex lock;

    // ---- lock held ----
    [[nodiscard]] bool is_removed() const { return semaphores_ == nullptr; }
    /// Carries out all steps or none. EAGAIN (a step that would wait mustn't), ERANGE.
    Result<Attempt> attempt(Operation& operation);
    /// After a change of values at `touched` (empty: anywhere), serves whoever can go on now.
    void settle(std::span<const abi::sembuf> touched, Served& served);
    void enqueue(Operation& operation);
    /// An operation that has not been served waits no longer.
    void abandon(Operation& operation);
    /// SETVAL and SETALL: nobody takes anything back there any more.
    void set_value(u16 number, i32 value, Served& served);
    void set_all(std::span<const u16> values, Served& served);
    /// Wakes everybody with EIDRM, and frees what it has.
    void tear_down(Served& served);
    [[nodiscard]] const Semaphore& semaphore(u16 number) const { return semaphores_[number]; }
    /// GETNCNT, GETZCNT.
    enum class WaitsFor : u8 { Increase, Zero };
    [[nodiscard]] i32 waiting_at(u16 number, WaitsFor what);
    [[nodiscard]] abi::semid_ds status() const;
    void note_operation();

private:
    friend class Adjustments;
    SemaphoreSet(i32 key, u32 count, u32 mode, const vfs::Credentials& creator)
        : KeyedObject(key, mode, creator), count_(count) {}
    Result<Attempt> do_step(const abi::sembuf& step, Adjustments* adjustments);
    void undo_step(const abi::sembuf& step, Adjustments* adjustments);
    Result<Attempt> serve_if_possible(Operation& operation, Served& served);
    void serve(Operation& operation, Errno failure, Served& served);
    void serve_all(Operations& queue, Errno failure, Served& served);
    void serve_zero_waiters(Semaphore& semaphore, Served& served);
    void serve_zero_waiters(std::span<const abi::sembuf> touched, Served& served);
    void serve_alterers(Semaphore& semaphore, Served& served);
    void serve_together(Served& served);
    void gather();
    void scatter();

    std::unique_ptr<Semaphore[]> semaphores_; // null: the set has been removed
    const u32 count_;
    i64 operation_time_ = 0;
    Operations together_;       // who alters, while some of them alter several semaphores
    u32 complex_alterers_ = 0;  // those in together_
    Operations zeros_together_; // who waits for several zeros
    AdjustmentsList adjustments_;
};

class SemaphoreTable : public IdTable<SemaphoreSet> {
public:
    Result<void> add(RefPtr<SemaphoreSet> set, u64 most) {
        const u32 count = set->count();
        TRY(IdTable::add(std::move(set), most));
        total_ += count;
        return {};
    }
    NullableRefPtr<SemaphoreSet> remove(SemaphoreSet& set) {
        total_ -= set.count();
        return IdTable::remove(set);
    }
    /// Semaphores in all sets.
    [[nodiscard]] u64 total() const { return total_; }

private:
    u64 total_ = 0;
};

} // namespace linnet::ipc
