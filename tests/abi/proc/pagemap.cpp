// /proc/PID/pagemap, clear_refs, and /proc/kpagecount and kpageflags. Least Linux: 4.2.
#include "asleep.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <csignal>
#include <cstdint>
#include <sys/mman.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

const size_t page = size_t(sysconf(_SC_PAGESIZE));
constexpr uint64_t present = 1ull << 63, of_file = 1ull << 61, exclusive = 1ull << 56;
constexpr uint64_t frame_bits = (1ull << 55) - 1;

char* map(size_t pages, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
    void* place = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, flags, -1, 0);
    REQUIRE(place != MAP_FAILED);
    return static_cast<char*>(place);
}

void touch(char* place, size_t pages) {
    for (size_t i = 0; i < pages; i++) *reinterpret_cast<volatile char*>(place + i * page) = 1;
}

uint64_t entry(int fd, const void* place) {
    uint64_t value = 0;
    CHECK_EQ(pread(fd, &value, 8, off_t(uintptr_t(place) / page * 8)), 8);
    return value;
}

uint64_t of_frame(const char* path, uint64_t frame) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return ~0ull;
    uint64_t value = ~0ull;
    CHECK_EQ(pread(fd, &value, 8, off_t(frame * 8)), 8);
    close(fd);
    return value;
}

void test_entries(int fd) {
    char* place = map(4);
    touch(place, 2);
    (void)*reinterpret_cast<volatile char*>(place + 2 * page);
    uint64_t entries[4];
    CHECK_EQ(pread(fd, entries, sizeof entries, off_t(uintptr_t(place) / page * 8)), ssize_t(sizeof entries));
    CHECK_EQ(entries[0] & (present | of_file | exclusive), present | exclusive);
    CHECK_EQ(entries[1] & (present | of_file | exclusive), present | exclusive);
    CHECK_NE(entries[0] & frame_bits, entries[1] & frame_bits);
    CHECK_NE(entries[0] & frame_bits, 0u);
    CHECK_EQ(entries[2] & (present | of_file), present); // the zero page
    CHECK_EQ(entries[3] & present, 0u);
    const uint64_t flags = of_frame("/proc/kpageflags", entries[0] & frame_bits);
    CHECK_EQ(of_frame("/proc/kpagecount", entries[0] & frame_bits), 1u);
    CHECK(flags & (1u << 12)); // KPF_ANON
    CHECK(flags & (1u << 11)); // KPF_MMAP
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    CHECK_EQ(entry(fd, place) & (present | exclusive), present);
    CHECK_EQ(of_frame("/proc/kpagecount", entries[0] & frame_bits), 2u);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    CHECK_EQ(entry(fd, place) & (present | exclusive), present | exclusive);
    char* shared = map(2, MAP_SHARED | MAP_ANONYMOUS);
    touch(shared, 1);
    CHECK_EQ(entry(fd, shared) & (present | of_file | exclusive), present | of_file | exclusive);
    const uint64_t shared_flags = of_frame("/proc/kpageflags", entry(fd, shared) & frame_bits);
    CHECK(!(shared_flags & (1u << 12)) && (shared_flags & (1u << 11)));
    CHECK(shared_flags & (1u << 14)); // KPF_SWAPBACKED
    munmap(shared, 2 * page), munmap(place, 4 * page);
}

/// What fills a whole page table may be had in common by the table, after forks of forks.
void test_counts_of_families(int fd) {
    using memory::span;
    char* place = memory::reserve_aligned(span);
    memory::map_at(place, span);
    CHECK_OK(madvise(place, span, MADV_NOHUGEPAGE));
    touch(place, span / page);
    const uint64_t first = entry(fd, place) & frame_bits, last = entry(fd, place + span - page) & frame_bits;
    auto count = [](uint64_t frame) { return of_frame("/proc/kpagecount", frame); };
    CHECK_EQ(count(first), 1u);
    auto* ready = check::shared<std::atomic<int>>();
    fflush(stdout);
    pid_t children[2];
    for (pid_t& child : children) {
        child = fork();
        if (child != 0) continue;
        setpgid(0, 0);
        if (&child == &children[1] && fork() < 0) _exit(1);
        ++*ready;
        for (;;) pause();
    }
    CHECK(check::eventually([&] { return *ready == 3; }));
    CHECK_EQ(count(first), 4u);
    CHECK_EQ(count(last), 4u);
    // A write by one of them is for the page alone.
    char byte = 2;
    iovec from = {&byte, 1}, to = {place, 1};
    CHECK_EQ(process_vm_writev(children[1], &from, 1, &to, 1, 0), 1);
    CHECK_EQ(count(first), 3u);
    CHECK_EQ(count(last), 4u);
    touch(place, 1);
    CHECK_EQ(count(first), 2u);
    CHECK_EQ(count(entry(fd, place) & frame_bits), 1u);
    CHECK_EQ(count(last), 4u);
    // Many at once.
    static uint64_t words[6000];
    const uint64_t begin = last > 5000 ? last - 5000 : 0;
    const int counts = open("/proc/kpagecount", O_RDONLY);
    CHECK_GE(pread(counts, words, sizeof words, off_t(begin * 8)), ssize_t((last - begin + 1) * 8));
    CHECK_EQ(words[last - begin], 4u);
    close(counts);
    CHECK_OK(kill(-children[0], SIGKILL));
    waitpid(children[0], nullptr, 0);
    CHECK(check::eventually([&] { return count(last) == 3; }));
    CHECK_OK(kill(-children[1], SIGKILL));
    waitpid(children[1], nullptr, 0);
    CHECK(check::eventually([&] { return count(last) == 1; })); // the grandchild is init's to wait for
    munmap(place, span);
}

void test_offsets(int fd) {
    char bytes[32];
    CHECK_ERRNO(pread(fd, bytes, 8, 4), EINVAL);
    CHECK_ERRNO(pread(fd, bytes, 7, 8), EINVAL);
    CHECK_EQ(pread(fd, bytes, 0, 8), 0);
    CHECK_EQ(pread(fd, bytes, 16, 0), 16);
    CHECK_EQ(pread(fd, bytes, 16, 1ll << 58), 0); // beyond every address
    CHECK_ERRNO(lseek(fd, 0, SEEK_END), EINVAL);
    CHECK_EQ(lseek(fd, 16, SEEK_SET), 16);
    CHECK_EQ(read(fd, bytes, 8), 8);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 24);
    CHECK_ERRNO(write(fd, bytes, 8), EBADF);
    CHECK_ERRNO(pread(fd, reinterpret_cast<void*>(8), 8, 0), EFAULT);
    int counts = open("/proc/kpagecount", O_RDONLY);
    REQUIRE(counts >= 0);
    CHECK_ERRNO(pread(counts, bytes, 8, 4), EINVAL);
    CHECK_ERRNO(pread(counts, bytes, 7, 8), EINVAL);
    CHECK_EQ(pread(counts, bytes, 16, 1ll << 58), 0);
    close(counts);
}

// Who may not see physical addresses sees zeros, in what it opens itself.
void test_privilege(char* place) {
    pid_t child = fork();
    if (child == 0) {
        // A process that changes its ids may not look into itself by name any more, but by what it opened before.
        int mine = open("/proc/self/pagemap", O_RDONLY);
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
        const uint64_t before = entry(mine, place);
        if (!(before & present) || !(before & frame_bits)) _exit(2);
        int fd = open("/proc/self/pagemap", O_RDONLY);
        if (fd < 0) _exit(errno == EACCES ? 0 : 3);
        const uint64_t value = entry(fd, place);
        _exit((value & present) && !(value & frame_bits) ? 0 : 4);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
}

long long referenced(const void* place) {
    const char* at = entry_of(read_file("/proc/self/smaps"), place);
    REQUIRE(at);
    return number(at, "Referenced");
}

bool clear_refs(const char* text) { return write_file("/proc/self/clear_refs", text); }

void test_clear_refs() {
    char* room = map(6);
    munmap(room, page), munmap(room + 5 * page, page);
    char* place = room + page;
    touch(place, 4);
    CHECK_EQ(referenced(place), (long long)(4 * page / 1024));
    CHECK(clear_refs("3\n")); // pages of objects only
    CHECK_EQ(referenced(place), (long long)(4 * page / 1024));
    CHECK(clear_refs("2"));
    CHECK_EQ(referenced(place), 0);
    CHECK(clear_refs("1\n"));
    CHECK_EQ(place[0], 1);
    CHECK(clear_refs(" 4 \n"));
    for (const char* wrong : {"0", "6", "-1", "x", "1x"}) CHECK(!clear_refs(wrong) && errno == EINVAL);
    munmap(place, 4 * page);
    CHECK_ERRNO(read(open("/proc/self/clear_refs", O_RDWR), room, 1), EINVAL);
}

void test_peak() {
    constexpr size_t pages = 2048;
    char* place = map(pages);
    touch(place, pages);
    munmap(place, pages * page);
    const long long kib = (long long)(pages * page / 1024), slack = 256 * (long long)page / 1024;
    CHECK_GE(status("VmHWM"), status("VmRSS") + kib - slack);
    CHECK(clear_refs("5"));
    CHECK_LE(status("VmHWM"), status("VmRSS") + slack);
}

} // namespace

int main() {
    int fd = open("/proc/self/pagemap", O_RDONLY);
    REQUIRE(fd >= 0);
    test_entries(fd);
    test_counts_of_families(fd);
    test_offsets(fd);
    char* place = map(1);
    touch(place, 1);
    test_privilege(place);
    test_clear_refs();
    test_peak();
    return check::result();
}
