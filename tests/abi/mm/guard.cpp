// MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: ranges that fault though they are mapped, and what leaves them in place.
// Least Linux: 6.15, which knows them in file mappings too.
// needs-linux: 6.15
#include "asleep.hpp"
#include "memory.hpp"
#include <csetjmp>
#include <fcntl.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

using memory::map_pages;
using memory::page;

namespace {

volatile int last_code;
char* volatile last_address;
sigjmp_buf after_fault;

/// The si_code of the SIGSEGV that an access to the byte raises; 0 when there is none.
int fault_of(char* byte, bool writes) {
    last_code = 0;
    if (sigsetjmp(after_fault, 1) == 0) {
        if (writes)
            *static_cast<volatile char*>(byte) = 1;
        else
            (void)*static_cast<volatile char*>(byte);
        return 0;
    }
    CHECK(last_address == byte);
    return last_code;
}
bool is_guard(char* byte) { return fault_of(byte, false) == SEGV_MAPERR && fault_of(byte, true) == SEGV_MAPERR; }

bool is_readable(char* place) { return fault_of(place, false) == 0; }

size_t mappings() {
    FILE* maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps);
    size_t lines = 0;
    for (int c; (c = fgetc(maps)) != EOF;) lines += c == '\n';
    fclose(maps);
    return lines;
}

void test_faults() {
    char* place = map_pages(10);
    memset(place, 7, 10 * page);
    const size_t before = mappings();
    CHECK_OK(madvise(place + page, 3 * page, MADV_GUARD_INSTALL));
    CHECK_OK(madvise(place + page, 2 * page, MADV_GUARD_INSTALL)); // again
    CHECK_OK(madvise(place + 8 * page, page, MADV_GUARD_INSTALL));
    CHECK_EQ(mappings(), before); // it is no change of mappings
    for (size_t i = 0; i < 10; ++i) CHECK_EQ(is_guard(place + i * page), (i >= 1 && i <= 3) || i == 8);
    // The kernel's own accesses are refused.
    int pipe_ends[2];
    CHECK_OK(pipe(pipe_ends));
    CHECK_ERRNO(write(pipe_ends[1], place + page, 1), EFAULT);
    CHECK_EQ(write(pipe_ends[1], place, 1), 1);
    CHECK_ERRNO(read(pipe_ends[0], place + page, 1), EFAULT);
    iovec from = {place + page, page}, to = {place + 5 * page, page};
    CHECK_ERRNO(process_vm_readv(getpid(), &to, 1, &from, 1, 0), EFAULT);
    CHECK_ERRNO(madvise(place, 10 * page, MADV_POPULATE_READ), EFAULT);
    CHECK_ERRNO(madvise(place, 10 * page, MADV_POPULATE_WRITE), EFAULT);
    // What was there is gone, what lies beside it is not.
    CHECK_OK(madvise(place, 10 * page, MADV_GUARD_REMOVE));
    for (size_t i = 0; i < 10; ++i) {
        CHECK_EQ(place[i * page], (i >= 1 && i <= 3) || i == 8 ? 0 : 7);
        CHECK(!is_guard(place + i * page));
    }
    close(pipe_ends[0]), close(pipe_ends[1]);
    munmap(place, 10 * page);
}

/// As letters: g is a guard, else what the first byte of the page is.
const char* contents(char* place, size_t pages) {
    static char text[65];
    for (size_t i = 0; i < pages; ++i) text[i] = is_guard(place + i * page) ? 'g' : char('0' + place[i * page]);
    text[pages] = 0;
    return text;
}

/// Pages of sixes with guards where `text` has a g, in the middle of room that nothing else is in.
char* map_with_guards(char* room, const char* text, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int file = -1) {
    const size_t pages = strlen(text);
    void* place = mmap(room, pages * page, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0);
    REQUIRE(place == room);
    for (size_t i = 0; i < pages; ++i) room[i * page] = 6;
    for (size_t i = 0; i < pages; ++i)
        if (text[i] == 'g') CHECK_OK(madvise(room + i * page, page, MADV_GUARD_INSTALL));
    CHECK_STREQ(contents(room, pages), text);
    return room;
}

/// mremap(2) takes guards along (madvise(2)).
void test_moved(int flags, int file) {
    char* room = map_pages(48, PROT_NONE);
    char* place = map_with_guards(room + page, "6g66gg", flags, file);
    char* target = room + 16 * page;
    const size_t before = mappings();
    CHECK(mremap(place, 6 * page, 6 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_STREQ(contents(target, 6), "6g66gg");
    CHECK(!is_readable(place));
    CHECK_EQ(mappings(), before + 1); // the room is in three parts now, and what was moved is one
    // Part of it, from one guard to another.
    char* part = room + 32 * page;
    CHECK(mremap(target + page, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, part) == part);
    CHECK_STREQ(contents(part, 4), "g66g");
    CHECK_STREQ(contents(target, 1), "6");
    CHECK_STREQ(contents(target + 5 * page, 1), "g");
    // Shorter at the new place.
    CHECK(mremap(part, 4 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
    CHECK_STREQ(contents(room, 2), "g6");
    CHECK(!is_readable(part + 3 * page));
    // Over what is there.
    CHECK(mremap(room, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target + 4 * page) == target + 4 * page);
    CHECK_STREQ(contents(target + 4 * page, 2), "g6");
    munmap(room, 48 * page);
}

void test_resized() {
    char* room = map_pages(48, PROT_NONE);
    CHECK_OK(munmap(room + 24 * page, 24 * page));
    char* place = map_with_guards(room + 20 * page, "6g6g");
    const size_t before = mappings();
    CHECK(mremap(place, 4 * page, 6 * page, 0) == place); // in place
    CHECK_STREQ(contents(place, 6), "6g6g00");
    CHECK(mremap(place, 6 * page, 3 * page, 0) == place);
    CHECK(mremap(place, 3 * page, 5 * page, 0) == place); // what was cut off is new
    CHECK_STREQ(contents(place, 5), "6g600");
    CHECK_EQ(mappings(), before);
    CHECK_OK(madvise(place + 4 * page, page, MADV_GUARD_INSTALL));
    CHECK_ERRNO(mremap(place, 6 * page, 7 * page, MREMAP_MAYMOVE), EFAULT);
    // A range that ends within can't grow where it is.
    CHECK_ERRNO(mremap(place, 2 * page, 3 * page, 0), ENOMEM);
    CHECK(mremap(place, 5 * page, 8 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room); // elsewhere
    CHECK_STREQ(contents(room, 8), "6g60g000");
    CHECK_EQ(check::in_child([&] { CHECK_STREQ(contents(room, 8), "6g60g000"); }), 0);
    CHECK_OK(madvise(room, 8 * page, MADV_GUARD_REMOVE));
    CHECK_STREQ(contents(room, 8), "60600000");
    munmap(room, 48 * page);
}

void test_moved_but_kept() {
    char* room = map_pages(16, PROT_NONE);
    char* place = map_with_guards(room + page, "6gg6");
    char* target = room + 8 * page;
    CHECK(mremap(place, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, target) == target);
    CHECK_STREQ(contents(target, 4), "6gg6");
    CHECK_STREQ(contents(place, 4), "0000");
    munmap(room, 16 * page);
    // A second view of shared memory is of the memory alone.
    char* shared = map_with_guards(map_pages(3, PROT_NONE), "6g6", MAP_SHARED | MAP_ANONYMOUS);
    auto* view = static_cast<char*>(mremap(shared, 0, 3 * page, MREMAP_MAYMOVE));
    REQUIRE(view != MAP_FAILED);
    CHECK_STREQ(contents(view, 3), "666");
    CHECK_STREQ(contents(shared, 3), "6g6");
    munmap(view, 3 * page), munmap(shared, 3 * page);
}

/// By whole page tables, with guards that begin and end within them.
void test_moved_tables() {
    const size_t span = page / 8 * page;
    char* reserved = map_pages(7 * span / page, PROT_NONE);
    char* room = reserved + (span - uintptr_t(reserved) % span) % span;
    void* place = mmap(room, 3 * span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    REQUIRE(place == room);
    for (size_t at : {size_t(0), span - page, span, 2 * span, 3 * span - page}) room[at] = 3;
    CHECK_OK(madvise(room + span - page, 2 * page, MADV_GUARD_INSTALL));
    CHECK_OK(madvise(room + 2 * span + page, span - 2 * page, MADV_GUARD_INSTALL));
    char* target = room + 3 * span;
    CHECK(mremap(room, 3 * span, 3 * span, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_STREQ(contents(target, 1), "3");
    CHECK_STREQ(contents(target + span - 2 * page, 4), "0gg0");
    CHECK_STREQ(contents(target + 2 * span, 2), "3g");
    CHECK_STREQ(contents(target + 3 * span - 2 * page, 2), "g3");
    munmap(reserved, 7 * span);
}

/// What takes pages away leaves guards; what takes mappings away doesn't.
void test_stays() {
    char* place = map_pages(4);
    CHECK_OK(madvise(place + page, page, MADV_GUARD_INSTALL));
    for (int advice : {MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_DONTNEED_LOCKED,
                       MADV_NORMAL, MADV_RANDOM, MADV_DONTDUMP}) {
        CHECK_OK(madvise(place, 4 * page, advice));
        CHECK(is_guard(place + page));
    }
    CHECK_OK(mprotect(place, 4 * page, PROT_READ));
    CHECK_OK(mprotect(place, 4 * page, PROT_READ | PROT_WRITE));
    CHECK(is_guard(place + page));
    CHECK_OK(mprotect(place, 4 * page, PROT_NONE));
    CHECK_EQ(fault_of(place, false), SEGV_ACCERR);
    CHECK_EQ(fault_of(place + page, false), SEGV_ACCERR); // rights come first
    CHECK_OK(mprotect(place, 4 * page, PROT_READ | PROT_WRITE));
    CHECK(is_guard(place + page));
    void* again = mmap(place, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(again == place);
    CHECK(!is_guard(place + page));
    munmap(place, 4 * page);
}

void test_arguments() {
    char* place = map_pages(6);
    for (int advice : {MADV_GUARD_INSTALL, MADV_GUARD_REMOVE}) {
        CHECK_OK(madvise(place, 0, advice));
        CHECK_ERRNO(madvise(place + 1, page, advice), EINVAL);
        CHECK_ERRNO(madvise(place, ~size_t(0), advice), EINVAL);
    }
    CHECK_OK(mlock(place, page));
    CHECK_ERRNO(madvise(place, page, MADV_GUARD_INSTALL), EINVAL);
    CHECK_OK(madvise(place, page, MADV_GUARD_REMOVE));
    CHECK_OK(munlock(place, page));
    CHECK_OK(madvise(place + page, page, MADV_GUARD_INSTALL));
    CHECK_ERRNO(mlock(place, 3 * page), ENOMEM);
    CHECK(is_guard(place + page));
    CHECK_OK(munlock(place, 3 * page));
    // Around a hole the work is done all the same.
    CHECK_OK(munmap(place + 3 * page, page));
    CHECK_ERRNO(madvise(place, 6 * page, MADV_GUARD_INSTALL), ENOMEM);
    CHECK(is_guard(place));
    CHECK(is_guard(place + 5 * page));
    CHECK_ERRNO(madvise(place, 6 * page, MADV_GUARD_REMOVE), ENOMEM);
    CHECK(!is_guard(place));
    CHECK(!is_guard(place + 5 * page));
    munmap(place, 6 * page);
    char* read_only = map_pages(2, PROT_READ);
    CHECK_OK(madvise(read_only, page, MADV_GUARD_INSTALL));
    CHECK_EQ(fault_of(read_only, false), SEGV_MAPERR);
    CHECK_EQ(fault_of(read_only, true), SEGV_ACCERR);
    munmap(read_only, 2 * page);
}

void test_fork() {
    char* place = map_pages(4);
    memset(place, 5, 4 * page);
    CHECK_OK(madvise(place + page, page, MADV_GUARD_INSTALL));
    CHECK_OK(madvise(place + 3 * page, page, MADV_WIPEONFORK));
    CHECK_OK(madvise(place + 3 * page, page, MADV_GUARD_INSTALL));
    CHECK_EQ(check::in_child([&] {
                 CHECK(is_guard(place + page));
                 CHECK_EQ(place[2 * page], 5);
                 CHECK(!is_guard(place + 3 * page));
                 CHECK_OK(madvise(place, 4 * page, MADV_GUARD_REMOVE));
                 CHECK(!is_guard(place + page));
                 CHECK_OK(madvise(place, page, MADV_GUARD_INSTALL));
             }),
             0);
    CHECK(is_guard(place + page));
    CHECK(is_guard(place + 3 * page));
    CHECK_EQ(place[0], 5);
    munmap(place, 4 * page);
}

void test_objects() {
    const int file = memfd_create("guard", 0);
    CHECK_OK(ftruncate(file, off_t(3 * page)));
    for (size_t i = 0; i < 3; ++i) CHECK_EQ(pwrite(file, "page", 4, off_t(i * page)), 4);
    for (int kind : {MAP_SHARED, MAP_PRIVATE}) {
        char* place = map_pages(3, PROT_READ | PROT_WRITE, kind, file);
        CHECK_EQ(place[page], 'p');
        place[0] = 'P';
        CHECK_OK(madvise(place + page, page, MADV_GUARD_INSTALL));
        CHECK(is_guard(place + page));
        CHECK_OK(madvise(place, 3 * page, MADV_DONTNEED));
        CHECK(is_guard(place + page));
        // The file is what it was, and changing its size or contents changes nothing.
        char byte = 0;
        CHECK_EQ(pread(file, &byte, 1, off_t(page)), 1);
        CHECK_EQ(byte, 'p');
        CHECK_OK(ftruncate(file, 0));
        CHECK_OK(ftruncate(file, off_t(3 * page)));
        CHECK(is_guard(place + page));
        CHECK_EQ(check::in_child([&] { CHECK(is_guard(place + page)); }), 0);
        CHECK_EQ(pwrite(file, "page", 4, off_t(page)), 4);
        CHECK_OK(madvise(place + page, page, MADV_GUARD_REMOVE));
        CHECK_EQ(place[page], 'p');
        munmap(place, 3 * page);
    }
    close(file);
}

void test_reports() {
    char* place = map_pages(4);
    memset(place, 5, 4 * page);
    CHECK_OK(madvise(place + page, 2 * page, MADV_GUARD_INSTALL));
    unsigned char resident[4] = {};
    CHECK_OK(mincore(place, 4 * page, resident));
    CHECK_EQ(resident[0] & 1, 1);
    CHECK_EQ(resident[1] & 1, 0);
    CHECK_EQ(resident[3] & 1, 1);
    const int file = open("/proc/self/pagemap", O_RDONLY);
    unsigned long long entries[4];
    CHECK_EQ(pread(file, entries, sizeof entries, off_t(size_t(place) / page * 8)), ssize_t(sizeof entries));
    close(file);
    for (int i = 0; i < 4; ++i) {
        const bool guarded = i == 1 || i == 2;
        CHECK_EQ(int(entries[i] >> 58 & 1), int(guarded));
        CHECK_EQ(int(entries[i] >> 63), int(!guarded));
    }
    FILE* smaps = fopen("/proc/self/smaps", "r");
    REQUIRE(smaps);
    char line[512];
    unsigned long begin = 0, end = 0, resident_kb = ~0ul;
    while (fgets(line, sizeof line, smaps)) {
        sscanf(line, "%lx-%lx ", &begin, &end);
        const bool is_ours = begin <= (unsigned long)place && (unsigned long)place < end;
        if (is_ours) CHECK(end >= (unsigned long)place + 4 * page);
        if (is_ours && sscanf(line, "Rss: %lu", &resident_kb) == 1) break;
    }
    fclose(smaps);
    CHECK_EQ(resident_kb * 1024 % (64 * page), 2 * page);
    munmap(place, 4 * page);
}

} // namespace

int main() {
    check::handle(
        SIGSEGV,
        [](int, siginfo_t* info, void*) {
            last_code = info->si_code;
            last_address = static_cast<char*>(info->si_addr);
            siglongjmp(after_fault, 1);
        },
        0);
    test_faults();
    test_stays();
    test_arguments();
    test_fork();
    test_objects();
    test_reports();
    test_moved(MAP_PRIVATE | MAP_ANONYMOUS, -1);
    test_moved(MAP_SHARED | MAP_ANONYMOUS, -1);
    const int file = memfd_create("moved", 0);
    CHECK_OK(ftruncate(file, off_t(64 * page)));
    test_moved(MAP_PRIVATE, file);
    test_resized();
    test_moved_but_kept();
    test_moved_tables();
    return check::result();
}
