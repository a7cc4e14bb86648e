// mremap(2) of mappings of the pool of huge pages, private and shared.
#include "huge.hpp"

namespace {

using namespace huge;

constexpr int move_to = MREMAP_MAYMOVE | MREMAP_FIXED;

void* remap(char* from, size_t old_size, size_t new_size, int flags, char* to = nullptr) {
    return mremap(from, old_size, new_size, flags, to);
}
#define CHECK_REFUSED(call) CHECK((call) == MAP_FAILED && errno == EINVAL)

void test_refused(char* place) {
    // What is reserved does not grow.
    CHECK_REFUSED(remap(place, 3 * span, 4 * span, MREMAP_MAYMOVE));
    CHECK_REFUSED(remap(place, 3 * span, 4 * span, 0));
    CHECK_REFUSED(remap(place, 3 * span, 3 * span + 1, 0));
    CHECK_REFUSED(remap(place, 0, span, MREMAP_MAYMOVE));
    CHECK_REFUSED(remap(place, 3 * span, 3 * span, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    CHECK_REFUSED(remap(place + page, span, span, MREMAP_MAYMOVE));
    char* area = memory::reserve_aligned(4 * span);
    CHECK_REFUSED(remap(place, span, span, move_to, area + page));
    CHECK_REFUSED(remap(place, span, 2 * span, move_to, area));
    CHECK_REFUSED(remap(place, page, page, move_to, place));
    CHECK_EQ(munmap(area, 4 * span), 0);
}

void test_kind(int kind) {
    const bool is_private = kind == MAP_PRIVATE;
    char* place = map(3, kind | MAP_ANONYMOUS | MAP_HUGETLB);
    place[0] = 1;
    place[span] = 2;
    EXPECT_POOL(2, 1);
    test_refused(place);
    EXPECT_POOL(2, 1);
    // Lengths are rounded up. What a private mapping loses is no longer reserved; a shared one's object keeps it.
    CHECK(remap(place, page, page, 0) == place);
    CHECK(remap(place, 3 * span, 2 * span, MREMAP_MAYMOVE) == place);
    EXPECT_POOL(2, is_private ? 0 : 1);
    CHECK(remap(place, 2 * span, span + 1, 0) == place);
    CHECK(memory::is_mapped(place + span));
    CHECK(remap(place, 2 * span, page, 0) == place);
    CHECK(!memory::is_mapped(place + span));
    EXPECT_POOL(is_private ? 3 : 2, is_private ? 0 : 1);
    // Pages go along with a move, also over what small pages were mapped at.
    char* area = memory::reserve_aligned(4 * span);
    memory::map_at(area, 4 * span);
    for (size_t i = 0; i < 4 * span; i += page) area[i] = 7;
    CHECK(remap(place, span, span, move_to, area + span) == area + span);
    CHECK_EQ(area[span], 1);
    CHECK_EQ(area[2 * span], 7);
    CHECK_EQ(read_from(place), SIGSEGV);
    CHECK_EQ(munmap(area, 4 * span), 0);
    EXPECT_POOL(4, 0);
}

// What is reserved and not yet used goes along too.
void test_untouched() {
    char* place = map(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    place[0] = 1;
    char* area = memory::reserve_aligned(4 * span);
    memory::map_at(area, 4 * span);
    area[span] = area[2 * span] = 7; // leaves tables
    CHECK(remap(place, 3 * span, 3 * span, move_to, area) == area);
    EXPECT_POOL(3, 2);
    CHECK(!map(2, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB) && errno == ENOMEM);
    CHECK_EQ(area[0], 1);
    CHECK_EQ(area[span], 0);
    CHECK_EQ(write_to(area + 2 * span), 0);
    EXPECT_POOL(1, 0);
    CHECK_EQ(munmap(area, 4 * span), 0);
    EXPECT_POOL(4, 0);
    // A move that shortens gives back what it cuts off.
    place = map(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    area = memory::reserve_aligned(2 * span);
    CHECK(remap(place, 3 * span, 2 * span, move_to, area) == area);
    EXPECT_POOL(4, 2);
    CHECK_EQ(munmap(area, 2 * span), 0);
    EXPECT_POOL(4, 0);
}

} // namespace

int main() {
    set_up();
    test_kind(MAP_PRIVATE);
    test_kind(MAP_SHARED);
    test_untouched();
    return tear_down();
}
