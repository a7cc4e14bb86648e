// Names can't be made in /proc, /sys and /dev/pts, and what mkdir(2), mknod(2), symlink(2), link(2), rename(2) and
// open(2) say to who tries.
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.hpp"

namespace {

struct Refusals {
    int file, node, other;
};

void nothing_can_be_made(const char* directory, const char* present, Refusals expected) {
    char absent[256];
    snprintf(absent, sizeof absent, "%s/newname", directory);
    CHECK_ERRNO(open(absent, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), expected.file);
    CHECK_ERRNO(open(absent, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600), expected.file);
    CHECK_ERRNO(mknod(absent, S_IFREG | 0600, 0), expected.file);
    CHECK_ERRNO(mknod(absent, S_IFIFO | 0600, 0), expected.node);
    CHECK_ERRNO(mkdir(absent, 0700), expected.other);
    CHECK_ERRNO(symlink("target", absent), expected.other);
    CHECK_ERRNO(link(present, absent), expected.other);
    CHECK_ERRNO(rename(present, absent), expected.other);
    CHECK_ERRNO(rename("/tmp", absent), EXDEV);
    CHECK_ERRNO(access(absent, F_OK), ENOENT);
    CHECK_ERRNO(mkdir(present, 0700), EEXIST);
    CHECK_ERRNO(symlink("target", present), EEXIST);
    CHECK_ERRNO(open(present, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600), EEXIST);
}

void everywhere() {
    constexpr Refusals unknown = {ENOENT, ENOENT, ENOENT}, refused = {EACCES, EPERM, EPERM};
    nothing_can_be_made("/proc", "/proc/stat", unknown);
    nothing_can_be_made("/proc/self", "/proc/self/stat", unknown);
    nothing_can_be_made("/proc/self/fd", "/proc/self/fd/1", unknown);
    nothing_can_be_made("/proc/sys/kernel", "/proc/sys/kernel/ostype", unknown);
    nothing_can_be_made("/sys/kernel", "/sys/kernel/mm", refused);
    nothing_can_be_made("/sys/class", "/sys/class/tty", refused);
    nothing_can_be_made("/dev/pts", "/dev/pts/ptmx", refused);
}

} // namespace

int main() {
    everywhere();
    check::run_in_child([] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(mkdir("/proc/newname", 0700), ENOENT);
        CHECK_ERRNO(open("/proc/self/newname", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), ENOENT);
        CHECK_ERRNO(mkdir("/sys/newname", 0700), EACCES);
    });
    return check::result();
}
