// perf_event_open(2): events of a thread or of a CPU that are counted.
#pragma once

#include <abi/linux/perf_event.hpp>
#include <process/thread.hpp>
#include <vfs/file.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::trace {

/// Whose events: those of one thread wherever it runs, or those of whoever runs on one CPU.
struct PerfTarget {
    NullableRefPtr<process::Thread> thread; // null: a CPU's
    u32 cpu = 0;
};

/// Opens an event; `leader`, where given, is the event's file whose group it joins. ENOENT: no such event; EINVAL:
/// it does not fit to the leader; EOPNOTSUPP: it was to take samples; ESRCH: the thread is dead; ENOMEM. EBADF:
/// `leader` is no event.
Result<RefPtr<vfs::File>> open_perf_event(const abi::perf_event_attr& attributes, PerfTarget target, vfs::File* leader);
/// Whether who asks may count what the attributes say of that target (/proc/sys/kernel/perf_event_paranoid;
/// perf_event_open(2), "perf_event related configuration files"). EACCES.
Result<void> check_perf_rights(process::Thread& caller, const abi::perf_event_attr& attributes,
                               const PerfTarget& target);
/// The highest sample_freq.
u64 highest_sample_rate();
/// PR_TASK_PERF_EVENTS_ENABLE and _DISABLE: all events that the thread has opened.
void switch_opened_events(process::Thread& opener, bool on);
/// /proc/sys/kernel/perf_event_*.
Result<void> add_perf_knobs(vfs::pseudo::Directory& directory);

} // namespace linnet::trace
