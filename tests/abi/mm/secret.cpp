// memfd_secret: memory that nobody reads but those who map it. Least Linux: 6.5.
// needs-linux: 6.5
#include "child.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <csignal>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

using memory::page;

namespace {

// The Linux that has the call on LoongArch, 7.2, neither locks the pages nor looks at the limit.
#ifdef __loongarch__
constexpr bool is_locked = false;
#else
constexpr bool is_locked = true;
#endif

int secret(unsigned flags = 0) { return int(syscall(SYS_memfd_secret, flags)); }

void test_file() {
    CHECK_ERRNO(secret(1), EINVAL);
    CHECK_ERRNO(secret(O_NONBLOCK), EINVAL);
    int fd = secret(O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_size, 0);
    CHECK_EQ(status.st_mode, unsigned(S_IFREG | 0600));
    char link[64] = {};
    CHECK(readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), link, sizeof link - 1) > 0);
    CHECK_STREQ(link, "/secretmem (deleted)");
    char byte = 1;
    CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
    CHECK_ERRNO(write(fd, &byte, 1), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(fcntl(fd, F_GET_SEALS), EINVAL);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(ftruncate(fd, long(2 * page)), 0);
    CHECK_ERRNO(ftruncate(fd, long(4 * page)), EINVAL);
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(size_t(status.st_size), 2 * page);
    close(fd);
}

void test_mapping() {
    int fd = secret();
    CHECK_EQ(ftruncate(fd, long(2 * page)), 0);
    CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_PRIVATE, fd, 0), EINVAL);
    const long long locked = proc_text::status("VmLck");
    char* place = static_cast<char*>(mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(place != MAP_FAILED);
    if (is_locked) CHECK_EQ(proc_text::status("VmLck") - locked, (long long)(3 * page / 1024));
    memcpy(place, "secret", 7);
    CHECK_STREQ(place, "secret");
    char* again = static_cast<char*>(mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0));
    CHECK_STREQ(again, "secret");
    CHECK_EQ(munmap(again, page), 0);
    // It stays locked.
    CHECK_EQ(munlock(place, 3 * page), 0);
    if (is_locked) CHECK_EQ(proc_text::status("VmLck") - locked, (long long)(3 * page / 1024));
    if (is_locked) CHECK_ERRNO(madvise(place, page, MADV_DONTNEED), EINVAL);
    CHECK_STREQ(place, "secret");

    // The kernel's ways of reading for others stay shut; the program's own copies work.
    char copy[8] = {};
    iovec here{copy, 7}, there{place, 7};
    CHECK_ERRNO(process_vm_readv(getpid(), &here, 1, &there, 1, 0), EFAULT);
    CHECK_ERRNO(process_vm_writev(getpid(), &here, 1, &there, 1, 0), EFAULT);
    int memory = open("/proc/self/mem", O_RDWR);
    CHECK_ERRNO(pread(memory, copy, 7, off_t(uintptr_t(place))), EIO);
    CHECK_ERRNO(pwrite(memory, copy, 7, off_t(uintptr_t(place))), EIO);
    close(memory);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], place, 7), 7);
    CHECK_EQ(read(ends[0], copy, 7), 7);
    CHECK_STREQ(copy, "secret");
    CHECK_EQ(munmap(place, 3 * page), 0);
    CHECK_EQ(proc_text::status("VmLck"), locked);
    close(fd), close(ends[0]), close(ends[1]);
}

void test_children() {
    int fd = secret();
    CHECK_EQ(ftruncate(fd, long(page)), 0);
    char* place = static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(place != MAP_FAILED);
    place[0] = 1;
    const int status = check::in_child([&] {
        CHECK_EQ(place[0], 1);
        place[1] = 2;
        place[page] = 1; // beyond the end
    });
    CHECK(check::died_of(status, SIGBUS));
    CHECK_EQ(place[1], 2);
    munmap(place, 2 * page);
    close(fd);
}

void test_limit() {
    check::run_in_child([] {
        // Root's CAP_IPC_LOCK knows no limit.
        CHECK_EQ(setuid(65534), 0);
        memory::limit(RLIMIT_MEMLOCK, 2 * page);
        int fd = secret();
        CHECK_EQ(ftruncate(fd, long(8 * page)), 0);
        CHECK_ERRNO(mmap(nullptr, 3 * page, PROT_READ, MAP_SHARED, fd, 0), EAGAIN);
        CHECK(mmap(nullptr, 2 * page, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
        CHECK_ERRNO(mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, 0), EAGAIN);
    });
}

} // namespace

int main() {
    if (secret() == -1 && errno == ENOSYS) check::skip("no memfd_secret here");
    test_file();
    test_mapping();
    test_children();
    if (is_locked) test_limit();
    return check::result();
}
