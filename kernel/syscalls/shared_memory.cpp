// shmget(2), shmop(2), shmctl(2): arguments and structures; segments are ipc's, attaching them mm's.
#include <abi_arch/ipc.hpp>
#include <ipc/shared_memory.hpp>
#include <mm/address_space.hpp>
#include <process/process.hpp>
#include <syscalls/shared_memory.hpp>

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_shmget(Thread& thread, i32 key, u64 size, u32 flags) {
    return TRY(ipc::get_segment(key, size, flags, thread.own_credentials()));
}

namespace {

constexpr u64 attach_alignment = abi::shared_memory_alignment ? abi::shared_memory_alignment : arch::page_size;

/// The address as shmat(2) rounds or refuses it.
Result<VirtAddr> attach_address(VirtAddr address, u32 flags) {
    if (address.value == 0) {
        if (flags & abi::SHM_REMAP) return error(Errno::EINVAL);
        return address;
    }
    if (is_aligned(address.value, attach_alignment)) return address;
    if (!(flags & abi::SHM_RND)) return error(Errno::EINVAL);
    address = {align_down(address.value, attach_alignment)};
    if (address.value == 0 && (flags & abi::SHM_REMAP)) return error(Errno::EINVAL);
    return address;
}

} // namespace

Result<long> sys_shmat(Thread& thread, i32 id, VirtAddr given, u32 flags) {
    if (id < 0) return error(Errno::EINVAL);
    bool is_fixed = given.value != 0;
    mm::MapRequest request;
    request.address = TRY(attach_address(given, flags));
    request.prot = abi::PROT_READ;
    u32 rights = 0444;
    if (!(flags & abi::SHM_RDONLY)) request.prot |= abi::PROT_WRITE, rights |= 0222;
    if (flags & abi::SHM_EXEC) request.prot |= abi::PROT_EXEC, rights |= 0111;
    ipc::Attachment attachment = TRY(ipc::Attachment::begin(id, rights, thread.own_credentials()));
    ipc::Segment& segment = attachment.segment();
    request.length = segment.object().size();
    request.flags = abi::MAP_SHARED;
    if (is_fixed) request.flags |= flags & abi::SHM_REMAP ? abi::MAP_FIXED : abi::MAP_FIXED_NOREPLACE;
    request.object = NullableRefPtr<mm::VmObject>(&segment.object());
    request.label = NullableRefPtr<mm::MappingLabel>(&segment);
    request.alignment = segment.object().is_hugetlb() ? u64{arch::huge_page_size} : attach_alignment;
    if (flags & abi::SHM_RDONLY) request.max_prot &= ~u32{abi::PROT_WRITE};
    u64 end;
    if (__builtin_add_overflow(request.address.value, request.length, &end)) return error(Errno::EINVAL);
    auto attached = thread.own_address_space().map(request);
    // What lies there already isn't replaced without SHM_REMAP.
    if (!attached) return error(attached.error() == Errno::EEXIST ? Errno::EINVAL : attached.error());
    return static_cast<long>(attached->value);
}

Result<long> sys_shmdt(Thread& thread, VirtAddr address) {
    TRY(thread.own_address_space().detach(address));
    return 0;
}

namespace {

template <typename T>
Result<long> copy_out(VirtAddr buffer, const T& value, long result) {
    TRY((mm::UserPtr<mm::Out, T>(buffer).copy_out(value)));
    return result;
}

Result<long> show_limits(VirtAddr buffer) {
    ipc::SharedMemoryLimits& limits = ipc::shared_memory_limits();
    abi::shminfo info{};
    info.shmmax = limits.most_bytes.load();
    info.shmmin = 1;
    info.shmmni = info.shmseg = limits.most_segments.load();
    info.shmall = limits.most_pages.load();
    return copy_out(buffer, info, ipc::totals().highest_index);
}

Result<long> show_totals(VirtAddr buffer) {
    ipc::Totals totals = ipc::totals();
    abi::shm_info info{};
    info.used_ids = totals.segments;
    info.shm_tot = totals.pages;
    info.shm_rss = totals.resident_pages;
    return copy_out(buffer, info, totals.highest_index);
}

} // namespace

Result<long> sys_shmctl(Thread& thread, i32 id, i32 command, VirtAddr buffer) {
    if (command < 0 || id < 0) return error(Errno::EINVAL);
    const vfs::Credentials& who = thread.own_credentials();
    switch (command) {
    case abi::IPC_INFO:
        return show_limits(buffer);
    case abi::SHM_INFO:
        return show_totals(buffer);
    case abi::IPC_STAT:
        return copy_out(buffer, TRY(ipc::status_by_id(id, who)).data, 0);
    case abi::SHM_STAT:
    case abi::SHM_STAT_ANY: {
        auto check = command == abi::SHM_STAT ? ipc::Check::Permissions : ipc::Check::Nothing;
        ipc::SegmentStatus status = TRY(ipc::status_by_index(id, check, who));
        return copy_out(buffer, status.data, status.id);
    }
    case abi::IPC_SET: {
        abi::shmid_ds wanted = TRY((mm::UserPtr<mm::In, abi::shmid_ds>(buffer).copy_in()));
        TRY(ipc::change_segment(id, wanted.shm_perm, who));
        return 0;
    }
    case abi::IPC_RMID:
        TRY(ipc::remove_segment(id, who));
        return 0;
    case abi::SHM_LOCK:
    case abi::SHM_UNLOCK: {
        auto what = command == abi::SHM_LOCK ? ipc::Locking::Lock : ipc::Locking::Unlock;
        TRY(ipc::lock_segment(id, what, thread.process().limits.soft(abi::RLIMIT_MEMLOCK), who));
        return 0;
    }
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
