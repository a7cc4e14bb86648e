// What the calls about memory say to pointers that lead nowhere, and to ranges that aren't user memory. Least
// Linux: 6.5. needs-linux: 6.5
#include "check.hpp"
#include <climits>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace {

const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
const unsigned long kernel_address = ULONG_MAX - page + 1;

struct Call {
    const char* name;
    long number;
    unsigned long arguments[6];
    int expected; // errno; 0 is success
};

void run(const Call& call) {
    const unsigned long* a = call.arguments;
    errno = 0;
    const long result = syscall(call.number, a[0], a[1], a[2], a[3], a[4], a[5]);
    const int code = result == -1 ? errno : 0;
    if (code == call.expected) return;
    char text[200];
    snprintf(text, sizeof text, "%s(%lx, %lx, %lx, %lx, %lx, %lx): errno %d, not %d", call.name, a[0], a[1], a[2], a[3],
             a[4], a[5], code, call.expected);
    check::failed(__FILE__, __LINE__, text);
}

} // namespace

#define CALL(name) #name, SYS_##name

int main() {
    char* const memory =
        static_cast<char*>(mmap(nullptr, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory != MAP_FAILED);
    const auto here = (unsigned long)memory;
    // Two pages that are there, a hole, a page without rights, one that can't be written, and a hole again.
    CHECK_OK(munmap(memory + 2 * page, page));
    CHECK_OK(mprotect(memory + 3 * page, page, PROT_NONE));
    CHECK_OK(mprotect(memory + 4 * page, page, PROT_READ));
    CHECK_OK(munmap(memory + 6 * page, page));
    const unsigned long hole = here + 2 * page, closed = here + 3 * page, read_only = here + 4 * page;
    const auto self = (unsigned long)getpid();
    const int file = memfd_create("pointers", 0);
    CHECK_OK(ftruncate(file, long(page)));
    const auto fd = (unsigned long)file;
    const auto pidfd = (unsigned long)syscall(SYS_pidfd_open, getpid(), 0);
    const int segment = shmget(IPC_PRIVATE, page, 0600);
    REQUIRE(segment >= 0);
    const auto id = (unsigned long)segment;
    struct {
        unsigned long base, length;
    } vectors[2] = {{here, page}, {here + page, page}}, lost[1] = {{hole, page}}, above[1] = {{kernel_address, 16}};
    const auto good = (unsigned long)vectors, missing = (unsigned long)lost, outside = (unsigned long)above;
    memset(memory, 1, 2 * page);

    const Call calls[] = {
        // mincore looks at the range before the vector.
        {CALL(mincore), {here, page, hole}, EFAULT},
        {CALL(mincore), {here, page, closed}, EFAULT},
        {CALL(mincore), {here, page, read_only}, EFAULT},
        {CALL(mincore), {here, page, kernel_address}, EFAULT},
        {CALL(mincore), {hole, page, here}, ENOMEM},
        {CALL(mincore), {here + 1, page, hole}, EINVAL},
        {CALL(mincore), {kernel_address, page, here}, ENOMEM},
        {CALL(mincore), {here, ULONG_MAX, here}, ENOMEM},
        // process_vm_*: the arrays, then what they lead to.
        {CALL(process_vm_readv), {self, hole, 1, good, 1, 0}, EFAULT},
        {CALL(process_vm_readv), {self, good, 1, hole, 1, 0}, EFAULT},
        {CALL(process_vm_readv), {self, good, 1, kernel_address, 1, 0}, EFAULT},
        {CALL(process_vm_readv), {self, good, 1, missing, 1, 0}, EFAULT},
        {CALL(process_vm_readv), {self, missing, 1, good, 1, 0}, EFAULT},
        {CALL(process_vm_readv), {self, good, 1, outside, 1, 0}, EFAULT},
        {CALL(process_vm_readv), {self, outside, 1, good, 1, 0}, EFAULT},
        {CALL(process_vm_writev), {self, hole, 1, good, 1, 0}, EFAULT},
        {CALL(process_vm_writev), {self, good, 1, missing, 1, 0}, EFAULT},
        {CALL(process_vm_writev), {self, missing, 1, good, 1, 0}, EFAULT},
        {CALL(process_vm_writev), {self, good, 1, outside, 1, 0}, EFAULT},
        {CALL(process_madvise), {pidfd, hole, 1, MADV_WILLNEED, 0}, EFAULT},
        {CALL(process_madvise), {pidfd, kernel_address, 1, MADV_WILLNEED, 0}, EFAULT},
        {CALL(process_madvise), {pidfd, missing, 1, MADV_WILLNEED, 0}, ENOMEM},
        {CALL(cachestat), {fd, hole, here, 0}, EFAULT},
        {CALL(cachestat), {fd, good, hole, 0}, EFAULT},
        {CALL(cachestat), {fd, good, read_only, 0}, EFAULT},
        {CALL(cachestat), {fd, good, kernel_address, 0}, EFAULT},
        // Ranges in place of pointers.
        {CALL(mremap), {hole, page, 2 * page, MREMAP_MAYMOVE}, EFAULT},
        {CALL(mremap), {here, 3 * page, 4 * page, MREMAP_MAYMOVE}, EFAULT},
        {CALL(mremap), {kernel_address, page, 2 * page, MREMAP_MAYMOVE}, EFAULT},
        {CALL(mremap), {here, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, kernel_address}, EINVAL},
        {CALL(msync), {hole, page, MS_SYNC}, ENOMEM},
        {CALL(msync), {kernel_address, page, MS_SYNC}, ENOMEM},
        {CALL(msync), {here + 1, page, MS_SYNC}, EINVAL},
        {CALL(mprotect), {hole, page, PROT_READ}, ENOMEM},
        {CALL(mprotect), {kernel_address, page, PROT_READ}, ENOMEM},
        {CALL(munmap), {kernel_address, page}, EINVAL},
        {CALL(munmap), {hole, page}, 0},
        {CALL(madvise), {hole, page, MADV_DONTNEED}, ENOMEM},
        {CALL(madvise), {hole, page, MADV_WILLNEED}, ENOMEM},
        {CALL(mlock), {hole, page}, ENOMEM},
        {CALL(mlock), {closed, page}, ENOMEM},
        {CALL(munlock), {hole, page}, ENOMEM},
        {CALL(remap_file_pages), {hole, page, 0, 0, 0}, EINVAL},
        // Names and structures.
        {CALL(memfd_create), {hole, 0}, EFAULT},
        {CALL(memfd_create), {kernel_address, 0}, EFAULT},
        {CALL(shmctl), {id, IPC_STAT, hole}, EFAULT},
        {CALL(shmctl), {id, IPC_STAT, read_only}, EFAULT},
        {CALL(shmctl), {id, IPC_SET, hole}, EFAULT},
        {CALL(shmctl), {id, IPC_STAT, kernel_address}, EFAULT},
        {CALL(shmat), {id, here + 1, 0}, EINVAL},
        {CALL(shmat), {id, here, 0}, EINVAL}, // something is there
        {CALL(shmdt), {hole}, EINVAL},
        {CALL(shmdt), {here}, EINVAL},
    };
    for (const Call& call : calls) run(call);
    // Of several ranges the good ones before a bad one are done.
    vectors[1].base = hole;
    CHECK_EQ(syscall(SYS_process_vm_readv, getpid(), vectors, 1ul, vectors, 2ul, 0ul), long(page));
    CHECK_EQ(syscall(SYS_process_madvise, pidfd, vectors, 2ul, MADV_WILLNEED, 0u), long(page));
    // Nothing was written where it may not be.
    CHECK_EQ(memory[4 * page], 0);
    CHECK_OK(shmctl(segment, IPC_RMID, nullptr));
    close(file);
    close(int(pidfd));
    return check::result();
}
