// What of memory is in a core file: by the filter bit by bit, MADV_DONTDUMP and MADV_DODUMP, holes, rights, a thousand
// mappings (core(5), madvise(2)).
// timeout: 180
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core_file.hpp"
#include "memory.hpp"

using namespace core_file;
using memory::page;

namespace {

constexpr const char* filter_file = "/proc/self/coredump_filter";

struct Places {
    char *anonymous, *shared_anonymous, *sysv, *memfd, *private_file, *private_written, *shared_file, *unlinked, *elf,
        *executable, *plain, *untouched;
};

char* map_file(const char* path, int flags, int prot = PROT_READ | PROT_WRITE) {
    const int fd = open(path, prot & PROT_WRITE && flags == MAP_SHARED ? O_RDWR : O_RDONLY);
    REQUIRE(fd >= 0);
    void* place = mmap(nullptr, 2 * page, prot, flags, fd, 0);
    REQUIRE(place != MAP_FAILED);
    close(fd);
    return static_cast<char*>(place);
}

void make_file(const char* path, const char* begin, mode_t mode) {
    const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);
    REQUIRE(fd >= 0);
    std::string text(2 * page, 'f');
    text.replace(0, strlen(begin), begin);
    CHECK_EQ(write(fd, text.data(), text.size()), ssize_t(text.size()));
    CHECK_EQ(fchmod(fd, mode), 0);
    close(fd);
}

void map_all(Places& p) {
    p.anonymous = memory::map(2 * page);
    p.shared_anonymous = memory::map(2 * page, MAP_SHARED);
    const int segment = shmget(IPC_PRIVATE, 2 * page, 0600);
    p.sysv = static_cast<char*>(shmat(segment, nullptr, 0));
    shmctl(segment, IPC_RMID, nullptr);
    const int fd = int(syscall(SYS_memfd_create, "core", 0));
    CHECK_EQ(ftruncate(fd, off_t(2 * page)), 0);
    p.memfd = static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    p.private_file = map_file("plain", MAP_PRIVATE);
    p.private_written = map_file("plain", MAP_PRIVATE);
    p.shared_file = map_file("plain", MAP_SHARED);
    make_file("gone", "gone", 0600);
    p.unlinked = map_file("gone", MAP_SHARED);
    unlink("gone");
    p.elf = map_file("elf", MAP_PRIVATE, PROT_READ);
    p.executable = map_file("program", MAP_PRIVATE, PROT_READ);
    p.plain = map_file("plain", MAP_PRIVATE, PROT_READ);
    p.untouched = memory::map(2 * page);
    for (char* place : {p.anonymous, p.shared_anonymous, p.sysv, p.memfd, p.private_written, p.unlinked})
        memcpy(place + page, "written", 7);
}

void test_filter(unsigned bits) {
    auto& places = *check::shared<Places>();
    const int status = crash([&] {
        char text[16];
        snprintf(text, sizeof text, "0x%x", bits);
        CHECK(proc_text::write_file(filter_file, text));
        map_all(places);
        abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    const Core core("core");
    CHECK(core.is_whole());
    auto is_whole = [&](char* place) {
        const Elf64_Phdr* load = core.load_of(place);
        return load && load->p_filesz == load->p_memsz;
    };
    auto expect = [&](char* place, bool wanted, const char* text, size_t offset) {
        CHECK_EQ(wanted ? is_whole(place) : core.lacks(place), true);
        if (wanted) CHECK(core.holds(place + offset, text, strlen(text)));
    };
    const bool anonymous = bits & 1, shared = bits & 2, files = bits & 4, shared_files = bits & 8, headers = bits & 16;
    expect(places.anonymous, anonymous, "written", page);
    expect(places.shared_anonymous, shared, "written", page);
    expect(places.sysv, shared, "written", page);
    expect(places.memfd, shared, "written", page);
    expect(places.unlinked, shared, "written", page);
    expect(places.private_file, files, "plain", 0);
    expect(places.private_written, files || anonymous, "written", page);
    expect(places.shared_file, shared_files, "plain", 0);
    CHECK(core.lacks(places.untouched));
    expect(places.plain, files, "plain", 0);
    for (char* place : {places.elf, places.executable}) {
        if (files || !headers) {
            expect(place, files, place == places.elf ? "\177ELF" : "script", 0);
            continue;
        }
        const Elf64_Phdr* load = core.load_of(place);
        CHECK_EQ(load ? load->p_filesz : 0, page);
        CHECK(core.holds(place, place == places.elf ? "\177ELF" : "script", 4));
    }
}

void test_filter_file() {
    CHECK_STREQ(proc_text::read_file(filter_file), "00000033\n");
    CHECK(proc_text::write_file(filter_file, "0x7f"));
    check::run_in_child([] {
        CHECK_STREQ(proc_text::read_file(filter_file), "0000007f\n");
        execl("/bin/sh", "sh", "-c", "read x < /proc/self/coredump_filter; test $x = 0000007f", nullptr);
        CHECK(false);
    });
    CHECK(proc_text::write_file(filter_file, "0xffffff"));
    CHECK_STREQ(proc_text::read_file(filter_file), "000001ff\n");
    const int fd = open(filter_file, O_WRONLY);
    CHECK_ERRNO(write(fd, "many", 4), EINVAL);
    close(fd);
    CHECK(proc_text::write_file(filter_file, "51"));
    CHECK_STREQ(proc_text::read_file(filter_file), "00000033\n");
    struct stat status;
    CHECK_EQ(stat(filter_file, &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0644u);
}

void test_advice() {
    struct Advised {
        char *dont, *undone, *half, *inaccessible, *zeros, *read_only;
    };
    auto& places = *check::shared<Advised>();
    const int status = crash([&] {
        for (char** place :
             {&places.dont, &places.undone, &places.half, &places.inaccessible, &places.zeros, &places.read_only}) {
            memory::map(page, MAP_PRIVATE, PROT_NONE); // so that they aren't one mapping
            *place = memory::map(4 * page);
            memset(*place, 'w', 4 * page);
        }
        CHECK_EQ(madvise(places.dont, 4 * page, MADV_DONTDUMP), 0);
        CHECK_EQ(madvise(places.undone, 4 * page, MADV_DONTDUMP), 0);
        CHECK_EQ(madvise(places.undone, 4 * page, MADV_DODUMP), 0);
        CHECK_EQ(madvise(places.half + 2 * page, 2 * page, MADV_DONTDUMP), 0);
        CHECK_EQ(mprotect(places.inaccessible, 4 * page, PROT_NONE), 0);
        CHECK_EQ(mprotect(places.read_only, 4 * page, PROT_READ), 0);
        CHECK_EQ(madvise(places.zeros + page, 2 * page, MADV_DONTNEED), 0);
        abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    const Core core("core");
    CHECK(core.is_whole());
    const std::string written(page, 'w'), zeros(page, '\0');
    CHECK(core.lacks(places.dont));
    CHECK(core.holds(places.undone + 3 * page, written.data(), page));
    CHECK(core.holds(places.half + page, written.data(), page));
    CHECK(core.lacks(places.half + 2 * page));
    CHECK(core.holds(places.inaccessible + 3 * page, written.data(), page));
    CHECK_EQ(core.load_of(places.inaccessible)->p_flags, 0u);
    CHECK(core.holds(places.read_only, written.data(), page));
    CHECK_EQ(core.load_of(places.read_only)->p_flags, unsigned(PF_R));
    CHECK(core.holds(places.zeros, written.data(), page));
    CHECK(core.holds(places.zeros + page, zeros.data(), page));
    CHECK(core.holds(places.zeros + 2 * page, zeros.data(), page));
    CHECK(core.holds(places.zeros + 3 * page, written.data(), page));
}

/// A sparse mapping costs no room.
void test_holes() {
    constexpr size_t size = size_t{1} << 30;
    auto& place = *check::shared<char*>();
    const int status = crash([&] {
        place = memory::map(size, MAP_PRIVATE | MAP_NORESERVE);
        madvise(place, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size; at += size / 16) place[at + 5] = 'x';
        abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    struct stat file;
    REQUIRE(stat("core", &file) == 0);
    CHECK_GT(size_t(file.st_size), size);
    CHECK_LT(size_t(file.st_blocks) * 512, size / 8);
    const Core core("core");
    CHECK(core.is_whole());
    for (size_t at = 0; at < size; at += size / 16) CHECK(core.holds(place + at + 4, "\0x", 3));
}

void test_many_mappings() {
    constexpr int count = 1000;
    struct All {
        char* of[count];
    };
    auto& places = check::shared<All>()->of;
    const int status = crash([&] {
        char* whole = memory::map(2 * count * page, MAP_PRIVATE, PROT_NONE);
        for (int i = 0; i < count; ++i) {
            places[i] = whole + 2 * size_t(i) * page;
            CHECK_EQ(mprotect(places[i], page, PROT_READ | PROT_WRITE), 0);
            memcpy(places[i], &i, sizeof i);
        }
        abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    const Core core("core");
    CHECK(core.is_whole());
    CHECK_GE(core.loads.size(), size_t(2 * count));
    for (int i = 0; i < count; ++i) CHECK(core.holds(places[i], &i, sizeof i));
}

} // namespace

int main() {
    Place place;
    make_file("plain", "plain", 0644);
    make_file("elf", "\177ELF", 0644);
    make_file("program", "script", 0755);
    test_filter_file();
    for (unsigned bit = 0; bit < 5; ++bit) test_filter(1u << bit);
    test_filter(0);
    test_filter(0x33);
    test_filter(0x1f);
    test_advice();
    test_holes();
    test_many_mappings();
    return check::result();
}
