// Performance events: perf_event_open(2). What the attributes say is checked here; events are trace/'s.
#include "growing_structure.hpp"

#include <algorithm>
#include <syscalls/perf.hpp>
#include <trace/perf_event.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

using abi::perf_event_attr;
using process::Thread;

namespace {

/// The structure may be older (shorter) or newer than ours; newer fields must be 0. E2BIG tells the size of ours.
Result<perf_event_attr> read_attributes(VirtAddr address) {
    constexpr u64 size_at = __builtin_offsetof(perf_event_attr, size);
    perf_event_attr attributes{};
    u32 size = TRY((mm::UserPtr<mm::In, u32>(address + size_at).copy_in()));
    if (size == 0) size = abi::PERF_ATTR_SIZE_VER0;
    bool fits = size >= abi::PERF_ATTR_SIZE_VER0 && size <= arch::page_size;
    if (fits && size > sizeof attributes) fits = TRY(is_zero(address + sizeof attributes, size - sizeof attributes));
    if (!fits) {
        TRY((mm::UserPtr<mm::Out, u32>(address + size_at).copy_out(sizeof attributes)));
        return error(Errno::E2BIG);
    }
    TRY(mm::copy_from_user(&attributes, address, std::min<usize>(size, sizeof attributes)));
    return attributes;
}

bool has(const perf_event_attr& attributes, u64 flag) { return attributes.flags & flag; }

bool is_consistent(const perf_event_attr& asked) {
    if (asked.flags & ~abi::PERF_ATTR_KNOWN || asked.reserved_2 || asked.reserved_3) return false;
    if (asked.sample_type & ~abi::PERF_SAMPLE_KNOWN || asked.read_format & ~abi::PERF_FORMAT_KNOWN) return false;
    constexpr u64 privilege_levels = 7; // of the branches wanted; their kinds are the other bits
    if ((asked.sample_type & abi::PERF_SAMPLE_BRANCH_STACK) && !(asked.branch_sample_type & ~privilege_levels))
        return false;
    if (has(asked, abi::PERF_ATTR_INHERIT_THREAD) && !has(asked, abi::PERF_ATTR_INHERIT)) return false;
    const bool is_removed = has(asked, abi::PERF_ATTR_REMOVE_ON_EXEC);
    if (is_removed && has(asked, abi::PERF_ATTR_ENABLE_ON_EXEC)) return false;
    return !has(asked, abi::PERF_ATTR_SIGTRAP) || is_removed;
}

bool has_allowed_rate(const perf_event_attr& asked) {
    if (has(asked, abi::PERF_ATTR_FREQ)) return asked.sample_period <= trace::highest_sample_rate();
    return !(asked.sample_period >> 63);
}

Result<trace::PerfTarget> find_target(Thread& thread, process::Pid pid, int cpu) {
    trace::PerfTarget target;
    if (pid != -1) {
        NullableRefPtr<Thread> found = pid == 0 ? NullableRefPtr<Thread>(&thread) : process::find_thread(pid);
        if (!found || found->is_dead()) return error(Errno::ESRCH);
        target.thread = std::move(found);
    }
    if (cpu >= 0 && static_cast<u32>(cpu) >= core::cpu_count()) return error(Errno::EINVAL);
    if (cpu < -1 || (cpu == -1 && !target.thread)) return error(Errno::EINVAL);
    target.is_on_one_cpu = cpu >= 0;
    target.cpu = static_cast<u32>(std::max(cpu, 0));
    return target;
}

} // namespace

Result<long> sys_perf_event_open(Thread& thread, VirtAddr address, process::Pid pid, int cpu, int group, u64 flags) {
    constexpr u64 known =
        abi::PERF_FLAG_FD_NO_GROUP | abi::PERF_FLAG_FD_OUTPUT | abi::PERF_FLAG_PID_CGROUP | abi::PERF_FLAG_FD_CLOEXEC;
    if (flags & ~known) return error(Errno::EINVAL);
    const perf_event_attr attributes = TRY(read_attributes(address));
    if (!is_consistent(attributes)) return error(Errno::EINVAL);
    if (!has_allowed_rate(attributes)) return error(Errno::EINVAL);
    if (flags & abi::PERF_FLAG_PID_CGROUP) return error(Errno::EINVAL);
    NullableRefPtr<vfs::File> other;
    if (group != -1) other = NullableRefPtr<vfs::File>(TRY(thread.own_files().get(group)));
    trace::PerfTarget target = TRY(find_target(thread, pid, cpu));
    TRY(trace::check_perf_rights(thread, attributes, target));
    const trace::PerfCompany company{.leader = (flags & abi::PERF_FLAG_FD_NO_GROUP) ? nullptr : other.get(),
                                     .output = (flags & abi::PERF_FLAG_FD_OUTPUT) ? other.get() : nullptr};
    RefPtr<vfs::File> file = TRY(trace::open_perf_event(attributes, std::move(target), company));
    const auto closes = (flags & abi::PERF_FLAG_FD_CLOEXEC) ? vfs::CloseOnExec::Yes : vfs::CloseOnExec::No;
    return TRY(thread.own_files().add(std::move(file), closes));
}

} // namespace linnet::syscalls
