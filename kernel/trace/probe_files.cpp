// kprobe_events and uprobe_events: the lines that make and remove dynamic events, and the files that show them.
#include <algorithm>
#include <new>

#include "probe_events.hpp"
#include "tracefs.hpp"
#include "trigger.hpp"

namespace linnet::trace {

namespace {

/// In the order in which they were made. trace_lock held.
constinit IntrusiveList<ProbeEvent, &ProbeEvent::node> probe_events;

struct KindOfFile {
    bool is_of_programs;
    std::string_view place; // in error_log
    std::string_view default_group;
};
constexpr KindOfFile of_kernel{false, "trace_kprobe", "kprobes"}, of_programs{true, "trace_uprobe", "uprobes"};

bool is_busy(const ProbeEvent& event) {
    return event.is_wanted() || event.triggers.load(std::memory_order_relaxed) != nullptr;
}

Result<void> remove_event_locked(ProbeEvent& event) {
    if (is_busy(event)) return error(Errno::EBUSY);
    TRY(unregister_event_locked(event));
    event.node.unlink();
    delete &event;
    return {};
}

/// Of the event's probes those that are meant, one after the other; the last goes with the event, if nobody uses that.
Result<void> remove_probes_locked(ProbeEvent& event, const ProbeCommand& command, bool& any) {
    for (EventProbe* probe = event.probes.first(); probe;) {
        EventProbe* next = event.probes.next(*probe);
        if (probe->is_meant_by(command)) {
            any = true;
            if (event.probes.first() == event.probes.last()) return remove_event_locked(event);
            event.remove_probe_locked(*probe);
        }
        probe = next;
    }
    return {};
}

Result<void> remove_named(const ProbeCommand& command, const KindOfFile& kind) {
    bool any = false;
    for (ProbeEvent* event = probe_events.first(); event;) {
        ProbeEvent* next = probe_events.next(*event);
        if (event->is_of_programs == kind.is_of_programs && (command.group.empty() || event->system == command.group) &&
            (command.name.empty() || event->name == command.name))
            TRY(remove_probes_locked(*event, command, any));
        event = next;
    }
    return any ? Result<void>{} : error(Errno::ENOENT);
}

/// The probe becomes one of the event of its name, or the first of a new one.
Result<void> make_locked(ProbeCommand& command, std::string_view line, const KindOfFile& kind, CommandError& why) {
    auto probe = TRY(kind.is_of_programs ? make_user_probe(command, why) : make_kernel_probe(command, why));
    const std::string_view group = probe->texts().group, name = probe->texts().name;
    for (ProbeEvent& event : probe_events) {
        if (event.is_of_programs != kind.is_of_programs || event.system != group || event.name != name) continue;
        TRY(event.check_fits_locked(*probe, command, line, why));
        return event.add_probe_locked(std::move(probe));
    }
    OwnPtr<ProbeEvent> event = TRY(ProbeEvent::create(command, group, name, kind.is_of_programs));
    TRY(event->add_probe_locked(std::move(probe)));
    if (const Result<void> registered = register_event_locked(*event); !registered) {
        if (registered.error() == Errno::EEXIST)
            why = {.message = "Given group/event name is already used by another event"};
        return registered;
    }
    probe_events.push_back(*event.release());
    return {};
}

Result<void> obey_locked(std::string_view line, const KindOfFile& kind) {
    const CommandSyntax syntax{.is_of_programs = kind.is_of_programs,
                               .register_number = arch::register_by_name,
                               .argument_register = arch::argument_register};
    ProbeCommand command;
    CommandError why;
    Result<void> done = parse_probe_command(line, syntax, command, why);
    if (done && !command.target.empty()) why.position = static_cast<usize>(command.target.data() - line.data());
    if (done) done = command.is_removal ? remove_named(command, kind) : make_locked(command, line, kind, why);
    if (!done && why.message) log_error_locked(kind.place, line, {.message = why.message, .position = why.position});
    return done;
}

template <const KindOfFile& Kind>
Result<void> store(std::string_view text) {
    while (!text.empty()) {
        const usize end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        line = trimmed(line.substr(0, line.find('#')));
        if (!line.empty()) TRY(obey_locked(line, Kind));
    }
    return {};
}

template <const KindOfFile& Kind>
Result<void> remove_all() {
    for (const ProbeEvent& event : probe_events)
        if (event.is_of_programs == Kind.is_of_programs && is_busy(event)) return error(Errno::EBUSY);
    for (ProbeEvent* event = probe_events.first(); event;) {
        ProbeEvent* next = probe_events.next(*event);
        if (event->is_of_programs == Kind.is_of_programs) TRY(remove_event_locked(*event));
        event = next;
    }
    return {};
}

template <const KindOfFile& Kind, void (EventProbe::*Show)(TextSink) const>
Result<void> show(TextSink sink) {
    for (ProbeEvent& event : probe_events) {
        if (event.is_of_programs != Kind.is_of_programs) continue;
        for (const EventProbe& probe : event.probes) (probe.*Show)(sink);
    }
    return {};
}

template <const KindOfFile& Kind>
constexpr ControlFile commands{
    .show = show<Kind, &EventProbe::show_command>, .store = store<Kind>, .truncated = remove_all<Kind>};

} // namespace

Result<void> add_probe_event_files(vfs::pseudo::Directory& root) {
    TRY(add_control(root, "kprobe_events", commands<of_kernel>, 0640));
    TRY(add_control(root, "kprobe_profile", {.show = show<of_kernel, &EventProbe::show_profile>}, 0440));
    TRY(add_control(root, "uprobe_events", commands<of_programs>, 0640));
    return add_control(root, "uprobe_profile", {.show = show<of_programs, &EventProbe::show_profile>}, 0440);
}

} // namespace linnet::trace
