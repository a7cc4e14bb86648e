// pipe(2), eventfd(2) and signalfd(2).
#include <process/signalfd.hpp>
#include <process/thread.hpp>
#include <syscalls/poll.hpp>
#include <vfs/eventfd.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/pipe.hpp>

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_pipe2(Thread& thread, mm::UserPtr<mm::Out, i32> fds, u32 flags) {
    if (flags & ~(abi::O_CLOEXEC | abi::O_NONBLOCK | abi::O_DIRECT)) return error(Errno::EINVAL);
    vfs::PipeEnds ends = TRY(vfs::create_pipe(flags));
    vfs::FdReservation reader = TRY(vfs::FdReservation::create(thread.own_files()));
    vfs::FdReservation writer = TRY(vfs::FdReservation::create(thread.own_files()));
    const i32 numbers[2] = {reader.number(), writer.number()};
    TRY(fds.copy_out(std::span<const i32>(numbers)));
    reader.install(std::move(ends.reader), vfs::close_on_exec(flags));
    writer.install(std::move(ends.writer), vfs::close_on_exec(flags));
    return 0;
}

Result<long> sys_pipe(Thread& thread, mm::UserPtr<mm::Out, i32> fds) { return sys_pipe2(thread, fds, 0); }

Result<long> sys_eventfd2(Thread& thread, u32 initial, u32 flags) {
    constexpr u32 known = abi::EFD_SEMAPHORE | abi::EFD_CLOEXEC | abi::EFD_NONBLOCK;
    if (flags & ~known) return error(Errno::EINVAL);
    const auto mode = (flags & abi::EFD_SEMAPHORE) ? vfs::EventFdMode::Semaphore : vfs::EventFdMode::Counter;
    RefPtr<vfs::File> file = TRY(vfs::create_eventfd(initial, mode, flags & abi::O_NONBLOCK));
    return TRY(thread.own_files().add(std::move(file), vfs::close_on_exec(flags)));
}

Result<long> sys_signalfd4(Thread& thread, int fd, SigSetIn mask, u64 set_size, u32 flags) {
    if (flags & ~(abi::O_CLOEXEC | abi::O_NONBLOCK)) return error(Errno::EINVAL);
    if (set_size != sizeof(SigSet)) return error(Errno::EINVAL);
    const SigSet set = TRY(mask.copy_in());
    if (fd != -1) {
        vfs::FileRef file = TRY(thread.own_files().use(fd));
        TRY(process::set_signalfd_mask(*file, set));
        return fd;
    }
    RefPtr<vfs::File> file = TRY(process::create_signalfd(set, flags & abi::O_NONBLOCK));
    return TRY(thread.own_files().add(std::move(file), vfs::close_on_exec(flags)));
}

Result<long> sys_signalfd(Thread& thread, int fd, SigSetIn mask, u64 set_size) {
    return sys_signalfd4(thread, fd, mask, set_size, 0);
}

Result<long> sys_eventfd(Thread& thread, u32 initial) { return sys_eventfd2(thread, initial, 0); }

} // namespace linnet::syscalls
