// memfd_create(2) with MFD_HUGETLB: sizes, reading, reservations, holes, seals, and what /proc shows. Least
// Linux: 6.12.
#include "huge.hpp"
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statfs.h>

namespace {

using namespace huge;

int make(unsigned flags = 0) { return memfd_create("huge", MFD_HUGETLB | flags); }
struct stat stat_of(int fd) {
    struct stat result = {};
    CHECK_EQ(fstat(fd, &result), 0);
    return result;
}

void test_arguments() {
    const unsigned log2 = unsigned(__builtin_ctzll(span));
    int fd = make(log2 << MFD_HUGE_SHIFT);
    CHECK(fd >= 0);
    close(fd);
    CHECK_ERRNO(make(11u << MFD_HUGE_SHIFT), ENODEV);
    CHECK_ERRNO(make(63u << MFD_HUGE_SHIFT), ENODEV);
    CHECK_ERRNO(memfd_create("huge", log2 << MFD_HUGE_SHIFT), EINVAL); // without MFD_HUGETLB
    CHECK_ERRNO(make(1u << 16), EINVAL);
    fd = make();
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_EQ(stat_of(fd).st_mode, mode_t(S_IFREG | 0777));
    close(fd);
    fd = make(8);                           // MFD_NOEXEC_SEAL
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0x20); // F_SEAL_EXEC
    CHECK_EQ(stat_of(fd).st_mode, mode_t(S_IFREG | 0666));
    close(fd);
}

void test_sizes_and_reading() {
    int fd = make();
    struct statfs system = {};
    CHECK_EQ(fstatfs(fd, &system), 0);
    CHECK_EQ((unsigned long)system.f_type, 0x958458f6ul); // HUGETLBFS_MAGIC
    CHECK_EQ(size_t(system.f_bsize), span);
    CHECK_EQ(size_t(stat_of(fd).st_blksize), span);
    CHECK_EQ(stat_of(fd).st_nlink, 0u);
    CHECK_ERRNO(ftruncate(fd, off_t(page)), EINVAL);
    CHECK_ERRNO(ftruncate(fd, off_t(span + 1)), EINVAL);
    CHECK_EQ(ftruncate(fd, off_t(2 * span)), 0);
    CHECK_EQ(size_t(stat_of(fd).st_size), 2 * span);
    CHECK_EQ(stat_of(fd).st_blocks, 0);
    EXPECT_POOL(4, 0); // only mappings reserve
    char bytes[64];
    memset(bytes, 7, sizeof bytes);
    CHECK_EQ(read(fd, bytes, sizeof bytes), 64);
    CHECK_EQ(bytes[0], 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 64);
    CHECK_EQ(pread(fd, bytes, 64, off_t(2 * span - 10)), 10);
    CHECK_EQ(pread(fd, bytes, 64, off_t(2 * span)), 0);
    CHECK_ERRNO(write(fd, bytes, 64), EINVAL);
    CHECK_ERRNO(pwrite(fd, bytes, 64, 0), EINVAL);
    EXPECT_POOL(4, 0);
    CHECK_EQ(size_t(lseek(fd, 0, SEEK_END)), 2 * span);
    CHECK_EQ(lseek(fd, 5, SEEK_DATA), 5);
    CHECK_EQ(size_t(lseek(fd, 5, SEEK_HOLE)), 2 * span);
    CHECK_EQ(fsync(fd), 0);
    char* place = map(2, MAP_SHARED, fd);
    place[span + 3] = 9;
    CHECK_EQ(pread(fd, bytes, 64, off_t(span)), 64);
    CHECK_EQ(bytes[3], 9);
    CHECK_EQ(size_t(stat_of(fd).st_blocks), span / 512);
    CHECK_EQ(munmap(place, 2 * span), 0);
    close(fd);
    EXPECT_POOL(4, 0);
}

void test_mapping() {
    int fd = make();
    CHECK(!map(1, MAP_SHARED, fd, page) && errno == EINVAL);
    CHECK(!map(1, MAP_SHARED, fd, span / 2) && errno == EINVAL);
    // A length is rounded up, and the file grows with what may be written to. What was reserved stays with the file.
    auto* odd = static_cast<char*>(mmap(nullptr, page, rw, MAP_SHARED, fd, 0));
    CHECK(odd != MAP_FAILED && uintptr_t(odd) % span == 0);
    CHECK_EQ(size_t(stat_of(fd).st_size), span);
    EXPECT_POOL(4, 1);
    CHECK_ERRNO(munmap(odd, page), EINVAL);
    CHECK_EQ(munmap(odd, span), 0);
    EXPECT_POOL(4, 1);
    // The size in the flags is not looked at.
    char* again = map(1, MAP_SHARED | MAP_HUGETLB, fd);
    CHECK(again);
    EXPECT_POOL(4, 1);
    CHECK_EQ(write_to(again), 0);
    EXPECT_POOL(3, 0);
    CHECK_EQ(munmap(again, span), 0);
    CHECK(!map(9, MAP_SHARED, fd) && errno == ENOMEM);
    CHECK_EQ(size_t(stat_of(fd).st_size), span);
    char* more = map(9, MAP_SHARED | MAP_NORESERVE, fd);
    CHECK(more);
    CHECK_EQ(size_t(stat_of(fd).st_size), 9 * span);
    for (size_t i = 1; i < 4; i++) CHECK_EQ(write_to(more + i * span), 0);
    CHECK_EQ(write_to(more + 4 * span), SIGBUS);
    CHECK_EQ(read_from(more + 4 * span), SIGBUS);
    CHECK_EQ(munmap(more, 9 * span), 0);
    EXPECT_POOL(0, 0);
    close(fd);
    EXPECT_POOL(4, 0);
    // Other files have no huge pages of the pool.
    fd = memfd_create("small", 0);
    CHECK(!map(1, MAP_SHARED | MAP_HUGETLB, fd) && errno == EINVAL);
    close(fd);
}

void test_private() {
    int fd = make();
    char* shared = map(1, MAP_SHARED, fd);
    shared[5] = 5;
    char* own = map(1, MAP_PRIVATE, fd);
    EXPECT_POOL(3, 1);
    CHECK_EQ(own[5], 5);
    EXPECT_POOL(3, 1);
    own[5] = 6;
    EXPECT_POOL(2, 0);
    CHECK_EQ(shared[5], 5);
    CHECK_EQ(madvise(own, span, MADV_DONTNEED), 0);
    EXPECT_POOL(3, 1);
    CHECK_EQ(own[5], 5);
    CHECK_EQ(munmap(own, span), 0);
    EXPECT_POOL(3, 0);
    CHECK_EQ(munmap(shared, span), 0);
    close(fd);
    // A hole is filled for the reader alone.
    fd = make();
    own = map(1, MAP_PRIVATE, fd);
    CHECK_EQ(size_t(stat_of(fd).st_size), span);
    EXPECT_POOL(4, 1);
    CHECK_EQ(read_from(own), 0);
    EXPECT_POOL(3, 0);
    CHECK_EQ(stat_of(fd).st_blocks, 0);
    CHECK_EQ(munmap(own, span), 0);
    // Each mapping has its own reservation, whoever may write.
    own = map(2, MAP_PRIVATE, fd, 0, PROT_READ);
    char* other = map(2, MAP_PRIVATE, fd);
    EXPECT_POOL(4, 4);
    CHECK(!map(1, MAP_PRIVATE, fd) && errno == ENOMEM);
    CHECK_EQ(munmap(own + span, span), 0);
    EXPECT_POOL(4, 3);
    CHECK_EQ(munmap(own, span), 0);
    CHECK_EQ(munmap(other, 2 * span), 0);
    close(fd);
    EXPECT_POOL(4, 0);
}

void test_allocating_and_holes() {
    int fd = make();
    CHECK_EQ(fallocate(fd, 0, 0, off_t(span + 1)), 0);
    CHECK_EQ(size_t(stat_of(fd).st_size), span + 1);
    EXPECT_POOL(2, 0);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, off_t(9 * span)), ENOSPC);
    EXPECT_POOL(0, 0); // what there was room for stays
    CHECK_EQ(size_t(stat_of(fd).st_size), span + 1);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, off_t(span)), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, off_t(span)), EOPNOTSUPP);
    CHECK_EQ(ftruncate(fd, off_t(2 * span)), 0);
    EXPECT_POOL(2, 0);
    char* place = map(2, MAP_SHARED, fd);
    memset(place, 5, 4 * page);
    // Parts of pages become zeros, whole ones go.
    const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    CHECK_EQ(fallocate(fd, punch, off_t(page + 1), off_t(page)), 0);
    CHECK(place[page] == 5 && place[page + 1] == 0 && place[2 * page] == 0 && place[2 * page + 1] == 5);
    place[span / 2] = place[span / 2 - 1] = place[span] = place[span + span / 2] = 6;
    CHECK_EQ(fallocate(fd, punch, off_t(span / 2), off_t(span)), 0);
    CHECK(place[span / 2 - 1] == 6 && place[span / 2] == 0 && place[span] == 0 && place[span + span / 2] == 6);
    EXPECT_POOL(2, 0);
    CHECK_EQ(fallocate(fd, punch, 0, off_t(span)), 0);
    EXPECT_POOL(3, 0);
    CHECK_EQ(place[2 * page + 1], 0);
    EXPECT_POOL(2, 0);
    CHECK_EQ(madvise(place, span, MADV_REMOVE), 0);
    EXPECT_POOL(3, 0);
    CHECK_EQ(madvise(place + span, span, MADV_DONTNEED), 0); // the file has it still
    CHECK_EQ(place[span + span / 2], 6);
    CHECK_EQ(ftruncate(fd, off_t(span)), 0);
    EXPECT_POOL(4, 0);
    CHECK_EQ(write_to(place + span), SIGBUS);
    CHECK_EQ(write_to(place), 0);
    CHECK_EQ(ftruncate(fd, off_t(2 * span)), 0);
    CHECK_EQ(write_to(place + span), 0);
    CHECK_EQ(place[span + span / 2], 0);
    // What is reserved goes with the size.
    CHECK_EQ(munmap(place, 2 * span), 0);
    place = map(4, MAP_SHARED, fd);
    EXPECT_POOL(2, 2);
    CHECK_EQ(ftruncate(fd, off_t(3 * span)), 0);
    EXPECT_POOL(2, 1);
    CHECK_EQ(ftruncate(fd, 0), 0);
    EXPECT_POOL(4, 0);
    CHECK_EQ(munmap(place, 4 * span), 0);
    close(fd);
}

void test_seals() {
    int fd = make(MFD_ALLOW_SEALING);
    CHECK_EQ(ftruncate(fd, off_t(2 * span)), 0);
    char* place = map(1, MAP_SHARED, fd);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    CHECK_ERRNO(ftruncate(fd, off_t(span)), EPERM);
    CHECK_ERRNO(ftruncate(fd, off_t(3 * span)), EPERM);
    CHECK_ERRNO(fallocate(fd, 0, 0, off_t(3 * span)), EPERM);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(span)), 0);
    CHECK_EQ(munmap(place, span), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(span)), EPERM);
    CHECK(!map(1, MAP_SHARED, fd) && errno == EPERM);
    place = map(1, MAP_SHARED, fd, 0, PROT_READ);
    CHECK(place);
    CHECK_ERRNO(mprotect(place, span, rw), EACCES);
    CHECK_EQ(munmap(place, span), 0);
    close(fd);
    EXPECT_POOL(4, 0);
}

// Threads touch all pages while another punches holes: each page comes back, and none is lost to the pool.
void test_race() {
    signal(SIGBUS, SIG_DFL); // the handler is for one thread
    int fd = make();
    Race race;
    race.place = map(race_pages, MAP_SHARED, fd);
    pthread_t threads[3];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, touch_all, &race);
    const double begin = memory::now();
    for (size_t i = 0; memory::now() - begin < memory::seconds(2, 30) || race.touches < 4; i++) {
        char* victim = race.place + i % race_pages * span;
        CHECK_EQ(madvise(victim, span, i % 3 ? MADV_REMOVE : MADV_DONTNEED), 0);
    }
    race.is_over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    for (size_t i = 0; i < race_pages; i++) race.place[i * span] = 1;
    EXPECT_POOL(pool_size - race_pages, 0);
    CHECK_EQ(munmap(race.place, race_pages * span), 0);
    close(fd);
    EXPECT_POOL(4, 0);
}

void test_what_proc_says() {
    int fd = make();
    char* shared = map(2, MAP_SHARED, fd);
    shared[0] = shared[span] = 1;
    char* own = map(1, MAP_PRIVATE, fd);
    own[0] = 2;
    const auto kib = (long long)(span / 1024);
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), shared);
    CHECK(strncmp(strchr(entry, '/'), "/memfd:huge (deleted)\n", 22) == 0);
    CHECK_EQ(proc_text::number(entry, "KernelPageSize"), kib);
    CHECK_EQ(proc_text::number(entry, "Private_Hugetlb"), 2 * kib);
    CHECK_EQ(proc_text::number(entry, "Rss"), 0);
    CHECK(strncmp(strstr(entry, "VmFlags:"), "VmFlags: rd wr sh mr mw me ms de ht", 35) == 0);
    char expected[200];
    auto placement = [&](char* begin, const char* what) {
        snprintf(expected, sizeof expected,
                 "%08lx default file=/memfd:huge\\040(deleted) huge %s kernelpagesize_kB=%lld\n", (unsigned long)begin,
                 what, kib);
        const char* line = proc_text::entry_of(proc_text::read_file("/proc/self/numa_maps"), begin);
        if (line && strncmp(line, expected, strlen(expected)) != 0) {
            printf("%.120s", line);
            CHECK(false);
        }
    };
    placement(shared, "dirty=2 N0=2");
    placement(own, "anon=1 dirty=1 N0=1");
    char link[64] = {}, path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(readlink(path, link, sizeof link - 1) > 0 && strcmp(link, "/memfd:huge (deleted)") == 0);
    CHECK_EQ(munmap(shared, 2 * span), 0);
    CHECK_EQ(munmap(own, span), 0);
    close(fd);
}

} // namespace

int main() {
    set_up();
    test_arguments();
    test_sizes_and_reading();
    test_mapping();
    test_private();
    test_allocating_and_holes();
    test_seals();
    test_what_proc_says();
    test_race();
    return tear_down();
}
