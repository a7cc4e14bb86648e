// events/: systems, their events and the files of each. All of it is made when somebody looks, for there are hundreds
// of events, and they come and go.
#include <algorithm>
#include <new>

#include "ring_buffer.hpp"
#include "tracefs.hpp"
#include "trigger.hpp"

namespace linnet::trace {

using vfs::DirectoryEntry;
using vfs::DirectorySink;
using vfs::Inode;
using vfs::pseudo::Node;
using vfs::pseudo::TextNode;

namespace {

constexpr usize longest_system = 64;

/// Which part of events/ something is about.
struct Scope {
    enum class Level : u8 { All, System, Event };
    Level level = Level::All;
    u16 id = 0;     // of the event
    u64 serial = 0; // and the same, for ids are given again
    char system[longest_system] = {};
    usize system_size = 0;

    [[nodiscard]] std::string_view system_name() const { return {system, system_size}; }
    void set_system(std::string_view name) { system_size = format_into(system, "{}", name).size(); }
};

/// Null when it is gone.
TraceEvent* event_of_locked(const Scope& scope) {
    TraceEvent* event = find_event_locked(scope.id);
    return event && event->serial == scope.serial ? event : nullptr;
}

enum class FileKind : u8 { HeaderPage, HeaderEvent, Enable, Filter, Format, Id, Trigger };
struct FileName {
    std::string_view name;
    FileKind kind;
    u32 permissions;
};
constexpr FileName files_of_all[] = {{"header_page", FileKind::HeaderPage, 0440},
                                     {"header_event", FileKind::HeaderEvent, 0440},
                                     {"enable", FileKind::Enable, 0640}};
constexpr FileName files_of_system[] = {{"enable", FileKind::Enable, 0640}, {"filter", FileKind::Filter, 0640}};
constexpr FileName files_of_event[] = {{"enable", FileKind::Enable, 0640},
                                       {"filter", FileKind::Filter, 0640},
                                       {"format", FileKind::Format, 0440},
                                       {"id", FileKind::Id, 0440},
                                       {"trigger", FileKind::Trigger, 0640}};
constexpr FileName files_of_own_event[] = {{"format", FileKind::Format, 0440}, {"id", FileKind::Id, 0440}};

std::span<const FileName> files_of_locked(const Scope& scope) {
    if (scope.level == Scope::Level::All) return files_of_all;
    if (scope.system_name() == "ftrace") {
        if (scope.level == Scope::Level::Event) return files_of_own_event;
        return {};
    }
    if (scope.level == Scope::Level::System) return files_of_system;
    return files_of_event;
}

/// Inode numbers say what they are of: of events by id, of systems by their first event.
constexpr u64 number_of(u64 id, u64 file) { return u64{1} << 40 | id << 8 | file; }

// ---- formats ----

void show_fields(TextSink sink, FunctionRef<void(FieldVisitor)> visit) {
    visit([&](const EventField& field) {
        format_to(sink, "\tfield:{};\toffset:{};\tsize:{};\tsigned:{};\n", field.declaration, field.offset, field.size,
                  field.is_signed ? 1 : 0);
    });
}

void show_format_locked(TextSink sink, const TraceEvent& event) {
    format_to(sink, "name: {}\nID: {}\nformat:\n", event.name, event.id);
    show_fields(sink, [](FieldVisitor visit) {
        for (const EventField& field : common_fields) visit(field);
    });
    sink("\n");
    show_fields(sink, [&](FieldVisitor visit) { event.visit_fields(visit); });
    sink("\nprint fmt: ");
    event.show_print_format(sink);
    sink("\n");
}

void show_header_page(TextSink sink) {
    format_to(sink,
              "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
              "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
              "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
              "\tfield: char data;\toffset:16;\tsize:{};\tsigned:0;\n",
              RingBuffer::page_room);
}

void show_header_event(TextSink sink) {
    format_to(sink,
              "# compressed entry header\n"
              "\ttype_len    :    5 bits\n"
              "\ttime_delta  :   27 bits\n"
              "\tarray       :   32 bits\n\n"
              "\tpadding     : type == {}\n"
              "\ttime_extend : type == {}\n"
              "\ttime_stamp : type == {}\n"
              "\tdata max type_len  == 28\n",
              RingBuffer::type_padding, RingBuffer::type_time_extend, RingBuffer::type_time_stamp);
}

// ---- enable and filter ----

/// Calls `visit` with each event of a system, or of all.
void visit_events_locked(const Scope& scope, FunctionRef<void(TraceEvent&)> visit) {
    for (TraceEvent* event : all_events_locked())
        if (event && (scope.level == Scope::Level::All || event->system == scope.system_name())) visit(*event);
}

void show_switches_locked(TextSink sink, const Scope& scope) {
    bool any_on = false, any_off = false;
    visit_events_locked(scope, [&](const TraceEvent& event) {
        (event.is_enabled_locked() || event.is_recorded() ? any_on : any_off) = true;
    });
    sink(any_on && any_off ? "X\n" : any_on ? "1\n" : "0\n");
}

Result<void> switch_events_locked(const Scope& scope, bool on) {
    Result<void> failed{};
    visit_events_locked(scope, [&](TraceEvent& event) {
        if (!on) return event.disable_locked();
        const Result<void> enabled = event.enable_locked();
        if (!enabled) failed = enabled;
    });
    return failed;
}

void show_filters_locked(TextSink sink, const Scope& scope) {
    const Filter* found = nullptr;
    visit_events_locked(scope, [&](const TraceEvent& event) {
        if (!found) found = event.filter_locked();
    });
    if (found) return format_to(sink, "{}\n", found->text());
    sink("### global filter ###\n"
         "# Use this to set filters for multiple events.\n"
         "# Only events with the given fields will be affected.\n"
         "# If no events are modified, an error message will be displayed here\n");
}

/// Those events take it that have its fields; EINVAL when none has.
Result<void> set_filters_locked(const Scope& scope, std::string_view text) {
    bool any = false;
    FilterError why;
    visit_events_locked(scope, [&](TraceEvent& event) {
        // The others keep theirs.
        if (event.would_take_filter(text, why)) any |= event.set_filter_locked(text, why).has_value();
    });
    if (any) return {};
    log_error_locked("event filter parse error", text, why);
    return error(Errno::EINVAL);
}

Result<void> set_filter_locked(TraceEvent& event, std::string_view text) {
    FilterError why;
    const Result<void> done = event.set_filter_locked(text, why);
    if (!done) log_error_locked("event filter parse error", text, why);
    return done;
}

Result<void> store_trigger(TraceEvent& event, std::string_view text) {
    FilterError why;
    const Result<void> done = store_trigger_locked(event, text, why);
    if (!done) log_error_locked("trigger", text, why);
    return done;
}

class EventFile final : public TextNode {
public:
    EventFile(const Scope& scope, const FileName& file)
        : TextNode(tracefs().superblock(), number_of(scope.id, 1 + static_cast<u64>(file.kind)),
                   abi::S_IFREG | file.permissions),
          scope_(scope), kind_(file.kind) {}

    Result<void> show(TextSink sink) override {
        if (kind_ == FileKind::HeaderPage) return show_header_page(sink), Result<void>{};
        if (kind_ == FileKind::HeaderEvent) return show_header_event(sink), Result<void>{};
        core::MutexGuard guard(trace_lock);
        if (scope_.level == Scope::Level::Event) return show_of_event_locked(sink);
        if (kind_ == FileKind::Enable)
            show_switches_locked(sink, scope_);
        else
            show_filters_locked(sink, scope_);
        return {};
    }

    Result<void> store(std::string_view text) override {
        core::MutexGuard guard(trace_lock);
        if (scope_.level == Scope::Level::Event) return store_to_event_locked(text);
        if (kind_ == FileKind::Enable) return switch_events_locked(scope_, TRY(parse_switch(text)));
        if (kind_ == FileKind::Filter) return set_filters_locked(scope_, trimmed(text));
        return error(Errno::EINVAL);
    }

private:
    Result<void> show_of_event_locked(TextSink sink) {
        TraceEvent* event = event_of_locked(scope_);
        if (!event) return error(Errno::ENODEV);
        switch (kind_) {
        case FileKind::Enable:
            event->show_state_locked(sink);
            sink("\n");
            break;
        case FileKind::Filter:
            event->show_filter_locked(sink);
            break;
        case FileKind::Format:
            show_format_locked(sink, *event);
            break;
        case FileKind::Id:
            format_to(sink, "{}\n", event->id);
            break;
        case FileKind::Trigger:
            show_triggers_locked(*event, sink);
            break;
        default:
            return error(Errno::EINVAL);
        }
        return {};
    }

    Result<void> store_to_event_locked(std::string_view text) {
        TraceEvent* event = event_of_locked(scope_);
        if (!event) return error(Errno::ENODEV);
        switch (kind_) {
        case FileKind::Enable:
            if (!TRY(parse_switch(text))) return event->disable_locked(), Result<void>{};
            return event->enable_locked();
        case FileKind::Filter:
            return set_filter_locked(*event, trimmed(text));
        case FileKind::Trigger:
            return store_trigger(*event, text);
        default:
            return error(Errno::EINVAL);
        }
    }

    const Scope scope_;
    const FileKind kind_;
};

// ---- folders ----

class EventFolder final : public Node {
public:
    explicit EventFolder(const Scope& scope)
        : Node(tracefs().superblock(), number_of(scope.id, scope.level == Scope::Level::System ? 0x80 : 0),
               abi::S_IFDIR | 0755),
          scope_(scope) {
        set_link_count(2);
    }

    Result<RefPtr<Inode>> lookup(std::string_view name) override {
        core::MutexGuard guard(trace_lock);
        for (const FileName& file : files_of_locked(scope_))
            if (file.name == name) return TRY(finish(new (std::nothrow) EventFile(scope_, file)));
        Scope inner;
        bool found = false;
        visit_children_locked([&](std::string_view child, const Scope& of_child) {
            if (child != name) return true;
            inner = of_child;
            found = true;
            return false;
        });
        if (!found) return error(Errno::ENOENT);
        return TRY(finish(new (std::nothrow) EventFolder(inner)));
    }

    /// A position is 3 and the number of an entry: files come first.
    Result<void> read_directory(u64 position, DirectorySink sink) override {
        constexpr u64 first_position = 3;
        for (u64 number = position < first_position ? 0 : position - first_position;; ++number) {
            // The sink copies to user memory: not under the lock.
            char name[128];
            DirectoryEntry entry;
            {
                core::MutexGuard guard(trace_lock);
                if (!find_locked(number, entry, name)) return {};
            }
            entry.next_position = first_position + number + 1;
            if (!sink(entry)) return {};
        }
    }

    /// A folder of an event that is gone leads nowhere, nor does one of a system without events.
    bool is_still_valid() override {
        if (scope_.level == Scope::Level::All) return Node::is_still_valid();
        core::MutexGuard guard(trace_lock);
        if (scope_.level == Scope::Level::Event) return event_of_locked(scope_) != nullptr;
        bool any = false;
        visit_children_locked([&](std::string_view, const Scope&) { return any = true, false; });
        return any;
    }

private:
    template <typename T>
    static Result<RefPtr<Inode>> finish(T* node) {
        if (!node) return error(Errno::ENOMEM);
        return RefPtr<Inode>(adopt_ref(static_cast<Inode&>(*node)));
    }

    /// Systems of events/, events of a system; in the order in which they came. Until `visit` says false.
    void visit_children_locked(FunctionRef<bool(std::string_view, const Scope&)> visit) const {
        if (scope_.level == Scope::Level::Event) return;
        for (const auto& events : {own_events_locked(), all_events_locked()})
            for (usize i = 0; i < events.size(); ++i) {
                if (!events[i]) continue;
                Scope inner{.level = Scope::Level::Event, .id = events[i]->id, .serial = events[i]->serial};
                inner.set_system(events[i]->system);
                std::string_view name = events[i]->name;
                if (scope_.level == Scope::Level::All) {
                    const auto same = [&](const TraceEvent* other) {
                        return other && other->system == events[i]->system;
                    };
                    if (std::any_of(events.begin(), events.begin() + i, same)) continue;
                    inner.level = Scope::Level::System;
                    name = events[i]->system;
                } else if (events[i]->system != scope_.system_name()) {
                    continue;
                }
                if (!visit(name, inner)) return;
            }
    }

    bool find_locked(u64 number, DirectoryEntry& entry, std::span<char> room) const {
        const std::span<const FileName> files = files_of_locked(scope_);
        if (number < files.size()) {
            entry.name = files[number].name;
            entry.inode = number_of(scope_.id, 1 + static_cast<u64>(files[number].kind));
            entry.type = abi::DT_REG;
            return true;
        }
        u64 at = files.size();
        bool found = false;
        visit_children_locked([&](std::string_view name, const Scope& inner) {
            if (at++ != number) return true;
            entry.name = format_into(room, "{}", name);
            entry.inode = number_of(inner.id, inner.level == Scope::Level::System ? 0x80 : 0);
            entry.type = abi::DT_DIR;
            found = true;
            return false;
        });
        return found;
    }

    const Scope scope_;
};

} // namespace

Result<void> add_event_files(vfs::pseudo::Directory& root) {
    auto* folder = new (std::nothrow) EventFolder(Scope{});
    if (!folder) return error(Errno::ENOMEM);
    return root.add("events", RefPtr<Node>::adopt(*folder));
}

} // namespace linnet::trace
