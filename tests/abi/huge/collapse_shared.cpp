// Huge pages made of single ones of shared memory, memfd and shared anonymous: on request (madvise(2) with
// MADV_COLLAPSE) and in the background. Least Linux: 6.1.
#include "asleep.hpp"
#include "huge.hpp"
#include "khugepaged.hpp"
#include <fcntl.h>
#include <pthread.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace {

using namespace huge;

const char* const mode_file = KNOB("shmem_enabled");

long long mapped_huge(char* place) {
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), place);
    return entry ? proc_text::number(entry, "ShmemPmdMapped") * 1024 / (long long)span : -1;
}
char* map_file(char* place, size_t count, int kind, int fd) {
    REQUIRE(mmap(place, count * span, rw, kind | MAP_FIXED, fd, 0) == place);
    return place;
}
void fill(char* place, char value) {
    for (size_t i = 0; i < span; i += page) place[i] = char(value + char(i / page));
}
bool holds(const char* place, char value) {
    for (size_t i = 0; i < span; i += page)
        if (place[i] != char(value + char(i / page)) || place[i + 1]) return false;
    return true;
}

void test_file() {
    const int fd = memfd_create("collapse", 0);
    CHECK_EQ(ftruncate(fd, off_t(4 * span)), 0);
    char* place = map_file(memory::reserve_aligned(8 * span), 4, MAP_SHARED, fd);
    CHECK_ERRNO(madvise(place, span, MADV_COLLAPSE), EINVAL); // nothing was ever there
    fill(place, 1);
    fill(place + span, 2);
    CHECK_EQ(mapped_huge(place), 0);
    CHECK_EQ(madvise(place, span, MADV_COLLAPSE), 0);
    CHECK(holds(place, 1));
    CHECK_EQ(mapped_huge(place), 1);
    CHECK_EQ(madvise(place, span, MADV_COLLAPSE), 0);        // as it is
    CHECK_EQ(madvise(place + page, span, MADV_COLLAPSE), 0); // no whole one
    CHECK_EQ(mapped_huge(place), 1);
    CHECK_EQ(madvise(place + page, 2 * span, MADV_COLLAPSE), 0);
    CHECK(holds(place, 1) && holds(place + span, 2));
    CHECK_EQ(mapped_huge(place), 2);
    // Holes are filled.
    place[2 * span + 5 * page] = 9;
    CHECK_EQ(madvise(place + 2 * span, span, MADV_COLLAPSE), 0);
    CHECK_EQ(mapped_huge(place), 3);
    CHECK_EQ(place[2 * span + 5 * page], 9);
    CHECK_EQ(place[2 * span + 6 * page], 0);
    char byte = 0;
    CHECK_EQ(pread(fd, &byte, 1, off_t(span)), 1);
    CHECK_EQ(byte, 2);
    CHECK_EQ(pwrite(fd, "x", 1, off_t(span + page)), 1);
    CHECK_EQ(place[span + page], 'x');
    // Another view sees the same; private copies are not collapsed.
    char* other = map_file(place + 4 * span, 4, MAP_PRIVATE, fd);
    CHECK(holds(other, 1));
    CHECK_EQ(madvise(other, span, MADV_COLLAPSE), 0);
    other[0] = 77;
    CHECK_ERRNO(madvise(other, span, MADV_COLLAPSE), EINVAL);
    CHECK_EQ(other[0], 77);
    CHECK(holds(place, 1));
    CHECK_EQ(ftruncate(fd, off_t(span)), 0);
    CHECK_ERRNO(madvise(place + 2 * span, span, MADV_COLLAPSE), EINVAL);
    CHECK_EQ(read_from(place + span), SIGBUS);
    CHECK(holds(place, 1));
    munmap(place, 8 * span);
    close(fd);
}

void test_refused() {
    char* place = memory::map_at(memory::reserve_aligned(2 * span), 2 * span, rw, MAP_SHARED);
    CHECK_ERRNO(madvise(place, span, MADV_COLLAPSE), EINVAL);
    place[0] = 1;
    CHECK(proc_text::write_file(mode_file, "deny"));
    CHECK_ERRNO(madvise(place, span, MADV_COLLAPSE), EINVAL);
    CHECK(proc_text::write_file(mode_file, "never"));
    CHECK_EQ(madvise(place, span, MADV_COLLAPSE), 0);
    CHECK_EQ(mapped_huge(place), 1);
    place[span] = 2;
    CHECK_EQ(madvise(place + span, span, MADV_NOHUGEPAGE), 0);
    CHECK_ERRNO(madvise(place + span, span, MADV_COLLAPSE), EINVAL);
    CHECK_EQ(place[0] + place[span], 3);
    munmap(place, 2 * span);
    place = map(1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    place[0] = 1;
    CHECK_ERRNO(madvise(place, span, MADV_COLLAPSE), EINVAL);
    munmap(place, span);
    // Where the pages don't lie in a file as they do in a huge page.
    const int fd = memfd_create("odd", 0);
    CHECK_EQ(ftruncate(fd, off_t(3 * span)), 0);
    place = memory::reserve_aligned(2 * span);
    REQUIRE(mmap(place, 2 * span, rw, MAP_SHARED | MAP_FIXED, fd, off_t(page)) == place);
    place[0] = 1;
    CHECK_ERRNO(madvise(place, span, MADV_COLLAPSE), EINVAL);
    munmap(place, 2 * span);
    close(fd);
}

// khugepaged collapses what has become advised after its pages were touched, and maps it where it was asked for.
void test_background() {
    const EagerKhugepaged eager;
    CHECK(proc_text::write_file(mode_file, "advise"));
    // Linux 6.12 doesn't notice a process by its first advice about shared memory, but by memory of its own.
    char* own = memory::map_at(memory::reserve_aligned(span), span);
    CHECK_EQ(madvise(own, span, MADV_HUGEPAGE), 0);
    own[0] = 1;
    const int fd = memfd_create("background", 0);
    CHECK_EQ(ftruncate(fd, off_t(3 * span - page)), 0);
    char* place = map_file(memory::reserve_aligned(5 * span), 3, MAP_SHARED, fd);
    char* other = map_file(place + 3 * span, 2, MAP_SHARED, fd);
    fill(place, 1);
    place[span + 5 * page] = 9; // the rest are holes
    place[2 * span] = 3;
    CHECK(holds(other, 1));
    CHECK_EQ(mapped_huge(place), 0);
    CHECK_EQ(madvise(place, 3 * span, MADV_HUGEPAGE), 0);
    CHECK(check::eventually([&] { return holds(place, 1) && place[span + 5 * page] == 9 && mapped_huge(place) == 2; },
                            120));
    CHECK(holds(place, 1) && holds(other, 1));
    CHECK(place[span + 6 * page] == 0 && other[span + 5 * page] == 9);
    CHECK_EQ(place[2 * span], 3);
    CHECK_EQ(mapped_huge(place), 2); // not the last: it ends before the end of a huge page
    munmap(place, 5 * span);
    munmap(own, span);
    close(fd);
    CHECK(proc_text::write_file(mode_file, "never"));
}

// Threads count in the pages while they are collapsed: no count is lost.
struct Counting {
    char* place;
    std::atomic<bool> is_over{false};
    std::atomic<long> counts[2] = {};
};
struct Counter {
    Counting* all;
    size_t number;
};
void* count(void* argument) {
    auto& counter = *static_cast<Counter*>(argument);
    Counting& all = *counter.all;
    while (!all.is_over) {
        for (size_t i = 0; i < span; i += page) {
            auto* cell = reinterpret_cast<std::atomic<long>*>(all.place + i + 64 * counter.number);
            cell->store(cell->load() + 1);
        }
        all.counts[counter.number]++;
    }
    return nullptr;
}
void test_race() {
    char* area = memory::reserve_aligned(3 * span);
    const int fd = memfd_create("race", 0);
    CHECK_EQ(ftruncate(fd, off_t(span)), 0);
    Counting all;
    all.place = map_file(area, 1, MAP_SHARED, fd);
    Counter counters[2] = {{&all, 0}, {&all, 1}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], nullptr, count, &counters[i]);
    const double begin = memory::now();
    int collapsed = 0;
    while (memory::now() - begin < memory::seconds(2, 20) || all.counts[0] < 2 || all.counts[1] < 2) {
        if (madvise(all.place, span, MADV_COLLAPSE) == 0) ++collapsed;
        const long rounds = all.counts[0]; // they count in what has been collapsed
        CHECK(check::eventually([&] { return all.counts[0] != rounds; }));
    }
    all.is_over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    for (size_t i = 0; i < span; i += page)
        for (size_t n = 0; n < 2; n++) CHECK_EQ(*reinterpret_cast<long*>(all.place + i + 64 * n), all.counts[n].load());
    CHECK(collapsed > 0);
    munmap(area, 3 * span);
    close(fd);
}

} // namespace

int main() {
    set_up();
    const bool has_knob = proc_text::write_file(mode_file, "never");
    if (!has_knob) check::skip("no transparent huge pages of shared memory");
    test_file();
    test_refused();
    test_background();
    test_race();
    return tear_down();
}
