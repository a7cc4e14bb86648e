// perf_event_open(2): events of a thread or of a CPU that are counted.
#pragma once

#include <abi/linux/perf_event.hpp>
#include <process/thread.hpp>
#include <vfs/file.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::trace {

/// Whose events: those of one thread wherever it runs or on one CPU only, or those of whoever runs on one CPU.
struct PerfTarget {
    NullableRefPtr<process::Thread> thread; // null: a CPU's
    bool is_on_one_cpu = false;
    u32 cpu = 0;
};

/// Files of events that one is opened with: whose group it joins, and whose buffer its records go to. Null: none.
struct PerfCompany {
    vfs::File* leader = nullptr;
    vfs::File* output = nullptr;
};

/// Opens an event. ENOENT: no such event; EINVAL: it does not fit to its company; EOPNOTSUPP: samples were to say what
/// they can't; EACCES: probes are for who has the capability; EOVERFLOW: of deeper call chains than are allowed; ESRCH:
/// the thread is dead; ENOMEM. EBADF: the company are no events.
Result<RefPtr<vfs::File>> open_perf_event(const abi::perf_event_attr& attributes, PerfTarget target,
                                          const PerfCompany& company);
/// Whether who asks may count what the attributes say of that target (/proc/sys/kernel/perf_event_paranoid;
/// perf_event_open(2), "perf_event related configuration files"). EACCES.
Result<void> check_perf_rights(process::Thread& caller, const abi::perf_event_attr& attributes,
                               const PerfTarget& target);
/// The highest number of addresses in a call chain.
u64 deepest_chain();
/// The highest sample_freq.
u64 highest_sample_rate();
/// PR_TASK_PERF_EVENTS_ENABLE and _DISABLE: all events that the thread has opened.
void switch_opened_events(process::Thread& opener, bool on);
/// Once, at boot: events begin to be told what happens, and `knobs` gets /proc/sys/kernel/perf_event_*.
Result<void> initialise_perf(vfs::pseudo::Directory& knobs);
/// Once, at boot: /sys/bus/event_source/devices, where programs find the kinds of events (sysfs).
Result<void> register_perf_devices(vfs::pseudo::Directory& sys);
/// Once, when drivers have probed: what hardware counts is counted from now on, and /sys says what that is. Nothing to
/// do where nothing counts. ENOMEM.
Result<void> register_hardware_counters(vfs::pseudo::Directory& sys);

} // namespace linnet::trace
