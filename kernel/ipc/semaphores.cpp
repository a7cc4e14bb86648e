// semget(2), semop(2), semctl(2): finding sets, waiting, and the list of what a process takes back at its end.
#include <ipc/semaphores.hpp>
#include <process/process.hpp>

#include "semaphore_set.hpp"

namespace linnet::ipc {

namespace {

constinit SemaphoreLimits the_limits;
[[clang::no_destroy]] constinit SemaphoreTable the_table;

} // namespace

SemaphoreLimits& semaphore_limits() { return the_limits; }

Result<i32> get_semaphores(i32 key, u32 count, u32 flags, const vfs::Credentials& who) {
    if (count > the_limits.most_in_set.load()) return error(Errno::EINVAL);
    auto check = [&](SemaphoreSet& set) -> Result<void> {
        if (count > set.count()) return error(Errno::EINVAL);
        core::MutexGuard guard(set.lock);
        if (!set.permits(who, flags & permission_bits)) return error(Errno::EACCES);
        return {};
    };
    auto make = [&]() -> Result<RefPtr<SemaphoreSet>> {
        if (count == 0) return error(Errno::EINVAL);
        if (the_table.total() + count > the_limits.most.load()) return error(Errno::ENOSPC);
        return SemaphoreSet::create(key, count, flags, who);
    };
    return find_or_make(the_table, key, flags, the_limits.most_sets.load(), check, make);
}

// ---- semop ----

namespace {

/// What the process of `self` has to take back in `set`; valid under the set's lock as long as the set is there.
Result<Adjustments*> adjustments_of(process::Thread& self, const RefPtr<SemaphoreSet>& set) {
    process::SemaphoreUndo* undo = TRY(self.own_semaphore_undo());
    core::MutexGuard guard(undo->lock);
    for (process::SemaphoreUndo::Entry *entry = undo->entries.first(), *next; entry; entry = next) {
        next = undo->entries.next(*entry);
        auto& adjustments = static_cast<Adjustments&>(*entry);
        if (&adjustments.set() == set.get()) return &adjustments;
        if (!adjustments.is_void()) continue;
        undo->entries.remove(adjustments);
        delete &adjustments;
    }
    std::unique_ptr<Adjustments> fresh = TRY(Adjustments::create(set));
    undo->entries.push_back(*fresh);
    return fresh.release();
}

} // namespace

Result<void> operate_semaphores(process::Thread& self, i32 id, std::span<const abi::sembuf> steps,
                                core::Deadline deadline) {
    RefPtr<SemaphoreSet> set = TRY(the_table.get(id));
    Operation operation;
    operation.steps = steps;
    operation.pid = self.process().pid();
    u32 highest = 0;
    bool takes_back = false;
    for (const abi::sembuf& step : steps) {
        highest = std::max<u32>(highest, step.sem_num);
        operation.alters |= step.sem_op != 0;
        takes_back |= (step.sem_flg & abi::SEM_UNDO) != 0;
    }
    if (highest >= set->count()) return error(Errno::EFBIG);
    if (takes_back) operation.adjustments = TRY(adjustments_of(self, set));
    {
        Served served;
        core::MutexGuard guard(set->lock);
        if (set->is_removed()) return error(Errno::EIDRM);
        if (!set->permits(self.own_credentials(), operation.alters ? 0222 : 0444)) return error(Errno::EACCES);
        if (TRY(set->attempt(operation)) == Attempt::Done) {
            set->note_operation();
            if (operation.alters) set->settle(steps, served);
            return {};
        }
        operation.thread = NullableRefPtr<process::Thread>(&self);
        set->enqueue(operation);
    }
    return wait_for_service(set->lock, operation, deadline, Errno::EINTR, [&] { set->abandon(operation); });
}

// ---- semctl ----

Result<SemaphoreStatus> semaphore_status(i32 id, Lookup lookup, const vfs::Credentials& who) {
    RefPtr<SemaphoreSet> set = TRY(the_table.get(id, lookup));
    core::MutexGuard guard(set->lock);
    if (lookup != Lookup::ByIndexUnchecked && !set->permits(who, 0444)) return error(Errno::EACCES);
    if (set->is_removed()) return error(Errno::EIDRM);
    return SemaphoreStatus{set->id, set->status()};
}

Result<i32> ask_semaphore(i32 id, i32 number, i32 command, const vfs::Credentials& who) {
    RefPtr<SemaphoreSet> set = TRY(the_table.get(id));
    core::MutexGuard guard(set->lock);
    if (!set->permits(who, 0444)) return error(Errno::EACCES);
    if (number < 0 || static_cast<u32>(number) >= set->count()) return error(Errno::EINVAL);
    if (set->is_removed()) return error(Errno::EIDRM);
    const auto at = static_cast<u16>(number);
    switch (command) {
    case abi::GETVAL:
        return set->semaphore(at).value;
    case abi::GETPID:
        return set->semaphore(at).last_pid;
    case abi::GETNCNT:
        return set->waiting_at(at, SemaphoreSet::WaitsFor::Increase);
    case abi::GETZCNT:
        return set->waiting_at(at, SemaphoreSet::WaitsFor::Zero);
    default:
        return error(Errno::EINVAL);
    }
}

Result<void> set_semaphore(i32 id, i32 number, i32 value, const vfs::Credentials& who) {
    if (value < 0 || value > abi::SEMVMX) return error(Errno::ERANGE);
    RefPtr<SemaphoreSet> set = TRY(the_table.get(id));
    if (number < 0 || static_cast<u32>(number) >= set->count()) return error(Errno::EINVAL);
    Served served;
    core::MutexGuard guard(set->lock);
    if (!set->permits(who, 0222)) return error(Errno::EACCES);
    if (set->is_removed()) return error(Errno::EIDRM);
    set->set_value(static_cast<u16>(number), value, served);
    return {};
}

Result<u32> semaphore_count(i32 id, u32 rights, const vfs::Credentials& who) {
    RefPtr<SemaphoreSet> set = TRY(the_table.get(id));
    core::MutexGuard guard(set->lock);
    if (!set->permits(who, rights)) return error(Errno::EACCES);
    return set->count();
}

namespace {

Result<RefPtr<SemaphoreSet>> find_again(i32 id, usize count) {
    Result<RefPtr<SemaphoreSet>> set = the_table.get(id);
    if (!set || (*set)->count() != count) return error(Errno::EIDRM);
    return set;
}

} // namespace

Result<void> get_all_semaphores(i32 id, std::span<u16> values) {
    RefPtr<SemaphoreSet> set = TRY(find_again(id, values.size()));
    core::MutexGuard guard(set->lock);
    if (set->is_removed()) return error(Errno::EIDRM);
    for (usize i = 0; i < values.size(); ++i) values[i] = static_cast<u16>(set->semaphore(static_cast<u16>(i)).value);
    return {};
}

Result<void> set_all_semaphores(i32 id, std::span<const u16> values) {
    for (u16 value : values)
        if (value > abi::SEMVMX) return error(Errno::ERANGE);
    RefPtr<SemaphoreSet> set = TRY(find_again(id, values.size()));
    Served served;
    core::MutexGuard guard(set->lock);
    if (set->is_removed()) return error(Errno::EIDRM);
    set->set_all(values, served);
    return {};
}

Result<void> change_semaphores(i32 id, const abi::ipc_perm& wanted, const vfs::Credentials& who) {
    RefPtr<SemaphoreSet> set = TRY(the_table.get(id));
    core::MutexGuard guard(set->lock);
    if (set->is_removed()) return error(Errno::EIDRM);
    return set->change(wanted, who);
}

Result<void> remove_semaphores(i32 id, const vfs::Credentials& who) {
    NullableRefPtr<SemaphoreSet> gone;
    Served served;
    core::MutexGuard table_guard(the_table.lock);
    SemaphoreSet* set = TRY(the_table.find(id));
    core::MutexGuard guard(set->lock);
    if (!set->may_be_changed_by(who)) return error(Errno::EPERM);
    gone = the_table.remove(*set);
    set->tear_down(served);
    return {};
}

SemaphoreTotals semaphore_totals() {
    core::MutexGuard guard(the_table.lock);
    return {.highest_index = std::max(the_table.highest_index(), 0),
            .sets = the_table.count(),
            .semaphores = the_table.total()};
}

} // namespace linnet::ipc
