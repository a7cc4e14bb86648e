// Mappings: what mmap(2) and its relatives say about their arguments; the work is AddressSpace's.
#include <abi/linux/fs.hpp>
#include <abi_arch/mman.hpp>
#include <core/tracepoints.hpp>
#include <mm/address_space.hpp>
#include <mm/huge_pool.hpp>
#include <mm/knobs.hpp>
#include <process/process.hpp>
#include <syscalls/memory.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/mount.hpp>
#include <vfs/secret_file.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

constexpr u64 all_rights = abi::PROT_READ | abi::PROT_WRITE | abi::PROT_EXEC | abi::PROT_SEM;

/// The bits that name a size with MAP_HUGETLB.
constexpr u64 huge_size_bits = u64{abi::MAP_HUGE_MASK} << abi::MAP_HUGE_SHIFT;
/// What MAP_SHARED_VALIDATE accepts: the flags that older kernels knew (mmap(2)).
constexpr u64 validated_flags = abi::MAP_SHARED_VALIDATE | abi::MAP_FIXED | abi::MAP_ANONYMOUS | abi::map_32bit |
                                abi::MAP_GROWSDOWN | abi::MAP_DENYWRITE | abi::MAP_EXECUTABLE | abi::MAP_LOCKED |
                                abi::MAP_NORESERVE | abi::MAP_POPULATE | abi::MAP_NONBLOCK | abi::MAP_STACK |
                                abi::MAP_HUGETLB | huge_size_bits;

/// Seals forbid writing through new mappings, now and by a later mprotect (memfd_create(2)); what remains allowed is
/// claimed until the mapping counts by itself.
Result<void> obey_seals(mm::MapRequest& request, vfs::Inode& inode, mm::WritableClaim& claim) {
    if (inode.seals.load(std::memory_order_relaxed) == vfs::Inode::seals_unsupported) return {};
    mm::VmObject* object = inode.pages();
    if (!object) return {};
    bool claimed = claim.take(*object);
    if (claimed && !inode.has_seal(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE)) return {};
    claim.release();
    if (request.prot & abi::PROT_WRITE) return error(Errno::EPERM);
    request.max_prot &= ~u32{abi::PROT_WRITE};
    return {};
}

/// CAP_IPC_LOCK knows no RLIMIT_MEMLOCK; who asks now decides, whatever it was when the limit was set.
void renew_lock_limit(Thread& thread) {
    bool is_unlimited = thread.own_credentials().effective.has(vfs::Capability::IpcLock);
    u64 limit = is_unlimited ? ~u64{0} : thread.process().limits.soft(abi::RLIMIT_MEMLOCK);
    thread.own_address_space().limits.locked.store(limit, std::memory_order_relaxed);
}

/// Whether it was opened through a mount with noexec.
bool forbids_execution(const vfs::File& file) {
    return !file.path().is_empty() && (file.path().mount->flags() & abi::MS_NOEXEC);
}

/// READ_IMPLIES_EXEC of personality(2).
bool reads_imply_execution(const Thread& thread, u64 prot) {
    return (prot & abi::PROT_READ) && (thread.personality & abi::READ_IMPLIES_EXEC);
}

/// Fills in what a mapping of `file` needs, with the checks of mmap(2).
Result<void> add_file(mm::MapRequest& request, vfs::File& file, u64 offset, mm::WritableClaim& claim) {
    u32 type = request.flags & abi::MAP_TYPE;
    bool shared = type != abi::MAP_PRIVATE;
    if (type == abi::MAP_SHARED_VALIDATE && (request.flags & ~validated_flags)) return error(Errno::EOPNOTSUPP);
    if (shared && (request.prot & abi::PROT_WRITE) && !file.is_writable()) return error(Errno::EACCES);
    if (shared && file.is_writable() && file.inode().is_append_only()) return error(Errno::EACCES);
    if (!file.is_readable()) return error(Errno::EACCES);
    if (request.flags & abi::MAP_GROWSDOWN) return error(Errno::EINVAL);
    u64 end;
    if (request.length > arch::user_address_end.value) return error(Errno::ENOMEM);
    if (__builtin_add_overflow(offset, request.length, &end) || end > u64{0x7fff'ffff'ffff'ffff})
        return error(Errno::EOVERFLOW);
    if (shared && file.is_writable()) TRY(obey_seals(request, file.inode(), claim));
    bool writable = shared && (request.prot & abi::PROT_WRITE);
    bool executable = (request.prot & abi::PROT_EXEC) != 0;
    request.object = NullableRefPtr<mm::VmObject>(TRY(file.mmap({.offset = offset,
                                                                 .length = request.length,
                                                                 .shared = shared,
                                                                 .writable = writable,
                                                                 .executable = executable})));
    request.offset = offset;
    request.label = NullableRefPtr<mm::MappingLabel>(&file);
    // mprotect may not give later what the open file doesn't allow.
    if (shared && !file.is_writable()) request.max_prot &= ~u32{abi::PROT_WRITE};
    if (forbids_execution(file)) request.max_prot &= ~u32{abi::PROT_EXEC};
    return {};
}

/// Reserves the huge pages of a mapping: of a shared one for everybody, of a private one for itself.
Result<void> promise_huge_pages(mm::MapRequest& request, mm::HugetlbObject& object) {
    const u64 first = request.offset / arch::huge_page_size;
    const u64 last = first + request.length / arch::huge_page_size;
    if ((request.flags & abi::MAP_TYPE) != abi::MAP_PRIVATE) return object.promise(first, last);
    RefPtr<mm::HugePromise> promise = TRY(mm::HugePromise::create());
    TRY(promise->add(first, last));
    request.promise = NullableRefPtr<mm::HugePromise>(std::move(promise));
    return {};
}

bool is_huge_file(vfs::File& file) {
    const mm::VmObject* pages = file.inode().pages();
    return pages && pages->is_hugetlb();
}

Result<void> round_to_huge_pages(mm::MapRequest& request) {
    if (request.length > arch::user_address_end.value) return error(Errno::ENOMEM);
    request.length = align_up(request.length, arch::huge_page_size);
    request.alignment = arch::huge_page_size;
    return {};
}

/// What a mapping of a file of huge pages needs beside add_file(). One that may be written to makes the file as long as
/// it is, as on Linux.
Result<void> use_huge_file(mm::MapRequest& request, vfs::Inode& inode) {
    if (!is_aligned(request.offset, arch::huge_page_size)) return error(Errno::EINVAL);
    auto& object = static_cast<mm::HugetlbObject&>(*request.object);
    if (!(request.flags & abi::MAP_NORESERVE)) TRY(promise_huge_pages(request, object));
    if (!(request.prot & abi::PROT_WRITE)) return {};
    core::WriteGuard guard(inode.lock);
    const u64 end = request.offset + request.length;
    if (inode.size() >= end || inode.has_seal(abi::F_SEAL_GROW)) return {};
    object.set_size(end);
    inode.set_size(end);
    return {};
}

/// MAP_HUGETLB: the size that the flags name must be the pool's; the length is rounded up to it.
Result<void> use_huge_pool(mm::MapRequest& request) {
    const u64 named_shift = request.flags >> abi::MAP_HUGE_SHIFT & abi::MAP_HUGE_MASK;
    if (named_shift != 0 && named_shift != arch::huge_page_shift) return error(Errno::EINVAL);
    TRY(round_to_huge_pages(request));
    RefPtr<mm::HugetlbObject> object = TRY(mm::HugetlbObject::create(request.length));
    if (!(request.flags & abi::MAP_NORESERVE)) TRY(promise_huge_pages(request, *object));
    request.object = NullableRefPtr<mm::VmObject>(std::move(object));
    return {};
}

} // namespace

Result<long> sys_mmap(Thread& thread, VirtAddr address, u64 length, u64 prot, u64 flags, int fd, u64 offset) {
    if (!is_aligned(offset, arch::page_size)) return error(Errno::EINVAL);
    mm::MapRequest request;
    request.address = address;
    request.length = length;
    request.prot = static_cast<u32>(prot & (abi::PROT_READ | abi::PROT_WRITE | abi::PROT_EXEC));
    request.flags = static_cast<u32>(flags);
    // Asked only where it matters: a capability that isn't needed doesn't count as used.
    if ((flags & (abi::MAP_FIXED | abi::MAP_FIXED_NOREPLACE)) && address < mm::lowest_user_address)
        request.may_be_low = thread.own_credentials().has(vfs::Capability::SysRawio);
    const bool is_executable_too = reads_imply_execution(thread, prot);
    u32 type = request.flags & abi::MAP_TYPE;
    if (!(flags & abi::MAP_ANONYMOUS)) {
        vfs::FileRef file = TRY(thread.own_files().use(fd));
        if (is_executable_too && !forbids_execution(*file)) request.prot |= abi::PROT_EXEC;
        if (length == 0) return error(Errno::EINVAL);
        if (type < abi::MAP_SHARED || type > abi::MAP_SHARED_VALIDATE) return error(Errno::EINVAL);
        const bool is_huge = is_huge_file(*file);
        if ((flags & abi::MAP_HUGETLB) && !is_huge) return error(Errno::EINVAL);
        if (is_huge) TRY(round_to_huge_pages(request));
        mm::WritableClaim claim;
        TRY(add_file(request, *file, offset, claim));
        if (is_huge) TRY(use_huge_file(request, file->inode()));
        if ((flags & abi::MAP_LOCKED) || request.object->is_secret()) renew_lock_limit(thread);
        request.vma_flags |= request.object->mapping_flags();
        const VirtAddr at = TRY(thread.own_address_space().map(request));
        core::tracepoints::memory_mapped(at);
        return static_cast<long>(at.value);
    }
    if (is_executable_too) request.prot |= abi::PROT_EXEC;
    if (length == 0) return error(Errno::EINVAL);
    if (type == abi::MAP_DROPPABLE) {
        if (flags & (abi::MAP_LOCKED | abi::MAP_HUGETLB | abi::MAP_GROWSDOWN)) return error(Errno::EINVAL);
    } else if (type != abi::MAP_SHARED && type != abi::MAP_PRIVATE) {
        return error(Errno::EINVAL);
    }
    if (type == abi::MAP_SHARED && (flags & abi::MAP_GROWSDOWN)) return error(Errno::EINVAL);
    if (flags & abi::MAP_HUGETLB) TRY(use_huge_pool(request));
    if (flags & abi::MAP_LOCKED) renew_lock_limit(thread);
    const VirtAddr at = TRY(thread.own_address_space().map(request));
    core::tracepoints::memory_mapped(at);
    return static_cast<long>(at.value);
}

Result<long> sys_mseal(Thread& thread, VirtAddr address, u64 length, u64 flags) {
    if (flags != 0) return error(Errno::EINVAL);
    TRY(thread.own_address_space().seal(address, length));
    return 0;
}

Result<long> sys_memfd_secret(Thread& thread, u32 flags) {
    if (flags & ~abi::O_CLOEXEC) return error(Errno::EINVAL);
    auto file = TRY(vfs::create_secret_file());
    auto closes = flags & abi::O_CLOEXEC ? vfs::CloseOnExec::Yes : vfs::CloseOnExec::No;
    return TRY(thread.own_files().add(std::move(file), closes));
}

Result<long> sys_munmap(Thread& thread, VirtAddr address, u64 length) {
    TRY(thread.own_address_space().unmap(address, length));
    return 0;
}

namespace {

Result<long> protect(Thread& thread, VirtAddr address, u64 length, u64 prot, int key) {
    constexpr u64 growth = abi::PROT_GROWSDOWN | abi::PROT_GROWSUP;
    // No stack of ours grows upwards.
    if (prot & abi::PROT_GROWSUP) return error(Errno::EINVAL);
    if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    if (length == 0) return 0;
    if (prot & ~(all_rights | growth)) return error(Errno::EINVAL);
    const u32 implied = reads_imply_execution(thread, prot) ? mm::AddressSpace::executable_where_allowed : 0;
    TRY(thread.own_address_space().protect(address, length, static_cast<u32>(prot) | implied, key));
    core::tracepoints::memory_mapped(address);
    return 0;
}

} // namespace

Result<long> sys_mprotect(Thread& thread, VirtAddr address, u64 length, u64 prot) {
    return protect(thread, address, length, prot, mm::AddressSpace::same_key);
}

Result<long> sys_pkey_mprotect(Thread& thread, VirtAddr address, u64 length, u64 prot, int key) {
    if (arch::UserContext::protection_key_count() == 0) return error(Errno::ENOSYS);
    return protect(thread, address, length, prot, key);
}

Result<long> sys_pkey_alloc(Thread& thread, u64 flags, u64 denied) {
    constexpr u64 PKEY_DISABLE_ACCESS = 1, PKEY_DISABLE_WRITE = 2;
    unsigned count = arch::UserContext::protection_key_count();
    if (count == 0) return error(Errno::ENOSYS);
    if (flags != 0 || (denied & ~(PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE))) return error(Errno::EINVAL);
    int key = TRY(thread.own_address_space().allocate_protection_key(count));
    thread.registers.set_protection_key_rights(static_cast<unsigned>(key), static_cast<u32>(denied));
    return key;
}

Result<long> sys_pkey_free(Thread& thread, int key) {
    if (arch::UserContext::protection_key_count() == 0) return error(Errno::ENOSYS);
    TRY(thread.own_address_space().free_protection_key(key));
    return 0;
}

Result<long> sys_remap_file_pages(Thread& thread, VirtAddr address, u64 length, u64 prot, u64 first_page, u64 flags) {
    if (prot != 0) return error(Errno::EINVAL);
    TRY(thread.own_address_space().remap_pages(address, length, first_page, static_cast<u32>(flags)));
    return 0;
}

Result<long> sys_mremap(Thread& thread, VirtAddr old_address, u64 old_length, u64 new_length, u64 flags,
                        VirtAddr new_address) {
    if (flags >> 32) return error(Errno::EINVAL);
    VirtAddr moved = TRY(
        thread.own_address_space().remap(old_address, old_length, new_length, static_cast<u32>(flags), new_address));
    return static_cast<long>(moved.value);
}

Result<long> sys_brk(Thread& thread, VirtAddr address) {
    return static_cast<long>(thread.own_address_space().brk(address).value);
}

Result<long> sys_madvise(Thread& thread, VirtAddr address, u64 length, int advice) {
    TRY(thread.own_address_space().advise(address, length, advice));
    return 0;
}

Result<long> sys_msync(Thread& thread, VirtAddr address, u64 length, u32 flags) {
    TRY(thread.own_address_space().sync(address, length, flags));
    return 0;
}

Result<long> sys_mincore(Thread& thread, VirtAddr address, u64 length, mm::UserPtr<mm::Out, u8> vector) {
    if (!is_aligned(address.value, arch::page_size)) return error(Errno::EINVAL);
    if (!arch::is_user_range(address, length)) return error(Errno::ENOMEM);
    u64 pages = divide_up(length, arch::page_size);
    if (!arch::is_user_range(vector.address(), pages)) return error(Errno::EFAULT);
    u8 resident[256];
    for (u64 done = 0; done < pages;) {
        usize count = std::min<u64>(pages - done, sizeof(resident));
        TRY(thread.own_address_space().residency(address + done * arch::page_size, {resident, count}));
        TRY(vector.element(done).copy_out(std::span<const u8>(resident, count)));
        done += count;
    }
    return 0;
}

Result<long> sys_mlock(Thread& thread, VirtAddr address, u64 length) {
    renew_lock_limit(thread);
    TRY(thread.own_address_space().lock_range(address, length, mm::AddressSpace::LockMode::Lock));
    return 0;
}

Result<long> sys_mlock2(Thread& thread, VirtAddr address, u64 length, u32 flags) {
    if (flags & ~abi::MLOCK_ONFAULT) return error(Errno::EINVAL);
    renew_lock_limit(thread);
    using Mode = mm::AddressSpace::LockMode;
    TRY(thread.own_address_space().lock_range(address, length, flags ? Mode::LockOnFault : Mode::Lock));
    return 0;
}

Result<long> sys_munlock(Thread& thread, VirtAddr address, u64 length) {
    TRY(thread.own_address_space().lock_range(address, length, mm::AddressSpace::LockMode::Unlock));
    return 0;
}

Result<long> sys_mlockall(Thread& thread, u32 flags) {
    renew_lock_limit(thread);
    TRY(thread.own_address_space().lock_all(flags));
    return 0;
}

Result<long> sys_munlockall(Thread& thread) {
    TRY(thread.own_address_space().unlock_all());
    return 0;
}

} // namespace linnet::syscalls
