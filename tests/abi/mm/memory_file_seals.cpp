// memfd_create's flags and what every seal refuses. Least Linux: 6.7.
// needs-linux: 6.7
#include "check.hpp"
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 16
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 32
#endif

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

int memory_file(unsigned flags = MFD_ALLOW_SEALING, size_t pages = 2) {
    int fd = memfd_create("seals", flags);
    REQUIRE(fd >= 0);
    CHECK_EQ(ftruncate(fd, off_t(pages * page)), 0);
    return fd;
}

char* map(int fd, int prot, int type = MAP_SHARED, size_t pages = 1) {
    return static_cast<char*>(mmap(nullptr, pages * page, prot, type, fd, 0));
}

unsigned mode_of(int fd) {
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    return status.st_mode;
}

void test_flags() {
    CHECK_ERRNO(memfd_create("x", 0x100), EINVAL);
    CHECK_ERRNO(memfd_create("x", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
    CHECK_ERRNO(memfd_create("x", 21u << 26), EINVAL); // a size without MFD_HUGETLB
    CHECK_ERRNO(memfd_create(reinterpret_cast<const char*>(8), 0), EFAULT);
    std::string longest(249, 'n');
    int fd = memfd_create(longest.c_str(), MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char link[400] = {};
    CHECK(readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), link, sizeof link - 1) > 0);
    CHECK(link == "/memfd:" + longest + " (deleted)");
    close(fd);
    CHECK_ERRNO(memfd_create((longest + "n").c_str(), 0), EINVAL);
    fd = memfd_create("", 0);
    CHECK_EQ(mode_of(fd), unsigned(S_IFREG | 0777));
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    close(fd);
    fd = memory_file(MFD_EXEC | MFD_ALLOW_SEALING);
    CHECK_EQ(mode_of(fd), unsigned(S_IFREG | 0777));
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    close(fd);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(fcntl(ends[0], F_GET_SEALS), EINVAL);
    close(ends[0]), close(ends[1]);
}

void test_exec_seals() {
    int fd = memory_file(MFD_NOEXEC_SEAL);
    CHECK_EQ(mode_of(fd), unsigned(S_IFREG | 0666));
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
    CHECK_ERRNO(fchmod(fd, 0777), EPERM);
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(mode_of(fd), unsigned(S_IFREG | 0600));
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    close(fd);
    // An executable file sealed so can't be written any more.
    fd = memory_file();
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
    CHECK_ERRNO(write(fd, "abc", 3), EPERM);
    CHECK_ERRNO(fchmod(fd, 0600), EPERM);
    CHECK_EQ(fchmod(fd, 0711), 0);
    close(fd);
}

void test_size_seals() {
    int fd = memory_file();
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_ERRNO(ftruncate(fd, long(page)), EPERM);
    CHECK_ERRNO(truncate(path.c_str(), long(page)), EPERM);
    CHECK_ERRNO(open(path.c_str(), O_RDWR | O_TRUNC), EPERM);
    CHECK_EQ(ftruncate(fd, long(3 * page)), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
    CHECK_ERRNO(ftruncate(fd, long(4 * page)), EPERM);
    CHECK_ERRNO(truncate(path.c_str(), long(4 * page)), EPERM);
    CHECK_EQ(ftruncate(fd, long(3 * page)), 0);
    CHECK_ERRNO(fallocate(fd, 0, 0, long(4 * page)), EPERM);
    CHECK_EQ(fallocate(fd, 0, 0, long(3 * page)), 0);
    CHECK_ERRNO(pwrite(fd, "x", 1, off_t(3 * page)), EPERM);
    CHECK_EQ(pwrite(fd, "x", 1, off_t(3 * page - 1)), 1);
    CHECK_ERRNO(pwrite(fd, "12345678", 8, off_t(3 * page - 4)), EPERM);
    close(fd);
}

void test_write_seal() {
    int fd = memory_file();
    char* written = map(fd, PROT_READ | PROT_WRITE);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(munmap(written, page), 0);
    // A shared mapping that may become writable counts too.
    char* readable = map(fd, PROT_READ);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(readable, page), 0);
    char* copy = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    copy[0] = 1;
    CHECK_ERRNO(write(fd, "x", 1), EPERM);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, long(page)), EPERM);
    CHECK_ERRNO(map(fd, PROT_READ | PROT_WRITE), EPERM);
    CHECK_ERRNO(map(fd, PROT_WRITE), EPERM);
    CHECK(map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE) != MAP_FAILED);
    CHECK_EQ(ftruncate(fd, long(page)), 0);
    // Truncation takes private copies too: the page that is left was copied before.
    CHECK_EQ(copy[0], 1);
    close(fd);
}

void test_future_write_seal() {
    int fd = memory_file();
    char* old = map(fd, PROT_READ | PROT_WRITE);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    old[0] = 'o';
    CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERRNO(map(fd, PROT_READ | PROT_WRITE), EPERM);
    char* view = map(fd, PROT_READ);
    REQUIRE(view != MAP_FAILED);
    CHECK_EQ(view[0], 'o');
    CHECK_ERRNO(mprotect(view, page, PROT_READ | PROT_WRITE), EACCES);
    old[0] = 'p';
    CHECK_EQ(view[0], 'p');
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, long(page)), EPERM);
    // Through a descriptor of its own the same holds.
    int again = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR);
    CHECK(again >= 0);
    CHECK_ERRNO(map(again, PROT_READ | PROT_WRITE), EPERM);
    CHECK_ERRNO(write(again, "x", 1), EPERM);
    CHECK_EQ(fcntl(again, F_GET_SEALS), F_SEAL_FUTURE_WRITE);
    close(again), close(fd);
}

void test_sealing() {
    int fd = memory_file();
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x40), EINVAL);
    int reader = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY);
    CHECK_ERRNO(fcntl(reader, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_EQ(fcntl(reader, F_GET_SEALS), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), EPERM);
    CHECK_EQ(ftruncate(fd, long(3 * page)), 0);
    close(reader), close(fd);
}

} // namespace

int main() {
    test_flags();
    test_exec_seals();
    test_size_seals();
    test_write_seal();
    test_future_write_seal();
    test_sealing();
    return check::result();
}
