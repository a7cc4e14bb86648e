// Calls that one architecture alone has: on the others their numbers are not in the table.
#include <algorithm>
#include <arch/cpu.hpp>
#include <core/sched.hpp>
#include <process/thread.hpp>
#include <syscalls/machine.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

const arch::HardwareProperty* find_property(i64 key) {
    const auto known = arch::hardware_capabilities().properties;
    const auto found = std::ranges::find(known, key, &arch::HardwareProperty::key);
    return found != known.end() ? &*found : nullptr;
}

/// The set of CPUs that a probe is about. Where the caller gives none, and with `none_is_all` where it is empty, all.
Result<u64> read_cpus(u64 size, VirtAddr cpus, bool none_is_all) {
    const u64 online = core::online_cpus();
    if (size == 0 && cpus.value == 0) return online;
    u64 bits = 0;
    TRY(mm::copy_from_user(&bits, cpus, std::min<u64>(size, sizeof bits)));
    if (bits == 0 && none_is_all) return online;
    return bits & online;
}

/// The other way round: which CPUs have all that the pairs ask for. They are all alike here.
Result<long> find_cpus(Thread& thread, mm::UserPtr<mm::InOut, ProbedProperty> pairs, u64 count, u64 set_size,
                       VirtAddr cpus) {
    if (set_size == 0 || cpus.value == 0) return error(Errno::EINVAL);
    u64 matching = TRY(read_cpus(set_size, cpus, true));
    for (u64 i = 0; i < count; ++i) {
        if (thread.has_fatal_signal()) return error(Errno::EINTR);
        ProbedProperty wanted = TRY(pairs.element(i).copy_in());
        const arch::HardwareProperty* known = find_property(wanted.key);
        if (!known) {
            TRY(pairs.element(i).copy_out({-1, 0}));
            matching = 0;
            continue;
        }
        const u64 compared = known->is_set_of_bits ? known->value & wanted.value : known->value;
        if (compared != wanted.value) matching = 0;
    }
    const u64 used = std::min<u64>(set_size, sizeof matching);
    TRY(mm::copy_to_user(cpus, &matching, used));
    constexpr u64 largest_set = 1024 / 8;
    TRY(mm::clear_user(cpus + used, std::min(set_size, largest_set) - used));
    return 0;
}

} // namespace

Result<long> sys_riscv_flush_icache(Thread&, VirtAddr, VirtAddr, u64 flags) {
    // Who asks for this thread alone may still be moved to any CPU before it runs what it has written.
    constexpr u64 this_thread_only = 1;
    if (flags & ~this_thread_only) return error(Errno::EINVAL);
    core::synchronise_all_instruction_streams();
    return 0;
}

Result<long> sys_riscv_hwprobe(Thread& thread, mm::UserPtr<mm::InOut, ProbedProperty> pairs, u64 count, u64 set_size,
                               VirtAddr cpus, u32 flags) {
    constexpr u32 which_cpus = 1;
    if (flags == which_cpus) return find_cpus(thread, pairs, count, set_size, cpus);
    if (flags != 0) return error(Errno::EINVAL);
    if (TRY(read_cpus(set_size, cpus, false)) == 0) return error(Errno::EINVAL);
    for (u64 i = 0; i < count; ++i) {
        if (thread.has_fatal_signal()) return error(Errno::EINTR);
        const i64 key = TRY(pairs.element(i).copy_in()).key;
        const arch::HardwareProperty* known = find_property(key);
        TRY(pairs.element(i).copy_out(known ? ProbedProperty{key, known->value} : ProbedProperty{-1, 0}));
    }
    return 0;
}

} // namespace linnet::syscalls
