// Soft-dirty marks: bit 55 of /proc/PID/pagemap, "4" in clear_refs, "sd" in VmFlags (Linux's documentation,
// "soft-dirty"). Linux has them on x86_64; on the other architectures here the bit is never set. Least Linux: 3.11.
#include "asleep.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <sys/syscall.h>
#include <thread>

using memory::page;
using memory::span;

namespace {

#ifdef __x86_64__
constexpr bool has_marks = true;
#else
constexpr bool has_marks = false;
#endif

int pagemap = -1;

bool is_dirty(const void* place) {
    uint64_t value = 0;
    CHECK_EQ(pread(pagemap, &value, 8, off_t(uintptr_t(place) / page * 8)), 8);
    return value >> 55 & 1;
}

/// The marks of some pages as letters: d is dirty, - isn't.
const char* marks(const char* place, size_t count) {
    static char text[65];
    for (size_t i = 0; i < count; ++i) text[i] = is_dirty(place + i * page) ? 'd' : '-';
    text[count] = 0;
    return text;
}
/// What the marks should be; where there are none, none.
const char* wanted(const char* text) { return has_marks ? text : &"----------------"[16 - strlen(text)]; }
#define CHECK_MARKS(place, text) CHECK_STREQ(marks(place, strlen(text)), wanted(text))

void clear() { REQUIRE(proc_text::write_file("/proc/self/clear_refs", "4")); }

void write_to(char* place, size_t number = 0) { static_cast<volatile char*>(place)[number * page] += 1; }
void read_from(char* place, size_t number = 0) { (void)static_cast<volatile char*>(place)[number * page]; }

/// A mapping that merges with no other, after the marks have been cleared.
char* map_clean(size_t pages, int type = MAP_PRIVATE) {
    char* room = memory::map((pages + 2) * page, MAP_PRIVATE, PROT_NONE);
    char* place = memory::map_at(room + page, pages * page, PROT_READ | PROT_WRITE, type);
    for (size_t i = 0; i < pages; ++i) write_to(place, i);
    clear();
    return place;
}

/// Whether VmFlags of the mapping that begins there says so.
bool has_flag(const void* place, const char* letters) {
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), place);
    REQUIRE(entry);
    const char* flags = strstr(entry, "VmFlags:");
    REQUIRE(flags);
    const char* found = strstr(flags, letters);
    return found && found < strchr(flags, '\n');
}

void test_new_and_cleared() {
    char* room = memory::map(6 * page, MAP_PRIVATE, PROT_NONE);
    char* place = memory::map_at(room + page, 4 * page);
    write_to(place, 1);
    CHECK_MARKS(place, "dddd"); // whatever is there, it is new
    CHECK_EQ(has_flag(place, " sd"), has_marks);
    clear();
    CHECK_MARKS(place, "----");
    CHECK(!has_flag(place, " sd"));
    CHECK_EQ(place[page], 1);
    read_from(place, 0);
    CHECK_MARKS(place, "----");
    write_to(place, 0); // in place of zeros
    write_to(place, 1); // to what is there
    write_to(place, 3); // to nothing
    CHECK_MARKS(place, "dd-d");
    CHECK(!has_flag(place, " sd"));
    clear();
    CHECK_MARKS(place, "----");
    CHECK_OK(madvise(place, 4 * page, MADV_DONTNEED));
    read_from(place, 0);
    CHECK_MARKS(place, "----");
    write_to(place, 2);
    CHECK_MARKS(place, "--d-");
    // What takes the place of another mapping is new.
    memory::map_at(place, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED);
    CHECK_MARKS(place, "ddd-");
    munmap(room, 6 * page);
}

void test_writes_of_the_kernel() {
    char* place = map_clean(4);
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_EQ(write(ends[1], place, 1), 1);
    CHECK_MARKS(place, "----");
    CHECK_EQ(read(ends[0], place + page, 1), 1);
    iovec from = {place, 1}, to = {place + 2 * page, 1};
    CHECK_EQ(process_vm_writev(getpid(), &from, 1, &to, 1, 0), 1);
    CHECK_MARKS(place, "-dd-");
    // By force too.
    CHECK_OK(mprotect(place, 4 * page, PROT_READ));
    CHECK_MARKS(place, "-dd-");
    const int memory = open("/proc/self/mem", O_RDWR);
    const ssize_t forced = pwrite(memory, "m", 1, off_t(uintptr_t(place) + 3 * page));
    const int error = errno;
    if (forced < 0) CHECK_EQ(error, EIO); // since 6.12 Linux can be built to let tracers only do so
    CHECK_MARKS(place, forced == 1 ? "-ddd" : "-dd-");
    close(memory), close(ends[0]), close(ends[1]);
    munmap(place, 4 * page);
}

void test_protect() {
    char* place = map_clean(4);
    write_to(place, 1);
    for (int prot :
         {PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE}) {
        CHECK_OK(mprotect(place, 4 * page, prot));
        CHECK_MARKS(place, "-d--");
    }
    write_to(place, 2);
    CHECK_MARKS(place, "-dd-");
    munmap(place, 4 * page);
}

void test_objects(int type) {
    const int file = memfd_create("dirty", 0);
    CHECK_OK(ftruncate(file, off_t(4 * page)));
    CHECK_EQ(pwrite(file, "page", 4, off_t(page)), 4);
    char* one = static_cast<char*>(mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, type, file, 0));
    char* other = static_cast<char*>(mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    REQUIRE(one != MAP_FAILED && other != MAP_FAILED);
    read_from(one, 0), write_to(one, 1), write_to(other, 1);
    clear();
    for (size_t i = 0; i < 4; ++i) read_from(one, i);
    CHECK_MARKS(one, "----");
    write_to(one, 0), write_to(one, 1), write_to(one, 3);
    CHECK_MARKS(one, "dd-d");
    CHECK_MARKS(other, "----"); // marks are of the mapping, not of the page
    CHECK_EQ(pwrite(file, "page", 4, off_t(2 * page)), 4);
    CHECK_MARKS(one, "dd-d");
    munmap(one, 4 * page), munmap(other, 4 * page);
    close(file);
}

void test_moved() {
    char* place = map_clean(4);
    read_from(place, 2);
    CHECK_OK(madvise(place + 2 * page, page, MADV_DONTNEED));
    char* room = memory::map(8 * page, MAP_PRIVATE, PROT_NONE);
    char* target = room + 2 * page;
    CHECK(mremap(place, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_MARKS(target, "dd-d");
    clear();
    CHECK_MARKS(target, "----");
    CHECK_EQ(target[page], 1);
    munmap(room, 8 * page);
}

/// By whole page tables. Linux leaves these marks as they were: that is no promise, so only what was written is looked
/// at.
void test_moved_tables() {
    char* place = memory::reserve_aligned(4 * span);
    CHECK_OK(madvise(place, 4 * span, MADV_NOHUGEPAGE));
    memory::map_at(place, 2 * span);
    CHECK_OK(madvise(place, 2 * span, MADV_NOHUGEPAGE));
    write_to(place), write_to(place + span + 3 * page);
    clear();
    write_to(place);
    char* target = place + 2 * span;
    CHECK(mremap(place, 2 * span, 2 * span, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_MARKS(target, "d--");
    write_to(target + span + 3 * page);
    CHECK_EQ(is_dirty(target + span + 3 * page), has_marks);
    CHECK_EQ(target[span + 3 * page], 2);
    munmap(place, 4 * span);
}

void test_grown() {
    char* room = memory::map(8 * page, MAP_PRIVATE, PROT_NONE);
    char* place = memory::map_at(room + page, 2 * page);
    write_to(place);
    CHECK_OK(munmap(room + 3 * page, 5 * page));
    clear();
    CHECK(mremap(place, 2 * page, 4 * page, 0) == place);
    write_to(place, 3);
    CHECK_EQ(is_dirty(place + 3 * page), has_marks);
    munmap(room, 8 * page);
    auto* end = static_cast<char*>(sbrk(0));
    CHECK_OK(brk(end + 4 * page));
    clear();
    CHECK_OK(brk(end + 8 * page));
    CHECK_EQ(is_dirty(end + 6 * page), has_marks);
    CHECK_OK(brk(end));
}

/// What a fork does, with memory that fills whole page tables and with memory that doesn't.
enum class Parts { One, Two };
void test_fork(size_t size, Parts parts = Parts::One) {
    char* place = memory::reserve_aligned(2 * span);
    memory::map_at(place, size);
    CHECK_OK(madvise(place, size, MADV_NOHUGEPAGE));
    if (parts == Parts::Two) CHECK_OK(madvise(place + size / 2, size / 2, MADV_DONTDUMP));
    for (size_t at = 0; at < size; at += page) write_to(place + at);
    clear();
    write_to(place, 1);
    auto* step = check::shared<std::atomic<int>>();
    auto wait_for = [&](int number) { CHECK(check::eventually([&] { return *step >= number; })); };
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        check::failures = 0;
        pagemap = open("/proc/self/pagemap", O_RDONLY);
        CHECK_MARKS(place, "-d--"); // inherited
        write_to(place, 2);
        CHECK_MARKS(place, "-dd-");
        *step = 1;
        wait_for(2);
        CHECK_MARKS(place, "-dd-"); // the parent's clearing is the parent's
        clear();
        CHECK_MARKS(place, "----");
        CHECK_EQ(place[page], 2);
        CHECK_EQ(place[3 * page], 1);
        *step = 3;
        wait_for(4);
        CHECK_MARKS(place, "----");
        _exit(check::result());
    }
    wait_for(1);
    CHECK_MARKS(place, "-d--");
    clear();
    CHECK_MARKS(place, "----");
    write_to(place, 3);
    CHECK_MARKS(place, "---d");
    *step = 2;
    wait_for(3);
    CHECK_MARKS(place, "---d"); // the child's clearing is the child's
    write_to(place, 0);
    *step = 4;
    int status = -1;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
    CHECK_MARKS(place, "d--d");
    munmap(place, 2 * span);
}

/// Tables shared with a child that only sleeps, cleared again and again, and by somebody else.
void test_shared_tables() {
    char* place = memory::reserve_aligned(2 * span);
    memory::map_at(place, span);
    CHECK_OK(madvise(place, span, MADV_NOHUGEPAGE));
    for (size_t at = 0; at < span; at += page) write_to(place + at);
    clear();
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    for (size_t round = 0; round < 3; ++round) {
        clear();
        CHECK_MARKS(place, "----");
        write_to(place, round);
        CHECK_MARKS(place, round == 0 ? "d---" : round == 1 ? "-d--" : "--d-");
    }
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/pagemap", int(child));
    const int mine = pagemap;
    pagemap = open(name, O_RDONLY);
    CHECK_MARKS(place, "----");
    const char byte = 9;
    iovec from = {const_cast<char*>(&byte), 1}, to = {place + 3 * page, 1};
    CHECK_EQ(process_vm_writev(child, &from, 1, &to, 1, 0), 1);
    CHECK_MARKS(place, "---d");
    snprintf(name, sizeof name, "/proc/%d/clear_refs", int(child));
    CHECK(proc_text::write_file(name, "4"));
    CHECK_MARKS(place, "----");
    close(pagemap);
    pagemap = mine;
    CHECK_MARKS(place, "--d-");
    CHECK_EQ(place[3 * page], 1);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    clear();
    write_to(place, 1);
    CHECK_MARKS(place, "-d--");
    munmap(place, 2 * span);
}

void test_huge_pages() {
    char* place = memory::reserve_aligned(2 * span);
    memory::map_at(place, 2 * span);
    CHECK_OK(madvise(place, 2 * span, MADV_HUGEPAGE));
    write_to(place);
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), place);
    const bool is_huge = entry && proc_text::number(entry, "AnonHugePages") > 0;
    clear();
    CHECK_MARKS(place, "----");
    read_from(place, 1);
    CHECK_MARKS(place, "----");
    write_to(place, 1);
    if (is_huge) CHECK_MARKS(place, "dddd"); // one mark for all of it
    if (is_huge) CHECK_MARKS(place + span - 4 * page, "dddd");
    CHECK_EQ(is_dirty(place + page), has_marks);
    CHECK_EQ(is_dirty(place + span + page), false);
    clear();
    CHECK_OK(mprotect(place, page, PROT_READ)); // splits it
    CHECK_MARKS(place, "----");
    write_to(place, 2);
    CHECK_MARKS(place, "--d-");
    CHECK_EQ(place[0], 1);
    CHECK_EQ(place[page], 1);
    munmap(place, 2 * span);
}

/// Each process has its own marks of the huge page that they share.
void test_huge_page_of_fork() {
    char* place = memory::reserve_aligned(span);
    memory::map_at(place, span);
    CHECK_OK(madvise(place, span, MADV_HUGEPAGE));
    write_to(place);
    clear();
    write_to(place);
    const int status = check::in_child([&] {
        pagemap = open("/proc/self/pagemap", O_RDONLY);
        CHECK_EQ(is_dirty(place), has_marks);
        clear();
        CHECK_MARKS(place, "----");
        write_to(place, 2);
        CHECK_MARKS(place, "--d-");
        CHECK_EQ(place[0], 2);
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(is_dirty(place), has_marks);
    CHECK_EQ(place[2 * page], 0);
    clear();
    CHECK_MARKS(place, "----");
    write_to(place, 3);
    CHECK_EQ(is_dirty(place + 3 * page), has_marks);
    munmap(place, span);
}

/// A thread that writes has the right to do so in its processor's memory of translations until that is told otherwise.
void test_running_writer() {
    char* place = map_clean(8);
    std::atomic<int> asked{0}, done{0};
    std::thread writer([&] {
        for (int seen = 0; seen >= 0;) {
            int now = asked;
            if (now == seen) continue;
            seen = now;
            if (seen > 0) write_to(place, size_t(seen) % 8);
            done = seen;
        }
    });
    for (int round = 1; round <= 200; ++round) {
        if (round % 8 == 0) clear();
        const size_t number = size_t(round) % 8;
        asked = round;
        while (done != round) {
        }
        CHECK_EQ(is_dirty(place + number * page), has_marks);
        if (number < 7) CHECK(!is_dirty(place + (number + 1) * page));
    }
    asked = -1;
    writer.join();
    munmap(place, 8 * page);
}

/// No write is lost or misplaced while marks are cleared.
void test_races() {
    constexpr size_t pages = 64, threads = 3;
    char* place = map_clean(pages);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> writes[threads]{};
    std::thread writers[threads];
    for (size_t t = 0; t < threads; ++t)
        writers[t] = std::thread([&, t] {
            for (unsigned n = 0; !stop; ++n) {
                auto* word = reinterpret_cast<volatile unsigned*>(place + n % pages * page) + 1 + t;
                *word = *word + 1;
                writes[t] = n + 1;
            }
        });
    const double end = memory::now() + memory::seconds(1, 20);
    while (memory::now() < end) {
        clear();
        CHECK_EQ(check::in_child([] { clear(); }), 0);
    }
    stop = true;
    for (std::thread& writer : writers) writer.join();
    for (size_t t = 0; t < threads; ++t) {
        unsigned sum = 0;
        for (size_t i = 0; i < pages; ++i) sum += (reinterpret_cast<unsigned*>(place + i * page) + 1)[t];
        CHECK_EQ(sum, writes[t].load());
    }
    munmap(place, pages * page);
}

} // namespace

int main() {
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    REQUIRE(pagemap >= 0);
    test_new_and_cleared();
    test_writes_of_the_kernel();
    test_protect();
    test_objects(MAP_SHARED);
    test_objects(MAP_PRIVATE);
    test_moved();
    test_moved_tables();
    test_grown();
    test_fork(8 * page);
    test_fork(span);
    test_fork(span, Parts::Two);
    test_shared_tables();
    test_huge_pages();
    test_huge_page_of_fork();
    test_running_writer();
    test_races();
    return check::result();
}
