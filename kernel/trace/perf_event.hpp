// PerfEvent: one event that is counted, perhaps sampled; PerfContext: those of one thread or of one CPU.
//
// Counting costs nothing when something happens: threads and CPUs count for themselves all that can be counted here,
// and an event remembers how far its counter was when it was switched on. Only what takes samples, or counts a thread
// on one CPU only, or wants records of its own, is told of what happens (core/tracepoints.hpp, perf_hooks.cpp).
//
// Locks: `events_lock` guards groups, lists and the life of events. It is taken by calls on events, and by threads that
// somebody watches when they fork, execute a program or die; nobody else comes by. Under it PerfContext::lock guards
// what interrupts and switches look at as well: the events of the context, what leads what, whether they count, where
// records go. Behind that lock come those of buffers and timer queues only, for it is taken under a run queue's;
// where records are written those of timer queues are not taken either, and events that come up then are dropped
// (recording.hpp).
// Functions that end in _locked want the first, those that end in _guarded the second held.
#pragma once

#include <abi/linux/perf_event.hpp>
#include <arch/hardware_counters.hpp>
#include <core/mutex.hpp>
#include <core/timer.hpp>
#include <lib/intrusive_list.hpp>
#include <process/observer.hpp>
#include <process/thread.hpp>
#include <trace/perf_event.hpp>

#include "event.hpp"
#include "perf_buffer.hpp"
#include "perf_probe.hpp"

namespace linnet::trace {

extern core::Mutex events_lock;

class PerfContext;
struct Moment;

/// Belongs to its file, or, made for a child (PERF_ATTR_INHERIT), to the event that it is a copy of. It must have been
/// removed before it goes, and goes without any lock.
class PerfEvent {
public:
    PerfEvent(const abi::perf_event_attr& attributes, PerfTarget target, PerfContext& context);
    PerfEvent(const PerfEvent&) = delete;
    ~PerfEvent();

    /// What read(2) says of one event; times in nanoseconds.
    struct Reading {
        u64 value = 0;
        u64 enabled_ns = 0;
        u64 running_ns = 0; // of that; less where there are more events than counters

        void add(const Reading& other) {
            value += other.value, enabled_ns += other.enabled_ns, running_ns += other.running_ns;
        }
    };
    /// Of it and of those made for children.
    [[nodiscard]] Reading read_locked() const;
    /// Of it alone.
    [[nodiscard]] Reading read_guarded() const;
    /// It and its copies; its members follow as far as they are on themselves.
    void switch_locked(bool on);
    void switch_own_locked(bool on);
    /// On, until so many samples more have been taken (PERF_EVENT_IOC_REFRESH).
    void switch_on_for_locked(u64 samples);
    void reset_locked();
    void set_period_locked(u64 period);
    /// Its records go there from now on, those of its copies too; null: nowhere.
    void direct_locked(NullableRefPtr<PerfBuffer> buffer);
    /// Takes it from its group, its threads and its original. Its members, if it led, go on by themselves.
    void remove_locked();
    /// Enters its context and joins a group, or begins one of its own (`leads` is itself), and counts if it is on.
    void join_locked(PerfEvent& leads, bool on);
    /// It stays with its file, with what it has counted.
    void stop_for_good_locked();
    /// As what `from` is for its thread. The caller chooses the group.
    void begin_as_copy_locked(PerfEvent& from);
    /// A copy whose thread dies: the original keeps its counts.
    void give_back_locked();

    [[nodiscard]] bool has(u64 flag) const { return attributes.flags & flag; }
    [[nodiscard]] bool is_software() const { return attributes.type == abi::PERF_TYPE_SOFTWARE; }
    [[nodiscard]] bool takes_samples() const { return attributes.sample_period != 0; }
    /// Whether its thread's coming and going matters to it.
    [[nodiscard]] bool needs_entering() const {
        return samples_time() || leader->hardware_in_group != 0 || (target.thread && target.is_on_one_cpu);
    }
    [[nodiscard]] bool is_hardware() const { return hardware.has_value(); }
    [[nodiscard]] bool is_switched_on_locked() const { return is_on_; }
    /// The bits of Watched that it needs.
    [[nodiscard]] u32 watches() const;
    /// Whether it is to be told of what happens on the CPU now.
    [[nodiscard]] bool is_live_guarded(u32 cpu) const {
        return is_on_ && leader->is_on_ && (!target.is_on_one_cpu || target.cpu == cpu);
    }
    /// `times` more of what it samples have happened.
    void count_guarded(abi::PerfSoftware what, u64 times, const Moment& moment);
    /// The probe that it counts has been hit.
    void hit_guarded(const Moment& moment);
    /// Its thread begins to run on that CPU, or does already; it leaves it. On that CPU, interrupts off.
    void enter_guarded(u32 cpu);
    void leave_guarded();
    /// Counts what its counter has seen up to now. False: that is another CPU's, which will do so.
    bool sync_guarded();
    /// Of a leader: whether its group is to have counters on the CPU now.
    [[nodiscard]] bool wants_counters_guarded(u32 cpu) const {
        return hardware_in_group != 0 && is_live_guarded(cpu) && !is_in_error && !is_placed_;
    }
    /// Of a leader: takes counters for its group, all that it needs or none; gives them back. On the CPU, interrupts
    /// off.
    bool place_group_guarded();
    void give_back_group_guarded();
    /// Its counter has overflown; `window` says which few milliseconds these are, in which samples are limited.
    void on_overflow_guarded(const Moment& moment, u64 window);
    /// Its clock (PERF_ATTR_USE_CLOCKID).
    [[nodiscard]] u64 time_of_record() const;
    /// What a sample or another record says of it; a copy shows its original's.
    [[nodiscard]] u64 shown_id() const { return original ? original->id : id; }
    [[nodiscard]] u64 period_guarded() const { return period_; }
    /// The trace event whose records it counts, if it is of that kind.
    [[nodiscard]] const TraceEvent* traced() const { return traced_; }
    /// One of those records (Moment::raw).
    void count_record_guarded(const Moment& moment, const FilterContext& where);
    /// Which of the records count; its copies follow. EINVAL; EEXIST: that has been said already.
    Result<void> set_filter_locked(std::string_view text);

    const u64 id;
    const abi::perf_event_attr attributes;
    const PerfTarget target;
    PerfContext& context;
    NullableRefPtr<PerfProbe> probe;            // that it counts hits of; a copy has the same
    std::optional<arch::CountedEvent> hardware; // that it counts; set before anybody knows it
    u32 hardware_in_group = 0;                  // of a leader: how many of its group; changed with both locks
    bool is_in_error = false;                   // of a leader that had to count always, and could not

    PerfEvent* leader = this;
    ListNode member_node; // in leader->members
    IntrusiveList<PerfEvent, &PerfEvent::member_node> members;
    usize member_count = 0;
    ListNode context_node;         // in PerfContext::events
    ListNode opened_node;          // in PerfContext::opened of who opened it
    PerfEvent* original = nullptr; // of a copy
    ListNode copy_node;            // in original->copies
    IntrusiveList<PerfEvent, &PerfEvent::copy_node> copies;
    NullableRefPtr<process::Thread> opener;
    bool enables_on_exec = false;
    bool has_ended = false;            // with its thread, or because that executes what it may not watch
    NullableRefPtr<PerfBuffer> buffer; // where records go; changed with both locks
    NullableRefPtr<PerfBuffer> mapped; // its own one, if it was mapped; events_lock
    PerfListener listener;             // who polls it; not a copy's
    std::atomic<u64> lost{0};          // samples that found no room

private:
    void begin_tracing_locked();
    void end_tracing_locked();
    [[nodiscard]] u64 counter() const;
    [[nodiscard]] u64 clock() const;
    [[nodiscard]] bool samples_time() const;
    /// Where a record is on its way the lock of timers may be held already: they fire once more then, for nothing.
    enum class Timers : u8 { Stop, Leave };
    /// Counts as far as things have come, and goes on if it and its leader are on.
    void settle_guarded(Timers timers = Timers::Stop);
    void settle_group_guarded(Timers timers = Timers::Stop);
    void on_timer();
    void arm_guarded();
    void stop_alarm_guarded();
    void count_for_samples_guarded(u64 times, const Moment& moment);
    void take_sample_guarded(const Moment& moment);
    void adapt_period_guarded();
    void leave_context_guarded();
    bool take_counter_guarded();
    void start_counter_guarded();
    void give_back_counter_guarded();
    void throttle_guarded(u64 window);
    void write_throttling_guarded(abi::PerfRecord type);

    bool is_on_ = false;
    bool is_enabled_ = false;               // and its leader is on
    bool counts_ = false;                   // and it is where it counts, with a counter if it needs one
    bool runs_ = false;                     // and its group has not been refused counters: its time running goes on
    bool is_in_ = false;                    // its thread runs on a CPU that it counts on
    u64 counter_then_ = 0, clock_then_ = 0; // when it began to count
    Reading sum_;                           // before that, and of children that are gone
    u64 hits_ = 0;                          // of its probe, or what its counters saw
    bool is_placed_ = false;                // of a leader: its group has the counters that it needs
    bool is_refused_ = false;               // of a leader: there were not enough of them when it was tried last
    std::optional<unsigned> counter_;       // that it has, of counter_cpu_
    u32 counter_cpu_ = 0;
    u64 count_then_ = 0; // what that showed when it was looked at last
    u64 window_ = 0, samples_in_window_ = 0;
    bool is_throttled_ = false;
    u64 period_ = 0;                       // nanoseconds or happenings between samples
    u64 left_ = 0;                         // of the present one
    u64 sampled_at_ = 0;                   // for what adapts its period to a frequency
    u64 samples_left_ = 0;                 // PERF_EVENT_IOC_REFRESH; 0: no limit
    u32 watches_now_ = 0;                  // the bits it has set
    TraceEvent* traced_ = nullptr;         // in use by it
    std::atomic<Filter*> filter_{nullptr}; // an original's
    struct Alarm : core::Timer {
        explicit Alarm(PerfEvent& owner)
            : Timer([](core::Timer& timer) { static_cast<Alarm&>(timer).event.on_timer(); }), event(owner) {}
        PerfEvent& event;
    } alarm_{*this};
};

class PerfContext final : public process::ThreadObserver {
public:
    /// The thread's; made when there is none. ENOMEM.
    static Result<PerfContext*> of(process::Thread& thread);
    static Result<PerfContext*> of_cpu(u32 cpu);
    /// Null when there is none.
    static PerfContext* find(core::Thread& thread);
    static PerfContext* find_cpu(u32 cpu);

    Result<void> on_fork(process::Thread& child, bool is_same_process) override;
    void on_exec() override;
    void on_exit() override;

    /// Events have been switched: where the thread runs now, timers start.
    void refresh_locked();
    void enter_guarded(u32 cpu);
    void leave_guarded();
    /// Its thread ends: events go on counting, but nothing more is told of it.
    void end_samples();
    /// Counts what counters have seen of its events up to now.
    void sync_locked();
    /// On the CPU where its events count, interrupts off (hardware_counters.hpp).
    enum class Groups : u8 { Pinned, Others };
    void place_groups_guarded(Groups which);
    void give_back_counters_guarded();

    core::InterruptSpinLock lock{lock_class};
    IntrusiveList<PerfEvent, &PerfEvent::context_node> events; // changed with both locks
    IntrusiveList<PerfEvent, &PerfEvent::opened_node> opened;  // by the thread
    bool has_exited = false;
    bool takes_no_samples = false; // guarded
    u32 hardware_events = 0;       // how many of the events; changed with both locks
    u64 turn = 0;                  // whose group is the first to get counters; guarded
    u64 migrations_then = 0;       // when it was last seen to leave a CPU; guarded

private:
    /// Calls it with interrupts off on the CPU where the thread runs, or whose events these are; not at all when the
    /// thread doesn't run.
    void call_where_it_runs_locked(void (*act)(PerfContext& self));
    /// Copies go, and the others count no more.
    void end_events();
    static core::LockClass lock_class;
    explicit PerfContext(process::Thread* thread, u32 cpu) : thread_(thread), cpu_(cpu) {}
    process::Thread* const thread_; // null: of a CPU
    const u32 cpu_;
};

/// What events may want to be told of: switches of CPUs, page faults, memory that a program maps, and threads made,
/// renamed and ended, and programs executed.
enum Watched : u32 { watch_switches = 1, watch_faults = 2, watch_mappings = 4, watch_threads = 8 };

/// Begins and ends to be told (bits of Watched); counted. Events_lock held.
void watch_locked(u32 what);
void unwatch_locked(u32 what);
/// Whether anybody wants to be told.
[[nodiscard]] bool is_watched(u32 what);

/// Boot: what is watched comes to events from now on (perf_hooks.cpp).
void add_perf_probes();
/// Switches the tracepoints of one bit of Watched.
void switch_tracepoints(u32 what, bool on);

/// A list of events that have been removed, to be deleted without the lock.
using RemovedEvents = IntrusiveList<PerfEvent, &PerfEvent::copy_node>;
void delete_all(RemovedEvents& events);

} // namespace linnet::trace
