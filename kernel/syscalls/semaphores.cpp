// semget(2), semop(2), semctl(2): arguments and structures; the sets are ipc's.
#include <ipc/semaphores.hpp>
#include <lib/array_list.hpp>
#include <syscalls/semaphores.hpp>

#include "wait_time.hpp"

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_semget(Thread& thread, i32 key, i32 count, u32 flags) {
    if (count < 0) return error(Errno::EINVAL);
    return TRY(ipc::get_semaphores(key, static_cast<u32>(count), flags, thread.own_credentials()));
}

// ---- semop ----

namespace {

Result<long> operate(Thread& thread, i32 id, StepsIn pointer, u32 count, core::Deadline deadline) {
    if (count < 1 || id < 0) return error(Errno::EINVAL);
    if (count > ipc::semaphore_limits().most_steps.load()) return error(Errno::E2BIG);
    abi::sembuf few[16];
    ArrayList<abi::sembuf> many;
    std::span<abi::sembuf> steps(few, std::min<usize>(count, std::size(few)));
    if (count > std::size(few)) {
        TRY(many.try_resize(count));
        steps = many.span();
    }
    TRY(pointer.copy_in(steps));
    TRY(ipc::operate_semaphores(thread, id, steps, deadline));
    return 0;
}

} // namespace

Result<long> sys_semop(Thread& thread, i32 id, StepsIn steps, u32 count) {
    return operate(thread, id, steps, count, core::Deadline::never());
}

Result<long> sys_semtimedop(Thread& thread, i32 id, StepsIn steps, u32 count,
                            mm::UserPtr<mm::In, abi::timespec> timeout) {
    if (timeout.is_null()) return sys_semop(thread, id, steps, count);
    const abi::timespec time = TRY(timeout.copy_in());
    if (count < 1 || id < 0) return error(Errno::EINVAL);
    if (count > ipc::semaphore_limits().most_steps.load()) return error(Errno::E2BIG);
    return operate(thread, id, steps, count, TRY(deadline_after(time)));
}

// ---- semctl ----

namespace {

template <typename T>
Result<long> copy_out(u64 buffer, const T& value, long result) {
    TRY((mm::UserPtr<mm::Out, T>(VirtAddr{buffer}).copy_out(value)));
    return result;
}

Result<long> show_limits(i32 command, u64 buffer) {
    const ipc::SemaphoreLimits& limits = ipc::semaphore_limits();
    const ipc::SemaphoreTotals totals = ipc::semaphore_totals();
    abi::seminfo info{};
    info.semmni = static_cast<i32>(limits.most_sets.load());
    info.semmsl = static_cast<i32>(limits.most_in_set.load());
    info.semopm = static_cast<i32>(limits.most_steps.load());
    info.semmns = static_cast<i32>(limits.most.load());
    info.semmap = info.semmnu = 1'024'000'000; // of no meaning, said as Linux says them
    info.semume = abi::SEMUME;
    info.semvmx = abi::SEMVMX;
    info.semusz = command == abi::SEM_INFO ? totals.sets : abi::SEMUSZ;
    info.semaem = command == abi::SEM_INFO ? static_cast<i32>(totals.semaphores) : abi::SEMAEM;
    return copy_out(buffer, info, totals.highest_index);
}

Result<long> show_status(i32 id, i32 command, u64 buffer, const vfs::Credentials& who) {
    using ipc::Lookup;
    const Lookup lookup = command == abi::IPC_STAT   ? Lookup::ById
                          : command == abi::SEM_STAT ? Lookup::ByIndex
                                                     : Lookup::ByIndexUnchecked;
    const ipc::SemaphoreStatus status = TRY(ipc::semaphore_status(id, lookup, who));
    return copy_out(buffer, status.data, command == abi::IPC_STAT ? 0 : status.id);
}

Result<long> exchange_all(i32 id, i32 command, u64 buffer, const vfs::Credentials& who) {
    const u32 count = TRY(ipc::semaphore_count(id, command == abi::SETALL ? 0222 : 0444, who));
    ArrayList<u16> values;
    TRY(values.try_resize(count));
    mm::UserPtr<mm::InOut, u16> place(VirtAddr{buffer});
    if (command == abi::SETALL) {
        TRY(place.copy_in(values.span()));
        TRY(ipc::set_all_semaphores(id, values.span()));
    } else {
        TRY(ipc::get_all_semaphores(id, values.span()));
        TRY(place.copy_out(values.span()));
    }
    return 0;
}

} // namespace

Result<long> sys_semctl(Thread& thread, i32 id, i32 number, i32 command, u64 argument) {
    if (id < 0) return error(Errno::EINVAL);
    const vfs::Credentials& who = thread.own_credentials();
    switch (command) {
    case abi::IPC_INFO:
    case abi::SEM_INFO:
        return show_limits(command, argument);
    case abi::IPC_STAT:
    case abi::SEM_STAT:
    case abi::SEM_STAT_ANY:
        return show_status(id, command, argument, who);
    case abi::GETALL:
    case abi::SETALL:
        return exchange_all(id, command, argument, who);
    case abi::GETVAL:
    case abi::GETPID:
    case abi::GETNCNT:
    case abi::GETZCNT:
        return TRY(ipc::ask_semaphore(id, number, command, who));
    case abi::SETVAL:
        TRY(ipc::set_semaphore(id, number, static_cast<i32>(argument), who));
        return 0;
    case abi::IPC_SET: {
        const auto wanted = TRY((mm::UserPtr<mm::In, abi::semid_ds>(VirtAddr{argument}).copy_in()));
        TRY(ipc::change_semaphores(id, wanted.sem_perm, who));
        return 0;
    }
    case abi::IPC_RMID:
        TRY(ipc::remove_semaphores(id, who));
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
