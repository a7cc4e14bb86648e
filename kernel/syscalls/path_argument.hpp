// Arguments that name a file: a directory descriptor and a path string, as every *at call takes them.
#pragma once

#include <mm/usercopy.hpp>
#include <process/thread.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/lookup.hpp>

namespace linnet::syscalls {

/// A path copied from user memory. Short ones stay on the stack.
class UserPath {
public:
    UserPath() = default;
    UserPath(const UserPath&) = delete;
    /// ENAMETOOLONG, EFAULT.
    Result<void> copy_in(mm::UserString from);
    [[nodiscard]] std::string_view text() const { return text_; }

private:
    static constexpr usize inline_size = 192;
    std::string_view text_;
    OwnPtr<char[]> large_;
    char small_[inline_size];
};

/// A path and where it begins.
class PathArgument {
public:
    PathArgument() = default;
    PathArgument(const PathArgument&) = delete;
    /// Whether the descriptor counts for absolute paths too (openat2's RESOLVE_IN_ROOT).
    enum class Directory : u8 { ForRelativePaths, Always };
    /// Copies the path and resolves the descriptor, where it counts. EBADF; ENOTDIR for a file without a
    /// place.
    Result<void> get(process::Thread& thread, int directory_fd, mm::UserString path,
                     Directory directory = Directory::ForRelativePaths);
    [[nodiscard]] std::string_view text() const { return path_.text(); }
    [[nodiscard]] vfs::LookupStart start() const { return start_.is_empty() ? nullptr : &start_; }
    Result<vfs::Path> lookup(u32 flags = vfs::lookup_default) const { return vfs::lookup(start(), text(), flags); }

private:
    UserPath path_;
    vfs::Path start_;
};

/// AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH as lookup flags; EINVAL for any flag outside `known`.
Result<u32> lookup_flags_of(u32 at_flags, u32 known);

/// Whether a path is "" or null and AT_EMPTY_PATH says that it stands for the descriptor itself, whatever that has
/// open. EFAULT.
Result<bool> names_descriptor(int directory_fd, mm::UserString path, u32 at_flags);

/// What calls of AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH alone name: by the path, or what the descriptor has open, which
/// may be without a place (an empty Path). EINVAL: other flags; EBADF: O_PATH, too; errors of lookups.
Result<vfs::Path> named_object(process::Thread& thread, int directory_fd, mm::UserString path, u32 at_flags);

} // namespace linnet::syscalls
