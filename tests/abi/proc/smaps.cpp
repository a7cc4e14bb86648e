// /proc/PID/maps, smaps, smaps_rollup and numa_maps: format, and what they say of mappings whose pages are known. Least
// Linux: 6.7.
// needs-linux: 6.7
#include "proc_text.hpp"
#include <sys/mman.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

const size_t page = size_t(sysconf(_SC_PAGESIZE));
const long long page_kib = (long long)page / 1024;

char* map(size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1, int prot = PROT_READ | PROT_WRITE) {
    // A hole on each side, so that no neighbour is joined.
    char* room = static_cast<char*>(mmap(nullptr, (pages + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(room != MAP_FAILED);
    munmap(room, (pages + 2) * page);
    char* place = static_cast<char*>(mmap(room + page, pages * page, prot, flags | MAP_FIXED, fd, 0));
    REQUIRE(place != MAP_FAILED);
    return place;
}

void touch(char* place, size_t pages) {
    for (size_t i = 0; i < pages; i++) *reinterpret_cast<volatile char*>(place + i * page) = 1;
}

long long field(const char* entry, const char* name) { return number(entry, name); }

bool has_flag(const char* entry, const char* letters) {
    const char* line = strstr(entry, "\nVmFlags: ");
    if (!line) return false;
    const char* end = strchr(line + 1, '\n');
    for (const char* at = line + 10; at < end; at += 3)
        if (strncmp(at, letters, 2) == 0) return true;
    return false;
}

const char* smaps_entry(const void* place) {
    const char* entry = entry_of(read_file("/proc/self/smaps"), place);
    REQUIRE(entry != nullptr);
    return entry;
}

void test_format() {
    char* place = map(3);
    const char* entry = smaps_entry(place);
    const char* const names[] = {"Size:",          "KernelPageSize:", "MMUPageSize:",     "Rss:",
                                 "Pss:",           "Pss_Dirty:",      "Shared_Clean:",    "Shared_Dirty:",
                                 "Private_Clean:", "Private_Dirty:",  "Referenced:",      "Anonymous:",
                                 "KSM:",           "LazyFree:",       "AnonHugePages:",   "ShmemPmdMapped:",
                                 "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:", "Swap:",
                                 "SwapPss:",       "Locked:",         "THPeligible:",     "VmFlags:"};
    const char* at = entry;
    for (const char* name : names) {
        at = strchr(at, '\n') + 1;
        // A newer kernel may put further lines between.
        while (strncmp(at, name, strlen(name)) != 0 && *at >= 'A' && *at <= 'Z') at = strchr(at, '\n') + 1;
        if (strncmp(at, name, strlen(name)) != 0) return check::failed(__FILE__, __LINE__, name);
    }
    CHECK_EQ(field(entry, "Size"), 3 * page_kib);
    CHECK_EQ(field(entry, "KernelPageSize"), page_kib);
    CHECK_EQ(field(entry, "MMUPageSize"), page_kib);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "Size:           %8lld kB\n", 3 * page_kib);
    CHECK(strstr(entry, wanted) != nullptr);
    snprintf(wanted, sizeof wanted, "%08lx-%08lx rw-p 00000000 00:00 0 \n", (unsigned long)place,
             (unsigned long)(place + 3 * page));
    CHECK(strncmp(entry, wanted, strlen(wanted)) == 0);
    munmap(place, 3 * page);
}

void test_names() {
    const char* text = read_file("/proc/self/maps");
    const char* stack = strstr(text, "[stack]\n");
    const char* heap = strstr(text, "[heap]\n");
    REQUIRE(stack && heap && strstr(text, "[vdso]\n"));
    const char* line = stack;
    while (line > text && line[-1] != '\n') line--;
    CHECK_EQ(stack - line, 73);
    char* shared = map(1, MAP_SHARED | MAP_ANONYMOUS);
    const char* entry = entry_of(read_file("/proc/self/maps"), shared);
    REQUIRE(entry);
    CHECK(strncmp(strchr(entry, ' '), " rw-s ", 6) == 0);
    const char* end = strchr(entry, '\n');
    CHECK(end - entry > 20 && strncmp(end - 19, "/dev/zero (deleted)", 19) == 0);
    munmap(shared, page);
}

void test_private() {
    char* place = map(8);
    for (size_t i = 0; i < 2; i++) (void)*reinterpret_cast<volatile char*>(place + (6 + i) * page); // the zero page
    touch(place, 5);
    const char* entry = smaps_entry(place);
    CHECK_EQ(field(entry, "Rss"), 5 * page_kib);
    CHECK_EQ(field(entry, "Pss"), 5 * page_kib);
    CHECK_EQ(field(entry, "Pss_Dirty"), 5 * page_kib);
    CHECK_EQ(field(entry, "Private_Dirty"), 5 * page_kib);
    CHECK_EQ(field(entry, "Private_Clean"), 0);
    CHECK_EQ(field(entry, "Shared_Dirty"), 0);
    CHECK_EQ(field(entry, "Anonymous"), 5 * page_kib);
    CHECK_EQ(field(entry, "Referenced"), 5 * page_kib);
    CHECK_EQ(field(entry, "Locked"), 0);
    CHECK(has_flag(entry, "rd") && has_flag(entry, "wr") && has_flag(entry, "mr") && has_flag(entry, "mw"));
    CHECK(has_flag(entry, "me") && has_flag(entry, "ac") && !has_flag(entry, "ex") && !has_flag(entry, "sh"));
    const char* numa = read_file("/proc/self/numa_maps");
    if (numa) { // absent without CONFIG_NUMA
        entry = entry_of(numa, place);
        REQUIRE(entry);
        char wanted[80], end[80];
        snprintf(wanted, sizeof wanted, "%08lx default anon=5 dirty=5 ", (unsigned long)place);
        snprintf(end, sizeof end, "N0=5 kernelpagesize_kB=%lld\n", page_kib);
        CHECK(strncmp(entry, wanted, strlen(wanted)) == 0);
        CHECK(strncmp(strstr(entry, "N0="), end, strlen(end)) == 0);
    }
    CHECK_EQ(mlock(place, 8 * page), 0);
    entry = smaps_entry(place);
    CHECK_EQ(field(entry, "Locked"), 8 * page_kib);
    CHECK_EQ(field(entry, "Rss"), 8 * page_kib);
    CHECK(has_flag(entry, "lo"));
    munmap(place, 8 * page);
}

// After a fork each side has half of each page; one more child: a third, rounded down to kilobytes at the end.
void test_shares() {
    char* place = map(7);
    touch(place, 7);
    int ready[2], go[2];
    REQUIRE(pipe(ready) == 0 && pipe(go) == 0);
    char byte = 0;
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            (void)!write(ready[1], "x", 1);
            (void)!read(go[0], &byte, 1);
            _exit(0);
        }
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        const char* entry = smaps_entry(place);
        const long long sharers = i + 2;
        CHECK_EQ(field(entry, "Rss"), 7 * page_kib);
        const unsigned long long share = ((unsigned long long)page << 12) / (unsigned long long)sharers * 7;
        CHECK_EQ(field(entry, "Pss"), (long long)(share >> 22));
        CHECK_EQ(field(entry, "Pss_Dirty"), (long long)(share >> 22));
        CHECK_EQ(field(entry, "Shared_Dirty"), 7 * page_kib);
        CHECK_EQ(field(entry, "Private_Dirty"), 0);
    }
    touch(place, 3); // copies: mine alone now
    const char* entry = smaps_entry(place);
    CHECK_EQ(field(entry, "Private_Dirty"), 3 * page_kib);
    CHECK_EQ(field(entry, "Shared_Dirty"), 4 * page_kib);
    (void)!write(go[1], "xx", 2);
    for (pid_t child : children) waitpid(child, nullptr, 0);
    entry = smaps_entry(place);
    CHECK_EQ(field(entry, "Private_Dirty"), 7 * page_kib);
    CHECK_EQ(field(entry, "Pss"), 7 * page_kib);
    for (int fd : {ready[0], ready[1], go[0], go[1]}) close(fd);
    munmap(place, 7 * page);
}

void test_objects() {
    int fd = memfd_create("smaps", 0);
    REQUIRE(fd >= 0 && ftruncate(fd, off_t(4 * page)) == 0);
    char* first = map(4, MAP_SHARED, fd);
    char* second = map(4, MAP_SHARED, fd);
    touch(first, 4);
    touch(second, 1);
    const char* entry = smaps_entry(first);
    CHECK(strstr(entry, "/memfd:smaps (deleted)\n") != nullptr);
    CHECK_EQ(field(entry, "Rss"), 4 * page_kib);
    CHECK_EQ(field(entry, "Anonymous"), 0);
    // At least one page is mapped twice; mapping around a fault may have mapped more.
    CHECK_GE(field(entry, "Shared_Dirty"), page_kib);
    CHECK_LT(field(entry, "Pss"), 4 * page_kib);
    CHECK(has_flag(entry, "sh") && has_flag(entry, "ms") && has_flag(entry, "mw") && !has_flag(entry, "ac"));
    char* copy = map(4, MAP_PRIVATE, fd);
    touch(copy, 2);
    entry = smaps_entry(copy);
    CHECK_EQ(field(entry, "Anonymous"), 2 * page_kib);
    CHECK(has_flag(entry, "ac") && !has_flag(entry, "ms"));
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY);
    REQUIRE(reader >= 0);
    char* view = map(4, MAP_SHARED, reader, PROT_READ);
    entry = smaps_entry(view);
    CHECK(strstr(entry, " r--s ") == entry + strcspn(entry, " "));
    CHECK(has_flag(entry, "ms") && !has_flag(entry, "sh") && !has_flag(entry, "mw"));
    for (char* place : {first, second, copy, view}) munmap(place, 4 * page);
    close(fd), close(reader);
}

void test_flags() {
    struct {
        int advice;
        const char* letters;
    } const advices[] = {{MADV_SEQUENTIAL, "sr"},
                         {MADV_RANDOM, "rr"},
                         {MADV_DONTFORK, "dc"},
                         {MADV_WIPEONFORK, "wf"},
                         {MADV_DONTDUMP, "dd"}};
    for (auto [advice, letters] : advices) {
        char* place = map(2);
        CHECK(!has_flag(smaps_entry(place), letters));
        CHECK_EQ(madvise(place, 2 * page, advice), 0);
        CHECK(has_flag(smaps_entry(place), letters));
        munmap(place, 2 * page);
    }
    char* place = map(2, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    CHECK(has_flag(smaps_entry(place), "nr") && !has_flag(smaps_entry(place), "ac"));
    munmap(place, 2 * page);
    place = map(2, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN);
    CHECK(has_flag(smaps_entry(place), "gd"));
    munmap(place, 2 * page);
    // Promised memory: only what may be written, or was.
    place = map(2, MAP_PRIVATE | MAP_ANONYMOUS, -1, PROT_READ);
    CHECK(!has_flag(smaps_entry(place), "ac"));
    CHECK_EQ(mprotect(place, 2 * page, PROT_READ | PROT_WRITE), 0);
    CHECK(has_flag(smaps_entry(place), "ac"));
    CHECK_EQ(mprotect(place, 2 * page, PROT_READ), 0);
    CHECK(!has_flag(smaps_entry(place), "ac"));
    CHECK_EQ(mprotect(place, 2 * page, PROT_READ | PROT_WRITE), 0);
    touch(place, 1);
    CHECK_EQ(mprotect(place, 2 * page, PROT_READ), 0);
    CHECK(has_flag(smaps_entry(place), "ac"));
    munmap(place, 2 * page);
}

// The roll-up is the sum of the parts.
void test_rollup() {
    char* place = map(16);
    touch(place, 9);
    const char* text = read_file("/proc/self/smaps");
    long long rss = 0, anonymous = 0;
    for (const char* at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : nullptr) {
        if (strncmp(at, "Rss:", 4) == 0) rss += atoll(at + 4);
        if (strncmp(at, "Anonymous:", 10) == 0) anonymous += atoll(at + 10);
    }
    text = read_file("/proc/self/smaps_rollup");
    REQUIRE(text);
    CHECK_EQ(number(text, "Rss"), rss);
    CHECK_EQ(number(text, "Anonymous"), anonymous);
    CHECK_LE(
        llabs(number(text, "Pss") - number(text, "Pss_Anon") - number(text, "Pss_File") - number(text, "Pss_Shmem")),
        3);
    CHECK(strstr(text, " ---p 00000000 00:00 0 ") == text + strcspn(text, " "));
    CHECK(strncmp(text + 73, "[rollup]\n", 9) == 0);
    CHECK(strstr(text, "VmFlags") == nullptr);
    munmap(place, 16 * page);
}

} // namespace

int main() {
    free(malloc(100)); // so that there is a heap
    test_format();
    test_names();
    test_private();
    test_shares();
    test_objects();
    test_flags();
    test_rollup();
    return check::result();
}
