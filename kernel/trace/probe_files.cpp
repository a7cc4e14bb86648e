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

Result<void> remove_locked(ProbeEvent& event) {
    if (is_busy(event)) return error(Errno::EBUSY);
    TRY(unregister_event_locked(event));
    event.node.unlink();
    delete &event;
    return {};
}

Result<void> remove_named(const ProbeCommand& command, const KindOfFile& kind) {
    const auto is_meant = [&](const ProbeEvent& event) {
        return event.is_of_programs() == kind.is_of_programs &&
               (command.group.empty() || event.system == command.group) &&
               (command.name.empty() || event.name == command.name);
    };
    bool any = false;
    for (ProbeEvent& event : probe_events) {
        if (!is_meant(event)) continue;
        any = true;
        if (is_busy(event)) return error(Errno::EBUSY);
    }
    if (!any) return error(Errno::ENOENT);
    for (ProbeEvent* event = probe_events.first(); event;) {
        ProbeEvent* next = probe_events.next(*event);
        if (is_meant(*event)) TRY(remove_locked(*event));
        event = next;
    }
    return {};
}

Result<void> make_locked(ProbeCommand& command, const KindOfFile& kind, CommandError& why) {
    ProbeEvent* event = TRY(kind.is_of_programs ? make_user_event(command, why) : make_kernel_event(command, why));
    const Result<void> registered = register_event_locked(*event);
    if (registered) {
        probe_events.push_back(*event);
        return {};
    }
    delete event;
    if (registered.error() == Errno::EEXIST) why.message = "Event with same name already exists";
    return registered;
}

Result<void> obey_locked(std::string_view line, const KindOfFile& kind) {
    const CommandSyntax syntax{.is_of_programs = kind.is_of_programs,
                               .register_number = arch::register_by_name,
                               .argument_register = arch::argument_register};
    ProbeCommand command;
    CommandError why;
    Result<void> done = parse_probe_command(line, syntax, command, why);
    if (done) done = command.is_removal ? remove_named(command, kind) : make_locked(command, kind, why);
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
        if (event.is_of_programs() == Kind.is_of_programs && is_busy(event)) return error(Errno::EBUSY);
    for (ProbeEvent* event = probe_events.first(); event;) {
        ProbeEvent* next = probe_events.next(*event);
        if (event->is_of_programs() == Kind.is_of_programs) TRY(remove_locked(*event));
        event = next;
    }
    return {};
}

template <const KindOfFile& Kind>
Result<void> show(TextSink sink) {
    for (const ProbeEvent& event : probe_events)
        if (event.is_of_programs() == Kind.is_of_programs) event.show_command(sink);
    return {};
}

template <const KindOfFile& Kind>
Result<void> show_profile(TextSink sink) {
    for (const ProbeEvent& event : probe_events)
        if (event.is_of_programs() == Kind.is_of_programs) event.show_profile(sink);
    return {};
}

template <const KindOfFile& Kind>
constexpr ControlFile commands{.show = show<Kind>, .store = store<Kind>, .truncated = remove_all<Kind>};

} // namespace

Result<void> add_probe_event_files(vfs::pseudo::Directory& root) {
    TRY(add_control(root, "kprobe_events", commands<of_kernel>, 0640));
    TRY(add_control(root, "kprobe_profile", {.show = show_profile<of_kernel>}, 0440));
    TRY(add_control(root, "uprobe_events", commands<of_programs>, 0640));
    return add_control(root, "uprobe_profile", {.show = show_profile<of_programs>}, 0440);
}

} // namespace linnet::trace
