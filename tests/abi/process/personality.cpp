// personality(2): what each flag that still means something changes, for the thread that has it, its children and the
// programs that it executes. And what a mount with noexec keeps from being executed.
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "child.hpp"

namespace {

size_t page;

void which_series() {
    utsname plain = {}, old = {};
    CHECK_OK(uname(&plain));
    CHECK_EQ(personality(UNAME26), 0);
    CHECK_EQ(personality(0xffffffff), int(UNAME26));
    check::run_in_child([&] { CHECK_OK(uname(&old)); });
    CHECK_OK(uname(&old));
    int major = 0, minor = 0;
    CHECK_EQ(sscanf(plain.release, "%d.%d", &major, &minor), 2);
    char expected[80];
    snprintf(expected, sizeof expected, "2.6.%d%s", minor + 60, plain.release + strspn(plain.release, "0123456789."));
    CHECK_STREQ(old.release, expected);
    CHECK_STREQ(old.version, plain.version);
    CHECK_EQ(personality(0), int(UNAME26));
    CHECK_OK(uname(&old));
    CHECK_STREQ(old.release, plain.release);
}

void times_that_stay() {
    int ends[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    for (bool stays : {false, true}) {
        CHECK_OK(personality(stays ? STICKY_TIMEOUTS : 0));
        fd_set set;
        FD_ZERO(&set);
        FD_SET(ends[0], &set);
        // By number: the C library keeps the caller's time-out from what the kernel says.
        timespec exact = {100, 0};
        CHECK_EQ(syscall(SYS_pselect6, ends[0] + 1, &set, nullptr, nullptr, &exact, nullptr), 1);
        CHECK_EQ(exact.tv_sec, stays ? 100 : 99);
        exact = {100, 0};
        pollfd one = {ends[0], POLLIN, 0};
        CHECK_EQ(syscall(SYS_ppoll, &one, 1, &exact, nullptr, 8), 1);
        CHECK_EQ(exact.tv_sec, stays ? 100 : 99);
        exact = {0, 1000000};
        one.events = POLLPRI;
        CHECK_EQ(syscall(SYS_ppoll, &one, 1, &exact, nullptr, 8), 0);
        CHECK_EQ(exact.tv_nsec, stays ? 1000000 : 0);
    }
    CHECK_OK(personality(0));
    close(ends[0]);
    close(ends[1]);
}

/// The rights of the mapping at that address, as /proc/self/maps has them; until the next call.
const char* rights_at(const void* address) {
    static char found[8];
    strcpy(found, "none");
    FILE* maps = fopen("/proc/self/maps", "re");
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        unsigned long begin, end;
        char rights[8];
        const bool is_mapping = sscanf(line, "%lx-%lx %7s", &begin, &end, rights) == 3;
        if (is_mapping && begin <= uintptr_t(address) && uintptr_t(address) < end) memcpy(found, rights, sizeof found);
    }
    fclose(maps);
    return found;
}

void* map(int rights, int file = -1) {
    return mmap(nullptr, page, rights, file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, file, 0);
}

const char* const forbidden = "/tmp/noexec";

int file_without_execution() {
    mkdir(forbidden, 0755);
    CHECK_OK(mount("none", forbidden, "tmpfs", MS_NOEXEC, nullptr));
    const int file = open("/tmp/noexec/file", O_CREAT | O_RDWR | O_CLOEXEC, 0755);
    CHECK_OK(ftruncate(file, off_t(page)));
    return file;
}

void reads_that_execute() {
    const int plain = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), kept = file_without_execution();
    CHECK_OK(personality(READ_IMPLIES_EXEC));
    CHECK_STREQ(rights_at(map(PROT_READ)), "r-xp");
    CHECK_STREQ(rights_at(map(PROT_READ | PROT_WRITE)), "rwxp");
    CHECK_STREQ(rights_at(map(PROT_NONE)), "---p");
    CHECK_STREQ(rights_at(map(PROT_READ, plain)), "r-xp");
    void* const without = map(PROT_READ, kept);
    CHECK_STREQ(rights_at(without), "r--p");
    void* const made = map(PROT_NONE);
    CHECK_OK(mprotect(made, page, PROT_READ));
    CHECK_STREQ(rights_at(made), "r-xp");
    CHECK_OK(mprotect(made, page, PROT_NONE));
    CHECK_STREQ(rights_at(made), "---p");
    CHECK_OK(mprotect(without, page, PROT_READ | PROT_WRITE));
    CHECK_STREQ(rights_at(without), "rw-p");
    CHECK_OK(personality(0));
    CHECK_OK(mprotect(made, page, PROT_READ));
    CHECK_STREQ(rights_at(made), "r--p");

    // What a mount forbids can't be had by a detour.
    CHECK_ERRNO(intptr_t(map(PROT_READ | PROT_EXEC, kept)), EPERM);
    CHECK_ERRNO(mprotect(without, page, PROT_READ | PROT_EXEC), EACCES);
    CHECK_ERRNO(execl("/tmp/noexec/file", "x", nullptr), EACCES);
    munmap(without, page);
    close(kept);
    close(plain);
    CHECK_OK(umount(forbidden));
    rmdir(forbidden);
}

void low_addresses() {
    const auto map_low = [] {
        return intptr_t(mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    };
    check::run_in_child([&] {
        CHECK_EQ(map_low(), 0);
        CHECK_STREQ(rights_at(nullptr), "r--p");
        CHECK_OK(munmap(nullptr, page));
    });
    check::run_in_child([&] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(map_low(), EPERM);
    });
}

void page_zero() {
    for (bool is_root : {true, false}) {
        const int status = check::in_child([&] {
            if (!is_root) CHECK_OK(setuid(65534));
            CHECK_OK(personality(MMAP_PAGE_ZERO));
            execl("/proc/self/exe", "personality", is_root ? "r-xp" : "none", nullptr);
        });
        CHECK_EQ(check::code_of(status), 7);
    }
}

/// In the program that page_zero() executes: what is at address 0, and that it reads as zero.
int look_at_page_zero(const char* expected) {
    CHECK_STREQ(rights_at(nullptr), expected);
    const char* volatile zero = nullptr;
    if (expected[0] == 'r') {
        char first = 1;
        asm volatile("" : "+r"(zero));
        first = *zero;
        CHECK_EQ(int(first), 0);
    }
    return check::result() == 0 ? 7 : 1;
}

} // namespace

int main(int argc, char** argv) {
    page = size_t(sysconf(_SC_PAGESIZE));
    if (argc > 1) return look_at_page_zero(argv[1]);
    which_series();
    times_that_stay();
    reads_that_execute();
    low_addresses();
    page_zero();
    return check::result();
}
