// MAP_HUGETLB: the pool of huge pages, what mappings reserve of it, and that nothing splits a huge page. Least Linux:
// 6.12 (MADV_DONTNEED reserves what it takes away).
#include "asleep.hpp"
#include "huge.hpp"
#include <pthread.h>

namespace {

using namespace huge;

constexpr int huge_private = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
              huge_shared = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB;
char* map(size_t count, int flags = huge_private) { return huge::map(count, flags); }

void fill(char* begin, char value) {
    for (size_t i = 0; i < span; i += page) begin[i] = char(value + char(i / page));
}
bool holds(const char* begin, char value) {
    for (size_t i = 0; i < span; i += page)
        if (begin[i] != char(value + char(i / page))) return false;
    return true;
}
bool is_zero(const char* begin) {
    for (size_t i = 0; i < span; i += 512)
        if (begin[i]) return false;
    return true;
}

void test_reservations() {
    EXPECT_POOL(4, 0);
    char* place = map(2);
    EXPECT_POOL(4, 2);
    CHECK_EQ(uintptr_t(place) % span, 0u);
    CHECK(is_zero(place));
    fill(place, 1);
    EXPECT_POOL(3, 1);
    CHECK(!map(4) && errno == ENOMEM); // three are free, one of them promised
    char* rest = map(2);
    EXPECT_POOL(3, 3);
    CHECK_EQ(munmap(rest, 2 * span), 0);
    EXPECT_POOL(3, 1);
    CHECK_EQ(munmap(place + span, span), 0);
    EXPECT_POOL(3, 0);
    CHECK(holds(place, 1));
    CHECK_EQ(munmap(place, span), 0);
    EXPECT_POOL(4, 0);
    char* shared = map(3, huge_shared);
    EXPECT_POOL(4, 3);
    shared[span] = 1;
    EXPECT_POOL(3, 2);
    CHECK_EQ(munmap(shared, 3 * span), 0);
    EXPECT_POOL(4, 0);
    // A page that was given back is zero again.
    place = map(1);
    CHECK(is_zero(place));
    CHECK_EQ(munmap(place, span), 0);
}

void test_arguments() {
    const int shift = MAP_HUGE_SHIFT;
    char* place = map(2);
    fill(place, 1);
    fill(place + span, 2);
    CHECK_ERRNO(munmap(place, page), EINVAL);
    CHECK_ERRNO(munmap(place + page, span), EINVAL);
    CHECK_ERRNO(mprotect(place, page, PROT_READ), EINVAL);
    CHECK_ERRNO(madvise(place + page, span, MADV_DONTNEED), EINVAL);
    CHECK_ERRNO(madvise(place, span, MADV_FREE), EINVAL);
    CHECK(mmap(place + page, span, rw, huge_private | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(nullptr, span, rw, huge_private | (11 << shift), -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(holds(place, 1) && holds(place + span, 2));
    CHECK_EQ(mprotect(place, span, PROT_READ), 0);
    CHECK_EQ(write_to(place), SIGSEGV);
    CHECK_EQ(mprotect(place, span, rw), 0);
    CHECK(holds(place, 1));
    CHECK_EQ(madvise(place, span, MADV_DONTNEED), 0);
    CHECK(is_zero(place) && holds(place + span, 2));
    CHECK_EQ(munmap(place, 2 * span), 0);
    // A length is rounded up.
    int log2 = __builtin_ctzll(span);
    place = static_cast<char*>(mmap(nullptr, page, rw, huge_private | (log2 << shift), -1, 0));
    CHECK(place != MAP_FAILED);
    CHECK_EQ(write_to(place + span - 1), 0);
    CHECK_EQ(munmap(place, span), 0);
    EXPECT_POOL(4, 0);
}

// What a page was reserved for stays reserved, for the page itself.
void test_discarding() {
    char* place = map(2);
    CHECK_EQ(write_to(place), 0);
    EXPECT_POOL(3, 1);
    CHECK_EQ(madvise(place, span, MADV_DONTNEED), 0);
    EXPECT_POOL(4, 2);
    char* rest = map(2);
    CHECK(rest && !map(1, huge_private));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(write_to(place), 0);
        EXPECT_POOL(3, 3);
        CHECK_EQ(madvise(place, span, MADV_DONTNEED), 0);
    }
    CHECK_EQ(write_to(place), 0);
    CHECK_EQ(write_to(place + span), 0);
    CHECK_EQ(write_to(rest), 0);
    CHECK_EQ(write_to(rest + span), 0);
    EXPECT_POOL(0, 0);
    CHECK_EQ(munmap(place, 2 * span), 0);
    CHECK_EQ(munmap(rest, 2 * span), 0);
    EXPECT_POOL(4, 0);
}

// Threads touch and discard the pages of one mapping that has all of the pool: none may ever find it empty.
void* discard_all(void* argument) {
    auto& race = *static_cast<Race*>(argument);
    for (size_t i = 0; !race.is_over; i++)
        CHECK_EQ(madvise(race.place + i % race_pages * span, span, MADV_DONTNEED), 0);
    return nullptr;
}
void race_on(int flags) {
    EXPECT_POOL(4, 0);
    Race race;
    race.place = map(race_pages, flags);
    pthread_t threads[4];
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], nullptr, touch_all, &race);
    pthread_create(&threads[3], nullptr, discard_all, &race);
    const double begin = memory::now();
    const double duration = memory::seconds(2, 30);
    CHECK(check::eventually([&] { return memory::now() - begin >= duration && race.touches >= 4; }, 2 * duration + 60));
    race.is_over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    for (size_t i = 0; i < race_pages; i++) race.place[i * span] = 1;
    EXPECT_POOL(pool_size - race_pages, 0);
    CHECK_EQ(munmap(race.place, race_pages * span), 0);
    EXPECT_POOL(4, 0);
}
void test_races() {
    // The handler is for one thread.
    signal(SIGBUS, SIG_DFL);
    race_on(huge_private);
    race_on(huge_shared);
}

void test_empty_pool() {
    char* all = map(pool_size);
    CHECK(all);
    char* more = map(1, huge_private | MAP_NORESERVE);
    CHECK(more);
    for (size_t i = 0; i < pool_size; i++) fill(all + i * span, char(i));
    EXPECT_POOL(0, 0);
    CHECK_EQ(write_to(more), SIGBUS);
    CHECK_EQ(last_code, BUS_ADRERR);
    // The child has nothing to copy to.
    run_in_child([&] {
        CHECK(holds(all, 0) && holds(all + span, 1));
        CHECK_EQ(write_to(all), SIGBUS);
    });
    CHECK_EQ(munmap(all + span, span), 0);
    CHECK_EQ(write_to(more), 0);
    CHECK_EQ(munmap(all, span), 0);
    CHECK_EQ(munmap(all + 2 * span, 2 * span), 0);
    CHECK_EQ(munmap(more, span), 0);
    EXPECT_POOL(4, 0);
}

void test_fork() {
    char* shared = map(1, huge_shared);
    char* own = map(1);
    fill(own, 1);
    fill(shared, 2);
    run_in_child([&] {
        CHECK(holds(own, 1) && holds(shared, 2));
        fill(own, 3);
        fill(shared, 4);
        CHECK(holds(own, 3));
    });
    CHECK(holds(own, 1));
    CHECK(holds(shared, 4));
    fill(own, 5);
    CHECK(holds(own, 5));
    EXPECT_POOL(2, 0);
    CHECK_EQ(munmap(shared, span), 0);
    CHECK_EQ(munmap(own, span), 0);
    EXPECT_POOL(4, 0);
}

void test_what_proc_says() {
    const long long before = proc_text::status("VmRSS");
    char* place = map(1);
    fill(place, 1);
    CHECK_EQ(proc_text::status("HugetlbPages"), (long long)(span / 1024));
    CHECK(proc_text::status("VmRSS") < before + (long long)(span / 1024));
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), place);
    CHECK(entry);
    CHECK_EQ(proc_text::number(entry, "KernelPageSize"), (long long)(span / 1024));
    CHECK_EQ(proc_text::number(entry, "Private_Hugetlb"), (long long)(span / 1024));
    CHECK_EQ(proc_text::number(entry, "Rss"), 0);
    CHECK(strncmp(strchr(entry, '/'), "/anon_hugepage (deleted)", 24) == 0);
    CHECK_EQ(munmap(place, span), 0);
}

void test_resizing() {
    char* place = map(2);
    fill(place, 1);
    fill(place + span, 2);
    CHECK(proc_text::write_file(pool_file, "0"));
    Pool now;
    CHECK_EQ(now.total, 2);
    CHECK_EQ(now.surplus, 2);
    CHECK(holds(place, 1) && holds(place + span, 2));
    CHECK_EQ(munmap(place, 2 * span), 0);
    now = Pool();
    CHECK_EQ(now.total, 0);
    CHECK_EQ(now.surplus, 0);
    CHECK(!map(1) && errno == ENOMEM);
    CHECK(proc_text::write_file("/proc/sys/vm/nr_overcommit_hugepages", "1"));
    place = map(1);
    CHECK(place);
    if (place) {
        fill(place, 3);
        now = Pool();
        CHECK_EQ(now.total, 1);
        CHECK_EQ(now.surplus, 1);
        CHECK(!map(1));
        CHECK_EQ(munmap(place, span), 0);
    }
    now = Pool();
    CHECK_EQ(now.total, 0);
    CHECK(proc_text::write_file("/proc/sys/vm/nr_overcommit_hugepages", "0"));
}

} // namespace

int main() {
    set_up();
    test_reservations();
    test_arguments();
    test_discarding();
    test_empty_pool();
    test_fork();
    test_what_proc_says();
    test_races();
    test_resizing();
    return check::result();
}
