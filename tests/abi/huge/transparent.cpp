// Transparent huge pages: made at the first touch, split when a part changes, copied on write, collapsed on request and
// in the background; none of it may show in the contents. Least Linux: 5.8; MADV_COLLAPSE is tested from 6.1 on.
#include "child.hpp"
#include "khugepaged.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace {

using memory::page;
using memory::span; // what a huge page maps

constexpr int rw = PROT_READ | PROT_WRITE;

// Bytes in huge pages of the mappings that lie in [begin, begin + size).
size_t huge_bytes(const char* begin, size_t size, const char* name = "AnonHugePages:") {
    FILE* smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    size_t sum = 0, length = strlen(name);
    bool is_inside = false;
    while (smaps && fgets(line, sizeof line, smaps)) {
        unsigned long from, to;
        size_t kib;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_inside = from < uintptr_t(begin) + size && to > uintptr_t(begin);
        else if (is_inside && !strncmp(line, name, length) && sscanf(line + length, "%zu", &kib) == 1)
            sum += kib * 1024;
    }
    if (smaps) fclose(smaps);
    return sum;
}

// Room for `count` huge pages with advice, between two ranges as large as one that nobody may touch.
struct Region {
    char* begin;
    size_t size;
    explicit Region(size_t count, int advice = MADV_HUGEPAGE) : size(count * span) {
        begin = memory::map_at(memory::reserve_aligned(size + 2 * span) + span, size);
        CHECK_EQ(madvise(begin, size, advice), 0);
    }
    ~Region() { munmap(begin - span, size + 2 * span); }
    Region(const Region&) = delete;
    char& at(size_t offset) { return begin[offset]; }
    size_t huge_bytes() const { return ::huge_bytes(begin, size); }
};

// A byte that tells pages apart, and the first from the last of one.
char mark(size_t index, int salt) { return char(index * 7 + size_t(salt) * 31 + 1); }
void fill(char* begin, size_t size, int salt) {
    for (size_t i = 0; i < size / page; i++) begin[i * page] = begin[(i + 1) * page - 1] = mark(i, salt);
}
// Pages [but, but + 1) may be anything.
bool holds(const char* begin, size_t size, int salt, size_t but = ~size_t(0)) {
    for (size_t i = 0; i < size / page; i++) {
        if (i == but) continue;
        if (begin[i * page] != mark(i, salt) || begin[(i + 1) * page - 1] != mark(i, salt)) return false;
    }
    return true;
}
bool is_zero(const char* begin, size_t size) {
    for (size_t i = 0; i < size; i += 64)
        if (begin[i]) return false;
    return true;
}

const size_t middle = span / page / 2; // a page in the middle of a huge one

void test_first_touch() {
    Region region(1);
    CHECK_EQ(region.huge_bytes(), 0u);
    region.at(span / 2) = 1;
    CHECK_EQ(region.huge_bytes(), span);
    CHECK(is_zero(&region.at(0), span / 2));
    fill(region.begin, span, 1);
    CHECK_EQ(region.huge_bytes(), span);
    CHECK(holds(region.begin, span, 1));
    // All of it goes at once, and comes back as zeroes.
    CHECK_EQ(madvise(region.begin, span, MADV_DONTNEED), 0);
    CHECK_EQ(region.huge_bytes(), 0u);
    CHECK(is_zero(region.begin, span));
}

void test_read_first() {
    Region region(1);
    CHECK(is_zero(region.begin, span));
    region.at(middle * page) = 5;
    CHECK_EQ(int(region.at(middle * page)), 5);
    region.at(middle * page) = 0;
    CHECK(is_zero(region.begin, span));
    fill(region.begin, span, 2);
    CHECK(holds(region.begin, span, 2));
}

void test_without_advice() {
    Region region(1, MADV_NOHUGEPAGE);
    fill(region.begin, span, 3);
    CHECK_EQ(region.huge_bytes(), 0u);
    CHECK(holds(region.begin, span, 3));
}

void test_parts_change() {
    for (int what = 0; what < 5; what++) {
        Region region(1);
        fill(region.begin, span, what);
        CHECK_EQ(region.huge_bytes(), span);
        char* part = region.begin + middle * page;
        unsigned char resident[1];
        switch (what) {
        case 0:
            CHECK_EQ(munmap(part, page), 0);
            CHECK_ERRNO(mincore(part, page, resident), ENOMEM);
            break;
        case 1:
            CHECK_EQ(mprotect(part, page, PROT_READ), 0);
            CHECK(*part == mark(middle, what));
            break;
        case 2:
            CHECK_EQ(madvise(part, page, MADV_DONTNEED), 0);
            CHECK(is_zero(part, page));
            break;
        case 3:
            CHECK(memory::map_at(part, page) == part);
            CHECK(is_zero(part, page));
            break;
        case 4:
            CHECK_EQ(mlock(part, page), 0);
            CHECK(*part == mark(middle, what));
            CHECK_EQ(munlock(part, page), 0);
            break;
        }
        if (what == 0) {
            CHECK(holds(region.begin, middle * page, what));
            continue;
        }
        CHECK(holds(region.begin, span, what, middle));
        region.at(0) = 99;
        CHECK(region.at(0) == 99);
    }
    Region region(1);
    fill(region.begin, span, 7);
    CHECK_EQ(mprotect(region.begin, span, PROT_READ), 0);
    CHECK_EQ(mprotect(region.begin, span, PROT_NONE), 0);
    CHECK_EQ(mprotect(region.begin, span, rw), 0);
    CHECK(holds(region.begin, span, 7));
    fill(region.begin, span, 8);
    CHECK(holds(region.begin, span, 8));
    CHECK_EQ(region.huge_bytes(), span);
}

void test_moves() {
    for (size_t shift : {size_t(0), 3 * page}) {
        Region from(1), to(3);
        fill(from.begin, span, 4);
        char* target = to.begin + shift;
        CHECK(mremap(from.begin, span, span, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
        CHECK(holds(target, span, 4));
        if (shift == 0) CHECK_EQ(huge_bytes(target, span), span);
        // Two pages of it go back.
        CHECK(mremap(target + page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, from.begin) == from.begin);
        CHECK(from.at(0) == mark(1, 4) && from.at(page) == mark(2, 4));
        CHECK(target[0] == mark(0, 4) && target[3 * page] == mark(3, 4));
    }
}

void test_fork() {
    Region region(1);
    fill(region.begin, span, 5);
    int to_child[2], to_parent[2];
    char byte = 0;
    CHECK_EQ(pipe(to_child), 0);
    CHECK_EQ(pipe(to_parent), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(holds(region.begin, span, 5));
        region.at(middle * page) = 77;
        CHECK(holds(region.begin, span, 5, middle));
        CHECK_EQ(write(to_parent[1], &byte, 1), 1);
        CHECK_EQ(read(to_child[0], &byte, 1), 1); // the parent has written now
        CHECK(region.at(0) == mark(0, 5));
        CHECK(region.at(middle * page) == 77);
        check::run_in_child([&] { fill(region.begin, span, 6); });
        CHECK(holds(region.begin, span, 5, middle));
        fflush(stdout);
        _exit(check::failures ? 1 : 0);
    }
    CHECK_EQ(read(to_parent[0], &byte, 1), 1);
    CHECK(holds(region.begin, span, 5));
    region.at(0) = 11;
    CHECK_EQ(write(to_child[1], &byte, 1), 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(region.at(0) == 11);
    CHECK(holds(region.begin, span, 5, 0));
    for (int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) close(fd);

    Region kept(1), wiped(1);
    fill(kept.begin, span, 1);
    fill(wiped.begin, span, 2);
    CHECK_EQ(madvise(kept.begin, span, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(wiped.begin, span, MADV_WIPEONFORK), 0);
    check::run_in_child([&] {
        unsigned char resident[1];
        CHECK_ERRNO(mincore(kept.begin, page, resident), ENOMEM);
        CHECK(is_zero(wiped.begin, span));
        fill(wiped.begin, span, 3);
    });
    CHECK(holds(kept.begin, span, 1));
    CHECK(holds(wiped.begin, span, 2));
}

// After the others are gone the page is written in place again: still one huge page.
void test_fork_and_exit() {
    Region region(1);
    fill(region.begin, span, 5);
    for (int i = 0; i < 20; i++) {
        check::run_in_child([&] { CHECK(holds(region.begin, span, 5)); });
        CHECK(holds(region.begin, span, 5));
    }
    fill(region.begin, span, 6);
    CHECK(holds(region.begin, span, 6));
    CHECK_EQ(region.huge_bytes(), span);
}

void test_others_write() {
    Region region(1);
    fill(region.begin, span, 5);
    char text[] = "written";
    iovec local{text, 7}, remote{region.begin + middle * page + 100, 7};
    CHECK_EQ(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), 7);
    CHECK_EQ(memcmp(remote.iov_base, text, 7), 0);
    CHECK_EQ(mprotect(region.begin, span, PROT_READ), 0);
    int memory = open("/proc/self/mem", O_RDWR);
    CHECK_EQ(pwrite(memory, "by force", 8, off_t(uintptr_t(region.begin + 200))), 8);
    CHECK_EQ(memcmp(region.begin + 200, "by force", 8), 0);
    check::run_in_child([&] {
        int own = open("/proc/self/mem", O_RDWR);
        CHECK_EQ(pwrite(own, "in child", 8, off_t(uintptr_t(region.begin + 200))), 8);
        CHECK_EQ(memcmp(region.begin + 200, "in child", 8), 0);
    });
    CHECK_EQ(memcmp(region.begin + 200, "by force", 8), 0);
    CHECK(holds(region.begin, span, 5));
    close(memory);
}

void test_disabling() {
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
    CHECK_ERRNO(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL);
    check::run_in_child([] {
        CHECK_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
        CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
        Region region(1);
        fill(region.begin, span, 1);
        CHECK_EQ(region.huge_bytes(), 0u);
        check::run_in_child([] { CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1); });
        CHECK_EQ(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
        Region other(1);
        fill(other.begin, span, 1);
        CHECK_EQ(other.huge_bytes(), span);
    });
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
}

void test_collapse_on_request() {
    Region region(1, MADV_NOHUGEPAGE);
    fill(region.begin, span, 5);
    CHECK_ERRNO(madvise(region.begin, span, MADV_COLLAPSE), EINVAL);
    CHECK_EQ(region.huge_bytes(), 0u);
    CHECK_EQ(madvise(region.begin, span, MADV_HUGEPAGE), 0); // from here on khugepaged may be faster
    if (madvise(region.begin, span, MADV_COLLAPSE) != 0) {
        CHECK_EQ(errno, EINVAL); // before 6.1
        return;
    }
    CHECK_EQ(region.huge_bytes(), span);
    CHECK(holds(region.begin, span, 5));
    CHECK_EQ(madvise(region.begin, span, MADV_COLLAPSE), 0);
    // Holes become zeroes.
    CHECK_EQ(madvise(region.begin, span, MADV_NOHUGEPAGE), 0);
    CHECK_EQ(madvise(region.begin, span, MADV_DONTNEED), 0);
    fill(region.begin, middle * page, 6);
    CHECK_EQ(madvise(region.begin, span, MADV_HUGEPAGE), 0);
    CHECK_EQ(madvise(region.begin, span, MADV_COLLAPSE), 0);
    CHECK_EQ(region.huge_bytes(), span);
    CHECK(holds(region.begin, middle * page, 6));
    CHECK(is_zero(region.begin + middle * page, span - middle * page));
    CHECK_EQ(munmap(region.begin, span), 0);
    CHECK_ERRNO(madvise(region.begin, span, MADV_COLLAPSE), ENOMEM);
}

void test_collapse_in_background() {
    const EagerKhugepaged eager;
    Region region(1, MADV_NOHUGEPAGE);
    fill(region.begin, span, 5);
    CHECK_EQ(madvise(region.begin, span, MADV_HUGEPAGE), 0);
    const double end = memory::now() + 120;
    do {
        CHECK(holds(region.begin, span, 5));
        sched_yield();
    } while (region.huge_bytes() == 0 && memory::now() < end);
    CHECK_EQ(region.huge_bytes(), span);
    CHECK(holds(region.begin, span, 5));
}

// Each worker owns some pages, writes them, gives them back and reads them; the main thread splits, collapses and forks
// meanwhile.
struct Worker {
    pthread_t thread;
    char* begin;
    size_t first;
};
constexpr size_t workers = 3, own_pages = 64;
std::atomic<bool> stop{false};

void* work(void* context) {
    const auto& self = *static_cast<Worker*>(context);
    char last[own_pages] = {};
    for (unsigned round = 0; !stop; round++) {
        for (size_t i = 0; i < own_pages; i++) {
            char* at = self.begin + (i * (span / own_pages) + self.first * page);
            if (*at != last[i]) {
                check::failed(__FILE__, __LINE__, "a page lost what was written to it");
                stop = true;
            }
            if ((round + i) % 16 == 0 && (madvise(at, page, MADV_DONTNEED) != 0 || *at != 0)) {
                check::failed(__FILE__, __LINE__, "a page that was given back is not zero");
                stop = true;
            }
            *at = last[i] = char(round + i);
        }
    }
    return nullptr;
}

void test_races() {
    Region region(1);
    Worker threads[workers];
    for (size_t i = 0; i < workers; i++) {
        threads[i] = {{}, region.begin, i};
        CHECK_EQ(pthread_create(&threads[i].thread, nullptr, work, &threads[i]), 0);
    }
    char* other = region.begin + workers * page;
    for (int i = 0; i < 40 && !stop; i++) {
        if (i % 4 == 0) (void)madvise(region.begin, span, MADV_COLLAPSE);
        if (i % 4 == 1) check::run_in_child([&] { fill(region.begin, span, i); });
        if (i % 4 == 2) CHECK_EQ(mprotect(other, page, rw | PROT_EXEC), 0);
        if (i % 4 == 3) CHECK_EQ(mprotect(other, page, rw), 0);
    }
    stop = true;
    for (Worker& worker : threads) CHECK_EQ(pthread_join(worker.thread, nullptr), 0);
}

// Shared anonymous memory is huge only where the system says so.
void test_shared() {
    char before[128] = {};
    strncpy(before, proc_text::read_file(KNOB("shmem_enabled")), sizeof before - 1);
    const char* chosen = strchr(before, '[');
    CHECK(chosen);
    CHECK(proc_text::write_file(KNOB("shmem_enabled"), "advise"));
    char* begin = memory::map_at(memory::reserve_aligned(3 * span) + span, span, rw, MAP_SHARED);
    CHECK_EQ(madvise(begin, span, MADV_HUGEPAGE), 0);
    fill(begin, span, 1);
    CHECK_EQ(huge_bytes(begin, span, "ShmemPmdMapped:"), span);
    check::run_in_child([&] {
        CHECK(holds(begin, span, 1));
        fill(begin, span, 2);
    });
    CHECK(holds(begin, span, 2));
    // A hole for all; the rest stays.
    CHECK_EQ(madvise(begin + middle * page, page, MADV_REMOVE), 0);
    CHECK(is_zero(begin + middle * page, page));
    CHECK(holds(begin, span, 2, middle));
    CHECK_EQ(madvise(begin, span, MADV_DONTNEED), 0);
    CHECK(holds(begin, span, 2, middle));
    CHECK(mremap(begin, span, span, MREMAP_MAYMOVE | MREMAP_FIXED, begin + span + page) == begin + span + page);
    CHECK(holds(begin + span + page, span, 2, middle));
    CHECK_EQ(munmap(begin - span, 3 * span + page), 0);
    *strchr(before, ']') = 0;
    CHECK(proc_text::write_file(KNOB("shmem_enabled"), strchr(before, '[') + 1));
}

void test_knobs() {
    char before[64] = {};
    strncpy(before, proc_text::read_file(KNOB("enabled")), sizeof before - 1);
    CHECK(!strcmp(before, "[always] madvise never\n") || !strcmp(before, "always [madvise] never\n"));
    CHECK_ERRNO(proc_text::write_file(KNOB("enabled"), "sometimes") - 1, EINVAL);
    CHECK_ERRNO(proc_text::write_file(KNOB("khugepaged/pages_to_scan"), "0") - 1, EINVAL);
    CHECK_ERRNO(proc_text::write_file(KNOB("khugepaged/max_ptes_none"), "100000000") - 1, EINVAL);
    CHECK(proc_text::write_file(KNOB("enabled"), "never"));
    {
        Region region(1);
        fill(region.begin, span, 1);
        CHECK_EQ(region.huge_bytes(), 0u);
    }
    CHECK(proc_text::write_file(KNOB("enabled"), "madvise\n"));
    {
        Region region(1);
        fill(region.begin, span, 1);
        CHECK_EQ(region.huge_bytes(), span);
    }
    CHECK(proc_text::write_file(KNOB("enabled"), strchr(before, '[') == before ? "always" : "madvise"));
}

} // namespace

int main() {
    const char* enabled = proc_text::read_file(KNOB("enabled"));
    if (!enabled) check::skip("no transparent huge pages");
    if (strstr(enabled, "[never]")) check::skip("transparent huge pages are off");
    CHECK_EQ(size_t(atoll(proc_text::read_file(KNOB("hpage_pmd_size")))), span);
    test_first_touch();
    test_read_first();
    test_without_advice();
    test_parts_change();
    test_moves();
    test_fork();
    test_fork_and_exit();
    test_others_write();
    test_disabling();
    test_collapse_on_request();
    test_collapse_in_background();
    test_shared();
    test_races();
    test_knobs();
    return check::result();
}
