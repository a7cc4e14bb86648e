// getxattrat, setxattrat, listxattrat, removexattrat (Linux 6.13): extended attributes by a directory and a name, or of
// what a descriptor has open.
//
// needs-linux: 6.13
#include "check.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace {

struct Arguments { // struct xattr_args of linux/xattr.h
    const void* value;
    unsigned size, flags;
};

long set(int directory, const char* path, long flags, const char* name, const void* arguments, long size = 16) {
    return syscall(463, long(directory), path, flags, name, arguments, size);
}
long get(int directory, const char* path, long flags, const char* name, const void* arguments, long size = 16) {
    return syscall(464, long(directory), path, flags, name, arguments, size);
}
long list(int directory, const char* path, long flags, char* to, long size) {
    return syscall(465, long(directory), path, flags, to, size);
}
long remove_attribute(int directory, const char* path, long flags, const char* name) {
    return syscall(466, long(directory), path, flags, name);
}

const char* const nowhere = reinterpret_cast<const char*>(8);

void test_names(int file, int directory, int place) {
    const Arguments hello{"hello", 5, 0};
    CHECK_OK(set(AT_FDCWD, "file", 0, "user.a", &hello));
    CHECK_OK(set(directory, "file", 0, "user.a", &hello));
    CHECK_OK(set(file, "", AT_EMPTY_PATH, "user.b", &hello));
    CHECK_OK(set(file, nullptr, AT_EMPTY_PATH, "user.d", &hello));
    CHECK_OK(set(AT_FDCWD, "", AT_EMPTY_PATH, "user.here", &hello));
    CHECK_ERRNO(set(place, "", AT_EMPTY_PATH, "user.c", &hello), EBADF);
    CHECK_ERRNO(set(file, "", 0, "user.d", &hello), ENOENT);
    CHECK_ERRNO(set(file, nullptr, 0, "user.d", &hello), EFAULT);
    CHECK_ERRNO(set(file, "x", 0, "user.d", &hello), ENOTDIR);
    CHECK_ERRNO(set(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", &hello), EPERM);
    CHECK_ERRNO(set(AT_FDCWD, "file", AT_SYMLINK_FOLLOW, "user.a", &hello), EINVAL);
    CHECK_ERRNO(set(-1, "", AT_EMPTY_PATH, "user.a", &hello), EBADF);
    CHECK_ERRNO(set(999, "", AT_EMPTY_PATH, "user.a", &hello), EBADF);
    CHECK_ERRNO(set(999, "file", 0, "user.a", &hello), EBADF);

    char names[64] = {};
    CHECK_EQ(list(AT_FDCWD, "file", 0, names, sizeof names), 21L);
    CHECK_EQ(list(AT_FDCWD, "link", 0, names, sizeof names), 21L);
    CHECK_EQ(list(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, names, sizeof names), 0L);
    CHECK_EQ(list(file, nullptr, AT_EMPTY_PATH, names, sizeof names), 21L);
    CHECK_EQ(list(file, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, names, 0), 21L);
    CHECK_ERRNO(list(file, "", AT_EMPTY_PATH, names, 3), ERANGE);
    CHECK_ERRNO(list(place, "", AT_EMPTY_PATH, names, 3), EBADF);
    CHECK_ERRNO(list(file, "", AT_EMPTY_PATH | 1, names, 3), EINVAL);

    CHECK_OK(remove_attribute(AT_FDCWD, "file", 0, "user.a"));
    CHECK_OK(remove_attribute(file, "", AT_EMPTY_PATH, "user.b"));
    CHECK_ERRNO(remove_attribute(file, "", AT_EMPTY_PATH, "user.b"), ENODATA);
    CHECK_ERRNO(remove_attribute(place, "", AT_EMPTY_PATH, "user.d"), EBADF);
    CHECK_ERRNO(remove_attribute(file, "", 0x2000, "user.d"), EINVAL);
    CHECK_ERRNO(remove_attribute(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.d"), EPERM);
    CHECK_OK(removexattr(".", "user.here"));
}

void test_arguments(int file) {
    struct Longer {
        Arguments known;
        long newer;
    } longer{{"hello", 5, 0}, 0};
    CHECK_OK(set(file, "", AT_EMPTY_PATH, "user.a", &longer, sizeof longer));
    longer.newer = 1L << 56;
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", &longer, sizeof longer), E2BIG);
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", &longer, 1 << 20), E2BIG);
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", &longer, 15), EINVAL);
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", &longer, 0), EINVAL);
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", nowhere), EFAULT);
    // What is beyond the known part lies behind the last page that there is.
    char* pages = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(pages != MAP_FAILED);
    const long page = sysconf(_SC_PAGESIZE);
    if (page == 4096) {
        CHECK_OK(munmap(pages + page, page));
        memcpy(pages + page - sizeof longer.known, &longer.known, sizeof longer.known);
        CHECK_OK(set(file, "", AT_EMPTY_PATH, "user.a", pages + page - sizeof longer.known));
        CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", pages + page - sizeof longer.known, 24), EFAULT);
    }
    Arguments arguments{"again", 5, XATTR_CREATE};
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", &arguments), EEXIST);
    arguments.flags = 4;
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.a", &arguments), EINVAL);
    arguments.flags = XATTR_REPLACE;
    CHECK_ERRNO(set(file, "", AT_EMPTY_PATH, "user.none", &arguments), ENODATA);
    CHECK_OK(set(file, "", AT_EMPTY_PATH, "user.a", &arguments));

    char value[16] = {};
    arguments = {value, sizeof value, 0};
    CHECK_EQ(get(AT_FDCWD, "file", 0, "user.a", &arguments), 5L);
    CHECK_STREQ(value, "again");
    CHECK_EQ(get(file, "", AT_EMPTY_PATH, "user.a", &arguments), 5L);
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, "user.none", &arguments), ENODATA);
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, "user.a", &arguments, 15), EINVAL);
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, "user.a", &arguments, 1 << 20), E2BIG);
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, nowhere, &arguments), EFAULT);
    CHECK_ERRNO(get(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", &arguments), ENODATA);
    arguments.flags = XATTR_CREATE;
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, "user.a", &arguments), EINVAL);
    arguments = {value, 2, 0};
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, "user.a", &arguments), ERANGE);
    arguments = {nullptr, 0, 0};
    CHECK_EQ(get(file, "", AT_EMPTY_PATH, "user.a", &arguments), 5L);
    arguments = {nowhere, 16, 0};
    CHECK_ERRNO(get(file, "", AT_EMPTY_PATH, "user.a", &arguments), EFAULT);
    CHECK_OK(remove_attribute(file, "", AT_EMPTY_PATH, "user.a"));
}

} // namespace

int main() {
    const int file = open("file", O_CREAT | O_RDWR, 0644), place = open("file", O_PATH);
    const int directory = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(file >= 0 && place >= 0 && directory >= 0);
    CHECK_OK(symlink("file", "link"));
    test_names(file, directory, place);
    test_arguments(file);
    CHECK_OK(unlink("link"));
    CHECK_OK(unlink("file"));
    return check::result();
}
