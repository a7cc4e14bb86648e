// What core_pattern makes of the names (core(5), "Naming of core dump files").
#include "core_dump.hpp"

#include <lib/format.hpp>

namespace linnet::process {
namespace {

class NameBuilder {
public:
    NameBuilder(CoreName& name, const CoreNames& values) : out_(name.text), values_(values) {}

    void put(char c) {
        if (failed_) return;
        failed_ = !out_.try_push(c).has_value();
    }
    void put(std::string_view text) {
        for (char c : text) put(c);
    }
    template <typename T>
    void put_number(T value) {
        char digits[24];
        put(format_into(digits, "{}", value));
    }
    /// Text from the program must not lead into other directories.
    void put_harmless(std::string_view text) {
        if (text.empty() || text == ".." || text == ".") {
            put('!');
            text = text.substr(text.empty() ? 0 : 1);
        }
        for (char c : text) put(c == '/' ? '!' : c);
    }
    void put_specifier(char specifier) {
        switch (specifier) {
        case '%':
            return put('%');
        case 'c':
            return put_number(values_.limit);
        case 'C':
            return put_number(values_.cpu);
        case 'd':
            return put_number(values_.dumpable);
        case 'e':
            return put_harmless(values_.command);
        case 'E':
            return put_harmless(values_.executable);
        case 'f':
            return put_harmless(values_.executable.substr(values_.executable.rfind('/') + 1)); // npos + 1 is 0
        case 'g':
            return put_number(values_.gid);
        case 'h':
            return put_harmless(values_.host);
        case 'i':
        case 'I': // there is one namespace of pids
            return put_number(values_.tid);
        case 'p':
        case 'P':
            if (specifier == 'p') names_pid_ = true;
            return put_number(values_.pid);
        case 's':
            return put_number(values_.signal);
        case 't':
            return put_number(values_.seconds);
        case 'u':
            return put_number(values_.uid);
        default:
            return; // dropped, as core(5) says
        }
    }
    [[nodiscard]] bool names_pid() const { return names_pid_; }
    [[nodiscard]] bool failed() const { return failed_; }

private:
    ArrayList<char>& out_;
    const CoreNames& values_;
    bool names_pid_ = false;
    bool failed_ = false;
};

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

} // namespace

Result<CoreName> make_core_name(std::string_view pattern, const CoreNames& names, AppendPid append_pid) {
    CoreName name;
    name.is_pipe = pattern.starts_with('|');
    if (name.is_pipe) pattern.remove_prefix(1);
    NameBuilder builder(name, names);
    bool in_argument = false;
    for (usize i = 0; i < pattern.size(); ++i) {
        // The arguments of a program are split before their specifiers are filled in.
        if (name.is_pipe && is_blank(pattern[i])) {
            if (std::exchange(in_argument, false)) builder.put('\0');
            continue;
        }
        in_argument = true;
        if (pattern[i] != '%')
            builder.put(pattern[i]);
        else if (++i < pattern.size()) // a single % at the end is dropped
            builder.put_specifier(pattern[i]);
    }
    if (name.is_pipe) {
        if (in_argument) builder.put('\0');
    } else if (append_pid == AppendPid::Yes && !builder.names_pid()) {
        builder.put('.');
        builder.put_number(names.pid);
    }
    if (builder.failed()) return error(Errno::ENOMEM);
    return name;
}

} // namespace linnet::process
