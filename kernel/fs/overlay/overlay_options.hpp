// The options of a mount (Linux's Documentation/filesystems/overlayfs).
#pragma once

#include <lib/array_list.hpp>
#include <lib/format.hpp>
#include <lib/result.hpp>
#include <string_view>

namespace linnet::overlay {

/// What is done about directories that were renamed, whose lower part still has its old name.
enum class Redirects : u8 {
    Refuse, // found ones are refused
    Follow, // found ones are followed, and none are made
    Make,
};

/// How the identity of the file system (f_fsid) comes about.
enum class UuidMode : u8 { Automatic, On, Null, Off };

struct OverlayOptions {
    using Text = ArrayList<char>;

    Text lower; // as given, escapes and all
    Text upper; // empty: nothing can be written
    Text work;
    Redirects redirects = Redirects::Follow;
    bool redirects_given = false;
    bool user_marks = false; // notes are kept as user.overlay.*
    bool is_volatile = false;
    bool wide_numbers = false;       // xino=on or auto …
    bool wide_numbers_given = false; // … and the former
    bool default_permissions = false;
    UuidMode uuid = UuidMode::Automatic;

    /// EINVAL for an unknown word, for what contradicts itself and for what isn't there; ENOMEM.
    Result<void> parse(std::string_view text);
    /// As /proc/mounts has it.
    void show(TextSink sink) const;

private:
    Result<void> parse_word(std::string_view word);
    Result<void> check();
};

/// Splits the next path off a list with colons between, without the backslashes before what they escape. EINVAL for an
/// empty one.
Result<OverlayOptions::Text> next_path(std::string_view& list);
/// A single path, which may have colons.
Result<OverlayOptions::Text> plain_path(std::string_view text);

} // namespace linnet::overlay
