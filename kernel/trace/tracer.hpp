// The trace: a ring buffer for each CPU, and what is set for all events together.
#pragma once

#include <core/thread.hpp>
#include <vfs/event_source.hpp>

#include "event.hpp"
#include "ring_buffer.hpp"

namespace linnet::trace {

/// Bits of `trace_options`: those of options/* that something here heeds.
enum TraceOption : u32 {
    option_overwrite = 1u << 0,
    option_record_cmd = 1u << 1,
    option_record_tgid = 1u << 2,
    option_irq_info = 1u << 3,
    option_context_info = 1u << 4,
    option_markers = 1u << 5,
    option_annotate = 1u << 6,
    option_event_fork = 1u << 7,
    option_disable_on_free = 1u << 8,
    option_stacktrace = 1u << 9,
    option_function_fork = 1u << 10,
};
inline constexpr struct {
    std::string_view name;
    u32 bit;
} trace_option_names[] = {
    {"annotate", option_annotate},           {"context-info", option_context_info},
    {"record-cmd", option_record_cmd},       {"record-tgid", option_record_tgid},
    {"overwrite", option_overwrite},         {"disable_on_free", option_disable_on_free},
    {"irq-info", option_irq_info},           {"markers", option_markers},
    {"event-fork", option_event_fork},       {"stacktrace", option_stacktrace},
    {"function-fork", option_function_fork},
};
extern constinit std::atomic<u32> trace_options;
inline bool has_option(TraceOption option) { return trace_options.load(std::memory_order_relaxed) & option; }
/// EINVAL: the name is none ("no" before it switches off). trace_lock held.
Result<void> set_option_locked(std::string_view name);

/// Ids of ftrace's own events, as on Linux.
inline constexpr u16 function_id = 1, kernel_stack_id = 4, print_id = 5, raw_data_id = 18;

/// Bits of RecordHead::flags.
inline constexpr u8 record_irqs_off = 0x01, record_need_resched = 0x04, record_in_interrupt = 0x08;

/// The threads that are recorded, when not all are (set_event_pid). Sorted; belongs to the tracer.
class PidSet {
public:
    [[nodiscard]] bool has(i32 pid) const;
    Result<void> add(i32 pid);
    void remove(i32 pid);
    [[nodiscard]] std::span<const i32> all() const { return pids_.span(); }
    Result<OwnPtr<PidSet>> copy() const;

private:
    ArrayList<i32> pids_;
};

struct TraceClock {
    std::string_view name;
    u64 (*now)();
    bool is_in_ns;
};
extern const std::span<const TraceClock> trace_clocks;

struct Tracer {
    /// tracing_on.
    std::atomic<bool> is_on{true};
    std::atomic<const TraceClock*> clock;
    /// Null: all threads.
    std::atomic<PidSet*> pids{nullptr};
    std::atomic<PidSet*> excluded_pids{nullptr};
    /// The same of the function tracer.
    std::atomic<PidSet*> function_pids{nullptr};
    std::atomic<PidSet*> excluded_function_pids{nullptr};
    std::atomic<u64> cpus{~u64{0}}; // tracing_cpumask
    bool is_expanded = false;       // buffers have the size that was asked for
    usize wanted_pages = 0;
    RingBuffer* buffers = nullptr; // of each CPU
    /// Readers that wait for events: they are woken by interrupt work, for an event may come up under any lock.
    vfs::EventSource readers;
    std::atomic<u32> open_readers{0}; // files that may wait
    std::atomic<u32> open_pipes{0};   // those of them that are trace_pipe
    /// The same for who waits for whole pages: woken by every event, recording that would never end.
    vfs::EventSource page_readers;
    std::atomic<u32> buffer_percent{50}; // how much of a buffer they wait for

    /// What an event is told of its time.
    [[nodiscard]] u64 now() const { return clock.load(std::memory_order_relaxed)->now(); }
};
extern Tracer tracer;

/// Boot. ENOMEM.
Result<void> initialise_tracer();
/// Gives the buffers their full size, when they don't have it yet. trace_lock held.
Result<void> expand_buffers_locked();
void clear_buffers_locked();

/// Fills in a head for the current thread. Interrupts off; `irqs_were_on` before.
RecordHead make_head(u16 type, bool irqs_were_on);
/// Writes a record of this CPU and wakes readers. Interrupts off.
void write_record_here(std::span<const u8> record);

/// Names of threads by id, as far as they are remembered (saved_cmdlines). Interrupts off.
void remember_thread(core::Thread& thread);
struct SavedThread {
    i32 pid = 0;
    i32 tgid = 0;
    char comm[16] = {};
};
/// False when there is none.
bool find_saved_thread(i32 pid, SavedThread& out);
/// Calls `visit` with each.
void visit_saved_threads(FunctionRef<void(const SavedThread&)> visit);
inline constexpr usize saved_thread_slots = 4096;

/// Id and priority of a thread as Linux shows them; the kernel's own have the id 0.
i32 pid_of(core::Thread& thread);
i32 tgid_of(core::Thread& thread);
i32 priority_of(const core::Thread& thread);
bool is_idle(const core::Thread& thread);
void copy_comm(core::Thread& thread, std::span<char, 16> to);

/// What kernel_stack records hold. Any context, interrupts off.
void write_stack_here();

} // namespace linnet::trace
