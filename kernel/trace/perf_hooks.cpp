// What the tracepoints of the rooms below tell, brought to the events that want it.
#include <abi/linux/mman.hpp>
#include <algorithm>
#include <core/tracepoints.hpp>
#include <cstring>
#include <new>
#include <process/process.hpp>
#include <process/tracepoints.hpp>

#include "hardware_counters.hpp"
#include "perf_records.hpp"
#include "recording.hpp"

namespace linnet::trace {

using abi::PerfRecord;
using abi::PerfSoftware;
using process::Thread;

namespace {

constexpr u64 tells_of_tasks =
    abi::PERF_ATTR_TASK | abi::PERF_ATTR_COMM | abi::PERF_ATTR_MMAP | abi::PERF_ATTR_MMAP2 | abi::PERF_ATTR_MMAP_DATA;
constexpr usize longest_name = 4096; // of a mapped file; longer ones are cut, as on Linux

constexpr u64 halves(u64 low, u64 high) { return (low & 0xffff'ffff) | high << 32; }

// ---- switches ----

/// The record of a switch: whose it is knows who reads the events of that thread; of a CPU's it says who else it is.
void write_switch_guarded(PerfEvent& event, core::Thread& subject, core::Thread& other, u16 misc) {
    if (!event.has(abi::PERF_ATTR_CONTEXT_SWITCH)) return;
    const u64 who[] = {ids_of(other)};
    const bool is_of_cpu = !event.target.thread;
    write_record_guarded(event, {.type = is_of_cpu ? PerfRecord::SwitchCpuWide : PerfRecord::Switch,
                                 .misc = misc,
                                 .body = std::span(who).first(is_of_cpu ? 1 : 0),
                                 .subject = subject});
}

void count_in_guarded(PerfContext& context, PerfSoftware what, u64 times, const Moment& moment) {
    for (PerfEvent& event : context.events) event.count_guarded(what, times, moment);
}

void leave(PerfContext& context, core::Cpu& cpu, core::Thread& next, u16 misc, const Moment& moment) {
    RecordingGuard guard(context.lock);
    count_in_guarded(context, PerfSoftware::ContextSwitches, 1, moment);
    for (PerfEvent& event : context.events)
        if (event.is_live_guarded(cpu.number)) write_switch_guarded(event, moment.thread, next, misc);
    context.migrations_then = moment.thread.migrations;
    context.leave_guarded();
}

void enter(PerfContext& context, core::Cpu& cpu, const Moment& moment, core::Thread& next) {
    RecordingGuard guard(context.lock);
    context.enter_guarded(cpu.number);
    for (PerfEvent& event : context.events)
        if (event.is_live_guarded(cpu.number)) write_switch_guarded(event, next, moment.thread, 0);
    const u64 moved = next.migrations - std::exchange(context.migrations_then, next.migrations);
    if (moved == 0) return;
    // What it did itself, though it doesn't run yet: nothing of who ran before it is to be seen.
    const Moment own{.thread = next, .in_kernel = true, .pc = moment.pc, .frame = moment.frame};
    count_in_guarded(context, PerfSoftware::CpuMigrations, moved, own);
}

void note_on_cpu(PerfContext& context, core::Cpu& cpu, core::Thread& next, u16 misc, const Moment& moment) {
    RecordingGuard guard(context.lock);
    count_in_guarded(context, PerfSoftware::ContextSwitches, 1, moment);
    for (PerfEvent& event : context.events) {
        if (!event.is_live_guarded(cpu.number)) continue;
        write_switch_guarded(event, moment.thread, next, misc);
        write_switch_guarded(event, next, moment.thread, 0);
    }
}

void on_switch(core::Cpu& cpu, core::Thread& previous, core::Thread& next, bool is_preempted) {
    if (!is_watched(watch_switches)) return;
    const Moment moment = Moment::of_kernel_code();
    const u16 misc = abi::PERF_MISC_SWITCH_OUT | (is_preempted ? abi::PERF_MISC_SWITCH_OUT_PREEMPT : 0);
    if (PerfContext* left = PerfContext::find(previous)) leave(*left, cpu, next, misc, moment);
    if (PerfContext* of_cpu = PerfContext::find_cpu(cpu.number)) note_on_cpu(*of_cpu, cpu, next, misc, moment);
    if (PerfContext* entered = PerfContext::find(next)) {
        enter(*entered, cpu, moment, next);
        if (entered->hardware_events != 0) CpuCounters::here().distribute(entered);
    }
}

// ---- faults ----

void on_fault(VirtAddr address, bool in_kernel) {
    if (!is_watched(watch_faults)) return;
    const auto state = arch::save_and_disable_interrupts();
    const Moment moment = in_kernel ? Moment::of_kernel_code(address) : Moment::of_user_code(address);
    for (PerfContext* context : {PerfContext::find(moment.thread), PerfContext::find_cpu(core::this_cpu().number)}) {
        if (!context) continue;
        RecordingGuard guard(context->lock);
        count_in_guarded(*context, PerfSoftware::PageFaults, 1, moment);
    }
    arch::restore_interrupts(state);
}

// ---- mappings ----

/// A record of a mapping: of both kinds, for an event wants the one or the other.
struct MappingRecord {
    static constexpr usize head = 8; // words before the name, in the longer of the two
    u64 words[head + longest_name / sizeof(u64)];
    usize used = 0;
    bool is_executable = false;

    void fill(const mm::MappingInfo& info, Thread& thread);
    void add_name(const mm::MappingInfo& info);
    void write(Thread& thread);
};

void MappingRecord::fill(const mm::MappingInfo& info, Thread& thread) {
    is_executable = info.prot & abi::PROT_EXEC;
    const u64 device = info.label ? info.label->device_number() : 0;
    u64 flags = (info.flags & mm::vma_shared) ? abi::MAP_SHARED : abi::MAP_PRIVATE;
    const u64 described[head] = {ids_of(thread),
                                 info.begin.value,
                                 info.end - info.begin,
                                 info.offset,
                                 halves(device >> 8 & 0xfff, (device & 0xff) | (device >> 12 & 0xfff00)),
                                 info.label ? info.label->inode_number() : 0,
                                 0, // the inode's generation
                                 halves(info.prot, flags)};
    std::copy_n(described, head, words);
    add_name(info);
}

/// With NULs behind it up to the next word, one at least.
void MappingRecord::add_name(const mm::MappingInfo& info) {
    char* const name = reinterpret_cast<char*>(words + head);
    usize length = 0;
    const auto add = [&](std::string_view text) {
        for (char c : text)
            if (length < longest_name - 1) name[length++] = c;
    };
    if (info.label)
        info.label->format_name(add);
    else
        add(info.name);
    if (length == 0) add("//anon");
    do name[length++] = 0;
    while (length % sizeof(u64) != 0);
    used = head + length / sizeof(u64);
}

void MappingRecord::write(Thread& thread) {
    const u16 misc = abi::PERF_MISC_USER | (is_executable ? 0 : abi::PERF_MISC_MMAP_DATA);
    const u64 kinds = is_executable ? abi::PERF_ATTR_MMAP | abi::PERF_ATTR_MMAP2 : abi::PERF_ATTR_MMAP_DATA;
    write_record({.type = PerfRecord::Mmap2, .misc = misc, .body = std::span(words).first(used), .subject = thread},
                 [&](const PerfEvent& event) { return event.has(kinds) && event.has(abi::PERF_ATTR_MMAP2); });
    // The shorter one goes from the offset straight to the name.
    constexpr usize before_name = 4;
    std::copy(words + head, words + used, words + before_name);
    used -= head - before_name;
    write_record({.type = PerfRecord::Mmap, .misc = misc, .body = std::span(words).first(used), .subject = thread},
                 [&](const PerfEvent& event) { return event.has(kinds) && !event.has(abi::PERF_ATTR_MMAP2); });
}

/// Each mapping from `address` on, or the one that contains it. The names are looked up with the mmap lock held, as for
/// /proc/PID/maps; the records are written without.
void write_mappings(VirtAddr from, bool only_first) {
    Thread& thread = process::current();
    auto* record = new (std::nothrow) MappingRecord;
    if (!record) return; // as on Linux
    for (bool found = true; found;) {
        found = false;
        thread.own_address_space().for_each_mapping(
            [&](const mm::MappingInfo& info) {
                record->fill(info, thread);
                from = info.end;
                found = true;
                return false;
            },
            from);
        if (found) record->write(thread);
        if (only_first) break;
    }
    delete record;
}

void on_mapped(VirtAddr address) {
    if (is_watched(watch_mappings)) write_mappings(address, true);
}

// ---- threads ----

void write_name(Thread& task, u16 misc) {
    u64 body[1 + Thread::name_size / sizeof(u64)] = {ids_of(task)};
    char name[Thread::name_size] = {};
    task.copy_name(name);
    const usize length = std::find(name, name + Thread::name_size, '\0') - name;
    memcpy(body + 1, name, length);
    const usize words = 1 + length / sizeof(u64) + 1; // a NUL at least
    write_record({.type = PerfRecord::Comm,
                  .misc = misc,
                  .body = std::span(body).first(std::min(words, std::size(body))),
                  .subject = core::current_thread()},
                 [](const PerfEvent& event) { return event.has(abi::PERF_ATTR_COMM); });
}

void on_renamed(Thread& thread) {
    if (is_watched(watch_threads)) write_name(thread, 0);
}

void on_executed(Thread& thread, std::string_view, process::Pid) {
    if (is_watched(watch_threads)) write_name(thread, abi::PERF_MISC_COMM_EXEC);
    if (is_watched(watch_mappings)) write_mappings({}, false);
}

/// Fork and exit records are of one shape: process, its parent, thread, its maker, time. Whoever wants to know names
/// and mappings is told of them too.
void write_task(PerfRecord type, Thread& thread, u64 parent_ids) {
    u64 body[3] = {halves(ids_of(thread), parent_ids), halves(ids_of(thread) >> 32, parent_ids >> 32),
                   core::monotonic_ns()};
    write_record({.type = type, .misc = 0, .body = body, .subject = core::current_thread()},
                 [](const PerfEvent& event) { return event.has(tells_of_tasks); });
}

void on_child(Thread& parent, Thread& child) {
    if (is_watched(watch_threads)) write_task(PerfRecord::Fork, child, ids_of(parent));
}

/// Who reads of a thread's end forgets its name: no sample of it follows that is the thread's own.
void on_ended(Thread& thread) {
    if (!is_watched(watch_threads)) return;
    if (PerfContext* own = PerfContext::find(thread)) own->end_samples();
    const auto parent = static_cast<u32>(thread.process().parent_pid());
    write_task(PerfRecord::Exit, thread, halves(parent, parent));
}

// ---- the tracepoints ----

constinit decltype(core::tracepoints::sched_switch)::Probe switch_probe{on_switch};
constinit decltype(core::tracepoints::page_fault)::Probe fault_probe{on_fault};
constinit decltype(core::tracepoints::memory_mapped)::Probe mapping_probe{on_mapped};
constinit decltype(process::tracepoints::fork)::Probe fork_probe{on_child};
constinit decltype(process::tracepoints::rename)::Probe rename_probe{on_renamed};
constinit decltype(process::tracepoints::exec)::Probe exec_probe{on_executed};
constinit decltype(process::tracepoints::ended)::Probe ended_probe{on_ended};

} // namespace

void add_perf_probes() {
    core::tracepoints::sched_switch.add(switch_probe);
    core::tracepoints::page_fault.add(fault_probe);
    core::tracepoints::memory_mapped.add(mapping_probe);
    process::tracepoints::fork.add(fork_probe);
    process::tracepoints::rename.add(rename_probe);
    process::tracepoints::exec.add(exec_probe);
    process::tracepoints::ended.add(ended_probe);
}

void switch_tracepoints(u32 what, bool on) {
    const auto turn = [on](auto&... points) { ((on ? points.switch_on() : points.switch_off()), ...); };
    if (what == watch_switches) turn(core::tracepoints::sched_switch);
    if (what == watch_faults) turn(core::tracepoints::page_fault);
    if (what == watch_mappings) turn(core::tracepoints::memory_mapped, process::tracepoints::exec);
    if (what == watch_threads)
        turn(process::tracepoints::fork, process::tracepoints::rename, process::tracepoints::exec,
             process::tracepoints::ended);
}

} // namespace linnet::trace
