// Triggers: what else is to be done when an event fires (Linux's documentation, "Event Tracing", section 6).
#pragma once

#include "event.hpp"

namespace linnet::trace {

struct Trigger {
    enum class Kind : u8 { TraceOn, TraceOff, StackTrace, EnableEvent, DisableEvent };
    static constexpr u64 unlimited = ~u64{0};

    [[nodiscard]] bool has_target() const { return kind == Kind::EnableEvent || kind == Kind::DisableEvent; }

    Kind kind;
    std::atomic<u64> left{unlimited}; // how often it still acts
    OwnPtr<Filter> filter{};          // null: always
    TraceEvent* target = nullptr;     // held
};

/// Those of one event. Never changed once emissions can see it: a new list takes its place.
class TriggerList {
public:
    enum class When : u8 { Before, Behind }; // the record is written

    /// Interrupts off.
    void run(When when, std::span<const u8> record, const FilterContext& context);

    ArrayList<Trigger*> all; // the newest last
};

/// One write to events/SYSTEM/NAME/trigger: "COMMAND[:COUNT] [if FILTER]", with "!" before it to take it away. EINVAL,
/// EEXIST, ENOMEM. trace_lock held.
Result<void> store_trigger_locked(TraceEvent& event, std::string_view text, FilterError& why);
void show_triggers_locked(const TraceEvent& event, TextSink sink);
/// Takes all away that have it as their target or their own. trace_lock held.
void remove_all_triggers_locked(TraceEvent& event);

} // namespace linnet::trace
