// The life of a core dump. The thread that takes a deadly signal makes its process die, but stays alive itself; all
// other threads come to their ends as always, and wait there with their registers stored. Then it writes, as an
// ordinary thread of the process that sleeps in reads and writes with no lock held; only SIGKILL reaches it. At last
// all of them go on dying.
//
// Locks: Process::signal_lock for who waits; pattern_lock, a leaf, for the pattern.
#include "core_dump.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <arch/register_sets.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <process/core_dump.hpp>
#include <process/system_name.hpp>
#include <vfs/credentials.hpp>
#include <vfs/pseudo/knob.hpp>

#include "internal.hpp"
#include "signal/queue.hpp"

namespace linnet::process {

constinit std::atomic<u64> core_pipe_limit{0};

namespace {

constexpr usize longest_pattern = 127;
constexpr u32 dumpable_by_root = 2;

constinit core::SpinLock pattern_lock;
constinit char the_pattern[longest_pattern + 1] = "core";
constinit std::atomic<u64> core_uses_pid{0};
constinit std::atomic<u64> suid_dumpable{0};

struct Pattern {
    char bytes[longest_pattern + 1];
    [[nodiscard]] std::string_view text() const { return bytes; }
};
Pattern current_pattern() {
    Pattern pattern;
    core::SpinGuard guard(pattern_lock);
    std::copy_n(the_pattern, sizeof the_pattern, pattern.bytes);
    return pattern;
}

/// Makes the process die, all but the caller, who no longer hears of signals. False when it dies already.
bool begin_dump(Thread& self, int signal) {
    Process& process = self.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    if (process.group_exiting || process.exec_thread) return false;
    signal_detail::end_group_stop_locked(process);
    begin_group_exit_locked(process, signal);
    self.signals.blocked.bits = ~u64{0};
    self.pending_work.fetch_and(~u32{core::work_exit | core::work_stop}, std::memory_order_relaxed);
    signal_detail::recalculate_locked(self);
    process.core_dump_waits_for = 0;
    for (Thread& thread : process.threads)
        if (&thread != &self && !thread.is_dead() && thread.dump_state == Thread::DumpState::Running)
            ++process.core_dump_waits_for;
    process.core_dumper = &self;
    return true;
}

void end_dump(Thread& self, bool was_written) {
    constexpr int core_flag = 0x80; // WCOREDUMP
    Process& process = self.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    if (was_written && !self.has_fatal_signal()) process.group_exit_status |= core_flag;
    process.core_dumper = nullptr;
    order_exit(self);
    process.core_dump_events.wake_all();
}

/// False when the dump is to end.
bool wait_for_others(Process& process) {
    const core::WaitResult result =
        core::wait_until(process.core_dump_events, core::Sleep::Killable, core::Deadline::never(), [&] {
            core::InterruptSpinGuard guard(process.signal_lock);
            return process.core_dump_waits_for == 0;
        });
    return result == core::WaitResult::Ready;
}

Result<CoreName> name_of(const CoreDump& dump, std::string_view pattern) {
    Process& process = dump.self.process();
    const vfs::Credentials& who = dump.self.own_credentials();
    const abi::new_utsname system = system_name();
    NullableRefPtr<vfs::File> executable = process.executable();
    vfs::PathText path;
    if (executable) path = TRY(vfs::PathText::of(executable->path()));
    CoreNames names{.pid = process.pid(),
                    .tid = dump.self.tid(),
                    .uid = who.uid,
                    .gid = who.gid,
                    .signal = dump.info.si_signo,
                    .dumpable = dump.dumpable,
                    .cpu = dump.self.last_cpu,
                    .limit = dump.limit,
                    .seconds = core::realtime_ns() / core::ns_per_second,
                    .host = system.nodename,
                    .command = dump.self.name(),
                    .executable = path.text()};
    if (!executable) names.executable = names.command;
    return make_core_name(pattern, names, core_uses_pid.load() != 0 ? AppendPid::Yes : AppendPid::No);
}

/// Whether there is a core file, perhaps one that was cut short.
Result<void> write_to_target(const CoreDump& dump, std::string_view pattern) {
    const CoreName name = TRY(name_of(dump, pattern));
    const CoreTarget target = TRY(CoreTarget::open(dump, name));
    CoreWriter writer = TRY(target.writer());
    // A limit, a full disk or SIGKILL leave the part that was written, and Linux calls it a core file all the same.
    if (write_core(dump, writer)) (void)writer.finish();
    return {};
}

} // namespace

u32 dumpable_with_other_rights() { return static_cast<u32>(suid_dumpable.load(std::memory_order_relaxed)); }

void dump_core(Thread& self, const abi::siginfo_t& info) {
    Process& process = self.process();
    CoreDump dump{.self = self,
                  .info = info,
                  .dumpable = self.own_address_space().dumpable.load(),
                  .limit = process.limits.soft(abi::RLIMIT_CORE),
                  .blocked = self.signals.blocked};
    if (dump.dumpable == 0) return;
    const Pattern pattern = current_pattern();
    // A file of less than a page isn't begun; what a pipe takes is not limited.
    if (!pattern.text().starts_with('|') && dump.limit < arch::page_size) return;
    if (!begin_dump(self, info.si_signo)) return;
    end_dump(self, wait_for_others(process) && write_to_target(dump, pattern.text()).has_value());
}

void wait_for_core_dump(Thread& self) {
    Process& process = self.process();
    // Nobody else is there who could dump, or begin to.
    if (process.living_threads.load() == 1) return;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        if (!process.core_dumper.load()) {
            self.dump_state = Thread::DumpState::Past;
            return;
        }
    }
    // The dump waits for this thread, or has been ended early and misses nothing.
    arch::store_live_registers(self.registers);
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        self.dump_state = Thread::DumpState::Waiting;
        if (--process.core_dump_waits_for == 0) process.core_dump_events.wake_all();
    }
    (void)core::wait_until(process.core_dump_events, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return process.core_dumper.load() == nullptr; });
}

void end_core_dump_locked(Process& process) {
    Thread* dumper = process.core_dumper.load();
    if (!dumper) return;
    process.group_exit_status = abi::SIGKILL; // as on Linux
    order_exit(*dumper);
}

// ---- knobs ----

namespace {

Result<void> show_pattern(TextSink sink) {
    format_to(sink, "{}\n", current_pattern().text());
    return {};
}
Result<void> store_pattern(std::string_view text) {
    if (text.empty()) return {}; // a write of nothing; an empty line makes it empty
    text = text.substr(0, text.find_first_of(std::string_view("\n\0", 2))).substr(0, longest_pattern);
    core::SpinGuard guard(pattern_lock);
    std::fill_n(std::copy(text.begin(), text.end(), the_pattern), sizeof the_pattern - text.size(), '\0');
    return {};
}

} // namespace

Result<void> register_core_dump_knobs() {
    using vfs::pseudo::add_knob;
    vfs::pseudo::Directory& root = vfs::pseudo::proc().root();
    vfs::pseudo::Directory& kernel = *TRY(root.add_path("sys/kernel"));
    TRY(kernel.add_text("core_pattern", show_pattern, 0644, store_pattern));
    TRY(add_knob(kernel, "core_uses_pid", {.value = core_uses_pid}));
    TRY(add_knob(kernel, "core_pipe_limit", {.value = core_pipe_limit}));
    return add_knob(*TRY(root.add_path("sys/fs")), "suid_dumpable", {.value = suid_dumpable, .most = dumpable_by_root});
}

} // namespace linnet::process
