// Triggers of events.
#include "trigger.hpp"

#include <new>
#include <vfs/pseudo/node.hpp>

#include "tracer.hpp"

namespace linnet::trace {

namespace {

constexpr struct {
    std::string_view name;
    Trigger::Kind kind;
} commands[] = {{"traceon", Trigger::Kind::TraceOn},
                {"traceoff", Trigger::Kind::TraceOff},
                {"stacktrace", Trigger::Kind::StackTrace},
                {"enable_event", Trigger::Kind::EnableEvent},
                {"disable_event", Trigger::Kind::DisableEvent}};

std::string_view name_of(Trigger::Kind kind) {
    for (const auto& command : commands)
        if (command.kind == kind) return command.name;
    return {};
}

/// What comes before the next of `separators`; that goes too.
std::string_view take_part(std::string_view& text, std::string_view separators) {
    const usize end = std::min(text.find_first_of(separators), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

/// Whether it has to do something at all: its filter holds, and its count is not used up.
bool takes_turn(Trigger& trigger, std::span<const u8> record, const FilterContext& context) {
    if (trigger.filter && !trigger.filter->matches(record, context)) return false;
    u64 left = trigger.left.load(std::memory_order_relaxed);
    do {
        if (left == Trigger::unlimited) return true;
        if (left == 0) return false;
    } while (!trigger.left.compare_exchange_weak(left, left - 1, std::memory_order_relaxed));
    return true;
}

/// Whether it would change anything: counts go down only then, as on Linux.
bool would_act(const Trigger& trigger) {
    switch (trigger.kind) {
    case Trigger::Kind::TraceOn:
        return !tracer.is_on.load(std::memory_order_relaxed);
    case Trigger::Kind::TraceOff:
        return tracer.is_on.load(std::memory_order_relaxed);
    case Trigger::Kind::StackTrace:
        return true;
    case Trigger::Kind::EnableEvent:
        return !trigger.target->is_recorded();
    case Trigger::Kind::DisableEvent:
        return trigger.target->is_recorded();
    }
    return false;
}

void act(const Trigger& trigger) {
    switch (trigger.kind) {
    case Trigger::Kind::TraceOn:
        tracer.is_on.store(true, std::memory_order_relaxed);
        break;
    case Trigger::Kind::TraceOff:
        tracer.is_on.store(false, std::memory_order_relaxed);
        break;
    case Trigger::Kind::StackTrace:
        if (tracer.is_on.load(std::memory_order_relaxed)) write_stack_here();
        break;
    case Trigger::Kind::EnableEvent:
        trigger.target->switch_records(true);
        break;
    case Trigger::Kind::DisableEvent:
        trigger.target->switch_records(false);
        break;
    }
}

void discard_locked(Trigger* trigger) {
    if (trigger->target) trigger->target->let_go_locked();
    delete trigger;
}

/// Emissions see `fresh` from now on, and nobody sees the old list any more.
void exchange_list_locked(TraceEvent& event, TriggerList* fresh) {
    OwnPtr<TriggerList> old(event.triggers.exchange(fresh));
    if (old) wait_for_emissions();
}

/// The list without those that `leaves` says, which are given up; with `added`, if there is one.
Result<void> change_locked(TraceEvent& event, FunctionRef<bool(const Trigger&)> leaves, Trigger* added) {
    const TriggerList* present = event.triggers.load(std::memory_order_relaxed);
    OwnPtr<TriggerList> fresh(new (std::nothrow) TriggerList);
    if (!fresh) return error(Errno::ENOMEM);
    ArrayList<Trigger*> gone;
    const usize most = (present ? present->all.size() : 0) + 1;
    TRY(fresh->all.try_reserve(most));
    TRY(gone.try_reserve(most));
    if (present)
        for (Trigger* trigger : present->all)
            MUST((leaves(*trigger) ? gone : fresh->all).try_push(trigger)); // reserved
    if (added) MUST(fresh->all.try_push(added));
    const bool had = present && !present->all.is_empty(), has = !fresh->all.is_empty();
    if (has && !had) TRY(event.use_locked());
    exchange_list_locked(event, has ? fresh.release() : nullptr);
    if (had && !has) event.stop_using_locked();
    for (Trigger* trigger : gone) discard_locked(trigger);
    return {};
}

/// Command, target and count, as far as " if ". EINVAL.
Result<void> parse_action_locked(std::string_view text, Trigger& trigger) {
    const std::string_view name = take_part(text, ":");
    const auto* found = std::find_if(std::begin(commands), std::end(commands),
                                     [&](const auto& command) { return command.name == name; });
    if (found == std::end(commands)) return error(Errno::EINVAL);
    trigger.kind = found->kind;
    if (trigger.has_target()) {
        const std::string_view system = take_part(text, ":");
        trigger.target = find_event_locked(system, take_part(text, ":"));
        if (!trigger.target || !trigger.target->is_switchable()) return error(Errno::EINVAL);
    }
    if (!text.empty()) {
        const Result<u64> count = vfs::pseudo::parse_number(text);
        if (!count) return error(Errno::EINVAL);
        trigger.left = *count;
    }
    return {};
}

} // namespace

void TriggerList::run(When when, std::span<const u8> record, const FilterContext& context) {
    for (Trigger* trigger : all) {
        const When mine = trigger->kind == Trigger::Kind::StackTrace ? When::Behind : When::Before;
        if (mine == when && would_act(*trigger) && takes_turn(*trigger, record, context)) act(*trigger);
    }
}

Result<void> store_trigger_locked(TraceEvent& event, std::string_view text, FilterError& why) {
    constexpr std::string_view blanks = " \t\n";
    text = text.substr(0, text.find('\0'));
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    text = text.substr(0, text.find_last_not_of(blanks) + 1);
    if (text.empty() || !event.is_switchable()) return error(Errno::EINVAL);
    const bool is_removed = text.starts_with('!');
    if (is_removed) text.remove_prefix(1);
    const std::string_view action = take_part(text, " \t");
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));

    OwnPtr<Trigger> trigger(new (std::nothrow) Trigger{.kind = Trigger::Kind::TraceOn});
    if (!trigger) return error(Errno::ENOMEM);
    TRY(parse_action_locked(action, *trigger));
    const auto is_same = [&](const Trigger& other) {
        return other.kind == trigger->kind && other.target == trigger->target;
    };
    if (is_removed) return change_locked(event, is_same, nullptr);
    if (!text.empty()) {
        if (!text.starts_with("if ") && !text.starts_with("if\t")) return error(Errno::EINVAL);
        trigger->filter =
            TRY(Filter::parse(text.substr(3), [&](FieldVisitor visit) { event.visit_fields(visit); }, why));
    }
    if (const TriggerList* present = event.triggers.load(std::memory_order_relaxed))
        for (const Trigger* other : present->all)
            if (is_same(*other)) return error(Errno::EEXIST);
    if (trigger->target) TRY(trigger->target->hold_locked());
    // It starts from the opposite of what it does.
    if (trigger->kind == Trigger::Kind::DisableEvent && trigger->target->is_enabled_locked())
        trigger->target->switch_records(true);
    const Result<void> added = change_locked(event, [](const Trigger&) { return false; }, trigger.get());
    if (!added) {
        if (trigger->target) trigger->target->let_go_locked();
        return added;
    }
    (void)trigger.release(); // the list has it
    return {};
}

void show_triggers_locked(const TraceEvent& event, TextSink sink) {
    const TriggerList* present = event.triggers.load(std::memory_order_relaxed);
    if (!present) {
        sink("# Available triggers:\n#");
        for (const auto& command : commands) format_to(sink, " {}", command.name);
        return sink("\n");
    }
    for (usize i = present->all.size(); i-- > 0;) {
        const Trigger& trigger = *present->all[i];
        sink(name_of(trigger.kind));
        if (trigger.target) format_to(sink, ":{}:{}", trigger.target->system, trigger.target->name);
        const u64 left = trigger.left.load(std::memory_order_relaxed);
        if (left == Trigger::unlimited)
            sink(":unlimited");
        else
            format_to(sink, ":count={}", left);
        if (trigger.filter) format_to(sink, " if {}", trigger.filter->text());
        sink("\n");
    }
}

void remove_all_triggers_locked(TraceEvent& event) {
    // Without memory for shorter lists they stay, and the event with them.
    (void)change_locked(event, [](const Trigger&) { return true; }, nullptr);
    for (TraceEvent* other : all_events_locked())
        if (other && other->triggers.load(std::memory_order_relaxed))
            (void)change_locked(*other, [&](const Trigger& trigger) { return trigger.target == &event; }, nullptr);
}

} // namespace linnet::trace
