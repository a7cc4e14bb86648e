// The system's names and numbers, and the attributes of a task that prctl(2) sets.
#include <abi/linux/prctl.hpp>
#include <abi/linux/signal.hpp>
#include <algorithm>
#include <core/log.hpp>
#include <core/power.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <mm/statistics.hpp>
#include <process/credentials.hpp>
#include <process/process.hpp>
#include <process/system_name.hpp>
#include <syscalls/identity.hpp>

namespace linnet::syscalls {

using process::Thread;
using vfs::Capability;
using vfs::Credentials;

Result<long> sys_uname(Thread&, mm::UserPtr<mm::Out, abi::new_utsname> names) {
    TRY(names.copy_out(process::system_name()));
    return 0;
}

namespace {

Result<long> set_name(Thread& thread, VirtAddr name, int length, Result<void> (*set)(std::string_view)) {
    if (!thread.own_credentials().has(Capability::SysAdmin)) return error(Errno::EPERM);
    if (length < 0 || static_cast<usize>(length) > abi::utsname_length) return error(Errno::EINVAL);
    char text[abi::utsname_length];
    TRY(mm::copy_from_user(text, name, static_cast<usize>(length)));
    TRY(set({text, static_cast<usize>(length)}));
    return 0;
}

} // namespace

Result<long> sys_sethostname(Thread& thread, VirtAddr name, int length) {
    return set_name(thread, name, length, process::set_host_name);
}
Result<long> sys_setdomainname(Thread& thread, VirtAddr name, int length) {
    return set_name(thread, name, length, process::set_domain_name);
}

Result<long> sys_sysinfo(Thread&, mm::UserPtr<mm::Out, abi::sysinfo> info) {
    mm::MemoryStatistics memory = mm::memory_statistics();
    abi::sysinfo out{};
    out.uptime = static_cast<i64>((core::monotonic_ns() + core::ns_per_second - 1) / core::ns_per_second);
    out.totalram = memory.total * arch::page_size;
    out.freeram = memory.free * arch::page_size;
    out.sharedram = memory.shared * arch::page_size;
    out.procs = static_cast<u16>(std::min<u32>(process::thread_count(), 0xffff));
    out.mem_unit = 1;
    TRY(info.copy_out(out));
    return 0;
}

Result<long> sys_getrandom(Thread&, VirtAddr buffer, u64 size, u32 flags) {
    constexpr u32 known = abi::GRND_NONBLOCK | abi::GRND_RANDOM | abi::GRND_INSECURE;
    if ((flags & ~known) ||
        (flags & (abi::GRND_RANDOM | abi::GRND_INSECURE)) == (abi::GRND_RANDOM | abi::GRND_INSECURE))
        return error(Errno::EINVAL);
    while (!core::random_is_seeded() && !(flags & abi::GRND_INSECURE)) {
        if (flags & abi::GRND_NONBLOCK) return error(Errno::EAGAIN);
        // Seeding announces itself nowhere; it happens once, early.
        core::prepare_to_sleep(core::Sleep::Interruptible);
        if (core::sleep_until(core::Sleep::Interruptible, core::Deadline::after(10'000'000)) ==
            core::WaitResult::Interrupted)
            return error(Errno::RestartIfRequested);
    }
    u64 done = 0;
    size = std::min<u64>(size, INT32_MAX);
    while (done < size) {
        u8 bytes[256];
        usize piece = std::min<u64>(size - done, sizeof(bytes));
        core::random_bytes({bytes, piece});
        Result<void> copied = mm::copy_to_user(buffer + done, bytes, piece);
        if (!copied) return done ? Result<long>(static_cast<long>(done)) : error(copied.error());
        done += piece;
        if (process::current().interrupt_pending.load(std::memory_order_relaxed) && done >= sizeof(bytes)) break;
    }
    return static_cast<long>(done);
}

Result<long> sys_personality(Thread& thread, u32 persona) {
    u32 old = thread.personality;
    if (persona != 0xffffffff) thread.personality = persona;
    return old;
}

Result<long> sys_reboot(Thread& thread, u32 magic, u32 magic2, u32 command, VirtAddr) {
    constexpr u32 first_magic = 0xfee1dead;
    constexpr u32 second_magics[] = {672274793, 85072278, 369367448, 537993216};
    constexpr u32 restart = 0x01234567, halt = 0xcdef0123, cad_on = 0x89abcdef, cad_off = 0, power_off = 0x4321fedc,
                  restart2 = 0xa1b2c3d4;
    if (!thread.own_credentials().has(Capability::SysBoot)) return error(Errno::EPERM);
    if (magic != first_magic || std::ranges::find(second_magics, magic2) == std::end(second_magics))
        return error(Errno::EINVAL);
    switch (command) {
    case restart:
    case restart2:
        core::log_info("reboot: Restarting system");
        core::reboot();
    case power_off:
        core::log_info("reboot: Power down");
        core::power_off();
    case halt:
        core::log_info("reboot: System halted");
        core::halt();
    case cad_on: // no keyboard sends Ctrl-Alt-Del: both settings are true
    case cad_off:
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

// ---- prctl ----

namespace {

Result<long> set_name_of_thread(Thread& thread, u64 address) {
    char name[Thread::name_size] = {};
    // Longer names are cut; shorter ones may end at unreadable memory.
    for (usize i = 0; i + 1 < Thread::name_size; ++i) {
        name[i] = static_cast<char>(TRY((mm::UserPtr<mm::In, u8>(VirtAddr{address + i}).copy_in())));
        if (name[i] == '\0') break;
    }
    thread.set_name(name);
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

Result<long> timer_slack(Thread& thread, int option, u64 argument) {
    if (option == abi::PR_GET_TIMERSLACK) return static_cast<long>(std::min<u64>(thread.timer_slack_ns, INT64_MAX));
    thread.timer_slack_ns = static_cast<i64>(argument) > 0 ? argument : thread.default_timer_slack_ns;
    return 0;
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
    case abi::PR_GET_AUXV:
        return auxiliary_vector(thread, second, third, fourth, fifth);
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
