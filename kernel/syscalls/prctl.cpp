// prctl(2): the attributes of a task.
#include <abi/linux/prctl.hpp>
#include <abi/linux/signal.hpp>
#include <algorithm>
#include <mm/address_space.hpp>
#include <process/credentials.hpp>
#include <process/process.hpp>
#include <process/tracepoints.hpp>
#include <syscalls/identity.hpp>
#include <trace/perf_event.hpp>

#include "memory_layout.hpp"

namespace linnet::syscalls {

using process::Thread;
using vfs::Capability;
using vfs::Credentials;

namespace {

Result<long> set_name_of_thread(Thread& thread, u64 address) {
    char name[Thread::name_size] = {};
    // Longer names are cut; shorter ones may end at unreadable memory.
    for (usize i = 0; i + 1 < Thread::name_size; ++i) {
        name[i] = static_cast<char>(TRY((mm::UserPtr<mm::In, u8>(VirtAddr{address + i}).copy_in())));
        if (name[i] == '\0') break;
    }
    process::tracepoints::renaming(thread, name);
    thread.set_name(name);
    process::tracepoints::rename(thread);
    return 0;
}

Result<long> set_securebits(Thread& thread, u64 bits) {
    const Credentials& old = thread.own_credentials();
    constexpr u64 known = 0xff;
    constexpr u32 locks = 0xaa;
    if (bits & ~known) return error(Errno::EINVAL);
    u32 locked = (old.securebits & locks) >> 1; // each lock guards the bit below it
    bool changes_locked = (bits ^ old.securebits) & (locked | (old.securebits & locks));
    if (changes_locked || !old.has(Capability::Setpcap)) return error(Errno::EPERM);
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    fresh->securebits = static_cast<u32>(bits);
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

Result<long> set_keep_capabilities(Thread& thread, u64 keep) {
    const Credentials& old = thread.own_credentials();
    if (keep > 1) return error(Errno::EINVAL);
    if (old.securebits & abi::SECBIT_KEEP_CAPS_LOCKED) return error(Errno::EPERM);
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    fresh->securebits = keep ? old.securebits | abi::SECBIT_KEEP_CAPS : old.securebits & ~abi::SECBIT_KEEP_CAPS;
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

Result<long> drop_from_bounding_set(Thread& thread, u64 capability) {
    const Credentials& old = thread.own_credentials();
    if (!old.has(Capability::Setpcap)) return error(Errno::EPERM);
    if (capability > vfs::last_capability) return error(Errno::EINVAL);
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    fresh->bounding.bits &= ~(u64{1} << capability);
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

Result<long> change_ambient_set(Thread& thread, u64 action, u64 capability, u64 fourth, u64 fifth) {
    const Credentials& old = thread.own_credentials();
    if (fourth || fifth) return error(Errno::EINVAL);
    if (action == abi::PR_CAP_AMBIENT_CLEAR_ALL ? capability != 0 : capability > vfs::last_capability)
        return error(Errno::EINVAL);
    u64 bit = u64{1} << capability;
    if (action == abi::PR_CAP_AMBIENT_IS_SET) return (old.ambient.bits & bit) != 0;
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    switch (action) {
    case abi::PR_CAP_AMBIENT_CLEAR_ALL:
        fresh->ambient = {};
        break;
    case abi::PR_CAP_AMBIENT_LOWER:
        fresh->ambient.bits &= ~bit;
        break;
    case abi::PR_CAP_AMBIENT_RAISE:
        if (!(old.permitted.bits & old.inheritable.bits & bit) || (old.securebits & abi::SECBIT_NO_CAP_AMBIENT_RAISE))
            return error(Errno::EPERM);
        fresh->ambient.bits |= bit;
        break;
    default:
        return error(Errno::EINVAL);
    }
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

Result<long> death_signal(Thread& thread, int option, u64 argument) {
    if (option == abi::PR_SET_PDEATHSIG) {
        if (argument > abi::signal_count) return error(Errno::EINVAL);
        core::InterruptSpinGuard guard(process::tree_lock);
        thread.parent_death_signal = static_cast<int>(argument);
        return 0;
    }
    TRY((mm::UserPtr<mm::Out, int>(VirtAddr{argument}).copy_out(thread.parent_death_signal)));
    return 0;
}

Result<long> subreaper(Thread& thread, int option, u64 argument) {
    process::Process& process = thread.process();
    if (option == abi::PR_SET_CHILD_SUBREAPER) {
        core::InterruptSpinGuard guard(process::tree_lock);
        process.is_child_subreaper = argument != 0;
        return 0;
    }
    TRY((mm::UserPtr<mm::Out, int>(VirtAddr{argument}).copy_out(process.is_child_subreaper)));
    return 0;
}

Result<long> no_new_privileges(Thread& thread, int option, u64 second, u64 third, u64 fourth, u64 fifth) {
    if (third || fourth || fifth) return error(Errno::EINVAL);
    if (option == abi::PR_GET_NO_NEW_PRIVS)
        return second ? Result<long>(error(Errno::EINVAL)) : thread.no_new_privileges.load();
    if (second != 1) return error(Errno::EINVAL);
    thread.no_new_privileges = true;
    return 0;
}

Result<long> dumpable(Thread& thread, int option, u64 argument) {
    std::atomic<u32>& flag = thread.own_address_space().dumpable;
    if (option == abi::PR_GET_DUMPABLE) return flag.load();
    if (argument > 1) return error(Errno::EINVAL);
    flag = static_cast<u32>(argument);
    return 0;
}

Result<long> huge_page_disabling(Thread& thread, int option, u64 second, u64 third, u64 fourth, u64 fifth) {
    std::atomic<bool>& flag = thread.own_address_space().huge_pages_disabled;
    if (third || fourth || fifth) return error(Errno::EINVAL);
    if (option == abi::PR_GET_THP_DISABLE) return second ? error(Errno::EINVAL) : Result<long>(flag.load());
    flag = second != 0;
    return 0;
}

/// What the program found on its stack; the answer is how much there is, however little was asked for.
Result<long> auxiliary_vector(Thread& thread, u64 address, u64 size, u64 fourth, u64 fifth) {
    if (fourth || fifth) return error(Errno::EINVAL);
    const mm::ExecLayout& layout = thread.own_address_space().layout;
    const usize bytes = layout.auxv_words * sizeof(u64);
    TRY(mm::copy_to_user({address}, layout.auxv, std::min<u64>(size, bytes)));
    return static_cast<long>(bytes);
}

/// What becomes of a process whose memory is found broken: it is told at once, or when it touches it, or as
/// /proc/sys/vm/memory_failure_early_kill says.
Result<long> set_broken_memory_policy(Thread& thread, u64 action, u64 policy, u64 fourth, u64 fifth) {
    if (fourth || fifth) return error(Errno::EINVAL);
    if (action == abi::PR_MCE_KILL_CLEAR ? policy != 0 : action != abi::PR_MCE_KILL_SET) return error(Errno::EINVAL);
    if (policy > abi::PR_MCE_KILL_DEFAULT) return error(Errno::EINVAL);
    thread.broken_memory_policy = static_cast<u8>(action == abi::PR_MCE_KILL_CLEAR ? abi::PR_MCE_KILL_DEFAULT : policy);
    return 0;
}

Result<long> io_flusher(Thread& thread, int option, u64 second, u64 third, u64 fourth, u64 fifth) {
    if (!thread.own_credentials().has(Capability::SysResource)) return error(Errno::EPERM);
    if (third || fourth || fifth) return error(Errno::EINVAL);
    if (option == abi::PR_GET_IO_FLUSHER) return second ? error(Errno::EINVAL) : Result<long>(thread.is_io_flusher);
    if (second > 1) return error(Errno::EINVAL);
    thread.is_io_flusher = second != 0;
    return 0;
}

/// Once a process has given the right up, it doesn't get it back.
Result<long> write_execute_rules(Thread& thread, int option, u64 second, u64 third, u64 fourth, u64 fifth) {
    std::atomic<u32>& rules = thread.own_address_space().write_execute_rules;
    if (third || fourth || fifth) return error(Errno::EINVAL);
    if (option == abi::PR_GET_MDWE) return second ? error(Errno::EINVAL) : Result<long>(rules.load());
    constexpr u32 known = abi::PR_MDWE_REFUSE_EXEC_GAIN | abi::PR_MDWE_NO_INHERIT;
    if ((second & ~u64{known}) || second == abi::PR_MDWE_NO_INHERIT) return error(Errno::EINVAL);
    const u32 wanted = static_cast<u32>(second);
    u32 before = 0;
    if (!rules.compare_exchange_strong(before, wanted) && before != wanted) return error(Errno::EPERM);
    return 0;
}

Result<long> counter_access(Thread& thread, int option, u64 argument) {
    if (option == abi::PR_GET_TSC) {
        const bool may = TRY(thread.registers.may_read_counter());
        TRY((mm::UserPtr<mm::Out, int>(VirtAddr{argument}).copy_out(may ? abi::PR_TSC_ENABLE : abi::PR_TSC_SIGSEGV)));
        return 0;
    }
    const auto value = static_cast<u32>(argument);
    if (value != abi::PR_TSC_ENABLE && value != abi::PR_TSC_SIGSEGV) return error(Errno::EINVAL);
    TRY(thread.registers.set_may_read_counter(value == abi::PR_TSC_ENABLE));
    return 0;
}

Result<long> timer_slack(Thread& thread, int option, u64 argument) {
    if (option == abi::PR_GET_TIMERSLACK) return static_cast<long>(std::min<u64>(thread.timer_slack_ns, INT64_MAX));
    thread.timer_slack_ns = static_cast<i64>(argument) > 0 ? argument : thread.default_timer_slack_ns;
    return 0;
}

/// How the task runs and what memory it has; sys_prctl() has who it is.
Result<long> change_execution(Thread& thread, int option, u64 second, u64 third, u64 fourth, u64 fifth) {
    switch (option) {
    case abi::PR_SET_TIMERSLACK:
    case abi::PR_GET_TIMERSLACK:
        return timer_slack(thread, option, second);
    case abi::PR_SET_THP_DISABLE:
    case abi::PR_GET_THP_DISABLE:
        return huge_page_disabling(thread, option, second, third, fourth, fifth);
    case abi::PR_GET_TID_ADDRESS:
        TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{second}).copy_out(thread.clear_child_tid.value)));
        return 0;
    case abi::PR_GET_TIMING:
        return 0; // statistical timing, the only one Linux has too
    case abi::PR_SET_TIMING:
        return second == 0 ? Result<long>(0) : error(Errno::EINVAL);
    case abi::PR_MCE_KILL:
        return set_broken_memory_policy(thread, second, third, fourth, fifth);
    case abi::PR_MCE_KILL_GET:
        if (second || third || fourth || fifth) return error(Errno::EINVAL);
        return thread.broken_memory_policy;
    case abi::PR_SET_IO_FLUSHER:
    case abi::PR_GET_IO_FLUSHER:
        return io_flusher(thread, option, second, third, fourth, fifth);
    case abi::PR_SET_MDWE:
    case abi::PR_GET_MDWE:
        return write_execute_rules(thread, option, second, third, fourth, fifth);
    case abi::PR_SET_TSC:
    case abi::PR_GET_TSC:
        return counter_access(thread, option, second);
    case abi::PR_SVE_SET_VL:
        return thread.registers.set_vector_length(second);
    case abi::PR_SVE_GET_VL:
        return thread.registers.vector_length();
    case abi::PR_TASK_PERF_EVENTS_DISABLE:
    case abi::PR_TASK_PERF_EVENTS_ENABLE:
        trace::switch_opened_events(thread, option == abi::PR_TASK_PERF_EVENTS_ENABLE);
        return 0;
    case abi::PR_SET_MM:
        return change_memory_layout(thread, second, {third}, fourth, fifth);
    case abi::PR_GET_AUXV:
        return auxiliary_vector(thread, second, third, fourth, fifth);
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace

Result<long> sys_prctl(Thread& thread, int option, u64 second, u64 third, u64 fourth, u64 fifth) {
    switch (option) {
    case abi::PR_SET_NAME:
        return set_name_of_thread(thread, second);
    case abi::PR_GET_NAME: {
        char name[Thread::name_size];
        thread.copy_name(name);
        TRY(mm::copy_to_user({second}, name, sizeof(name)));
        return 0;
    }
    case abi::PR_SET_PDEATHSIG:
    case abi::PR_GET_PDEATHSIG:
        return death_signal(thread, option, second);
    case abi::PR_SET_DUMPABLE:
    case abi::PR_GET_DUMPABLE:
        return dumpable(thread, option, second);
    case abi::PR_SET_KEEPCAPS:
        return set_keep_capabilities(thread, second);
    case abi::PR_GET_KEEPCAPS:
        return (thread.own_credentials().securebits & abi::SECBIT_KEEP_CAPS) != 0;
    case abi::PR_SET_SECUREBITS:
        return set_securebits(thread, second);
    case abi::PR_GET_SECUREBITS:
        return thread.own_credentials().securebits;
    case abi::PR_CAPBSET_READ:
        if (second > vfs::last_capability) return error(Errno::EINVAL);
        return (thread.own_credentials().bounding.bits >> second) & 1;
    case abi::PR_CAPBSET_DROP:
        return drop_from_bounding_set(thread, second);
    case abi::PR_CAP_AMBIENT:
        return change_ambient_set(thread, second, third, fourth, fifth);
    case abi::PR_SET_CHILD_SUBREAPER:
    case abi::PR_GET_CHILD_SUBREAPER:
        return subreaper(thread, option, second);
    case abi::PR_SET_NO_NEW_PRIVS:
    case abi::PR_GET_NO_NEW_PRIVS:
        return no_new_privileges(thread, option, second, third, fourth, fifth);
    default:
        return change_execution(thread, option, second, third, fourth, fifth);
    }
}

} // namespace linnet::syscalls
