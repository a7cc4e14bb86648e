// kcmp(2): whether two tasks share a part, in an order of the parts that tells nothing of where they lie.
#include <abi/linux/kcmp.hpp>
#include <core/random.hpp>
#include <mm/address_space.hpp>
#include <process/access.hpp>
#include <process/process.hpp>
#include <syscalls/process.hpp>
#include <vfs/epoll.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

/// A random odd number, chosen at its first use.
class Secret {
public:
    u64 get() {
        u64 value = value_.load(std::memory_order_relaxed);
        if (value != 0) return value;
        const u64 fresh = core::random_u64() | 1;
        return value_.compare_exchange_strong(value, fresh, std::memory_order_relaxed) ? fresh : value;
    }

private:
    std::atomic<u64> value_{0};
};
constinit Secret mask, factor;

/// Addresses are compared as numbers that one-to-one stand for them, other ones at each boot.
u64 disguise(const void* part) { return (reinterpret_cast<uintptr_t>(part) ^ mask.get()) * factor.get(); }

long compare(const void* first, const void* second) {
    if (first == second) return 0;
    return disguise(first) < disguise(second) ? 1 : 2;
}

const void* actions_of(Thread& thread) {
    core::InterruptSpinGuard guard(thread.process().signal_lock);
    return thread.process().actions.get();
}

Result<RefPtr<vfs::File>> file_of(Thread& thread, u64 fd) {
    NullableRefPtr<vfs::FdTable> files = thread.files();
    if (!files || fd > 0x7fff'ffff) return error(Errno::EBADF);
    return files->get(static_cast<int>(fd));
}

/// A file against one that an epoll instance watches: the `toff`-th with that descriptor.
Result<long> compare_watched(Thread& first, Thread& second, u64 fd, VirtAddr slot) {
    const abi::kcmp_epoll_slot wanted = TRY((mm::UserPtr<mm::In, abi::kcmp_epoll_slot>(slot).copy_in()));
    RefPtr<vfs::File> file = TRY(file_of(first, fd));
    RefPtr<vfs::File> instance = TRY(file_of(second, wanted.efd));
    vfs::EpollFile* epoll = instance->as_epoll();
    if (!epoll) return error(Errno::EINVAL);
    const vfs::File* watched = epoll->find_watched(static_cast<int>(wanted.tfd), wanted.toff);
    if (!watched) return error(Errno::ENOENT);
    return compare(file.get(), watched);
}

} // namespace

Result<long> sys_kcmp(Thread& thread, process::Pid first_pid, process::Pid second_pid, i32 type, u64 first_index,
                      u64 second_index) {
    NullableRefPtr<Thread> first = process::find_thread(first_pid), second = process::find_thread(second_pid);
    if (!first || !second) return error(Errno::ESRCH);
    for (Thread* task : {first.get(), second.get()})
        if (!process::may_access(thread, *task, process::AccessBy::RealIds)) return error(Errno::EPERM);
    switch (type) {
    case abi::KCMP_FILE: {
        RefPtr<vfs::File> file = TRY(file_of(*first, first_index));
        return compare(file.get(), TRY(file_of(*second, second_index)).get());
    }
    case abi::KCMP_VM:
        return compare(first->address_space().get(), second->address_space().get());
    case abi::KCMP_FILES:
        return compare(first->files().get(), second->files().get());
    case abi::KCMP_FS:
        return compare(first->fs().get(), second->fs().get());
    case abi::KCMP_SIGHAND:
        return compare(actions_of(*first), actions_of(*second));
    case abi::KCMP_SYSVSEM:
        return compare(first->semaphore_undo_identity(), second->semaphore_undo_identity());
    case abi::KCMP_IO:
        return 0; // nobody has any, as on Linux before the first use
    case abi::KCMP_EPOLL_TFD:
        return compare_watched(*first, *second, first_index, {second_index});
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
