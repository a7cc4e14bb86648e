// The files of the function tracer: which functions there are, which of them are traced, and which tracer there is.
#include <algorithm>
#include <vfs/pseudo/knob.hpp>

#include "filter.hpp"
#include "function_tracer.hpp"
#include "tracefs.hpp"
#include "tracer.hpp"

namespace linnet::trace {

using vfs::File;
using vfs::IoBuffer;

namespace {

constexpr u32 readable = 0440, changeable = 0640;

// ---- lists of functions ----

/// Which functions a file shows, with what stands behind each.
struct Listing {
    bool (*has)(u32 number);
    std::string_view suffix;
    std::string_view when_empty; // shown as a line of its own
};

FunctionName name_of(u32 number) { return FunctionName(core::find_symbol(probe::function_entry_address(number)).name); }

class ListNode : public vfs::pseudo::TextNode {
public:
    ListNode(const Listing& listing, u32 permissions)
        : TextNode(tracefs().superblock(), tracefs().next_inode_number(), abi::S_IFREG | permissions),
          listing_(listing) {}
    Result<void> show(TextSink) override { return {}; } // in parts only

    Result<u64> show_part(u64 from, TextSink sink) override {
        constexpr u64 at_once = 256;
        core::MutexGuard guard(trace_lock);
        TRY(prepare_functions_locked());
        const u32 count = probe::function_entry_count();
        if (from == 0 && !listing_.when_empty.empty() && !has_any(count)) {
            format_to(sink, "{}\n", listing_.when_empty);
            return 0;
        }
        const u64 end = std::min<u64>(from + at_once, count);
        for (u64 number = from; number < end; ++number)
            if (listing_.has(static_cast<u32>(number)))
                format_to(sink, "{}{}\n", name_of(static_cast<u32>(number)).text(), listing_.suffix);
        return end == count ? 0 : end;
    }

private:
    [[nodiscard]] bool has_any(u32 count) const {
        for (u32 number = 0; number < count; ++number)
            if (listing_.has(number)) return true;
        return false;
    }
    const Listing listing_;
};

// ---- choosing them ----

/// Changes a set by words: a function's name, a pattern of names, or a number among available_filter_functions from 1
/// on; with "!" before it what it names goes.
class FunctionWord {
public:
    explicit FunctionWord(std::string_view word) : removes_(word.starts_with('!')), what_(word.substr(removes_)) {}
    /// EINVAL: no function is named.
    Result<void> apply(probe::FunctionSet& set) const {
        if (what_.empty() || has_command()) return error(Errno::EINVAL);
        const u32 count = probe::function_entry_count();
        if (is_number()) {
            const Result<u64> number = vfs::pseudo::parse_number(what_, count);
            if (!number || *number == 0) return error(Errno::EINVAL);
            change(set, static_cast<u32>(*number - 1));
            return {};
        }
        bool any = false;
        for (u32 number = 0; number < count; ++number) {
            const FunctionName name = name_of(number);
            if (name.text() != what_ && !matches_glob(what_, name.text())) continue;
            change(set, number);
            any = true;
        }
        return any ? Result<void>{} : error(Errno::EINVAL);
    }

private:
    void change(probe::FunctionSet& set, u32 number) const { removes_ ? set.remove(number) : set.add(number); }
    [[nodiscard]] bool is_number() const {
        return std::all_of(what_.begin(), what_.end(), [](char c) { return c >= '0' && c <= '9'; });
    }
    /// A colon that stands alone begins a command, or what is meant of a module; there are neither.
    [[nodiscard]] bool has_command() const {
        for (usize at = what_.find(':'); at != std::string_view::npos; at = what_.find(':', at + 2))
            if (at + 1 == what_.size() || what_[at + 1] != ':') return true;
        return false;
    }

    const bool removes_;
    const std::string_view what_;
};

/// A list that is being written: what is meant takes effect when the file is closed, as on Linux, so that nobody traces
/// everything between the emptying of a list and its first name. Words may come in pieces.
class ListFile final : public File {
public:
    ListFile(const vfs::Path& path, u32 flags, FunctionList list, probe::FunctionSet set, RefPtr<File> text)
        : File(path, flags, Positioning::Seekable), list_(list), set_(std::move(set)), text_(std::move(text)) {}
    ~ListFile() override {
        if (length_ != 0) (void)FunctionWord({word_, length_}).apply(set_); // nobody is left to be told
        core::MutexGuard guard(trace_lock);
        (void)set_function_list_locked(list_, std::move(set_)); // without memory all stays as it was
    }

    Result<usize> read(IoBuffer& to, u64 offset) override { return text_->read(to, offset); }
    /// Up to the first word that names nothing, which is an error when it comes first.
    Result<usize> write(IoBuffer& from, u64) override {
        core::MutexGuard guard(lock_);
        usize taken = 0;
        while (from.remaining() != 0) {
            char c;
            if (const auto copied = from.copy_in({reinterpret_cast<u8*>(&c), 1}); !copied || *copied != 1)
                return from.done() ? Result<usize>(from.done()) : error(Errno::EFAULT);
            const bool is_blank = c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
            if (!is_blank && length_ == sizeof word_) return refuse(taken);
            if (!is_blank) word_[length_++] = c;
            if (!is_blank || length_ == 0) continue;
            if (!FunctionWord({word_, length_}).apply(set_)) return refuse(taken);
            length_ = 0;
            taken = from.done();
        }
        return from.done();
    }
    Result<void> truncate(u64) override { return {}; }

private:
    Result<usize> refuse(usize taken) {
        length_ = 0;
        return taken ? Result<usize>(taken) : error(Errno::EINVAL);
    }

    const FunctionList list_;
    core::Mutex lock_;
    probe::FunctionSet set_;
    char word_[128];
    usize length_ = 0; // of the word that has not ended yet
    const RefPtr<File> text_;
};

class FilterNode final : public ListNode {
public:
    FilterNode(const Listing& listing, FunctionList list) : ListNode(listing, changeable), list_(list) {}
    Result<RefPtr<File>> open(const vfs::Path& path, u32 flags) override {
        RefPtr<File> text = TRY(ListNode::open(path, flags));
        if ((flags & abi::O_ACCMODE) == abi::O_RDONLY) return text;
        core::MutexGuard guard(trace_lock);
        TRY(prepare_functions_locked());
        probe::FunctionSet set =
            TRY(flags & abi::O_TRUNC ? probe::FunctionSet::create() : function_list_locked(list_).copy());
        auto* file = new (std::nothrow) ListFile(path, flags, list_, std::move(set), std::move(text));
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<File>(adopt_ref(*file));
    }

private:
    const FunctionList list_;
};

template <typename T, typename... Args>
Result<void> add_node(vfs::pseudo::Directory& root, std::string_view name, Args&&... args) {
    auto* node = new (std::nothrow) T(args...);
    if (!node) return error(Errno::ENOMEM);
    return root.add(name, RefPtr<vfs::pseudo::Node>::adopt(*node));
}

// ---- tracers ----

Result<void> show_tracers(TextSink sink) { return sink("function nop\n"), Result<void>{}; }
Result<void> show_tracer(TextSink sink) { return format_to(sink, "{}\n", current_tracer_name()), Result<void>{}; }
Result<void> store_tracer(std::string_view text) { return choose_tracer_locked(trimmed(text)); }

// ---- calls as graphs ----

/// There is no tracer of them, so there is nothing to choose; but who traces functions (perf) first takes away what
/// others have chosen.
Result<void> store_graph_functions(std::string_view text) {
    return trimmed(text).empty() ? Result<void>{} : error(Errno::EINVAL);
}
Result<void> show_graph_functions(TextSink sink) { return sink("#### all functions enabled ####\n"), Result<void>{}; }
Result<void> show_graph_exclusions(TextSink sink) { return sink("#### no functions disabled ####\n"), Result<void>{}; }
Result<void> show_no_limit(TextSink sink) { return sink("0\n"), Result<void>{}; }
Result<void> store_no_limit(std::string_view text) {
    return TRY(vfs::pseudo::parse_number(trimmed(text))) == 0 ? Result<void>{} : error(Errno::EINVAL);
}

Result<void> add_graph_files(vfs::pseudo::Directory& root) {
    constexpr ControlFile functions{.show = show_graph_functions, .store = store_graph_functions};
    constexpr ControlFile exclusions{.show = show_graph_exclusions, .store = store_graph_functions};
    constexpr ControlFile no_limit{.show = show_no_limit, .store = store_no_limit};
    TRY(add_control(root, "set_graph_function", functions, changeable));
    TRY(add_control(root, "set_graph_notrace", exclusions, changeable));
    TRY(add_control(root, "tracing_thresh", no_limit, changeable)); // how long calls last, or interrupts are off
    return add_control(root, "max_graph_depth", no_limit, changeable);
}

} // namespace

Result<void> add_function_files(vfs::pseudo::Directory& root) {
    TRY(add_graph_files(root));
    TRY(add_control(root, "available_tracers", {.show = show_tracers}, readable));
    TRY(add_control(root, "current_tracer", {.show = show_tracer, .store = store_tracer}, changeable));
    constexpr Listing available{.has = [](u32) { return true; }, .suffix = "", .when_empty = ""};
    constexpr Listing enabled{.has = probe::is_listened_to, .suffix = " (1)", .when_empty = ""};
    constexpr Listing chosen{.has = [](u32 number) { return function_list_locked(FunctionList::Chosen).has(number); },
                             .suffix = "",
                             .when_empty = "#### all functions enabled ####"};
    constexpr Listing excluded{
        .has = [](u32 number) { return function_list_locked(FunctionList::Excluded).has(number); },
        .suffix = "",
        .when_empty = "#### no functions disabled ####"};
    TRY(add_node<ListNode>(root, "available_filter_functions", available, readable));
    TRY(add_node<ListNode>(root, "enabled_functions", enabled, readable));
    TRY(add_node<FilterNode>(root, "set_ftrace_filter", chosen, FunctionList::Chosen));
    TRY(add_node<FilterNode>(root, "set_ftrace_notrace", excluded, FunctionList::Excluded));
    return vfs::pseudo::add_knob(*TRY(vfs::pseudo::proc().root().add_path("sys/kernel")), "ftrace_enabled",
                                 {.value = ftrace_enabled, .changed = note_ftrace_enabled});
}

} // namespace linnet::trace
