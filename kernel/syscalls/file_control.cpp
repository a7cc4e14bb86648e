// fcntl(2), flock(2) and record locks.
#include <abi/linux/fs.hpp>
#include <syscalls/file.hpp>
#include <vfs/directory_notices.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/file_locks.hpp>
#include <vfs/file_owner.hpp>
#include <vfs/leases.hpp>
#include <vfs/operations.hpp>

namespace linnet::syscalls {

using process::Thread;
using vfs::FileLocks;

namespace {

using FlockPtr = mm::UserPtr<mm::InOut, abi::flock>;

enum class LockOwner : u8 { Process, OpenFile };

/// The bytes an abi::flock names (fcntl_locking(2)).
Result<FileLocks::Range> range_of(vfs::File& file, const abi::flock& lock) {
    i64 begin;
    switch (static_cast<u32>(lock.l_whence)) {
    case abi::SEEK_SET:
        begin = 0;
        break;
    case abi::SEEK_CUR:
        begin = static_cast<i64>(file.position);
        break;
    case abi::SEEK_END:
        begin = static_cast<i64>(file.inode().size());
        break;
    default:
        return error(Errno::EINVAL);
    }
    if (__builtin_add_overflow(begin, lock.l_start, &begin)) return error(Errno::EOVERFLOW);
    i64 end;
    if (__builtin_add_overflow(begin, lock.l_len, &end)) return error(Errno::EOVERFLOW);
    if (lock.l_len < 0) std::swap(begin, end);
    if (begin < 0) return error(Errno::EINVAL);
    if (lock.l_len == 0) return FileLocks::Range{static_cast<u64>(begin), ~u64{0}};
    return FileLocks::Range{static_cast<u64>(begin), static_cast<u64>(end)};
}

Result<FileLocks::Lock> lock_of(Thread& thread, vfs::File& file, const abi::flock& from, LockOwner owner) {
    FileLocks::Lock lock;
    lock.range = TRY(range_of(file, from));
    if (owner == LockOwner::OpenFile) {
        if (from.l_pid != 0) return error(Errno::EINVAL);
        lock.owner = &file;
        lock.process_id = -1;
    } else {
        lock.owner = &thread.own_files();
        lock.process_id = vfs::current_process_id();
    }
    lock.mode = from.l_type == abi::F_WRLCK ? FileLocks::Mode::Exclusive : FileLocks::Mode::Shared;
    return lock;
}

Result<long> get_lock(Thread& thread, vfs::File& file, FlockPtr pointer, LockOwner owner) {
    abi::flock request = TRY(pointer.copy_in());
    if (request.l_type != abi::F_RDLCK && request.l_type != abi::F_WRLCK) return error(Errno::EINVAL);
    FileLocks::Lock wanted = TRY(lock_of(thread, file, request, owner));
    FileLocks* locks = file.inode().existing_file_locks();
    auto other = locks ? locks->find_conflict(wanted) : std::nullopt;
    if (other) {
        request.l_type = other->mode == FileLocks::Mode::Exclusive ? abi::F_WRLCK : abi::F_RDLCK;
        request.l_whence = abi::SEEK_SET;
        request.l_start = static_cast<i64>(other->range.begin);
        request.l_len = other->range.end == ~u64{0} ? 0 : static_cast<i64>(other->range.end - other->range.begin);
        request.l_pid = other->process_id;
    } else {
        request.l_type = abi::F_UNLCK;
    }
    TRY(pointer.copy_out(request));
    return 0;
}

Result<long> set_lock(Thread& thread, vfs::File& file, FlockPtr pointer, LockOwner owner, FileLocks::Waiting waiting) {
    abi::flock request = TRY(pointer.copy_in());
    FileLocks::Lock lock = TRY(lock_of(thread, file, request, owner));
    FileLocks* locks = TRY(file.inode().file_locks());
    switch (request.l_type) {
    case abi::F_UNLCK:
        TRY(locks->unset(lock.owner, lock.range));
        return 0;
    case abi::F_RDLCK:
        if (!file.is_readable()) return error(Errno::EBADF);
        break;
    case abi::F_WRLCK:
        if (!file.is_writable()) return error(Errno::EBADF);
        break;
    default:
        return error(Errno::EINVAL);
    }
    TRY(locks->set(lock, waiting));
    return 0;
}

Result<long> set_status_flags(vfs::File& file, u32 wanted, int fd) {
    u32 old = file.status_flags();
    if ((wanted & ~old & abi::O_NOATIME) && vfs::current_credentials().fsuid != file.inode().uid() &&
        !vfs::current_credentials().has(vfs::Capability::Fowner))
        return error(Errno::EPERM);
    if (((wanted ^ old) & abi::O_APPEND) && file.inode().is_append_only()) return error(Errno::EPERM);
    u32 fresh = (old & ~abi::O_SETTABLE) | (wanted & abi::O_SETTABLE);
    TRY(file.on_status_flags_changing(fresh));
    if (((fresh ^ old) & abi::O_ASYNC) && file.async_source())
        TRY(vfs::set_async(file, (fresh & abi::O_ASYNC) != 0, fd));
    file.set_status_flags(fresh);
    return 0;
}

Result<long> duplicate(Thread& thread, int fd, u64 minimum, vfs::CloseOnExec close_on_exec) {
    auto file = TRY(thread.own_files().get(fd));
    if (minimum >= vfs::current_open_file_limit() || minimum > 0x7fffffff) return error(Errno::EINVAL);
    return TRY(thread.own_files().add(std::move(file), close_on_exec, static_cast<int>(minimum)));
}

/// F_SETOWN_EX, F_GETOWN_EX.
Result<long> set_owner(vfs::File& file, u64 argument) {
    const abi::f_owner_ex wanted = TRY((mm::UserPtr<mm::In, abi::f_owner_ex>(VirtAddr{argument}).copy_in()));
    using Kind = vfs::FileOwner::Kind;
    if (wanted.type < abi::F_OWNER_TID || wanted.type > abi::F_OWNER_PGRP) return error(Errno::EINVAL);
    constexpr Kind kinds[] = {Kind::Thread, Kind::Process, Kind::Group};
    TRY(vfs::set_file_owner(file, kinds[wanted.type], wanted.pid));
    return 0;
}
Result<long> get_owner(vfs::File& file, u64 argument) {
    const vfs::FileOwnerNumber owner = vfs::file_owner_number(file);
    using Kind = vfs::FileOwner::Kind;
    const i32 type = owner.kind == Kind::Thread    ? abi::F_OWNER_TID
                     : owner.kind == Kind::Process ? abi::F_OWNER_PID
                                                   : abi::F_OWNER_PGRP;
    TRY((mm::UserPtr<mm::Out, abi::f_owner_ex>(VirtAddr{argument}).copy_out({type, owner.number})));
    return 0;
}

/// Who is told of events by which signal (fcntl(2), "Managing signals"); nullopt: another command.
Result<std::optional<long>> control_owner(vfs::File& file, u32 command, u64 argument) {
    switch (command) {
    case abi::F_SETOWN:
        TRY(vfs::set_file_owner(file, static_cast<i32>(argument)));
        return 0;
    case abi::F_GETOWN:
        return vfs::file_owner_number(file).as_one();
    case abi::F_SETOWN_EX:
        return TRY(set_owner(file, argument));
    case abi::F_GETOWN_EX:
        return TRY(get_owner(file, argument));
    case abi::F_GETOWNER_UIDS: {
        const vfs::FileOwnerNumber owner = vfs::file_owner_number(file);
        const u32 ids[] = {owner.uid, owner.euid};
        TRY((mm::UserPtr<mm::Out, u32>(VirtAddr{argument}).copy_out(std::span<const u32>(ids))));
        return 0;
    }
    case abi::F_SETSIG:
        if (argument > abi::signal_count) return error(Errno::EINVAL);
        TRY(vfs::set_file_signal(file, static_cast<int>(argument)));
        return 0;
    case abi::F_GETSIG:
        return vfs::file_signal(file);
    default:
        return std::nullopt;
    }
}

Result<long> set_lease(vfs::File& file, u64 type, int fd) {
    using Kind = vfs::Leases::Kind;
    const vfs::Credentials& who = vfs::current_credentials();
    if (who.fsuid != file.inode().uid() && !who.has(vfs::Capability::Lease)) return error(Errno::EACCES);
    if (!file.inode().is_regular() || !vfs::Leases::is_enabled.load(std::memory_order_relaxed))
        return error(Errno::EINVAL);
    Kind kind;
    switch (static_cast<i32>(type)) {
    case abi::F_RDLCK:
        kind = Kind::Read;
        break;
    case abi::F_WRLCK:
        kind = Kind::Write;
        break;
    case abi::F_UNLCK:
        kind = Kind::None;
        break;
    default:
        return error(Errno::EINVAL);
    }
    TRY(TRY(file.inode().leases())->set(file, kind, fd));
    return 0;
}

long get_lease(vfs::File& file) {
    using Kind = vfs::Leases::Kind;
    vfs::Leases* leases = file.inode().existing_leases();
    switch (leases ? leases->kind_of(file) : Kind::None) {
    case Kind::Read:
        return abi::F_RDLCK;
    case Kind::Write:
        return abi::F_WRLCK;
    case Kind::None:
        break;
    }
    return abi::F_UNLCK;
}

/// F_GET_RW_HINT, F_SET_RW_HINT: how long what is written will live, which nothing here makes use of.
Result<long> exchange_write_hint(vfs::File& file, u64 argument, bool sets) {
    constexpr u64 longest_lived = 5; // RWH_WRITE_LIFE_EXTREME
    if (!sets) {
        TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{argument}).copy_out(file.inode().write_hint.load())));
        return 0;
    }
    const u64 hint = TRY((mm::UserPtr<mm::In, u64>(VirtAddr{argument}).copy_in()));
    if (hint > longest_lived) return error(Errno::EINVAL);
    file.inode().write_hint = static_cast<u8>(hint);
    return 0;
}

/// Commands on the file, which O_PATH files refuse.
Result<long> control_file(Thread& thread, int fd, u32 command, u64 argument) {
    auto file = TRY(thread.own_files().use(fd));
    FlockPtr lock(VirtAddr{argument});
    using Waiting = FileLocks::Waiting;
    switch (command) {
    case abi::F_SETFL:
        return set_status_flags(*file, static_cast<u32>(argument), fd);
    case abi::F_SETLEASE:
        return set_lease(*file, argument, fd);
    case abi::F_GETLEASE:
        return get_lease(*file);
    case abi::F_GET_RW_HINT:
    case abi::F_SET_RW_HINT:
        return exchange_write_hint(*file, argument, command == abi::F_SET_RW_HINT);
    case abi::F_NOTIFY:
        TRY(vfs::notify_of_directory(*file, thread.own_files(), static_cast<u32>(argument), fd));
        return 0;
    case abi::F_GETLK:
        return get_lock(thread, *file, lock, LockOwner::Process);
    case abi::F_SETLK:
        return set_lock(thread, *file, lock, LockOwner::Process, Waiting::Refuse);
    case abi::F_SETLKW:
        return set_lock(thread, *file, lock, LockOwner::Process, Waiting::WaitCheckDeadlock);
    case abi::F_OFD_GETLK:
        return get_lock(thread, *file, lock, LockOwner::OpenFile);
    case abi::F_OFD_SETLK:
        return set_lock(thread, *file, lock, LockOwner::OpenFile, Waiting::Refuse);
    case abi::F_OFD_SETLKW:
        return set_lock(thread, *file, lock, LockOwner::OpenFile, Waiting::Wait);
    default:
        if (std::optional<long> result = TRY(control_owner(*file, command, argument))) return *result;
        return file->fcntl(command, argument);
    }
}

} // namespace

Result<long> sys_fcntl(Thread& thread, int fd, u32 command, u64 argument) {
    vfs::FdTable& files = thread.own_files();
    switch (command) {
    case abi::F_DUPFD:
        return duplicate(thread, fd, argument, vfs::CloseOnExec::No);
    case abi::F_DUPFD_CLOEXEC:
        return duplicate(thread, fd, argument, vfs::CloseOnExec::Yes);
    case abi::F_GETFD:
        return TRY(files.get_close_on_exec(fd)) == vfs::CloseOnExec::Yes ? abi::FD_CLOEXEC : 0;
    case abi::F_SETFD:
        TRY(files.set_close_on_exec(fd, argument & abi::FD_CLOEXEC ? vfs::CloseOnExec::Yes : vfs::CloseOnExec::No));
        return 0;
    case abi::F_GETFL:
        return TRY(files.use_any(fd))->status_flags();
    case abi::F_DUPFD_QUERY: {
        auto file = TRY(files.use_any(fd));
        auto other = TRY(files.use_any(static_cast<int>(argument)));
        return &*file == &*other;
    }
    default:
        return control_file(thread, fd, command, argument);
    }
}

Result<long> sys_flock(Thread& thread, int fd, u32 operation) {
    auto file = TRY(thread.own_files().use(fd));
    u32 kind = operation & ~abi::LOCK_NB;
    if (kind == abi::LOCK_UN) {
        if (FileLocks* locks = file->inode().existing_file_locks()) locks->unset_whole(&*file);
        return 0;
    }
    if (kind != abi::LOCK_SH && kind != abi::LOCK_EX) return error(Errno::EINVAL);
    FileLocks* locks = TRY(file->inode().file_locks());
    TRY(locks->set_whole(&*file, vfs::current_process_id(),
                         kind == abi::LOCK_EX ? FileLocks::Mode::Exclusive : FileLocks::Mode::Shared,
                         operation & abi::LOCK_NB ? FileLocks::Waiting::Refuse : FileLocks::Waiting::Wait));
    return 0;
}

} // namespace linnet::syscalls
