// MAP_DROPPABLE: memory whose contents may be lost. What it goes together with, and what it doesn't. Least Linux: 6.11.
// needs-linux: 6.11
#include "asleep.hpp"
#include <fcntl.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

char* map(size_t pages, int flags, int fd = -1) {
    return static_cast<char*>(mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, flags, fd, 0));
}

/// Whether the letters are among the VmFlags of the mapping at `place`.
bool has_flag(char* place, const char* letters) {
    FILE* smaps = fopen("/proc/self/smaps", "r");
    REQUIRE(smaps);
    char line[512], wanted[8];
    snprintf(wanted, sizeof wanted, " %s ", letters);
    bool found = false, is_ours = false;
    while (fgets(line, sizeof line, smaps)) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            is_ours = begin <= (unsigned long)place && (unsigned long)place < end;
        else if (is_ours && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, wanted);
    }
    fclose(smaps);
    return found;
}

} // namespace

int main() {
    const int anonymous = MAP_DROPPABLE | MAP_ANONYMOUS;
    const int file = memfd_create("droppable", 0);
    CHECK_OK(ftruncate(file, off_t(page)));
    CHECK(map(1, MAP_DROPPABLE, file) == MAP_FAILED && errno == EINVAL);
    for (int more : {MAP_LOCKED, MAP_GROWSDOWN, MAP_HUGETLB, MAP_SHARED, MAP_PRIVATE})
        CHECK(map(1, anonymous | more) == MAP_FAILED && errno == EINVAL);
    char* place = map(4, anonymous);
    REQUIRE(place != MAP_FAILED);
    memset(place, 3, 4 * page);
    for (const char* letters : {"nr", "wf", "dd", "dp"}) CHECK(has_flag(place, letters));
    CHECK(!has_flag(place, "ac"));
    // Locking is accepted and does nothing.
    CHECK_OK(mlock(place, page));
    CHECK(!has_flag(place, "lo"));
    CHECK_OK(munlock(place, page));
    CHECK_ERRNO(madvise(place, page, MADV_KEEPONFORK), EINVAL);
    CHECK_ERRNO(madvise(place, page, MADV_DODUMP), EINVAL);
    CHECK_OK(madvise(place, page, MADV_WIPEONFORK));
    CHECK_OK(madvise(place, page, MADV_DONTDUMP));
    CHECK_EQ(check::in_child([&] {
                 for (size_t i = 0; i < 4; ++i) CHECK_EQ(place[i * page], 0);
                 place[0] = 4;
             }),
             0);
    CHECK(place[0] == 3 || place[0] == 0);
    CHECK_OK(madvise(place, page, MADV_DONTNEED));
    CHECK_EQ(place[0], 0);
    char* moved = static_cast<char*>(mremap(place, 4 * page, 8 * page, MREMAP_MAYMOVE));
    REQUIRE(moved != MAP_FAILED);
    CHECK(has_flag(moved, "dp"));
    CHECK_OK(munmap(moved, 8 * page));
    close(file);
    return check::result();
}
