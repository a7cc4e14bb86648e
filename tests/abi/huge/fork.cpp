// Private pages of the pool after fork(2), with no page left to copy to: who reserved them keeps them, the child gets
// SIGBUS (Linux's documentation, "HugeTLB reservations").
#include "huge.hpp"

namespace {

using namespace huge;

constexpr int huge_private = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;

class Gate {
public:
    Gate() { REQUIRE(pipe(ends_) == 0); }
    void open() { CHECK_EQ(write(ends_[1], "", 1), 1); }
    void wait() {
        char byte;
        CHECK_EQ(read(ends_[0], &byte, 1), 1);
    }

private:
    int ends_[2];
};

template <typename Parent, typename Child>
void with_child(Parent parent, Child child_work) {
    Gate gate;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        check::failures = 0;
        gate.wait();
        child_work();
        fflush(stdout);
        _exit(check::failures ? 1 : 0);
    }
    parent();
    gate.open();
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

void test_owner_first() {
    char* all = map(pool_size, huge_private);
    for (size_t i = 0; i < size_t(pool_size); i++) all[i * span] = all[i * span + span - 1] = char(i + 1);
    with_child(
        [&] {
            CHECK_EQ(write_to(all + page), 0); // takes the page from the child
            CHECK_EQ(all[0], 1);
            CHECK_EQ(all[span - 1], 1);
            EXPECT_POOL(0, 0);
        },
        [&] {
            CHECK_EQ(read_from(all), SIGBUS);
            CHECK_EQ(write_to(all), SIGBUS);
            CHECK_EQ(all[span], 2);
            CHECK_EQ(write_to(all + span), SIGBUS);
            CHECK_EQ(all[span], 2);
        });
    for (size_t i = 0; i < size_t(pool_size); i++) CHECK_EQ(write_to(all + i * span), 0);
    CHECK_EQ(all[2 * span + span - 1], 3);
    CHECK_EQ(munmap(all, pool_size * span), 0);
    EXPECT_POOL(4, 0);
}

// The child has a page of its own: that stays.
void test_copy_stays() {
    char* place = map(3, huge_private);
    place[0] = 1;
    place[span] = 2;
    place[2 * span] = 3;
    with_child(
        [&] {
            CHECK_EQ(write_to(place + span), 0); // the last page of the pool
            EXPECT_POOL(0, 0);
            CHECK_EQ(write_to(place), 0);
            CHECK_EQ(write_to(place + 2 * span), 0);
        },
        [&] {
            CHECK_EQ(place[span], 2);
            CHECK_EQ(write_to(place + span), 0); // nobody else has it any more
            CHECK_EQ(read_from(place), SIGBUS);
            CHECK_EQ(read_from(place + 2 * span), SIGBUS);
            CHECK_EQ(place[span], 1);
        });
    CHECK_EQ(place[span], 1);
    CHECK_EQ(munmap(place, 3 * span), 0);
    EXPECT_POOL(4, 0);
}

// Without a reservation there is nobody to take from.
void test_without_reservation() {
    char* all = map(pool_size, huge_private | MAP_NORESERVE);
    for (size_t i = 0; i < size_t(pool_size); i++) CHECK_EQ(write_to(all + i * span), 0);
    with_child([&] { CHECK_EQ(write_to(all), SIGBUS); }, [&] { CHECK_EQ(all[0], 1); });
    CHECK_EQ(write_to(all), 0);
    CHECK_EQ(munmap(all, pool_size * span), 0);
    EXPECT_POOL(4, 0);
}

} // namespace

int main() {
    set_up();
    test_owner_first();
    test_copy_stays();
    test_without_reservation();
    return tear_down();
}
