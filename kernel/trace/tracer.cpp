// The trace's buffers, clocks and options; heads of records; names of threads that have been seen.
#include "tracer.hpp"

#include <algorithm>
#include <core/interrupt_work.hpp>
#include <cstring>
#include <mm/statistics.hpp>
#include <process/process.hpp>

#include "perf_moment.hpp"
#include "recording.hpp"

namespace linnet::trace {

namespace {

/// Of each CPU, in bytes, once something is recorded; as on Linux.
constexpr usize full_size = 1'441'792;

u64 uptime_ns() {
    constexpr u64 jiffy = 4'000'000;
    return core::monotonic_ns() / jiffy * jiffy;
}
u64 next_count() {
    static constinit std::atomic<u64> counter{0};
    return counter.fetch_add(1, std::memory_order_relaxed) + 1;
}

/// The clock is one for all CPUs, and does not stand still while the machine is off the CPU.
constexpr TraceClock clocks[] = {
    {"local", core::monotonic_ns, true}, {"global", core::monotonic_ns, true}, {"counter", next_count, false},
    {"uptime", uptime_ns, true},         {"perf", core::monotonic_ns, true},   {"mono", core::monotonic_ns, true},
    {"mono_raw", core::raw_ns, true},    {"boot", core::monotonic_ns, true},   {"tai", core::tai_ns, true},
};

void wake_readers(core::InterruptWork&) {
    tracer.readers.notify(abi::POLLIN | abi::POLLRDNORM);
    tracer.page_readers.notify(abi::POLLIN | abi::POLLRDNORM);
}

/// What emissions of one CPU need.
struct Local {
    core::InterruptWork alarm{wake_readers};
    SavedThread seen; // the thread that was remembered last
};
constinit Local* locals = nullptr;

constinit core::LockClass saved_class("names of traced threads");
constinit core::InterruptSpinLock saved_lock(saved_class);
constinit SavedThread* saved = nullptr; // guarded by saved_lock; by id, modulo the number of slots

} // namespace

const std::span<const TraceClock> trace_clocks = clocks;
constinit Tracer tracer;
constinit std::atomic<u32> trace_options{option_overwrite | option_record_cmd | option_irq_info | option_context_info |
                                         option_markers | option_annotate};

// ---- buffers ----

Result<void> initialise_tracer() {
    tracer.clock = &clocks[0];
    tracer.wanted_pages = (full_size + RingBuffer::page_room - 1) / RingBuffer::page_room;
    locals = new (std::nothrow) Local[core::cpu_count()];
    saved = new (std::nothrow) SavedThread[saved_thread_slots];
    tracer.buffers = new (std::nothrow) RingBuffer[core::cpu_count()];
    if (!locals || !saved || !tracer.buffers) return error(Errno::ENOMEM);
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) TRY(tracer.buffers[cpu].resize(RingBuffer::fewest_pages));
    return {};
}

Result<void> expand_buffers_locked() {
    if (tracer.is_expanded) return {};
    if (mm::memory_statistics().available < tracer.wanted_pages * core::cpu_count()) return error(Errno::ENOMEM);
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) TRY(tracer.buffers[cpu].resize(tracer.wanted_pages));
    tracer.is_expanded = true;
    return {};
}

void clear_buffers_locked() {
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) tracer.buffers[cpu].clear();
}

void write_record_here(std::span<const u8> record) {
    const u32 cpu = core::this_cpu().number;
    if (!tracer.buffers[cpu].write(tracer.now(), record)) return;
    if (tracer.open_readers.load(std::memory_order_relaxed) == 0) return;
    // A reader that says that it waits, and then looks for events, sees this one, or is seen here.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const bool is_filled = tracer.page_readers.is_observed() &&
                           tracer.buffers[cpu].is_filled(tracer.buffer_percent.load(std::memory_order_relaxed));
    if (!is_filled && !tracer.readers.is_observed()) return;
    core::raise_interrupt_work(locals[cpu].alarm);
}

// ---- options ----

Result<void> set_option_locked(std::string_view name) {
    const bool on = !name.starts_with("no");
    const auto find = [&](std::string_view wanted) -> u32 {
        for (const auto& option : trace_option_names)
            if (option.name == wanted) return option.bit;
        return 0;
    };
    const u32 bit = find(on ? name : name.substr(2));
    if (!bit) return error(Errno::EINVAL);
    if (on)
        trace_options.fetch_or(bit);
    else
        trace_options.fetch_and(~bit);
    if (bit == option_overwrite)
        for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) tracer.buffers[cpu].set_overwrite(on);
    return {};
}

bool PidSet::has(i32 pid) const { return pid >= 0 && std::binary_search(pids_.begin(), pids_.end(), pid); }

Result<void> PidSet::add(i32 pid) {
    if (has(pid)) return {};
    TRY(pids_.try_push(pid));
    std::rotate(std::upper_bound(pids_.begin(), pids_.end() - 1, pid), pids_.end() - 1, pids_.end());
    return {};
}

void PidSet::remove(i32 pid) {
    if (has(pid))
        pids_.remove_at(static_cast<usize>(std::lower_bound(pids_.begin(), pids_.end(), pid) - pids_.begin()));
}

Result<OwnPtr<PidSet>> PidSet::copy() const {
    auto fresh = TRY(try_make<PidSet>());
    TRY(fresh->pids_.try_reserve(pids_.size() + 1));
    for (i32 pid : pids_) MUST(fresh->pids_.try_push(pid)); // reserved
    return fresh;
}

// ---- threads ----

i32 pid_of(core::Thread& thread) {
    return thread.user_context ? static_cast<i32>(static_cast<process::Thread&>(thread).tid()) : 0;
}

i32 tgid_of(core::Thread& thread) {
    return thread.user_context ? static_cast<i32>(static_cast<process::Thread&>(thread).process().pid()) : 0;
}

i32 priority_of(const core::Thread& thread) {
    constexpr i32 priority_of_nice_0 = 120;
    const u8 level = thread.urgency.level;
    return level < core::Urgency::fair_level ? level - 1 : priority_of_nice_0 + thread.scheduling.nice;
}

bool is_idle(const core::Thread& thread) {
    const auto* cpu = static_cast<const core::Cpu*>(thread.cpu);
    return cpu && cpu->idle_thread == &thread;
}

void copy_comm(core::Thread& thread, std::span<char, 16> to) {
    char idle_name[16];
    const std::string_view name =
        is_idle(thread) ? format_into(idle_name, "swapper/{}", static_cast<core::Cpu*>(thread.cpu)->number)
                        : thread.name();
    const usize length = std::min<usize>(name.size(), to.size() - 1);
    std::copy_n(name.data(), length, to.data());
    std::fill(to.begin() + length, to.end(), '\0');
}

void remember_thread(core::Thread& thread) {
    if (!has_option(option_record_cmd) && !has_option(option_record_tgid)) return;
    if (!thread.user_context) return;
    SavedThread now{.pid = pid_of(thread), .tgid = has_option(option_record_tgid) ? tgid_of(thread) : 0};
    copy_comm(thread, now.comm);
    SavedThread& seen = locals[core::this_cpu().number].seen;
    if (seen.pid == now.pid && seen.tgid == now.tgid && memcmp(seen.comm, now.comm, sizeof now.comm) == 0) return;
    seen = now;
    RecordingGuardWithin guard(saved_lock);
    saved[static_cast<u32>(now.pid) % saved_thread_slots] = now;
}

bool find_saved_thread(i32 pid, SavedThread& out) {
    RecordingGuard guard(saved_lock);
    out = saved[static_cast<u32>(pid) % saved_thread_slots];
    return out.pid == pid && pid != 0;
}

void visit_saved_threads(FunctionRef<void(const SavedThread&)> visit) {
    for (usize i = 0; i < saved_thread_slots; ++i) {
        SavedThread copy;
        {
            RecordingGuard guard(saved_lock);
            copy = saved[i];
        }
        if (copy.pid != 0) visit(copy);
    }
}

// ---- records ----

RecordHead make_head(u16 type, bool irqs_were_on) {
    core::Thread& thread = core::current_thread();
    u8 flags = 0;
    if (!irqs_were_on) flags |= record_irqs_off;
    if (thread.pending_work.load(std::memory_order_relaxed) & core::work_reschedule) flags |= record_need_resched;
    if (core::this_cpu().interrupt_depth != 0) flags |= record_in_interrupt;
    const auto depth = static_cast<u8>(std::min<u32>(static_cast<u32>(thread.preempt_count), 15));
    return {.type = type, .flags = flags, .preempt_count = depth, .pid = pid_of(thread)};
}

void write_stack_here() {
    constexpr usize deepest = 32;
    struct {
        RecordHead head;
        i32 size;
        u32 unused = 0;
        u64 callers[deepest];
    } record;
    u64 chain[1 + deepest];
    const usize words = call_chain(Moment::of_kernel_code(), {.kernel = true, .user = false, .most = deepest}, chain);
    if (words < 2) return;
    record.head = make_head(kernel_stack_id, false);
    record.size = static_cast<i32>(words - 1); // the first says whose addresses follow
    std::copy_n(chain + 1, words - 1, record.callers);
    const usize size = offsetof(decltype(record), callers) + (words - 1) * sizeof(u64);
    write_record_here({reinterpret_cast<const u8*>(&record), size});
}

} // namespace linnet::trace
