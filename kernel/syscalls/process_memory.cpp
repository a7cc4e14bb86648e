// Memory of other processes: process_vm_readv(2) and its twin, process_madvise(2), process_mrelease(2).
#include <core/sched.hpp>
#include <lib/array_list.hpp>
#include <mm/address_space.hpp>
#include <process/access.hpp>
#include <process/pidfd.hpp>
#include <syscalls/memory.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

using process::Process;
using process::Thread;

namespace {

constexpr u64 most_vectors = 1024; // IOV_MAX

/// A walk over the ranges of an iovec array.
struct VectorCursor {
    std::span<const abi::iovec> vectors;
    u64 offset = 0;

    void skip_empty() {
        while (!vectors.empty() && offset == vectors.front().iov_len) {
            vectors = vectors.subspan(1);
            offset = 0;
        }
    }
    [[nodiscard]] bool at_end() const { return vectors.empty(); }
    [[nodiscard]] VirtAddr address() const { return {vectors.front().iov_base + offset}; }
    [[nodiscard]] u64 left() const { return vectors.front().iov_len - offset; }
};

Result<void> copy_vectors(ArrayList<abi::iovec>& to, mm::UserPtr<mm::In, abi::iovec> from, u64 count) {
    if (count > most_vectors) return error(Errno::EINVAL);
    TRY(to.try_resize(count));
    TRY(from.copy_in(to.span()));
    u64 total = 0;
    for (const abi::iovec& vector : to)
        if (__builtin_add_overflow(total, vector.iov_len, &total) || total > u64{0x7fff'ffff'ffff'ffff})
            return error(Errno::EINVAL);
    return {};
}

enum class Transfer : u8 { FromRemote, ToRemote };

/// Copies up to the end of a remote page between the caller's memory and the other's, by way of `buffer`, a page:
/// either side may have to wait for its own memory, and neither may do so while it holds the other's. How many bytes.
Result<u64> transfer_piece(mm::AddressSpace& space, u8* buffer, VirtAddr local, VirtAddr remote, u64 limit,
                           Transfer direction) {
    u64 offset = remote.value & (arch::page_size - 1);
    u64 count = std::min(limit, arch::page_size - offset);
    if (direction == Transfer::FromRemote) {
        count = TRY(space.read_memory(remote, std::span(buffer, count)));
        return mm::copy_to_user_partial(local, buffer, count);
    }
    count = TRY(mm::copy_from_user_partial(buffer, local, count));
    return TRY(space.write_memory(remote, std::span(buffer, count)));
}

Result<long> process_vm(Thread& thread, process::Pid pid, mm::UserPtr<mm::In, abi::iovec> local, u64 local_count,
                        mm::UserPtr<mm::In, abi::iovec> remote, u64 remote_count, u64 flags, Transfer direction) {
    if (flags != 0) return error(Errno::EINVAL);
    ArrayList<abi::iovec> local_vectors, remote_vectors;
    TRY(copy_vectors(local_vectors, local, local_count));
    TRY(copy_vectors(remote_vectors, remote, remote_count));
    VectorCursor here{local_vectors.span()}, there{remote_vectors.span()};
    here.skip_empty();
    if (here.at_end()) return 0;
    NullableRefPtr<Thread> other = process::find_thread(pid);
    if (!other) return error(Errno::ESRCH);
    if (!process::may_access(thread, *other, process::AccessBy::RealIds)) return error(Errno::EPERM);
    NullableRefPtr<mm::AddressSpace> space = other->address_space();
    if (!space) return error(Errno::ESRCH);
    mm::PageRef buffer = TRY(mm::allocate_page(mm::PageZeroing::Uninitialised));
    u64 done = 0;
    for (;;) {
        here.skip_empty();
        there.skip_empty();
        if (here.at_end() || there.at_end()) return static_cast<long>(done);
        u64 wanted = std::min(here.left(), there.left());
        auto moved = transfer_piece(*space, buffer.data<u8>(), here.address(), there.address(), wanted, direction);
        if (!moved) {
            if (done > 0) return static_cast<long>(done);
            return error(Errno::EFAULT);
        }
        done += *moved;
        here.offset += *moved;
        there.offset += *moved;
    }
}

} // namespace

Result<long> sys_process_vm_readv(Thread& thread, process::Pid pid, mm::UserPtr<mm::In, abi::iovec> local,
                                  u64 local_count, mm::UserPtr<mm::In, abi::iovec> remote, u64 remote_count,
                                  u64 flags) {
    return process_vm(thread, pid, local, local_count, remote, remote_count, flags, Transfer::FromRemote);
}

Result<long> sys_process_vm_writev(Thread& thread, process::Pid pid, mm::UserPtr<mm::In, abi::iovec> local,
                                   u64 local_count, mm::UserPtr<mm::In, abi::iovec> remote, u64 remote_count,
                                   u64 flags) {
    return process_vm(thread, pid, local, local_count, remote, remote_count, flags, Transfer::ToRemote);
}

namespace {

NullableRefPtr<Process> process_of_pidfd_or_null(Thread& thread, int pidfd, Errno& failure) {
    auto file = thread.own_files().get(pidfd);
    auto record = file ? process::pidfd_record(**file) : error(file.error());
    if (!record) {
        failure = record.error();
        return nullptr;
    }
    failure = Errno::ESRCH;
    return (*record)->process();
}

/// EBADF when it isn't a pidfd, ESRCH when the process is gone.
Result<RefPtr<Process>> process_of_pidfd(Thread& thread, int pidfd) {
    Errno failure{};
    NullableRefPtr<Process> process = process_of_pidfd_or_null(thread, pidfd, failure);
    if (!process) return error(failure);
    return RefPtr<Process>(std::move(process));
}

struct SpaceOfProcess {
    RefPtr<Thread> thread;
    RefPtr<mm::AddressSpace> space;
};
Result<SpaceOfProcess> space_of(Process& process) {
    NullableRefPtr<Thread> thread = process.any_living_thread();
    NullableRefPtr<mm::AddressSpace> space = thread ? thread->address_space() : nullptr;
    if (!space) return error(Errno::ESRCH);
    return SpaceOfProcess{RefPtr<Thread>(std::move(thread)), RefPtr<mm::AddressSpace>(std::move(space))};
}

/// What may be said about others' memory: nothing that changes its contents.
bool is_advice_for_others(int advice) {
    return advice == abi::MADV_COLD || advice == abi::MADV_PAGEOUT || advice == abi::MADV_WILLNEED ||
           advice == abi::MADV_COLLAPSE;
}

/// PTRACE_MODE_READ by the file-system ids (ptrace(2)), then the capability to slow others down.
Result<void> check_may_advise(Thread& thread, const SpaceOfProcess& other) {
    if (other.space.get() == &thread.own_address_space()) return {};
    if (!process::may_access(thread, *other.thread, process::AccessBy::FileIds)) return error(Errno::EACCES);
    if (!thread.own_credentials().has(vfs::Capability::SysNice)) return error(Errno::EPERM);
    return {};
}

} // namespace

Result<long> sys_process_madvise(Thread& thread, int pidfd, mm::UserPtr<mm::In, abi::iovec> vectors, u64 count,
                                 int advice, u32 flags) {
    if (flags != 0) return error(Errno::EINVAL);
    ArrayList<abi::iovec> ranges;
    TRY(copy_vectors(ranges, vectors, count));
    for (const abi::iovec& range : ranges)
        if (!arch::is_user_range({range.iov_base}, range.iov_len)) return error(Errno::EFAULT);
    RefPtr<Process> process = TRY(process_of_pidfd(thread, pidfd));
    SpaceOfProcess target = TRY(space_of(*process));
    bool is_own = target.space.get() == &thread.own_address_space();
    if (!is_own && !is_advice_for_others(advice)) return error(Errno::EINVAL);
    TRY(check_may_advise(thread, target));
    u64 done = 0;
    for (const abi::iovec& range : ranges) {
        auto advised = target.space->advise({range.iov_base}, range.iov_len, advice);
        if (!advised && done == 0) return error(advised.error());
        if (!advised) break;
        done += range.iov_len;
    }
    return static_cast<long>(done);
}

namespace {

bool is_dying(Process& process) {
    core::InterruptSpinGuard guard(process.signal_lock);
    return process.group_exiting && !process.core_dumper.load(); // a core dump needs the memory yet
}

/// Whether everybody who uses the memory is being killed (vfork's children share it too).
bool is_doomed(mm::AddressSpace& space) {
    for (NullableRefPtr<Process> process = process::next_process(1); process;
         process = process::next_process(process->pid() + 1)) {
        if (is_dying(*process)) continue;
        NullableRefPtr<Thread> thread = process->any_living_thread();
        if (thread && thread->address_space().get() == &space) return false;
    }
    return true;
}

} // namespace

Result<long> sys_process_mrelease(Thread& thread, int pidfd, u32 flags) {
    if (flags != 0) return error(Errno::EINVAL);
    RefPtr<Process> process = TRY(process_of_pidfd(thread, pidfd));
    SpaceOfProcess target = TRY(space_of(*process));
    if (!is_dying(*process) || !is_doomed(*target.space)) return error(Errno::EINVAL);
    // Whoever ran user code when the killing began has been in the kernel after this, and stays there.
    core::run_on_cpus(~u64{0}, [](void*) {}, nullptr);
    target.space->release_private_memory();
    return 0;
}

} // namespace linnet::syscalls
