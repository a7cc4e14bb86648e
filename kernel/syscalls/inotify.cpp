// inotify(7).
#include "path_argument.hpp"

#include <abi/linux/inotify.hpp>
#include <process/thread.hpp>
#include <syscalls/poll.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/inotify.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_inotify_init1(Thread& thread, u32 flags) {
    if (flags & ~(abi::IN_CLOEXEC | abi::IN_NONBLOCK)) return error(Errno::EINVAL);
    RefPtr<vfs::File> file = TRY(vfs::create_inotify(flags & abi::IN_NONBLOCK));
    return TRY(thread.own_files().add(std::move(file), vfs::close_on_exec(flags)));
}

Result<long> sys_inotify_init(Thread& thread) { return sys_inotify_init1(thread, 0); }

Result<long> sys_inotify_add_watch(Thread& thread, int fd, mm::UserString path, u32 mask) {
    using namespace abi;
    constexpr u32 known = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR | IN_ONLYDIR |
                          IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ONESHOT;
    if (!(mask & known)) return error(Errno::EINVAL);
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)) return error(Errno::EINVAL);
    TRY(vfs::check_inotify(*file));
    PathArgument argument;
    TRY(argument.get(thread, AT_FDCWD, path));
    u32 flags = vfs::lookup_default;
    if (mask & IN_DONT_FOLLOW) flags |= vfs::lookup_no_follow;
    if (mask & IN_ONLYDIR) flags |= vfs::lookup_directory;
    const vfs::Path place = TRY(argument.lookup(flags));
    TRY(place.inode()->check_permission(vfs::may_read, vfs::current_credentials()));
    return TRY(vfs::add_inotify_watch(*file, place, mask));
}

Result<long> sys_inotify_rm_watch(Thread& thread, int fd, int descriptor) {
    vfs::FileRef file = TRY(thread.own_files().use(fd));
    TRY(vfs::remove_inotify_watch(*file, descriptor));
    return 0;
}

} // namespace linnet::syscalls
