// The registered binary formats and the files of binfmt_misc.
//
// Lock: formats_lock guards the list. A format itself is constant but for being enabled; who executes a file with it
// holds a reference, so it may be removed meanwhile.
#include <process/binary_formats.hpp>

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <core/mutex.hpp>
#include <cstring>
#include <lib/own_ptr.hpp>
#include <vfs/operations.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::process {
namespace {

constexpr u32 file_system_magic = 0x42494e4d;
constexpr usize shortest_line = 11, longest_line = 1920;
constexpr usize longest_magic = 256; // of a file so many bytes are looked at
constexpr usize longest_name = 255;

[[clang::no_destroy]] constinit vfs::pseudo::FileSystem the_file_system("binfmt_misc", file_system_magic);
constinit core::Mutex formats_lock;
constinit std::atomic<bool> is_enabled{true};
constinit std::atomic<u32> format_count{0}; // read without the lock: mostly there is none

/// A line of `register`, taken apart. The texts lie in the format's own copy of it.
struct Description {
    std::string_view name, pattern, mask, interpreter, flags;
    bool is_extension = false;
    usize offset = 0;
};

class Format final : public BinaryFormat {
public:
    ~Format() override {
        if (open_interpreter_) open_interpreter_->inode().allow_write_access();
    }
    static Result<RefPtr<Format>> create(std::string_view line);

    [[nodiscard]] std::string_view interpreter() const override { return is_.interpreter; }
    Result<RefPtr<vfs::File>> open_interpreter() const override {
        if (!open_interpreter_) return vfs::open_executable(nullptr, is_.interpreter);
        return open_interpreter_->inode().open(open_interpreter_->path(), abi::O_RDONLY);
    }
    [[nodiscard]] bool matches(std::span<const u8> header, std::string_view path) const;
    [[nodiscard]] std::string_view name() const { return is_.name; }
    void show(TextSink sink) const;

    std::atomic<bool> enabled{true};
    ListNode list_node;
    NullableRefPtr<vfs::pseudo::Node> node; // formats_lock
    u64 number = 0;                         // in order of registration

private:
    Result<void> parse(std::string_view line);
    Result<void> take_flags();

    OwnPtr<char[]> text_;
    OwnPtr<char[]> bytes_; // of magic and mask
    Description is_;
    NullableRefPtr<vfs::File> open_interpreter_; // flag F
};

constinit IntrusiveList<Format, &Format::list_node> formats; // the list owns a reference to each; the last comes first
constinit u64 last_number = 0;

// ---- parsing ----

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// Replaces \xHH by the byte it stands for; what else a backslash is before stays. A NUL, other than \x00, ends it.
/// Returns how many bytes there are.
usize unescape(std::string_view from, char* to) {
    from = from.substr(0, from.find('\0'));
    usize count = 0;
    for (usize i = 0; i < from.size(); ++count) {
        const bool is_escape = i + 3 < from.size() && from[i] == '\\' && from[i + 1] == 'x' &&
                               digit(from[i + 2]) >= 0 && digit(from[i + 3]) >= 0;
        to[count] = is_escape ? static_cast<char>(digit(from[i + 2]) << 4 | digit(from[i + 3])) : from[i];
        i += is_escape ? 4 : 1;
    }
    return count;
}

Result<void> Format::parse(std::string_view line) {
    const char delimiter = line.front();
    line.remove_prefix(1);
    const auto next_field = [&](std::string_view& field) -> Result<void> {
        const usize end = line.find(delimiter);
        if (end == std::string_view::npos) return error(Errno::EINVAL);
        field = line.substr(0, end);
        line.remove_prefix(end + 1);
        return {};
    };
    std::string_view type, offset;
    TRY(next_field(is_.name));
    TRY(next_field(type));
    TRY(next_field(offset));
    TRY(next_field(is_.pattern));
    TRY(next_field(is_.mask));
    TRY(next_field(is_.interpreter));
    if (line.ends_with('\n')) line.remove_suffix(1);
    is_.flags = line;
    const auto is_file_name = [](std::string_view name) {
        return !name.empty() && name != "." && name != ".." && !name.contains('/') && !name.contains('\0');
    };
    if (!is_file_name(is_.name) || (type != "E" && type != "M")) return error(Errno::EINVAL);
    if (is_.interpreter.empty() || is_.interpreter.contains('\0')) return error(Errno::EINVAL);
    if (is_.name.size() > longest_name) return error(Errno::ENAMETOOLONG);
    is_.is_extension = type == "E";
    if (is_.is_extension) return is_file_name(is_.pattern) ? Result<void>{} : error(Errno::EINVAL);
    if (!offset.empty())
        is_.offset =
            TRY(vfs::pseudo::parse_number(offset, longest_magic).transform_error([](Errno) { return Errno::EINVAL; }));
    if (is_.pattern.empty()) return error(Errno::EINVAL);
    bytes_.reset(new (std::nothrow) char[is_.pattern.size() + is_.mask.size()]);
    if (!bytes_) return error(Errno::ENOMEM);
    const usize size = unescape(is_.pattern, bytes_.get()), mask_size = unescape(is_.mask, bytes_.get() + size);
    is_.pattern = {bytes_.get(), size};
    is_.mask = {bytes_.get() + size, mask_size};
    if (size == 0 || (mask_size != 0 && mask_size != size) || is_.offset + size > longest_magic)
        return error(Errno::EINVAL);
    return {};
}

Result<void> Format::take_flags() {
    bool opens_now = false;
    for (char flag : is_.flags) {
        switch (flag) {
        case 'P':
            keeps_first_argument = true;
            break;
        case 'O':
            passes_descriptor = true;
            break;
        case 'C': // whose rights it has, it must be able to read
            uses_file_credentials = passes_descriptor = true;
            break;
        case 'F':
            opens_now = true;
            break;
        default:
            return error(Errno::EINVAL);
        }
    }
    if (!opens_now) return {};
    RefPtr<vfs::File> file = TRY(vfs::open_executable(nullptr, is_.interpreter));
    TRY(file->inode().deny_write_access());
    open_interpreter_ = std::move(file);
    return {};
}

Result<RefPtr<Format>> Format::create(std::string_view line) {
    if (line.size() < shortest_line || line.size() > longest_line) return error(Errno::EINVAL);
    auto* made = new (std::nothrow) Format;
    if (!made) return error(Errno::ENOMEM);
    RefPtr<Format> format = RefPtr<Format>::adopt(*made);
    format->text_.reset(new (std::nothrow) char[line.size()]);
    if (!format->text_) return error(Errno::ENOMEM);
    std::copy(line.begin(), line.end(), format->text_.get());
    TRY(format->parse({format->text_.get(), line.size()}));
    TRY(format->take_flags());
    return format;
}

// ---- matching ----

bool Format::matches(std::span<const u8> header, std::string_view path) const {
    if (!enabled.load(std::memory_order_relaxed)) return false;
    if (is_.is_extension) {
        const usize dot = path.rfind('.');
        return dot != std::string_view::npos && path.substr(dot + 1) == is_.pattern;
    }
    // What lies beyond the end of a short file counts as zeros.
    for (usize i = 0; i < is_.pattern.size(); ++i) {
        const u8 byte = is_.offset + i < header.size() ? header[is_.offset + i] : 0;
        const u8 mask = is_.mask.empty() ? 0xff : static_cast<u8>(is_.mask[i]);
        if (((byte ^ static_cast<u8>(is_.pattern[i])) & mask) != 0) return false;
    }
    return true;
}

void show_bytes(TextSink sink, std::string_view label, std::string_view bytes) {
    sink(label);
    for (char byte : bytes) format_to(sink, "{02x}", u32{static_cast<u8>(byte)});
    sink("\n");
}

void Format::show(TextSink sink) const {
    sink(enabled.load(std::memory_order_relaxed) ? "enabled\n" : "disabled\n");
    format_to(sink, "interpreter {}\nflags: ", is_.interpreter);
    if (keeps_first_argument) sink("P");
    if (passes_descriptor) sink("O");
    if (uses_file_credentials) sink("C");
    if (open_interpreter_) sink("F");
    if (is_.is_extension) return format_to(sink, "\nextension .{}\n", is_.pattern);
    format_to(sink, "\noffset {}\n", is_.offset);
    show_bytes(sink, "magic ", is_.pattern);
    if (!is_.mask.empty()) show_bytes(sink, "mask ", is_.mask);
}

/// A format and its file, which hold each other until the format is removed. Let go of behind the lock.
struct Removed {
    NullableRefPtr<Format> format;
    NullableRefPtr<vfs::pseudo::Node> node;
};

Removed remove_locked(Format& format) {
    Removed removed;
    if (!format.list_node.is_linked()) return removed;
    formats.remove(format);
    format_count.fetch_sub(1, std::memory_order_relaxed);
    format.node->mark_removed();
    std::swap(removed.node, format.node);
    removed.format = NullableRefPtr<Format>::adopt(&format);
    return removed;
}

void remove_all() {
    for (;;) {
        Removed removed;
        core::MutexGuard guard(formats_lock);
        Format* first = formats.first();
        if (!first) return;
        removed = remove_locked(*first);
        guard.unlock();
    }
}

// ---- files ----

/// "0", "1" and "-1" with or without a newline.
Result<int> parse_command(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (text == "0") return 0;
    if (text == "1") return 1;
    if (text == "-1") return -1;
    return error(Errno::EINVAL);
}

class FormatNode final : public vfs::pseudo::TextNode {
public:
    explicit FormatNode(RefPtr<Format> format)
        : TextNode(the_file_system.superblock(), the_file_system.next_inode_number(), abi::S_IFREG | 0644),
          format_(std::move(format)) {}
    Result<void> show(TextSink sink) override { return format_->show(sink), Result<void>{}; }
    Result<void> store(std::string_view text) override {
        const int command = TRY(parse_command(text));
        if (command >= 0) {
            format_->enabled.store(command == 1, std::memory_order_relaxed);
            return {};
        }
        Removed removed;
        core::MutexGuard guard(formats_lock);
        removed = remove_locked(*format_);
        guard.unlock();
        return {};
    }

private:
    const RefPtr<Format> format_;
};

Result<void> show_status(TextSink sink) { return sink(is_enabled.load() ? "enabled\n" : "disabled\n"), Result<void>{}; }
Result<void> store_status(std::string_view text) {
    const int command = TRY(parse_command(text));
    if (command < 0)
        remove_all();
    else
        is_enabled.store(command == 1);
    return {};
}

Result<void> store_register(std::string_view line) {
    RefPtr<Format> format = TRY(Format::create(line));
    auto* made = new (std::nothrow) FormatNode(format);
    if (!made) return error(Errno::ENOMEM);
    RefPtr<vfs::pseudo::Node> node = RefPtr<vfs::pseudo::Node>::adopt(*made);
    core::MutexGuard guard(formats_lock);
    bool is_taken = format->name() == "register" || format->name() == "status";
    for (Format& other : formats) is_taken |= other.name() == format->name();
    if (is_taken) return error(Errno::EEXIST);
    format->number = ++last_number;
    format->node = node;
    formats.push_front(*format.release());
    format_count.fetch_add(1, std::memory_order_relaxed);
    return {};
}

/// The files of formats.
class FormatList final : public vfs::pseudo::Directory::Generated {
public:
    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override {
        core::MutexGuard guard(formats_lock);
        for (Format& format : formats)
            if (format.name() == name) return RefPtr<vfs::Inode>(*format.node);
        return error(Errno::ENOENT);
    }
    Result<void> list(u64 position, vfs::DirectorySink sink) override {
        constexpr u64 first = vfs::pseudo::Directory::first_generated_position;
        for (u64 from = position - first;;) {
            // The sink may copy to user memory and must not run under the lock.
            NullableRefPtr<Format> next;
            {
                core::MutexGuard guard(formats_lock);
                for (Format& format : formats)
                    if (format.number >= from && (!next || format.number < next->number))
                        next = NullableRefPtr<Format>(&format);
            }
            if (!next) return {};
            from = next->number + 1;
            if (!sink({next->name(), next->number + first, abi::DT_REG, first + from})) return {};
        }
    }
};
constinit FormatList format_list;

} // namespace

NullableRefPtr<const BinaryFormat> find_binary_format(std::span<const u8> header, std::string_view path) {
    if (format_count.load(std::memory_order_relaxed) == 0 || !is_enabled.load(std::memory_order_relaxed)) return {};
    core::MutexGuard guard(formats_lock);
    for (Format& format : formats)
        if (format.matches(header, path)) return NullableRefPtr<const BinaryFormat>(&format);
    return {};
}

Result<void> initialise_binary_formats() {
    TRY(the_file_system.initialise());
    TRY(vfs::register_file_system(the_file_system));
    vfs::pseudo::Directory& root = the_file_system.root();
    TRY(root.add_text("register", nullptr, 0200, store_register));
    TRY(root.add_text("status", show_status, 0644, store_status));
    root.set_generated(format_list);
    TRY(vfs::pseudo::proc().root().add_path("sys/fs/binfmt_misc"));
    return {};
}

} // namespace linnet::process
