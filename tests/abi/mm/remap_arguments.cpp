// mremap: errors one by one, several mappings, files, MREMAP_DONTUNMAP, duplication by length 0. Least Linux: 6.1.
// needs-linux: 6.1
#include "check.hpp"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));
char* const failed = reinterpret_cast<char*>(MAP_FAILED);

char* map(size_t pages, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1) {
    void* place = mmap(nullptr, pages * page, prot, flags, fd, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}
// A free range of the length.
char* room(size_t pages) {
    char* place = map(pages, PROT_NONE);
    munmap(place, pages * page);
    return place;
}
char* remap(char* from, size_t old_length, size_t length, int flags = 0, char* to = nullptr) {
    return static_cast<char*>(mremap(from, old_length, length, flags, to));
}
bool is_mapped(char* place) {
    unsigned char resident;
    return mincore(place, page, &resident) == 0;
}
size_t locked_kb() {
    char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[size > 0 ? size : 0] = 0;
    const char* at = strstr(text, "VmLck:");
    return at ? strtoul(at + 6, nullptr, 10) : 0;
}

void test_errors() {
    char* place = map(4);
    char* other = map(4);
    CHECK_ERRNO(remap(place, page, page, 8), EINVAL);
    CHECK_ERRNO(remap(place, page, page, MREMAP_FIXED, other), EINVAL);
    CHECK_ERRNO(remap(place, page, page, MREMAP_DONTUNMAP), EINVAL);
    CHECK_ERRNO(remap(place, page, 2 * page, MREMAP_DONTUNMAP | MREMAP_MAYMOVE), EINVAL);
    CHECK_ERRNO(remap(place + 1, page, page), EINVAL);
    CHECK_ERRNO(remap(place, page, 0), EINVAL);
    CHECK_ERRNO(remap(place, page, ~size_t(0)), EINVAL); // rounds to 0
    CHECK_ERRNO(remap(place, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, other + 1), EINVAL);
    CHECK_ERRNO(remap(place, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, place + page), EINVAL);
    CHECK_ERRNO(remap(place, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, place), EINVAL);
    CHECK_ERRNO(
        remap(place, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<char*>(~uintptr_t(0) & ~(page - 1))),
        EINVAL);
    int reason = remap(place, page, size_t(1) << 62, MREMAP_MAYMOVE) == failed ? errno : 0;
    CHECK(reason == ENOMEM || reason == EINVAL);                // EINVAL since Linux 6.17
    CHECK_ERRNO(remap(place, 0, page, MREMAP_MAYMOVE), EINVAL); // private memory can't be doubled
    CHECK_EQ(munmap(other, 4 * page), 0);
    CHECK_ERRNO(remap(other, page, 2 * page, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERRNO(remap(other, page, page), EFAULT);
    CHECK_ERRNO(remap(other, 2 * page, page), EFAULT);
    // Growing over the end of a mapping.
    CHECK_EQ(mprotect(place + 2 * page, 2 * page, PROT_READ), 0);
    CHECK_ERRNO(remap(place, 3 * page, 5 * page, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERRNO(remap(place + page, page, 2 * page), ENOMEM); // something is behind it
    munmap(place, 4 * page);
}

void test_over_several_mappings() {
    // Shrinking takes away whatever lies there; no change is success.
    char* place = map(6);
    memset(place, 5, 6 * page);
    CHECK_EQ(mprotect(place + 2 * page, 2 * page, PROT_READ), 0);
    CHECK(remap(place, 6 * page, 6 * page) == place);
    CHECK(remap(place, 6 * page, page) == place);
    CHECK_EQ(place[0], 5);
    for (size_t i = 1; i < 6; i++) CHECK(!is_mapped(place + i * page));
    munmap(place, page);
}

void test_move() {
    char* place = map(4);
    for (int i = 0; i < 4; i++) place[size_t(i) * page] = char(i + 1);
    // Shrinking while moving; the target loses what it had.
    char* target = map(4);
    memset(target, 9, 4 * page);
    CHECK(remap(place, 4 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target + page) == target + page);
    CHECK_EQ(target[0], 9);
    CHECK_EQ(target[page], 1);
    CHECK_EQ(target[2 * page], 2);
    CHECK_EQ(target[3 * page], 9);
    for (size_t i = 0; i < 4; i++) CHECK(!is_mapped(place + i * page));
    // The middle of a mapping.
    char* far = room(8);
    CHECK(remap(target + page, page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, far) == far);
    CHECK_EQ(far[0], 1);
    CHECK_EQ(far[2 * page], 0);
    CHECK(!is_mapped(target + page));
    CHECK_EQ(target[2 * page], 2);
    munmap(far, 3 * page), munmap(target, 4 * page);
}

void test_files() {
    int fd = memfd_create("moved", 0);
    CHECK_EQ(ftruncate(fd, off_t(4 * page)), 0);
    for (int i = 0; i < 4; i++) {
        char byte = char('a' + i);
        CHECK_EQ(pwrite(fd, &byte, 1, off_t(size_t(i) * page)), 1);
    }
    char* place = map(2, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    char* far = room(4);
    CHECK(remap(place + page, page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, far) == far);
    CHECK_EQ(far[0], 'b');
    CHECK_EQ(far[2 * page], 'd');
    far[page] = 'C';
    char byte;
    CHECK_EQ(pread(fd, &byte, 1, off_t(2 * page)), 1);
    CHECK_EQ(byte, 'C');
    // A length of 0 makes a second view of a shared mapping.
    char* twin = remap(far, 0, 2 * page, MREMAP_MAYMOVE);
    CHECK(twin != failed && twin != far);
    CHECK_EQ(twin[page], 'C');
    twin[0] = 'B';
    CHECK_EQ(far[0], 'B');
    munmap(twin, 2 * page);
    twin = remap(far + page, 0, page, MREMAP_MAYMOVE | MREMAP_FIXED, room(1));
    CHECK_EQ(twin[0], 'C');
    CHECK_ERRNO(remap(far, 0, page), ENOMEM); // it would have to move
    munmap(twin, page);
    char* copy = map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    copy[page] = 'x';
    char* moved = remap(copy, 2 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room(3));
    CHECK_EQ(moved[0], 'a');
    CHECK_EQ(moved[page], 'x');
    CHECK_EQ(moved[2 * page], 'C');
    CHECK_ERRNO(remap(moved, 0, page, MREMAP_MAYMOVE), EINVAL);
    munmap(moved, 3 * page), munmap(far, 3 * page), munmap(place, page);
    close(fd);
}

void test_dont_unmap() {
    const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    char* place = map(3);
    memset(place, 6, 3 * page);
    char* moved = remap(place, 3 * page, 3 * page, flags);
    REQUIRE(moved != failed);
    CHECK(moved != place);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(moved[i * page], 6);
        CHECK_EQ(place[i * page], 0); // empty, but still there
    }
    place[0] = 7;
    CHECK_EQ(moved[0], 6);
    // Of the middle, to a fixed place.
    char* target = map(1);
    CHECK(remap(moved + page, page, page, flags | MREMAP_FIXED, target) == target);
    CHECK_EQ(target[0], 6);
    CHECK_EQ(moved[page], 0);
    CHECK_EQ(moved[2 * page], 6);
    munmap(place, 3 * page), munmap(moved, 3 * page), munmap(target, page);
    // Shared memory shows at both places.
    int fd = memfd_create("both", 0);
    CHECK_EQ(ftruncate(fd, off_t(2 * page)), 0);
    place = map(2, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    place[0] = 8;
    moved = remap(place, 2 * page, 2 * page, flags);
    REQUIRE(moved != failed);
    CHECK_EQ(moved[0], 8);
    CHECK_EQ(place[0], 8);
    place[page] = 9;
    CHECK_EQ(moved[page], 9);
    munmap(place, 2 * page), munmap(moved, 2 * page);
    // A private file mapping: its copies go along, the old place shows the file again.
    CHECK_EQ(pwrite(fd, "f", 1, 0), 1);
    place = map(1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    place[0] = 'p';
    moved = remap(place, page, page, flags);
    REQUIRE(moved != failed);
    CHECK_EQ(moved[0], 'p');
    CHECK_EQ(place[0], 'f');
    munmap(place, page), munmap(moved, page);
    close(fd);
}

void test_locked() {
    char* place = map(4);
    CHECK_EQ(mlock(place, 4 * page), 0);
    size_t locked = locked_kb();
    char* moved = remap(place, 4 * page, 6 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room(6));
    REQUIRE(moved != failed);
    CHECK_EQ(locked_kb() - locked, 2 * page / 1024);
    unsigned char resident[6];
    CHECK_EQ(mincore(moved, 6 * page, resident), 0);
    CHECK_EQ(resident[5] & 1, 1);
    // With MREMAP_DONTUNMAP the lock goes along.
    place = remap(moved, 6 * page, 6 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    REQUIRE(place != failed);
    CHECK_EQ(locked_kb() - locked, 2 * page / 1024);
    CHECK_EQ(munmap(moved, 6 * page), 0);
    CHECK_EQ(locked_kb() - locked, 2 * page / 1024);
    CHECK_EQ(munmap(place, 6 * page), 0);
    CHECK_EQ(locked - locked_kb(), 4 * page / 1024);
}

// Moved pages stay copy-on-write.
void test_after_fork() {
    char* place = map(4);
    memset(place, 1, 4 * page);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char* moved = remap(place, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room(4));
        memset(moved, 2, 2 * page);
        char byte;
        if (read(ends[0], &byte, 1) != 1) _exit(3);
        _exit(moved[0] == 2 && moved[2 * page] == 1 && !is_mapped(place) ? 0 : 1);
    }
    char* moved = remap(place, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room(4));
    memset(moved + 2 * page, 3, 2 * page);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(moved[0], 1);
    CHECK_EQ(moved[page], 1);
    munmap(moved, 4 * page);
    close(ends[0]), close(ends[1]);
}

} // namespace

int main() {
    test_errors();
    test_over_several_mappings();
    test_move();
    test_files();
    test_dont_unmap();
    test_locked();
    test_after_fork();
    return check::result();
}
