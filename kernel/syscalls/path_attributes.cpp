// Permissions, owners and times by name or descriptor.
#include "path_argument.hpp"

#include <abi/linux/fs.hpp>
#include <syscalls/path.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

/// access(2) asks for the real user: the credentials as they would be if the effective ids were the real
/// ones. Null: the present ones are just that.
Result<NullableRefPtr<const vfs::Credentials>> real_credentials() {
    const vfs::Credentials& now = vfs::current_credentials();
    bool same_ids = now.fsuid == now.uid && now.fsgid == now.gid;
    vfs::CapabilitySet wanted = now.uid == 0 ? now.permitted : vfs::CapabilitySet{};
    constexpr u32 no_setuid_fixup = 1u << 2; // SECBIT_NO_SETUID_FIXUP
    if (now.securebits & no_setuid_fixup) wanted = now.effective;
    if (same_ids && wanted == now.effective) return NullableRefPtr<const vfs::Credentials>{};
    RefPtr<vfs::Credentials> real = TRY(vfs::Credentials::copy(now));
    real->fsuid = now.uid;
    real->fsgid = now.gid;
    real->effective = wanted;
    return NullableRefPtr<const vfs::Credentials>(std::move(real));
}

} // namespace

Result<long> sys_faccessat2(Thread& thread, int directory, UserString path, u32 mode, u32 flags) {
    if (mode & ~(abi::R_OK | abi::W_OK | abi::X_OK)) return error(Errno::EINVAL);
    u32 lookup_flags = TRY(lookup_flags_of(flags, abi::AT_EACCESS | abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH));
    NullableRefPtr<const vfs::Credentials> real;
    if (!(flags & abi::AT_EACCESS)) real = TRY(real_credentials());
    const vfs::Credentials& who = real ? *real : vfs::current_credentials();
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    vfs::Path found = TRY(vfs::lookup(argument.start(), argument.text(), lookup_flags, who));
    if (mode) TRY(vfs::check_access(found, mode, who));
    return 0;
}
Result<long> sys_faccessat(Thread& thread, int directory, UserString path, u32 mode) {
    return sys_faccessat2(thread, directory, path, mode, 0);
}
Result<long> sys_access(Thread& thread, UserString path, u32 mode) {
    return sys_faccessat2(thread, abi::AT_FDCWD, path, mode, 0);
}

Result<long> sys_fchmodat2(Thread& thread, int directory, UserString path, u32 mode, u32 flags) {
    u32 lookup_flags = TRY(lookup_flags_of(flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH));
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    TRY(vfs::change_mode(TRY(argument.lookup(lookup_flags)), mode));
    return 0;
}
Result<long> sys_fchmodat(Thread& thread, int directory, UserString path, u32 mode) {
    return sys_fchmodat2(thread, directory, path, mode, 0);
}
Result<long> sys_chmod(Thread& thread, UserString path, u32 mode) {
    return sys_fchmodat2(thread, abi::AT_FDCWD, path, mode, 0);
}

namespace {

/// What fchmod and fchown act on: the file's place, or for anonymous files a path that is only an inode.
template <typename Change>
Result<long> change_open_file(Thread& thread, int fd, Change change) {
    auto file = TRY(thread.own_files().use(fd));
    if (!file->path().is_empty()) {
        TRY(change(file->path()));
        return 0;
    }
    auto dentry = TRY(vfs::Dentry::create_root(file->inode().superblock(), RefPtr<vfs::Inode>(file->inode())));
    vfs::Path path;
    path.dentry = std::move(dentry);
    TRY(change(path));
    return 0;
}

std::optional<u32> id_or_none(u32 id) { return id == ~0u ? std::nullopt : std::optional<u32>(id); }

} // namespace

Result<long> sys_fchmod(Thread& thread, int fd, u32 mode) {
    return change_open_file(thread, fd, [&](const vfs::Path& path) { return vfs::change_mode(path, mode); });
}
Result<long> sys_fchown(Thread& thread, int fd, u32 uid, u32 gid) {
    return change_open_file(
        thread, fd, [&](const vfs::Path& path) { return vfs::change_owner(path, id_or_none(uid), id_or_none(gid)); });
}

Result<long> sys_fchownat(Thread& thread, int directory, UserString path, u32 uid, u32 gid, u32 flags) {
    u32 lookup_flags = TRY(lookup_flags_of(flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH));
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    TRY(vfs::change_owner(TRY(argument.lookup(lookup_flags)), id_or_none(uid), id_or_none(gid)));
    return 0;
}
Result<long> sys_chown(Thread& thread, UserString path, u32 uid, u32 gid) {
    return sys_fchownat(thread, abi::AT_FDCWD, path, uid, gid, 0);
}
Result<long> sys_lchown(Thread& thread, UserString path, u32 uid, u32 gid) {
    return sys_fchownat(thread, abi::AT_FDCWD, path, uid, gid, abi::AT_SYMLINK_NOFOLLOW);
}

namespace {

using Kind = vfs::TimeChange::Kind;

struct Times {
    vfs::TimeChange access, modify;
};

Result<vfs::TimeChange> time_change_of(const abi::timespec& time) {
    if (time.tv_nsec == abi::UTIME_NOW) return vfs::TimeChange{Kind::Now, {}};
    if (time.tv_nsec == abi::UTIME_OMIT) return vfs::TimeChange{Kind::Omit, {}};
    if (time.tv_nsec < 0 || time.tv_nsec >= 1'000'000'000) return error(Errno::EINVAL);
    return vfs::TimeChange{Kind::Set, {time.tv_sec, static_cast<u32>(time.tv_nsec)}};
}

Result<Times> copy_in_times(TimespecsIn pointer) {
    if (pointer.is_null()) return Times{};
    abi::timespec times[2];
    TRY(pointer.copy_in(std::span<abi::timespec>(times)));
    return Times{TRY(time_change_of(times[0])), TRY(time_change_of(times[1]))};
}

Result<Times> copy_in_times(TimevalsIn pointer) {
    if (pointer.is_null()) return Times{};
    abi::timeval times[2];
    TRY(pointer.copy_in(std::span<abi::timeval>(times)));
    for (const abi::timeval& time : times)
        if (time.tv_usec < 0 || time.tv_usec >= 1'000'000) return error(Errno::EINVAL);
    auto change = [](const abi::timeval& time) {
        return vfs::TimeChange{Kind::Set, {time.tv_sec, static_cast<u32>(time.tv_usec * 1000)}};
    };
    return Times{change(times[0]), change(times[1])};
}

Result<long> set_times(Thread& thread, int directory, UserString path, const Times& times, u32 lookup_flags) {
    // Without a path the descriptor itself is meant: futimens(3).
    if (path.is_null() && directory != abi::AT_FDCWD)
        return change_open_file(thread, directory, [&](const vfs::Path& place) {
            return vfs::change_times(place, times.access, times.modify);
        });
    PathArgument argument;
    TRY(argument.get(thread, directory, path));
    TRY(vfs::change_times(TRY(argument.lookup(lookup_flags)), times.access, times.modify));
    return 0;
}

} // namespace

Result<long> sys_utimensat(Thread& thread, int directory, UserString path, TimespecsIn times, u32 flags) {
    u32 lookup_flags = TRY(lookup_flags_of(flags, abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH));
    if (path.is_null() && flags) return error(Errno::EINVAL);
    return set_times(thread, directory, path, TRY(copy_in_times(times)), lookup_flags);
}
Result<long> sys_futimesat(Thread& thread, int directory, UserString path, TimevalsIn times) {
    return set_times(thread, directory, path, TRY(copy_in_times(times)), vfs::lookup_default);
}
Result<long> sys_utimes(Thread& thread, UserString path, TimevalsIn times) {
    return sys_futimesat(thread, abi::AT_FDCWD, path, times);
}
Result<long> sys_utime(Thread& thread, UserString path, mm::UserPtr<mm::In, i64> pointer) {
    Times times;
    if (!pointer.is_null()) {
        i64 seconds[2];
        TRY(pointer.copy_in(std::span<i64>(seconds)));
        times = {{Kind::Set, {seconds[0], 0}}, {Kind::Set, {seconds[1], 0}}};
    }
    return set_times(thread, abi::AT_FDCWD, path, times, vfs::lookup_default);
}

} // namespace linnet::syscalls
