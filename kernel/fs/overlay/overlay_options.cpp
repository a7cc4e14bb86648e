// Parsing and showing options.
#include "overlay_options.hpp"

namespace linnet::overlay {

namespace {

using Text = OverlayOptions::Text;

std::string_view view(const Text& text) { return {text.begin(), text.size()}; }

Result<Text> copy_of(std::string_view from) {
    Text copy;
    TRY(copy.try_reserve(from.size()));
    for (const char c : from) TRY(copy.try_push(c));
    return copy;
}

/// The length of what comes before the next `separator` without a backslash.
usize length_up_to(std::string_view text, char separator) {
    for (usize i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size())
            ++i;
        else if (text[i] == separator)
            return i;
    }
    return text.size();
}

Result<Text> without_escapes(std::string_view text) {
    Text result;
    TRY(result.try_reserve(text.size()));
    for (usize i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) ++i;
        TRY(result.try_push(text[i]));
    }
    return result;
}

/// What would end the option, or its line in /proc/mounts, goes in octal.
void put_value(TextSink sink, std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<u8>(c);
        const char octal[] = {'\\', static_cast<char>('0' + (byte >> 6)), static_cast<char>('0' + (byte >> 3 & 7)),
                              static_cast<char>('0' + (byte & 7))};
        if (std::string_view(", \t\n\\").contains(c))
            sink({octal, sizeof octal});
        else
            sink({&c, 1});
    }
}

} // namespace

Result<Text> next_path(std::string_view& list) {
    const usize length = length_up_to(list, ':');
    if (length == 0) return error(Errno::EINVAL);
    Text path = TRY(without_escapes(list.substr(0, length)));
    const bool is_last = length == list.size();
    list = is_last ? std::string_view{} : list.substr(length + 1);
    if (!is_last && list.empty()) return error(Errno::EINVAL); // a colon at the end
    return path;
}

Result<Text> plain_path(std::string_view text) { return without_escapes(text); }

Result<void> OverlayOptions::parse(std::string_view text) {
    while (!text.empty()) {
        const usize length = length_up_to(text, ',');
        const std::string_view word = text.substr(0, length);
        text = length == text.size() ? std::string_view{} : text.substr(length + 1);
        if (!word.empty()) TRY(parse_word(word));
    }
    return check();
}

Result<void> OverlayOptions::parse_word(std::string_view word) {
    const usize equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
    if (key == "lowerdir" || key == "upperdir" || key == "workdir") {
        if (value.empty()) return error(Errno::EINVAL);
        Text& place = key == "lowerdir" ? lower : key == "upperdir" ? upper : work;
        place = TRY(copy_of(value));
        return {};
    }
    if (key == "redirect_dir") {
        // "off" makes none; those of others are followed, as in a Linux with REDIRECT_ALWAYS_FOLLOW, the default.
        if (value == "on")
            redirects = Redirects::Make;
        else if (value == "follow" || value == "off")
            redirects = Redirects::Follow;
        else if (value == "nofollow")
            redirects = Redirects::Refuse;
        else
            return error(Errno::EINVAL);
        redirects_given = true;
        return {};
    }
    if (key == "uuid") {
        if (value == "on")
            uuid = UuidMode::On;
        else if (value == "off")
            uuid = UuidMode::Off;
        else if (value == "null")
            uuid = UuidMode::Null;
        else if (value == "auto")
            uuid = UuidMode::Automatic;
        else
            return error(Errno::EINVAL);
        return {};
    }
    if (key == "xino" && (value == "on" || value == "auto" || value == "off")) {
        wide_numbers = value != "off";
        wide_numbers_given = value == "on";
        return {};
    }
    if (word == "userxattr") {
        user_marks = true;
    } else if (word == "volatile" || word == "fsync=volatile") {
        is_volatile = true;
    } else if (word == "default_permissions") {
        default_permissions = true;
    } else if (word == "index=off" || word == "metacopy=off" || word == "nfs_export=off" || word == "verity=off" ||
               word == "fsync=auto") {
        // What is the case anyway.
    } else {
        return error(Errno::EINVAL);
    }
    return {};
}

/// What goes together, and what follows from what.
Result<void> OverlayOptions::check() {
    if (lower.is_empty()) return error(Errno::EINVAL);
    if (!upper.is_empty() && work.is_empty()) return error(Errno::EINVAL);
    if (upper.is_empty()) {
        work = {};
        is_volatile = false;
        // Nothing can be renamed, so that following is all there is; Linux shows it as "on".
        if (redirects == Redirects::Follow) redirects = Redirects::Make;
    }
    if (user_marks) {
        // Whoever owns a file could write such a note, and show what he may not see.
        if (redirects_given && redirects != Redirects::Refuse) return error(Errno::EINVAL);
        redirects = Redirects::Refuse;
    }
    return {};
}

void OverlayOptions::show(TextSink sink) const {
    sink(",lowerdir=");
    put_value(sink, view(lower));
    if (!upper.is_empty()) {
        sink(",upperdir=");
        put_value(sink, view(upper));
        sink(",workdir=");
        put_value(sink, view(work));
    }
    if (default_permissions) sink(",default_permissions");
    if (redirects == Redirects::Make) sink(",redirect_dir=on");
    if (redirects == Redirects::Refuse) sink(",redirect_dir=nofollow");
    if (uuid == UuidMode::On) sink(",uuid=on");
    if (uuid == UuidMode::Off) sink(",uuid=off");
    if (uuid == UuidMode::Null) sink(",uuid=null");
    if (wide_numbers) sink(wide_numbers_given ? ",xino=on" : ",xino=auto");
    if (is_volatile) sink(",volatile");
    if (user_marks) sink(",userxattr");
}

} // namespace linnet::overlay
