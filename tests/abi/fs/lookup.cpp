// Path walk: symlinks, dots, slashes, O_PATH, AT_EMPTY_PATH, openat2's RESOLVE_ flags.
#include "check.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

int openat2_(int directory, const char* path, unsigned long long flags, unsigned long long resolve) {
    open_how how{};
    how.flags = flags;
    how.resolve = resolve;
    return syscall(SYS_openat2, directory, path, &how, sizeof how);
}

bool opens(int fd) {
    if (fd >= 0) close(fd);
    return fd >= 0;
}

void make_tree() {
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    close(open("d/e/f", O_CREAT | O_WRONLY, 0644));
    symlink("d", "link");
    symlink("d/", "link-slash");
    symlink("d/e/f", "file-link");
    symlink("nowhere", "dangling");
    symlink("loop2", "loop1");
    symlink("loop1", "loop2");
    symlink("/", "root-link");
    symlink("../d/e", "d/up");
}

void test_walk() {
    CHECK(opens(open("d//e///f", O_RDONLY)));
    CHECK(opens(open("./d/./e/../e/f", O_RDONLY)));
    CHECK(opens(open("link/e/f", O_RDONLY)));
    CHECK(opens(open("link-slash/e/f", O_RDONLY)));
    CHECK(opens(open("d/up/f", O_RDONLY)));
    CHECK(opens(open("/../../../", O_RDONLY)));
    CHECK_ERRNO(open("file-link/", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("file-link/.", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("dangling", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("loop1", O_RDONLY), ELOOP);
    CHECK_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open("link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
    CHECK(opens(open("link/", O_RDONLY | O_NOFOLLOW)));
    CHECK_ERRNO(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK(opens(open("dangling", O_CREAT | O_WRONLY, 0644)));
    struct stat st;
    CHECK_EQ(lstat("nowhere", &st), 0);
    CHECK_EQ(lstat("link", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(st.st_size, 1);
    CHECK_EQ(lstat("link/", &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    // 40 symlinks are followed, 41 are not.
    char from[16], to[16] = "d";
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof from, "chain%d", i);
        CHECK_EQ(symlink(to, from), 0);
        strcpy(to, from);
    }
    CHECK(opens(open("chain40", O_RDONLY)));
    CHECK_ERRNO(open("chain41", O_RDONLY), ELOOP);
}

void test_path_descriptors() {
    int fd = open("d/e/f", O_PATH);
    CHECK(fd >= 0);
    char byte;
    CHECK_ERRNO(read(fd, &byte, 1), EBADF);
    CHECK_ERRNO(fchmod(fd, 0600), EBADF);
    CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
    CHECK_ERRNO(fstatat(fd, "", &st, 0), ENOENT);
    CHECK_ERRNO(fstatat(fd, "x", &st, 0), ENOTDIR);
    int copy = dup(fd);
    CHECK(copy >= 0);
    close(copy);
    close(fd);
    fd = open("link", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0);
    char text[8];
    CHECK_EQ(readlinkat(fd, "", text, sizeof text), 1);
    close(fd);
    int directory = open("d", O_PATH | O_DIRECTORY);
    CHECK(opens(openat(directory, "e/f", O_RDONLY)));
    CHECK_EQ(fchdir(directory), 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK_ERRNO(openat(12345, "x", O_RDONLY), EBADF);
    CHECK(opens(openat(12345, "/", O_RDONLY)));
    close(directory);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fstatat(ends[0], "", &st, AT_EMPTY_PATH), 0);
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_ERRNO(openat(ends[0], "x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(fstatat(AT_FDCWD, "d", &st, 0x40000000), EINVAL);
}

void test_openat2() {
    int d = open("d", O_RDONLY | O_DIRECTORY);
    if (openat2_(d, "e", O_RDONLY, 0) < 0 && errno == ENOSYS) return;
    CHECK(opens(openat2_(d, "e/f", O_RDONLY, RESOLVE_BENEATH)));
    CHECK(opens(openat2_(d, "e/../e/f", O_RDONLY, RESOLVE_BENEATH)));
    CHECK_ERRNO(openat2_(d, "../d", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2_(d, "up", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(openat2_(d, "/", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK(opens(openat2_(d, "/e/f", O_RDONLY, RESOLVE_IN_ROOT)));
    CHECK(opens(openat2_(d, "../../e/f", O_RDONLY, RESOLVE_IN_ROOT)));
    CHECK_ERRNO(openat2_(AT_FDCWD, "link/e", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_ERRNO(openat2_(AT_FDCWD, "link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_ERRNO(openat2_(AT_FDCWD, "/proc/self", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
    CHECK_ERRNO(openat2_(d, "e", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
    CHECK_ERRNO(openat2_(d, "e", O_RDONLY, 1ull << 40), EINVAL);
    CHECK_ERRNO(openat2_(d, "e", 1ull << 40, 0), EINVAL);
    CHECK_ERRNO((long)syscall(SYS_openat2, d, "e", nullptr, 8), EINVAL);
    struct {
        open_how how;
        long more;
    } large{};
    CHECK(opens(syscall(SYS_openat2, d, "e", &large, sizeof large)));
    large.more = 1;
    CHECK_ERRNO((long)syscall(SYS_openat2, d, "e", &large, sizeof large), E2BIG);
    close(d);
}

} // namespace

int main() {
    char base[] = "/tmp/lookup.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chdir(base), 0);
    make_tree();
    test_walk();
    test_path_descriptors();
    test_openat2();
    return check::result();
}
