// shmget(2) with SHM_HUGETLB: sizes, reservations, who may, and what shmctl(2) and /proc tell.
#include "huge.hpp"
#include <grp.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#ifndef SHM_HUGE_SHIFT
#define SHM_HUGE_SHIFT 26
#endif

namespace {

using namespace huge;

const char* const group_file = "/proc/sys/vm/hugetlb_shm_group";

int make(size_t size, int flags = 0) { return shmget(IPC_PRIVATE, size, SHM_HUGETLB | 0600 | flags); }
void remove(int id) { CHECK_EQ(shmctl(id, IPC_RMID, nullptr), 0); }

void test_arguments() {
    const int log2 = __builtin_ctzll(span);
    int id = make(span, log2 << SHM_HUGE_SHIFT);
    CHECK(id >= 0);
    remove(id);
    CHECK_ERRNO(make(span, 11 << SHM_HUGE_SHIFT), EINVAL);
    CHECK_ERRNO(make(span, 63 << SHM_HUGE_SHIFT), EINVAL);
    CHECK_ERRNO(make(0), EINVAL);
    CHECK_ERRNO(make(5 * span), ENOMEM);
    id = make(5 * span, SHM_NORESERVE);
    CHECK(id >= 0);
    EXPECT_POOL(4, 0);
    auto* place = static_cast<char*>(shmat(id, nullptr, 0));
    for (size_t i = 0; i < 4; i++) CHECK_EQ(write_to(place + i * span), 0);
    CHECK_EQ(write_to(place + 4 * span), SIGBUS);
    CHECK_EQ(shmdt(place), 0);
    remove(id);
    EXPECT_POOL(4, 0);
}

/// Pages of all segments of the system, which may have some of others.
unsigned long all_segments() {
    struct shm_info sums = {};
    CHECK(shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&sums)) >= 0);
    return sums.shm_tot;
}

void test_a_segment() {
    const unsigned long others = all_segments();
    const int id = make(page);
    EXPECT_POOL(4, 1);
    shmid_ds status = {};
    CHECK_EQ(shmctl(id, IPC_STAT, &status), 0);
    CHECK_EQ(status.shm_segsz, page);
    auto* place = static_cast<char*>(shmat(id, nullptr, 0));
    CHECK(place != (char*)-1 && uintptr_t(place) % span == 0);
    EXPECT_POOL(4, 1);
    place[0] = 1;
    CHECK_EQ(write_to(place + span - 1), 0);
    EXPECT_POOL(3, 0);
    char* area = memory::reserve_aligned(2 * span);
    CHECK_EQ(munmap(area, 2 * span), 0);
    CHECK(shmat(id, area + page * 16, 0) == (void*)-1 && errno == EINVAL);
    CHECK(shmat(id, area + page * 16, SHM_RND) == (void*)-1 && errno == EINVAL);
    CHECK_ERRNO(munmap(place, page), EINVAL);
    run_in_child([&] {
        CHECK_EQ(place[0], 1);
        place[0] = 2;
        auto* again = static_cast<char*>(shmat(id, nullptr, SHM_RDONLY));
        CHECK_EQ(again[0], 2);
        CHECK_EQ(write_to(again), SIGSEGV);
    });
    CHECK_EQ(place[0], 2);
    CHECK_EQ(shmctl(id, IPC_STAT, &status), 0);
    CHECK_EQ(status.shm_nattch, 1u);
    CHECK_EQ(all_segments() - others, 1u); // as large as it was asked for
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), place);
    CHECK(strncmp(strchr(entry, '/'), "/SYSV00000000 (deleted)\n", 24) == 0);
    CHECK_EQ(proc_text::number(entry, "KernelPageSize"), (long long)(span / 1024));
    CHECK_EQ(shmctl(id, SHM_LOCK, nullptr), 0);
    CHECK_EQ(shmdt(place), 0);
    EXPECT_POOL(3, 0);
    place = static_cast<char*>(shmat(id, nullptr, 0));
    CHECK_EQ(place[0], 2);
    remove(id);
    EXPECT_POOL(3, 0);
    CHECK_EQ(shmdt(place), 0);
    EXPECT_POOL(4, 0);
}

void become(unsigned user, unsigned group) {
    CHECK_EQ(setgroups(0, nullptr), 0);
    CHECK_EQ(setgid(group), 0);
    CHECK_EQ(setuid(user), 0);
}

void test_who_may() {
    CHECK_EQ(atoi(proc_text::read_file(group_file)), 0);
    run_in_child([] {
        become(1000, 1000);
        CHECK_ERRNO(make(span), EPERM);
        CHECK_ERRNO(make(span, 11 << SHM_HUGE_SHIFT), EINVAL);
        // Nobody is kept from the pool by other ways.
        char* place = map(1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
        CHECK(place);
        CHECK_EQ(write_to(place), 0);
    });
    run_in_child([] {
        become(1000, 0);
        const int id = make(span);
        CHECK(id >= 0);
        remove(id);
    });
    CHECK(proc_text::write_file(group_file, "1000"));
    CHECK_EQ(atoi(proc_text::read_file(group_file)), 1000);
    run_in_child([] {
        become(1000, 1000);
        const int id = make(span);
        CHECK(id >= 0);
        remove(id);
    });
    run_in_child([] {
        become(1000, 0);
        CHECK_ERRNO(make(span), EPERM);
    });
    CHECK(proc_text::write_file(group_file, "0"));
}

} // namespace

int main() {
    set_up();
    test_arguments();
    test_a_segment();
    test_who_may();
    return tear_down();
}
