// Mappings: mmap(2) and its relatives, and memory of other processes.
#pragma once

#include <abi/linux/fcntl.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_brk(process::Thread&, VirtAddr address);
Result<long> sys_madvise(process::Thread&, VirtAddr address, u64 length, int advice);
Result<long> sys_memfd_secret(process::Thread&, u32 flags);
Result<long> sys_mincore(process::Thread&, VirtAddr address, u64 length, mm::UserPtr<mm::Out, u8> vector);
Result<long> sys_mlock(process::Thread&, VirtAddr address, u64 length);
Result<long> sys_mlock2(process::Thread&, VirtAddr address, u64 length, u32 flags);
Result<long> sys_mlockall(process::Thread&, u32 flags);
Result<long> sys_mmap(process::Thread&, VirtAddr address, u64 length, u64 prot, u64 flags, int fd, u64 offset);
Result<long> sys_mprotect(process::Thread&, VirtAddr address, u64 length, u64 prot);
Result<long> sys_mremap(process::Thread&, VirtAddr old_address, u64 old_length, u64 new_length, u64 flags,
                        VirtAddr new_address);
Result<long> sys_mseal(process::Thread&, VirtAddr address, u64 length, u64 flags);
Result<long> sys_msync(process::Thread&, VirtAddr address, u64 length, u32 flags);
Result<long> sys_munlock(process::Thread&, VirtAddr address, u64 length);
Result<long> sys_munlockall(process::Thread&);
Result<long> sys_munmap(process::Thread&, VirtAddr address, u64 length);
Result<long> sys_pkey_alloc(process::Thread&, u64 flags, u64 denied);
Result<long> sys_pkey_free(process::Thread&, int key);
Result<long> sys_pkey_mprotect(process::Thread&, VirtAddr address, u64 length, u64 prot, int key);
Result<long> sys_process_madvise(process::Thread&, int pidfd, mm::UserPtr<mm::In, abi::iovec> vectors, u64 count,
                                 int advice, u32 flags);
Result<long> sys_process_mrelease(process::Thread&, int pidfd, u32 flags);
Result<long> sys_process_vm_readv(process::Thread&, process::Pid pid, mm::UserPtr<mm::In, abi::iovec> local,
                                  u64 local_count, mm::UserPtr<mm::In, abi::iovec> remote, u64 remote_count, u64 flags);
Result<long> sys_process_vm_writev(process::Thread&, process::Pid pid, mm::UserPtr<mm::In, abi::iovec> local,
                                   u64 local_count, mm::UserPtr<mm::In, abi::iovec> remote, u64 remote_count,
                                   u64 flags);
Result<long> sys_remap_file_pages(process::Thread&, VirtAddr address, u64 length, u64 prot, u64 first_page, u64 flags);

inline constexpr const char* no_keys = "keys on x86_64 only; no execute-only key";

inline constexpr Entry memory_calls[] = {
    entry<sys_brk>("brk", nr::brk),
    entry<sys_madvise>("madvise", nr::madvise, Support::Partial, "KSM, memory failure: EINVAL"),
    entry<sys_memfd_secret>("memfd_secret", nr::memfd_secret, Support::Partial, "the kernel's own direct map shows it"),
    entry<sys_mincore>("mincore", nr::mincore),
    entry<sys_mlock>("mlock", nr::mlock),
    entry<sys_mlock2>("mlock2", nr::mlock2),
    entry<sys_mlockall>("mlockall", nr::mlockall),
    entry<sys_mmap>("mmap", nr::mmap, Support::Partial, "MAP_HUGETLB: one size"),
    entry<sys_mprotect>("mprotect", nr::mprotect),
    entry<sys_mremap>("mremap", nr::mremap),
    entry<sys_mseal>("mseal", nr::mseal),
    entry<sys_msync>("msync", nr::msync),
    entry<sys_munlock>("munlock", nr::munlock),
    entry<sys_munlockall>("munlockall", nr::munlockall),
    entry<sys_munmap>("munmap", nr::munmap),
    entry<sys_pkey_alloc>("pkey_alloc", nr::pkey_alloc, Support::Partial, no_keys),
    entry<sys_pkey_free>("pkey_free", nr::pkey_free, Support::Partial, no_keys),
    entry<sys_pkey_mprotect>("pkey_mprotect", nr::pkey_mprotect, Support::Partial, no_keys),
    entry<sys_process_madvise>("process_madvise", nr::process_madvise),
    entry<sys_process_mrelease>("process_mrelease", nr::process_mrelease),
    entry<sys_process_vm_readv>("process_vm_readv", nr::process_vm_readv),
    entry<sys_process_vm_writev>("process_vm_writev", nr::process_vm_writev),
    entry<sys_remap_file_pages>("remap_file_pages", nr::remap_file_pages),
};

} // namespace linnet::syscalls
