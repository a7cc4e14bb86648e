// Transparent huge pages of files in memory: memfd files by shmem_enabled, those of a mounted tmpfs only where it says
// force (Linux's documentation, "Transparent Hugepage Support").
#include "huge.hpp"
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

namespace {

using namespace huge;

const char* const mode_file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

bool set_mode(const char* mode) { return proc_text::write_file(mode_file, mode); }
long long mapped_huge(char* place) {
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/smaps"), place);
    return entry ? proc_text::number(entry, "ShmemPmdMapped") * 1024 / (long long)span : -1;
}
int make(size_t size) {
    const int fd = memfd_create("file", 0);
    CHECK_EQ(ftruncate(fd, off_t(size)), 0);
    return fd;
}
char* map_file(int fd, size_t count) {
    char* place = memory::reserve_aligned(count * span);
    REQUIRE(mmap(place, count * span, rw, MAP_SHARED | MAP_FIXED, fd, 0) == place);
    return place;
}

// How many huge pages a first write gets.
enum class Advice { None, Huge };
long long after_touch(int fd, Advice advice = Advice::None) {
    char* place = map_file(fd, 1);
    if (advice == Advice::Huge) CHECK_EQ(madvise(place, span, MADV_HUGEPAGE), 0);
    CHECK_EQ(write_to(place + 3 * page), 0);
    const long long result = mapped_huge(place);
    CHECK_EQ(place[3 * page], 1);
    CHECK_EQ(place[4 * page], 0);
    munmap(place, span);
    close(fd);
    return result;
}

void test_modes() {
    for (const char* mode : {"always", "within_size", "force"}) {
        CHECK(set_mode(mode));
        CHECK_EQ(after_touch(make(span)), 1);
    }
    for (const char* mode : {"never", "deny", "advise"}) {
        CHECK(set_mode(mode));
        CHECK_EQ(after_touch(make(span)), 0);
    }
    CHECK(set_mode("advise"));
    CHECK_EQ(after_touch(make(span), Advice::Huge), 1);
    CHECK(set_mode("within_size"));
    CHECK_EQ(after_touch(make(span / 2)), 0);
}

void test_contents() {
    CHECK(set_mode("always"));
    const int fd = make(2 * span);
    char* place = map_file(fd, 2);
    place[0] = 1, place[span] = 2;
    CHECK_EQ(mapped_huge(place), 2);
    struct stat now = {};
    CHECK_EQ(fstat(fd, &now), 0);
    CHECK_EQ(size_t(now.st_blocks), 2 * span / 512);
    CHECK_EQ(pwrite(fd, "ab", 2, off_t(span - 1)), 2);
    CHECK(place[span - 1] == 'a' && place[span] == 'b');
    run_in_child([&] {
        CHECK_EQ(place[0], 1);
        place[5 * page] = 7;
    });
    CHECK_EQ(place[5 * page], 7);
    // A hole takes a part away, and the rest goes on.
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, off_t(page)), 0);
    CHECK_EQ(place[0], 0);
    CHECK_EQ(place[5 * page], 7);
    CHECK_EQ(ftruncate(fd, off_t(span + page)), 0);
    CHECK_EQ(place[span], 'b');
    CHECK_EQ(write_to(place + span + page), SIGBUS);
    CHECK_EQ(ftruncate(fd, off_t(2 * span)), 0);
    CHECK_EQ(place[span + page], 0);
    munmap(place, 2 * span);
    close(fd);
}

void test_mounted() {
    const char* const folder = "/tmp/huge-files";
    mkdir(folder, 0700);
    char size[32], path[64];
    snprintf(size, sizeof size, "size=%zuk", 3 * span / 2048);
    if (mount("none", folder, "tmpfs", 0, size) != 0) return;
    snprintf(path, sizeof path, "%s/file", folder);
    auto make_here = [&] {
        const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        CHECK_EQ(ftruncate(fd, off_t(span)), 0);
        return fd;
    };
    CHECK(set_mode("always"));
    CHECK_EQ(after_touch(make_here()), 0);
    CHECK(set_mode("force"));
    CHECK_EQ(after_touch(make_here()), 1);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(umount(folder), 0);
    rmdir(folder);
}

} // namespace

int main() {
    set_up();
    if (!set_mode("never")) check::skip("no transparent huge pages of shared memory");
    test_modes();
    test_contents();
    test_mounted();
    CHECK(set_mode("never"));
    return tear_down();
}
