// The file system calls as the kernel itself can make them: names in, Results out. syscalls/ copies arguments and calls
// these; init, exec and drivers do too.
#pragma once

#include <vfs/file.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/lookup.hpp>

namespace linnet::vfs {

struct OpenRequest {
    LookupStart start = nullptr; // null: the working directory
    std::string_view path;
    u32 flags = 0;        // O_*, checked by the caller for unknown bits
    u32 mode = 0;         // of a new file, before umask
    u32 lookup_flags = 0; // lookup_beneath … from RESOLVE_*
};
Result<RefPtr<File>> open(const OpenRequest& request, const Credentials& who = current_credentials());
/// From the current working directory.
inline Result<RefPtr<File>> open(std::string_view path, u32 flags, u32 mode = 0) {
    return open(OpenRequest{nullptr, path, flags, mode, 0});
}
/// Opens what is already looked up (exec, /proc/PID/fd). Checks permissions, not the mount's noexec.
Result<RefPtr<File>> open_path(const Path& path, u32 flags, const Credentials& who = current_credentials());
/// For execve: a regular file on an exec mount with execute permission, opened for reading. The caller calls
/// inode().deny_write_access() for as long as it runs. EACCES.
Result<RefPtr<File>> open_executable(LookupStart start, std::string_view path, u32 lookup_flags = 0);

/// Where an open file lies in the tree. One without a place (a pipe, a memfd file) gets one for this walk: a mount that
/// nobody else sees, of the inode alone.
Result<Path> place_of(File& file);

/// Reads the whole file, at most `limit` bytes (EFBIG).
Result<ArrayList<u8>> read_file(std::string_view path, usize limit);

Result<void> make_directory(LookupStart start, std::string_view path, u32 mode);
/// mknod(2): regular files, devices, FIFOs, sockets, by the type in `mode`.
Result<void> make_node(LookupStart start, std::string_view path, u32 mode, DeviceNumber device);
Result<void> make_symlink(std::string_view target, LookupStart start, std::string_view path);
Result<void> link(const Path& existing, LookupStart start, std::string_view path);
Result<void> unlink(LookupStart start, std::string_view path);
Result<void> remove_directory(LookupStart start, std::string_view path);
Result<void> rename(LookupStart old_start, std::string_view old_path, LookupStart new_start, std::string_view new_path,
                    u32 flags);

/// Creates a name and returns its place: for a bound Unix socket, for initramfs.
Result<Path> create_at(LookupStart start, std::string_view path, u32 mode, DeviceNumber device);

/// MAY bits with the mount's flags (read-only, noexec) and the inode's permission.
Result<void> check_access(const Path& path, u32 mask, const Credentials& who);
/// chmod, chown, utimensat, with their rules on who may. The mount must be writable.
Result<void> change_mode(const Path& path, u32 mode);
/// Sets an inode's flags to what `choose` makes of those it has. ENOTTY: its file system keeps none; EROFS; EPERM: the
/// caller isn't the owner, or without CAP_LINUX_IMMUTABLE would change those that it takes; EOPNOTSUPP: not there.
Result<void> change_flags(const Path& path, FunctionRef<Result<u32>(u32 old)> choose);
Result<void> change_owner(const Path& path, std::optional<u32> uid, std::optional<u32> gid);
struct TimeChange {
    enum class Kind : u8 { Omit, Now, Set } kind = Kind::Now;
    Timestamp time{};
};
Result<void> change_times(const Path& path, TimeChange access, TimeChange modify);
/// Sets the access time of what was read through `path`, by the rules of the mount (noatime, relatime …).
void note_access(const Path& path);
/// truncate(2): permission to write is checked.
Result<void> truncate(const Path& path, u64 size);

/// mount(2) without copying; `place` is looked up.
Result<void> mount(std::string_view source, const Path& place, std::string_view type, u64 flags,
                   std::string_view options);

/// Boot: registers the internal file systems, makes the dentry cache, mounts a fresh tmpfs (which fs registers) as
/// root. After it initial_fs() works.
Result<void> initialise();
Result<void> mount_root(std::string_view type);
/// The context that PID 1 begins with.
RefPtr<FsContext> initial_fs();

} // namespace linnet::vfs
