// splice(2), tee(2) and vmsplice(2).
#include "io_vectors.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <process/thread.hpp>
#include <syscalls/poll.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/splice.hpp>

namespace linnet::syscalls {

using process::Thread;
using vfs::Blocking;

namespace {

constexpr u32 known_flags = abi::SPLICE_F_MOVE | abi::SPLICE_F_NONBLOCK | abi::SPLICE_F_MORE | abi::SPLICE_F_GIFT;

Blocking blocking_of(u32 flags, bool refuses) {
    return refuses || (flags & abi::SPLICE_F_NONBLOCK) ? Blocking::Refuse : Blocking::Wait;
}

/// What the other end than the pipe must allow. `offset`: the caller's, if there is one.
Result<void> check_range(const vfs::File& file, std::optional<i64> offset, u64 count) {
    if (offset && !file.is_seekable()) return error(Errno::EINVAL);
    if (static_cast<i64>(count) < 0) return error(Errno::EINVAL);
    i64 end;
    if (offset && (*offset < 0 || __builtin_add_overflow(*offset, static_cast<i64>(count), &end)))
        return error(Errno::EINVAL);
    return {};
}

std::optional<u64> as_position(std::optional<i64> offset) {
    if (!offset) return std::nullopt;
    return static_cast<u64>(*offset);
}

Result<std::optional<i64>> copy_in_offset(OffsetPtr pointer) {
    if (pointer.is_null()) return std::optional<i64>{};
    return std::optional<i64>{TRY(pointer.copy_in())};
}

Result<void> move_offset(OffsetPtr pointer, std::optional<i64> offset, usize count) {
    if (!offset) return {};
    return pointer.copy_out(*offset + static_cast<i64>(count));
}

} // namespace

Result<long> sys_splice(Thread& thread, int in, OffsetPtr in_pointer, int out, OffsetPtr out_pointer, u64 count,
                        u32 flags) {
    if (count == 0) return 0;
    if (flags & ~known_flags) return error(Errno::EINVAL);
    auto from = TRY(thread.own_files().use(in));
    auto to = TRY(thread.own_files().use(out));
    vfs::Pipe* from_pipe = from->as_pipe();
    vfs::Pipe* to_pipe = to->as_pipe();
    if ((from_pipe && !in_pointer.is_null()) || (to_pipe && !out_pointer.is_null())) return error(Errno::ESPIPE);
    const std::optional<i64> in_offset = TRY(copy_in_offset(in_pointer));
    const std::optional<i64> out_offset = TRY(copy_in_offset(out_pointer));
    if (!from->is_readable() || !to->is_writable()) return error(Errno::EBADF);
    const usize most = std::min<u64>(count, abi::MAX_RW_COUNT);
    if (from_pipe && to_pipe) {
        const Blocking blocking = blocking_of(flags, from->is_nonblocking() || to->is_nonblocking());
        return static_cast<long>(
            TRY(vfs::splice_between(*from_pipe, *to_pipe, most, blocking, vfs::Pipe::Taking::Moves)));
    }
    usize moved = 0;
    if (from_pipe) {
        if (to->is_append()) return error(Errno::EINVAL);
        TRY(check_range(*to, out_offset, count));
        moved = TRY(vfs::splice_to_file(*from_pipe, *to, as_position(out_offset), most,
                                        blocking_of(flags, from->is_nonblocking())));
    } else if (to_pipe) {
        TRY(check_range(*from, in_offset, count));
        moved = TRY(vfs::splice_from_file(*from, as_position(in_offset), *to_pipe, most,
                                          blocking_of(flags, to->is_nonblocking())));
    } else {
        return error(Errno::EINVAL);
    }
    TRY(move_offset(in_pointer, in_offset, moved));
    TRY(move_offset(out_pointer, out_offset, moved));
    return static_cast<long>(moved);
}

Result<long> sys_tee(Thread& thread, int in, int out, u64 count, u32 flags) {
    if (flags & ~known_flags) return error(Errno::EINVAL);
    if (count == 0) return 0;
    auto from = TRY(thread.own_files().use(in));
    auto to = TRY(thread.own_files().use(out));
    if (!from->is_readable() || !to->is_writable()) return error(Errno::EBADF);
    vfs::Pipe* from_pipe = from->as_pipe();
    vfs::Pipe* to_pipe = to->as_pipe();
    if (!from_pipe || !to_pipe) return error(Errno::EINVAL);
    const Blocking blocking = blocking_of(flags, from->is_nonblocking() || to->is_nonblocking());
    return static_cast<long>(TRY(vfs::splice_between(*from_pipe, *to_pipe, std::min<u64>(count, abi::MAX_RW_COUNT),
                                                     blocking, vfs::Pipe::Taking::Copies)));
}

Result<long> sys_vmsplice(Thread& thread, int fd, mm::UserPtr<mm::In, abi::iovec> vectors, u64 vector_count,
                          u32 flags) {
    if (flags & ~known_flags) return error(Errno::EINVAL);
    auto file = TRY(thread.own_files().use(fd));
    if (!file->is_readable() && !file->is_writable()) return error(Errno::EBADF);
    IoVectors imported;
    vfs::IoBuffer buffer = TRY(imported.import(vectors, vector_count));
    if (buffer.remaining() == 0) return 0;
    vfs::Pipe* pipe = file->as_pipe();
    if (!pipe) return error(Errno::EBADF);
    // The pipe's own O_NONBLOCK does not count here, as on Linux.
    const Blocking blocking = blocking_of(flags, false);
    const usize moved = file->is_writable() ? TRY(vfs::splice_from_memory(buffer, *pipe, blocking))
                                            : TRY(vfs::splice_to_memory(*pipe, buffer, blocking));
    return static_cast<long>(moved);
}

} // namespace linnet::syscalls
