// The system's names and numbers.
#include <abi/linux/prctl.hpp>
#include <abi/linux/signal.hpp>
#include <algorithm>
#include <core/log.hpp>
#include <core/power.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <lib/format.hpp>
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

namespace {

/// UNAME26 of personality(2), for programs that know no later series: version a.b.c is called 2.6.(b + 60), and what
/// comes behind the numbers stays.
void pretend_series_2_6(char (&release)[abi::utsname_length + 1]) {
    const std::string_view present = release;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    u64 minor = 0;
    for (usize at = present.find('.') + 1; at < present.size() && is_digit(present[at]); ++at)
        minor = minor * 10 + static_cast<u64>(present[at] - '0');
    const std::string_view rest = present.substr(std::min(present.find_first_not_of("0123456789."), present.size()));
    char room[abi::utsname_length];
    const std::string_view text = format_into(room, "2.6.{}{}", minor + 60, rest);
    std::fill(std::begin(release), std::end(release), '\0');
    std::copy_n(text.data(), text.size(), release);
}

} // namespace

Result<long> sys_uname(Thread& thread, mm::UserPtr<mm::Out, abi::new_utsname> to) {
    abi::new_utsname names = process::system_name();
    if (thread.personality & abi::UNAME26) pretend_series_2_6(names.release);
    TRY(to.copy_out(names));
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
        core::finish_before_end();
        core::reboot();
    case power_off:
        core::log_info("reboot: Power down");
        core::finish_before_end();
        core::power_off();
    case halt:
        core::log_info("reboot: System halted");
        core::finish_before_end();
        core::halt();
    case cad_on: // no keyboard sends Ctrl-Alt-Del: both settings are true
    case cad_off:
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
