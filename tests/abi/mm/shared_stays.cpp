// Shared memory stays shared: over forks of forks, beside private pages in the same last-level page table, after
// mprotect, mremap, MADV_DONTNEED and at other addresses; never does a change through a shared mapping become private.
// What is written through one is in the file after msync, fsync, munmap and exit. Least Linux: 3.17 (memfd_create).
#include "child.hpp"
#include "memory.hpp"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace {

using check::code_of;
using check::in_child;
using memory::page;
using memory::span;

std::atomic<int>& word(char* at) { return *reinterpret_cast<std::atomic<int>*>(at); }

/// Each generation adds to every page, by a store, a read(2) into it or process_vm_writev, and has the next.
int generation(char* place, size_t step, size_t pages, char* own, int depth) {
    if (own[0] != depth) return 10 + depth;
    own[0] = char(depth + 1);
    for (size_t i = 0; i < pages; i++) {
        std::atomic<int>& here = word(place + i * step);
        int before = here;
        if (before != depth) return 30 + depth;
        int next = before + 1;
        if (i % 3 == 0) {
            iovec from{&next, sizeof next}, to{&here, sizeof next};
            if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) != sizeof next) return 50;
        } else if (i % 3 == 1) {
            int ends[2];
            if (pipe(ends) != 0 || write(ends[1], &next, sizeof next) != sizeof next) return 51;
            if (read(ends[0], &here, sizeof next) != sizeof next) return 52;
            close(ends[0]), close(ends[1]);
        } else
            here++;
    }
    if (depth == 4) return 0;
    int result = code_of(in_child([&] { return generation(place, step, pages, own, depth + 1); }));
    if (result) return result;
    return own[0] == depth + 1 ? 0 : 70 + depth;
}

/// `shared` is a shared mapping over two tables whose neighbours are private.
void test_generations(char* shared, size_t size) {
    char* own = memory::map(page);
    size_t step = size / 8, pages = 8;
    CHECK_EQ(in_child([&] { return generation(shared, step, pages, own, 0); }), 0);
    for (size_t i = 0; i < pages; i++) CHECK_EQ(word(shared + i * step).load(), 5);
    CHECK_EQ(own[0], 0);
    munmap(own, page);
}

void test_neighbours() {
    // private | shared over an edge | private
    char* place = memory::reserve_aligned(2 * span);
    memory::map_at(place, 2 * span);
    char* shared = place + span - 4 * page;
    memory::map_at(shared, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED);
    char *below = shared - page, *above = shared + 8 * page;
    below[0] = 1, above[0] = 2, shared[0] = 3;
    CHECK_EQ(in_child([&] {
                 below[0] = 11, above[0] = 12, shared[0] = 13, shared[7 * page] = 14;
                 return below[0] == 11 && above[0] == 12 && shared[0] == 13 ? 0 : 1;
             }),
             0);
    CHECK_EQ(below[0], 1);
    CHECK_EQ(above[0], 2);
    CHECK_EQ(shared[0], 13);
    CHECK_EQ(shared[7 * page], 14);
    for (size_t i = 0; i < 8; i++) word(shared + i * page) = 0;
    test_generations(shared, 8 * page);
    munmap(place, 2 * span);
}

/// A child changes its mapping in every way, and writes; the parent sees each value.
void test_after_changes(char* shared, size_t pages) {
    char* elsewhere = memory::reserve_aligned(pages * page);
    char* last = shared + (pages - 1) * page;
    shared[1] = last[1] = 1;
    CHECK_EQ(in_child([&] {
                 if (mprotect(shared, pages * page, PROT_READ) ||
                     mprotect(shared, pages * page, PROT_READ | PROT_WRITE))
                     return 1;
                 shared[1]++, last[1]++;
                 if (madvise(shared, pages * page, MADV_DONTNEED)) return 2;
                 if (shared[1] != 2) return 3;
                 shared[1]++, last[1]++;
                 if (mremap(shared, pages * page, pages * page, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) != elsewhere)
                     return 4;
                 elsewhere[1]++, elsewhere[(pages - 1) * page + 1]++;
                 return code_of(in_child([&] {
                     elsewhere[1]++, elsewhere[(pages - 1) * page + 1]++;
                     return elsewhere[1] == 5 ? 0 : 5;
                 }));
             }),
             0);
    CHECK_EQ(shared[1], 5);
    CHECK_EQ(last[1], 5);
    // And the other way round: a child born before sees what comes later.
    int go[2];
    REQUIRE(pipe(go) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        (void)!read(go[0], &byte, 1);
        _exit(shared[1] == 6 && last[1] == 6 ? 0 : 1);
    }
    CHECK_EQ(mprotect(shared, pages * page, PROT_READ), 0);
    CHECK_EQ(mprotect(shared, pages * page, PROT_READ | PROT_WRITE), 0);
    shared[1]++, last[1]++;
    CHECK_EQ(write(go[1], "g", 1), 1);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    close(go[0]), close(go[1]);
    munmap(elsewhere, pages * page);
}

void test_file(const char* folder) {
    char name[100];
    snprintf(name, sizeof name, "%s/shared_stays.%d", folder, int(getpid()));
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    REQUIRE(fd >= 0);
    const size_t size = 40 * page;
    CHECK_EQ(ftruncate(fd, off_t(size)), 0);
    auto* place = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    auto* again = static_cast<char*>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
    auto* copy = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    REQUIRE(place != MAP_FAILED && again != MAP_FAILED && copy != MAP_FAILED);
    copy[2 * page] = 'p';
    auto in_file = [&](size_t at) {
        char byte = 0;
        int other = open(name, O_RDONLY);
        CHECK_EQ(pread(other, &byte, 1, off_t(at)), 1);
        close(other);
        return byte;
    };
    // Dirty again and again: each time it is written back it must be noticed anew.
    for (char round = 1; round < 6; round++) {
        place[0] = round, place[20 * page + 5] = char(round + 1);
        CHECK_EQ(round % 2 ? msync(place, size, MS_SYNC) : fsync(fd), 0);
        CHECK_EQ(in_file(0), round);
        CHECK_EQ(in_file(20 * page + 5), round + 1);
        CHECK_EQ(again[20 * page + 5], round + 1);
        CHECK_EQ(copy[20 * page + 5], round + 1); // not written to, so still the file's
        CHECK_EQ(in_child([&] {
                     place[3 * page] = char(round + 50);
                     copy[3 * page] = 'q';
                     return copy[2 * page] == 'p' ? 0 : 1;
                 }),
                 0);
        CHECK_EQ(in_file(3 * page), round + 50);
        CHECK_EQ(copy[3 * page], round + 50);
        CHECK_EQ(in_file(2 * page), 0);
    }
    // write(2) is seen through the mappings, and what was written through them by read(2).
    CHECK_EQ(pwrite(fd, "w", 1, off_t(7 * page)), 1);
    CHECK_EQ(place[7 * page], 'w');
    CHECK_EQ(again[7 * page], 'w');
    CHECK_EQ(copy[7 * page], 'w');
    test_after_changes(place, size / page);
    CHECK_EQ(munmap(place, size), 0);
    CHECK_EQ(in_file(1), 6);
    // A child's last store is in the file when it is gone.
    CHECK_EQ(in_child([&] {
                 auto* mine =
                     static_cast<char*>(mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off_t(9 * page)));
                 if (mine == MAP_FAILED) return 1;
                 mine[11] = 'e';
                 return 0;
             }),
             0);
    CHECK_EQ(in_file(9 * page + 11), 'e');
    munmap(again, size), munmap(copy, size);
    close(fd);
    unlink(name);
}

} // namespace

int main() {
    mkdir("/tmp", 01777);
    test_neighbours();
    char* anonymous = memory::map(2 * span, MAP_SHARED);
    test_after_changes(anonymous, 2 * span / page);
    munmap(anonymous, 2 * span);
    anonymous = memory::map(span + 8 * page, MAP_SHARED);
    test_generations(anonymous, span + 8 * page);
    munmap(anonymous, span + 8 * page);
    int fd = memfd_create("shared_stays", 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(ftruncate(fd, off_t(20 * page)), 0);
    void* of_file = mmap(nullptr, 20 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(of_file != MAP_FAILED);
    test_generations(static_cast<char*>(of_file), 16 * page);
    test_after_changes(static_cast<char*>(of_file), 20);
    munmap(of_file, 20 * page);
    close(fd);
    test_file("/tmp");
    return check::result();
}
