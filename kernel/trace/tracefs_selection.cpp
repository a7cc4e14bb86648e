// What is recorded: set_event, available_events, and the threads: set_event_pid, set_ftrace_pid and what they exclude.
#include <algorithm>
#include <process/process.hpp>
#include <process/tracepoints.hpp>
#include <vfs/pseudo/node.hpp>

#include "tracefs.hpp"
#include "tracer.hpp"

namespace linnet::trace {

namespace {

// ---- set_event ----

Result<void> show_available(TextSink sink) {
    const std::span<TraceEvent* const> all = all_events_locked();
    for (usize i = all.size(); i-- > 0;)
        if (all[i]) format_to(sink, "{}:{}\n", all[i]->system, all[i]->name);
    return {};
}

Result<void> show_enabled(TextSink sink) {
    const std::span<TraceEvent* const> all = all_events_locked();
    for (usize i = all.size(); i-- > 0;)
        if (all[i] && (all[i]->is_enabled_locked() || all[i]->is_recorded()))
            format_to(sink, "{}:{}\n", all[i]->system, all[i]->name);
    return {};
}

/// "EVENT", "SYSTEM", "SYSTEM:EVENT", "SYSTEM:*", "*:EVENT", "SYSTEM:"; with "!" before it to switch off. EINVAL.
Result<void> switch_named(std::string_view word) {
    const bool on = !word.starts_with('!');
    if (!on) word.remove_prefix(1);
    const usize colon = word.find(':');
    const bool has_both = colon != std::string_view::npos;
    const auto fits = [](std::string_view wanted, std::string_view name) {
        return wanted.empty() || wanted == "*" || wanted == name;
    };
    Result<void> failed{};
    bool any = false;
    for (TraceEvent* event : all_events_locked()) {
        if (!event) continue;
        const bool is_meant =
            has_both ? fits(word.substr(0, colon), event->system) && fits(word.substr(colon + 1), event->name)
                     : fits(word, event->system) || fits(word, event->name);
        if (!is_meant) continue;
        any = true;
        if (!on) {
            event->disable_locked();
        } else if (const Result<void> enabled = event->enable_locked(); !enabled) {
            failed = enabled;
        }
    }
    return any ? failed : error(Errno::EINVAL);
}

Result<void> store_events(std::string_view text) {
    for (std::string_view word = take_word(text); !word.empty(); word = take_word(text)) TRY(switch_named(word));
    return {};
}

Result<void> disable_all() {
    for (TraceEvent* event : all_events_locked())
        if (event) event->disable_locked();
    return {};
}

// ---- threads ----

constexpr usize most_pids = 4096;

/// A list of threads, which children join and who dies leaves while the option is on.
struct PidList {
    std::atomic<PidSet*>& set;
    TraceOption option;
    std::string_view when_empty;
};
constexpr PidList pid_lists[] = {
    {tracer.pids, option_event_fork, ""},
    {tracer.excluded_pids, option_event_fork, ""},
    {tracer.function_pids, option_function_fork, "no pid\n"},
    {tracer.excluded_function_pids, option_function_fork, "no pid\n"},
};

Result<void> show_pids(TextSink sink, const PidList& list) {
    const PidSet* pids = list.set.load();
    if (!pids) return sink(list.when_empty), Result<void>{};
    for (i32 pid : pids->all()) format_to(sink, "{}\n", pid);
    return {};
}

/// Emissions see `fresh` from now on, and nobody sees the old set.
void exchange_pids_locked(std::atomic<PidSet*>& set, OwnPtr<PidSet> fresh) {
    const bool had = set.load() != nullptr, has = fresh != nullptr;
    OwnPtr<PidSet> old(set.exchange(fresh.release()));
    if (had != has) {
        // Threads that are made, and die, come into the set and go.
        using process::tracepoints::exit, process::tracepoints::fork;
        has ? fork.switch_on() : fork.switch_off();
        has ? exit.switch_on() : exit.switch_off();
    }
    if (old) wait_for_emissions();
}

Result<void> store_pids(std::string_view text, std::atomic<PidSet*>& set) {
    const PidSet* present = set.load();
    OwnPtr<PidSet> fresh = present ? TRY(present->copy()) : TRY(try_make<PidSet>());
    for (std::string_view word = take_word(text); !word.empty(); word = take_word(text)) {
        const Result<u64> pid = vfs::pseudo::parse_number(word, 0x7fff'ffff);
        if (!pid) return error(Errno::EINVAL);
        if (fresh->all().size() == most_pids) return error(Errno::ENOMEM);
        TRY(fresh->add(static_cast<i32>(*pid)));
    }
    if (!fresh->all().empty()) exchange_pids_locked(set, std::move(fresh));
    return {};
}

template <usize Number>
constexpr ControlFile pid_file = {
    .show = [](TextSink sink) { return show_pids(sink, pid_lists[Number]); },
    .store = [](std::string_view text) { return store_pids(text, pid_lists[Number].set); },
    .truncated = []() { return exchange_pids_locked(pid_lists[Number].set, {}), Result<void>{}; },
};

void follow_fork(process::Thread& parent, process::Thread& child) {
    for (const auto& [set, option, unused] : pid_lists) {
        if (!has_option(option) || !set.load()) continue;
        core::MutexGuard guard(trace_lock);
        const PidSet* present = set.load();
        if (!present || !present->has(pid_of(parent)) || present->all().size() == most_pids) continue;
        Result<OwnPtr<PidSet>> fresh = present->copy();
        if (fresh && (*fresh)->add(pid_of(child))) exchange_pids_locked(set, std::move(*fresh));
    }
}

void follow_exit(process::Thread& thread) {
    for (const auto& [set, option, unused] : pid_lists) {
        if (!has_option(option) || !set.load()) continue;
        core::MutexGuard guard(trace_lock);
        const PidSet* present = set.load();
        if (!present || !present->has(pid_of(thread))) continue;
        Result<OwnPtr<PidSet>> fresh = present->copy();
        if (!fresh) continue;
        (*fresh)->remove(pid_of(thread));
        exchange_pids_locked(set, std::move(*fresh)); // empty it may be: then nobody is left
    }
}

constinit decltype(process::tracepoints::fork)::Probe fork_probe{follow_fork};
constinit decltype(process::tracepoints::exit)::Probe exit_probe{follow_exit};

} // namespace

Result<void> add_selection_files(vfs::pseudo::Directory& root) {
    process::tracepoints::fork.add(fork_probe);
    process::tracepoints::exit.add(exit_probe);
    TRY(add_control(root, "available_events", {.show = show_available}, 0440));
    TRY(add_control(root, "set_event", {.show = show_enabled, .store = store_events, .truncated = disable_all}, 0640));
    TRY(add_control(root, "set_event_pid", pid_file<0>, 0640));
    TRY(add_control(root, "set_event_notrace_pid", pid_file<1>, 0640));
    TRY(add_control(root, "set_ftrace_pid", pid_file<2>, 0640));
    return add_control(root, "set_ftrace_notrace_pid", pid_file<3>, 0640);
}

} // namespace linnet::trace
