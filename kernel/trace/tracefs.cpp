// tracefs (Linux's documentation, "ftrace - Function Tracer", "The File System"): what is set and seen of the trace as
// a whole.
#include "tracefs.hpp"

#include <algorithm>
#include <mm/statistics.hpp>
#include <new>
#include <trace/tracing.hpp>
#include <vfs/pseudo/node.hpp>

#include "function_tracer.hpp"
#include "record_events.hpp"
#include "trace_files.hpp"
#include "tracer.hpp"

namespace linnet::trace {

using vfs::pseudo::Directory;
using vfs::pseudo::Node;
using vfs::pseudo::TextNode;

namespace {

constexpr u32 tracefs_magic = 0x74726163;
[[clang::no_destroy]] constinit vfs::pseudo::FileSystem the_file_system("tracefs", tracefs_magic);

constexpr u32 readable = 0440, changeable = 0640;

/// A node of text about a number: of a CPU, or an option.
class NumberedNode final : public TextNode {
public:
    using Show = Result<void> (*)(TextSink sink, u32 number);
    using Store = Result<void> (*)(std::string_view text, u32 number);
    NumberedNode(Show show, Store store, u32 number, u32 permissions)
        : TextNode(tracefs().superblock(), tracefs().next_inode_number(), abi::S_IFREG | permissions), show_(show),
          store_(store), number_(number) {}
    Result<void> show(TextSink sink) override {
        core::MutexGuard guard(trace_lock);
        return show_(sink, number_);
    }
    Result<void> store(std::string_view text) override {
        if (!store_) return error(Errno::EINVAL);
        core::MutexGuard guard(trace_lock);
        return store_(text, number_);
    }

private:
    const Show show_;
    const Store store_;
    const u32 number_;
};

class ControlNode final : public TextNode {
public:
    ControlNode(const ControlFile& file, u32 permissions)
        : TextNode(tracefs().superblock(), tracefs().next_inode_number(), abi::S_IFREG | permissions), file_(file) {}
    Result<void> show(TextSink sink) override {
        if (!file_.show) return error(Errno::EINVAL);
        core::MutexGuard guard(trace_lock);
        return file_.show(sink);
    }
    Result<void> store(std::string_view text) override {
        if (!file_.store) return error(Errno::EINVAL);
        core::MutexGuard guard(trace_lock);
        return file_.store(text);
    }
    Result<void> check_open(u32 flags) override {
        if (!(flags & abi::O_TRUNC) || (flags & abi::O_ACCMODE) == abi::O_RDONLY || !file_.truncated) return {};
        core::MutexGuard guard(trace_lock);
        return file_.truncated();
    }

private:
    const ControlFile file_;
};

template <typename T, typename... Args>
Result<void> add_node(Directory& directory, std::string_view name, Args&&... args) {
    auto* node = new (std::nothrow) T(args...);
    if (!node) return error(Errno::ENOMEM);
    return directory.add(name, RefPtr<Node>::adopt(*node));
}

// ---- tracing_on, trace_clock, tracing_cpumask ----

Result<void> show_on(TextSink sink) { return sink(tracer.is_on.load() ? "1\n" : "0\n"), Result<void>{}; }
Result<void> store_on(std::string_view text) {
    const u64 value = TRY(vfs::pseudo::parse_number(trimmed(text)));
    const bool was_on = tracer.is_on.exchange(value != 0);
    if (value != 0 && !was_on) restart_tracer_locked();
    // Who waits for more sees that there will be none.
    if (value == 0) tracer.readers.notify(abi::POLLIN);
    return {};
}

Result<void> show_clock(TextSink sink) {
    for (usize i = 0; i < trace_clocks.size(); ++i) {
        const bool is_chosen = tracer.clock.load() == &trace_clocks[i];
        format_to(sink, is_chosen ? "{}[{}]" : "{}{}", i ? " " : "", trace_clocks[i].name);
    }
    sink("\n");
    return {};
}
Result<void> store_clock(std::string_view text) {
    const auto found = std::find_if(trace_clocks.begin(), trace_clocks.end(),
                                    [&](const TraceClock& clock) { return clock.name == trimmed(text); });
    if (found == trace_clocks.end()) return error(Errno::EINVAL);
    tracer.clock = &*found;
    wait_for_emissions();
    clear_buffers_locked(); // times of two clocks don't mix
    return {};
}

u64 present_cpus() {
    const u32 count = core::cpu_count();
    return count >= 64 ? ~u64{0} : (u64{1} << count) - 1;
}
Result<void> show_cpumask(TextSink sink) {
    return format_to(sink, "{x}\n", tracer.cpus.load() & present_cpus()), Result<void>{};
}
Result<void> store_cpumask(std::string_view text) {
    u64 mask = 0;
    text = trimmed(text);
    if (text.empty()) return error(Errno::EINVAL);
    for (char c : text) {
        if (c == ',') continue;
        const char lower = static_cast<char>(c | 0x20);
        const bool is_letter = lower >= 'a' && lower <= 'f';
        if (!is_letter && !(c >= '0' && c <= '9')) return error(Errno::EINVAL);
        if (mask >> 60) return error(Errno::EOVERFLOW);
        mask = mask << 4 | static_cast<u64>(is_letter ? lower - 'a' + 10 : c - '0');
    }
    if ((mask & present_cpus()) == 0) return error(Errno::EINVAL);
    tracer.cpus = mask;
    return {};
}

Result<void> show_percent(TextSink sink) {
    return format_to(sink, "{}\n", tracer.buffer_percent.load()), Result<void>{};
}
Result<void> store_percent(std::string_view text) {
    const u64 value = TRY(vfs::pseudo::parse_number(trimmed(text)));
    if (value > 100) return error(Errno::EINVAL);
    tracer.buffer_percent = static_cast<u32>(value);
    tracer.page_readers.notify(abi::POLLIN | abi::POLLRDNORM); // what is there may be enough now
    return {};
}

Result<void> show_timestamp_mode(TextSink sink) { return sink("[delta] absolute\n"), Result<void>{}; }

// ---- sizes ----

constexpr u32 all_cpus = ~u32{0};

u64 size_in_kb(usize pages) { return pages * RingBuffer::page_room >> 10; }

Result<void> show_size(TextSink sink, u32 cpu) {
    const usize first = tracer.buffers[cpu == all_cpus ? 0 : cpu].pages();
    if (cpu == all_cpus)
        for (u32 i = 0; i < core::cpu_count(); ++i)
            if (tracer.buffers[i].pages() != first) return sink("X\n"), Result<void>{};
    if (tracer.is_expanded)
        format_to(sink, "{}\n", size_in_kb(first));
    else
        format_to(sink, "{} (expanded: {})\n", size_in_kb(first), tracer.wanted_pages * RingBuffer::page_room >> 10);
    return {};
}

Result<void> store_size(std::string_view text, u32 cpu) {
    const u64 kb = TRY(vfs::pseudo::parse_number(trimmed(text)));
    if (kb == 0 || kb > u64{1} << 40) return error(Errno::EINVAL);
    const usize pages = (kb * 1024 + RingBuffer::page_room - 1) / RingBuffer::page_room;
    const CpuRange range = cpu == all_cpus ? CpuRange::all() : CpuRange::one(cpu);
    u64 more = 0;
    for (u32 i = range.first; i < range.end; ++i) more += pages - std::min(pages, tracer.buffers[i].pages());
    if (mm::memory_statistics().available < more) return error(Errno::ENOMEM);
    for (u32 i = range.first; i < range.end; ++i) TRY(tracer.buffers[i].resize(pages));
    if (cpu == all_cpus) tracer.wanted_pages = pages;
    tracer.is_expanded = true;
    return {};
}

Result<void> show_total_size(TextSink sink) {
    usize pages = 0;
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) pages += tracer.buffers[cpu].pages();
    format_to(sink, "{}", size_in_kb(pages));
    if (!tracer.is_expanded)
        format_to(sink, " (expanded: {})", (tracer.wanted_pages * RingBuffer::page_room >> 10) * core::cpu_count());
    sink("\n");
    return {};
}

// ---- options ----

Result<void> show_options(TextSink sink) {
    for (const auto& option : trace_option_names)
        format_to(sink, "{}{}\n", trace_options.load() & option.bit ? "" : "no", option.name);
    return {};
}
Result<void> store_option_name(std::string_view text) { return set_option_locked(trimmed(text)); }
Result<void> show_option(TextSink sink, u32 number) {
    return sink(trace_options.load() & trace_option_names[number].bit ? "1\n" : "0\n"), Result<void>{};
}
Result<void> store_option(std::string_view text, u32 number) {
    const bool on = TRY(parse_switch(text));
    char name[32];
    return set_option_locked(format_into(name, "{}{}", on ? "" : "no", trace_option_names[number].name));
}

// ---- statistics, names ----

Result<void> show_statistics(TextSink sink, u32 cpu) {
    const RingBuffer::Statistics statistics = tracer.buffers[cpu].statistics();
    format_to(sink, "entries: {}\noverrun: {}\ncommit overrun: 0\nbytes: {}\n", statistics.entries, statistics.overrun,
              statistics.bytes);
    const auto time = [&](std::string_view name, u64 ns) {
        const u64 us = (ns + 500) / 1000;
        if (tracer.clock.load()->is_in_ns)
            format_to(sink, "{}: {5}.{06}\n", name, us / 1'000'000, us % 1'000'000);
        else
            format_to(sink, "{}: {}\n", name, ns);
    };
    time("oldest event ts", statistics.oldest_ns);
    time("now ts", tracer.now());
    format_to(sink, "dropped events: {}\nread events: {}\n", statistics.dropped, statistics.read_events);
    return {};
}

Result<void> show_names(TextSink sink) {
    visit_saved_threads([&](const SavedThread& thread) {
        format_to(sink, "{} {}\n", thread.pid, std::string_view(thread.comm, strnlen(thread.comm, sizeof thread.comm)));
    });
    return {};
}
Result<void> show_names_size(TextSink sink) { return format_to(sink, "{}\n", saved_thread_slots), Result<void>{}; }
Result<void> show_tgids(TextSink sink) {
    visit_saved_threads([&](const SavedThread& thread) {
        if (thread.tgid) format_to(sink, "{} {}\n", thread.pid, thread.tgid);
    });
    return {};
}
Result<void> show_nothing(TextSink) { return {}; } // no trace_printk() in the kernel

Result<void> show_errors(TextSink sink) { return show_error_log_locked(sink), Result<void>{}; }
Result<void> store_errors(std::string_view) { return {}; }
Result<void> clear_errors() { return clear_error_log_locked(), Result<void>{}; }

Result<void> show_readme(TextSink sink) {
    sink(
        "tracing: what the kernel records, as text and as pages.\n\n"
        "  tracing_on              whether anything is recorded\n"
        "  trace                   what has been recorded; writing to it empties the buffers\n"
        "  trace_pipe              the same, taken away by reading\n"
        "  per_cpu/cpuN            the same for one CPU; trace_pipe_raw gives pages (events/header_page)\n"
        "  events/SYSTEM/EVENT     enable, filter, trigger, format, id\n"
        "  set_event               which events are enabled; available_events: which there are\n"
        "  set_event_pid           the threads that are recorded, when not all are\n"
        "  current_tracer          function: each call of a function is recorded\n"
        "  set_ftrace_filter       the functions, when not all of available_filter_functions are meant\n"
        "  set_ftrace_notrace      functions that are not meant\n"
        "  set_ftrace_pid          the threads whose calls are recorded, when not all are\n"
        "  trace_marker            what is written there is recorded\n"
        "  kprobe_events           Create/append/remove events of the kernel's functions\n"
        "  uprobe_events           the same of places in programs\n"
        "\t  place: [<module>:]<symbol>[+<offset>]|<memaddr>\n"
        "place (kretprobe): [<module>:]<symbol>[+<offset>]%return|<memaddr>\n"
        "\t  place (uprobe): <path>:<offset>[%return]\n"
        "\t   args: <name>=fetcharg[:type]\n"
        "\t         fetcharg: %<register>, @<address>, @<symbol>[+|-<offset>], $stack<index>, $stack, $retval, $comm,\n"
        "\t                   $arg<N>, +|-[u]<offset>(<fetcharg>), \\imm-value, \\\"imm-string\"\n"
        "\t   type: s8/16/32/64, u8/16/32/64, x8/16/32/64, char, string, symbol, ustring,\n"
        "\t         b<bit-width>@<bit-offset>/<container-size>, <type>\\[<array-size>\\]\n"
        "  trace_clock, trace_options, options/*, buffer_size_kb, tracing_cpumask\n");
    return {};
}

// ---- the tree ----

Result<void> add_cpu_files(Directory& root) {
    Directory& all = *TRY(root.add_directory("per_cpu", 0750));
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) {
        char name[12];
        Directory& own = *TRY(all.add_directory(format_into(name, "cpu{}", cpu), 0750));
        const CpuRange range = CpuRange::one(cpu);
        TRY(add_node<TraceFileNode>(own, "trace", tracefs(), TraceFileKind::Trace, range, changeable));
        TRY(add_node<TraceFileNode>(own, "trace_pipe", tracefs(), TraceFileKind::Pipe, range, readable));
        TRY(add_node<TraceFileNode>(own, "trace_pipe_raw", tracefs(), TraceFileKind::RawPipe, range, readable));
        TRY(add_node<NumberedNode>(own, "stats", show_statistics, nullptr, cpu, readable));
        TRY(add_node<NumberedNode>(own, "buffer_size_kb", show_size, store_size, cpu, changeable));
    }
    return {};
}

Result<void> add_option_files(Directory& root) {
    Directory& options = *TRY(root.add_directory("options", 0750));
    for (u32 i = 0; i < std::size(trace_option_names); ++i)
        TRY(add_node<NumberedNode>(options, trace_option_names[i].name, show_option, store_option, i, changeable));
    return {};
}

Result<void> add_files(Directory& root) {
    const CpuRange all = CpuRange::all();
    TRY(add_node<TraceFileNode>(root, "trace", tracefs(), TraceFileKind::Trace, all, changeable));
    TRY(add_node<TraceFileNode>(root, "trace_pipe", tracefs(), TraceFileKind::Pipe, all, readable));
    TRY(add_node<TraceFileNode>(root, "trace_marker", tracefs(), TraceFileKind::Marker, all, 0220u));
    TRY(add_node<TraceFileNode>(root, "trace_marker_raw", tracefs(), TraceFileKind::RawMarker, all, 0220u));
    TRY(add_node<TraceFileNode>(root, "free_buffer", tracefs(), TraceFileKind::FreeBuffer, all, 0200u));
    TRY(add_node<NumberedNode>(root, "buffer_size_kb", show_size, store_size, all_cpus, changeable));
    constexpr struct {
        std::string_view name;
        ControlFile file;
    } controls[] = {
        {"README", {.show = show_readme}},
        {"tracing_on", {.show = show_on, .store = store_on}},
        {"trace_clock", {.show = show_clock, .store = store_clock}},
        {"timestamp_mode", {.show = show_timestamp_mode}},
        {"tracing_cpumask", {.show = show_cpumask, .store = store_cpumask}},
        {"buffer_percent", {.show = show_percent, .store = store_percent}},
        {"buffer_total_size_kb", {.show = show_total_size}},
        {"trace_options", {.show = show_options, .store = store_option_name}},
        {"saved_cmdlines", {.show = show_names}},
        {"saved_cmdlines_size", {.show = show_names_size}},
        {"saved_tgids", {.show = show_tgids}},
        {"printk_formats", {.show = show_nothing}},
        {"error_log", {.show = show_errors, .store = store_errors, .truncated = clear_errors}},
    };
    for (const auto& control : controls)
        TRY(add_control(root, control.name, control.file, control.file.store ? changeable : readable));
    return {};
}

} // namespace

vfs::pseudo::FileSystem& tracefs() { return the_file_system; }

Result<void> add_control(Directory& directory, std::string_view name, const ControlFile& file, u32 permissions) {
    return add_node<ControlNode>(directory, name, file, permissions);
}

Result<void> initialise_tracing() {
    TRY(initialise_tracer());
    {
        core::MutexGuard guard(trace_lock);
        TRY(register_ftrace_events_locked());
        TRY(register_sched_events_locked());
        TRY(register_signal_events_locked());
        TRY(register_irq_events_locked());
        TRY(register_exception_events_locked());
        TRY(register_timer_events_locked());
        TRY(register_task_events_locked());
        TRY(register_raw_syscall_events_locked());
    }
    TRY(the_file_system.initialise());
    Directory& root = the_file_system.root();
    TRY(add_files(root));
    TRY(add_cpu_files(root));
    TRY(add_option_files(root));
    TRY(add_event_files(root));
    TRY(add_selection_files(root));
    TRY(add_function_files(root));
    TRY(add_probe_event_files(root));
    TRY(vfs::pseudo::sys().root().add_path("kernel/tracing")); // where it is mounted
    return vfs::register_file_system(the_file_system);
}

// ---- words ----

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\n";
    text = text.substr(0, text.find('\0'));
    const usize first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

std::string_view take_word(std::string_view& text) {
    text = trimmed(text);
    const usize end = std::min(text.find_first_of(" \t\n"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end);
    return word;
}

Result<bool> parse_switch(std::string_view text) {
    const Result<u64> value = vfs::pseudo::parse_number(trimmed(text));
    if (!value || *value > 1) return error(Errno::EINVAL);
    return *value == 1;
}

} // namespace linnet::trace
