// TraceEvent: something that is recorded under a name, as events/SYSTEM/NAME of tracefs shows it. Where it comes from
// (a tracepoint, or a probe that was made at run time) is the derived class's business: it composes a record, which
// begins with room for a RecordHead, and calls emit().
//
// Locks: `trace_lock` guards the list of events and everything that is switched or set. Emission takes no lock but
// those of ring buffers, and of performance events; it runs with interrupts off, so what it may have found is freed
// only after every CPU has answered a call (`wait_for_emissions`).
#pragma once

#include <core/mutex.hpp>
#include <lib/array_list.hpp>
#include <lib/format.hpp>
#include <lib/own_ptr.hpp>

#include "event_field.hpp"
#include "filter.hpp"

namespace linnet::trace {

class TriggerList;
struct Moment;

extern core::Mutex trace_lock;

class TraceEvent {
public:
    /// The names outlive the event.
    constexpr TraceEvent(std::string_view in_system, std::string_view called) : system(in_system), name(called) {}
    virtual ~TraceEvent();
    TraceEvent(const TraceEvent&) = delete;
    TraceEvent& operator=(const TraceEvent&) = delete;

    // ---- what a kind of event implements ----

    /// Its own fields, in order. No lock needed.
    virtual void visit_fields(FieldVisitor visit) const = 0;
    /// What stands behind "print fmt: " in its format.
    virtual void show_print_format(TextSink sink) const = 0;
    /// A record as text, behind "name: "; without a newline. The record may be cut short or hold anything.
    virtual void print(TextSink sink, std::span<const u8> record) const = 0;
    /// The same with the name, as lines.
    virtual void print_lines(TextSink sink, std::span<const u8> record) const;
    /// Somebody wants its records from now on; nobody does any more. trace_lock held.
    virtual Result<void> connect_locked() = 0;
    virtual void disconnect_locked() = 0;
    /// The thread besides the current one that a record is about; -1: none. For set_event_pid.
    [[nodiscard]] virtual i32 other_thread(std::span<const u8>) const { return -1; }
    /// Those of ftrace, which have a format but can't be switched.
    [[nodiscard]] virtual bool is_switchable() const { return true; }

    // ---- for whoever has composed a record ----

    /// Fills in the head and hands the record to whoever wants it. Any context. `at` is where it happens, if that is
    /// not the caller's caller's place.
    void emit(std::span<u8> record, const Moment* at = nullptr);
    /// Whether emit() would do anything.
    [[nodiscard]] bool is_wanted() const { return connections_.load(std::memory_order_relaxed) != 0; }

    // ---- who wants it; trace_lock held ----

    Result<void> enable_locked();
    void disable_locked();
    [[nodiscard]] bool is_enabled_locked() const { return is_enabled_; }
    /// "0", "1", with "*" while triggers hold it.
    void show_state_locked(TextSink sink) const;
    /// "0" takes the filter away, and so does what is none; that is shown with what is wrong with it.
    Result<void> set_filter_locked(std::string_view text, FilterError& why);
    [[nodiscard]] const Filter* filter_locked() const { return filter_.load(std::memory_order_relaxed); }
    void show_filter_locked(TextSink sink) const;
    [[nodiscard]] bool would_take_filter(std::string_view text, FilterError& why) const;
    /// A user of it that isn't the trace: triggers, performance events. It fires from then on.
    Result<void> use_locked();
    void stop_using_locked();
    /// The same of performance events, which are looked for as long as there are any.
    Result<void> use_for_perf_locked();
    void stop_using_for_perf_locked();
    /// A trigger somewhere may switch its records on and off while it holds it.
    Result<void> hold_locked();
    void let_go_locked();
    [[nodiscard]] bool is_held_locked() const { return holders_ != 0; }
    /// In any context, while held: whether records go to the trace.
    void switch_records(bool on) { is_recorded_.store(on, std::memory_order_relaxed); }
    [[nodiscard]] bool is_recorded() const { return is_recorded_.load(std::memory_order_relaxed); }

    const std::string_view system, name;
    u16 id = 0;     // given when it is registered; ftrace's own have theirs already
    u64 serial = 0; // likewise; of no other event ever
    std::atomic<TriggerList*> triggers{nullptr};

private:
    void emit_guarded(std::span<u8> record, const Moment* at);

    std::atomic<bool> is_recorded_{false};
    std::atomic<Filter*> filter_{nullptr};
    OwnPtr<char[]> refused_filter_; // the text that was none, if that was the last; ends with a NUL
    FilterError refused_why_;
    std::atomic<u32> connections_{0};
    std::atomic<u32> perf_users_{0};
    u32 holders_ = 0;
    bool is_enabled_ = false;
};

/// Gives it an id and shows it in tracefs. EEXIST, ENOMEM. trace_lock held.
Result<void> register_event_locked(TraceEvent& event);
/// It has been disabled, and goes. EBUSY: somebody uses it. Empties the trace, whose records nobody could read any
/// more.
Result<void> unregister_event_locked(TraceEvent& event);
/// Null when there is none. trace_lock held.
TraceEvent* find_event_locked(u16 id);
TraceEvent* find_event_locked(std::string_view system, std::string_view name);
/// All of them in the order in which they came; absent ones are null. trace_lock held.
std::span<TraceEvent* const> all_events_locked();
/// Those of ftrace itself, which can't be switched.
std::span<TraceEvent* const> own_events_locked();

/// Waits until no emission runs that began before the call. May sleep.
void wait_for_emissions();

} // namespace linnet::trace
