// Mounts: tmpfs instances and their limits, bind, move, busy and lazy unmounts, remounts, ".." and getcwd across them.
#include "check.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

bool exists(const char* path) { return access(path, F_OK) == 0; }
void touch(const char* path) { close(open(path, O_CREAT | O_WRONLY, 0644)); }

void test_tmpfs() {
    mkdir("t", 0755);
    CHECK_EQ(mount("none", "t", "tmpfs", 0, "size=64k,mode=0700"), 0);
    struct stat st;
    CHECK_EQ(stat("t", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0700u);
    struct statfs fs;
    CHECK_EQ(statfs("t", &fs), 0);
    CHECK_EQ(fs.f_blocks * fs.f_bsize, 65536ul);
    int fd = open("t/full", O_CREAT | O_RDWR, 0644);
    static char block[100000];
    long written = write(fd, block, sizeof block);
    CHECK_EQ(written, 65536l);
    CHECK_ERRNO((long)write(fd, block, 1), ENOSPC);
    CHECK_EQ(statfs("t", &fs), 0);
    CHECK_EQ(fs.f_bfree, 0ul);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(statfs("t", &fs), 0);
    CHECK_EQ(fs.f_bfree, fs.f_blocks);
    CHECK_ERRNO(umount("t"), EBUSY);
    close(fd);
    CHECK_EQ(chdir("t"), 0);
    CHECK_ERRNO(umount("../t"), EBUSY);
    char text[300];
    CHECK(getcwd(text, sizeof text) != nullptr && strstr(text, "/t"));
    CHECK_EQ(chdir(".."), 0);
    CHECK(exists("t/full"));
    CHECK_ERRNO(rmdir("t"), EBUSY);
    CHECK_EQ(umount("t"), 0);
    CHECK(!exists("t/full"));
    CHECK_ERRNO(umount("t"), EINVAL);
    CHECK_ERRNO(mount("none", "t", "nonsense", 0, nullptr), ENODEV);
    CHECK_ERRNO(mount("none", "t", "tmpfs", 0, "nonsense=1"), EINVAL);
    CHECK_ERRNO(mount("none", "missing", "tmpfs", 0, nullptr), ENOENT);
}

void test_bind() {
    mkdir("a", 0755);
    mkdir("a/sub", 0755);
    touch("a/file");
    mkdir("b", 0755);
    CHECK_EQ(mount("a", "b", nullptr, MS_BIND, nullptr), 0);
    CHECK(exists("b/file"));
    touch("b/new");
    CHECK(exists("a/new"));
    CHECK_ERRNO(rename("a/file", "b/file2"), EXDEV);
    CHECK_ERRNO(link("a/file", "b/file2"), EXDEV);
    CHECK_EQ(mount(nullptr, "b", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
    CHECK_ERRNO(open("b/x", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_ERRNO(unlink("b/new"), EROFS);
    CHECK_ERRNO(open("b/new", O_WRONLY), EROFS);
    CHECK_EQ(unlink("a/new"), 0);
    mkdir("c", 0755);
    CHECK_EQ(mount("b", "c", nullptr, MS_MOVE, nullptr), 0);
    CHECK(exists("c/file"));
    CHECK(!exists("b/file"));
    int directory = open("c", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(umount("c"), EBUSY);
    CHECK_EQ(umount2("c", MNT_DETACH), 0);
    CHECK(!exists("c/file"));
    CHECK_EQ(faccessat(directory, "file", F_OK, 0), 0);
    close(directory);
    // A file over a file.
    touch("f1");
    touch("f2");
    CHECK_EQ(truncate("f1", 5), 0);
    CHECK_EQ(mount("f1", "f2", nullptr, MS_BIND, nullptr), 0);
    struct stat st;
    CHECK_EQ(stat("f2", &st), 0);
    CHECK_EQ(st.st_size, 5);
    CHECK_ERRNO(mount("f1", "b", nullptr, MS_BIND, nullptr), ENOTDIR);
    CHECK_ERRNO(unlink("f2"), EBUSY);
    CHECK_EQ(umount("f2"), 0);
    // With what is mounted below.
    CHECK_EQ(mount("none", "a/sub", "tmpfs", 0, nullptr), 0);
    touch("a/sub/inner");
    CHECK_EQ(mount("a", "b", nullptr, MS_BIND | MS_REC, nullptr), 0);
    CHECK(exists("b/sub/inner"));
    CHECK_EQ(umount2("b", MNT_DETACH), 0);
    CHECK_EQ(umount("a/sub"), 0);
}

void test_flags() {
    mkdir("n", 0755);
    CHECK_EQ(mount("none", "n", "tmpfs", MS_NOEXEC | MS_NODEV, nullptr), 0);
    CHECK_EQ(mknod("n/null", S_IFCHR | 0666, 0x103), 0);
    CHECK_ERRNO(open("n/null", O_RDWR), EACCES);
    touch("n/script");
    CHECK_EQ(chmod("n/script", 0755), 0);
    CHECK_ERRNO(access("n/script", X_OK), EACCES);
    int fd = open("n/script", O_RDWR);
    CHECK_ERRNO(mount(nullptr, "n", nullptr, MS_REMOUNT | MS_RDONLY, nullptr), EBUSY);
    close(fd);
    CHECK_EQ(mount(nullptr, "n", nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
    CHECK_ERRNO(open("n/y", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_EQ(umount("n"), 0);
    // Many, one over the other.
    for (int i = 0; i < 20; i++) CHECK_EQ(mount("none", "n", "tmpfs", 0, nullptr), 0);
    for (int i = 0; i < 20; i++) CHECK_EQ(umount("n"), 0);
    CHECK_ERRNO(umount("n"), EINVAL);
}

// The mode of a slave terminal that is made now.
unsigned mode_of_new_terminal() {
    const int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK(master >= 0);
    int number = -1;
    CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
    char path[32];
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    struct stat st{};
    CHECK_EQ(stat(path, &st), 0);
    close(master);
    return st.st_mode & 07777;
}

void test_terminals_remounted() {
    constexpr unsigned long flags = MS_REMOUNT | MS_NOSUID | MS_NOEXEC;
    CHECK_EQ(mount(nullptr, "/dev/pts", nullptr, flags, "gid=5,mode=600,ptmxmode=666"), 0);
    CHECK_EQ(mode_of_new_terminal(), 0600u);
    CHECK_ERRNO(mount(nullptr, "/dev/pts", nullptr, flags, "mode=9"), EINVAL);
    CHECK_ERRNO(mount(nullptr, "/dev/pts", nullptr, flags, "there-is-no-such-option"), EINVAL);
    CHECK_EQ(mount(nullptr, "/dev/pts", nullptr, flags, "gid=5,mode=620,ptmxmode=666"), 0);
    CHECK_EQ(mode_of_new_terminal(), 0620u);
}

} // namespace

int main() {
    // A mount namespace of our own where there are any; else what is mounted here is unmounted again.
    if (unshare(CLONE_NEWNS) == 0)
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    else if (errno == EPERM)
        check::skip("may not mount");
    char base[] = "/tmp/mounts.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chdir(base), 0);
    umask(022);
    if (mount("none", base, "tmpfs", 0, nullptr) != 0 && errno == EPERM) check::skip("may not mount");
    CHECK_EQ(chdir(base), 0);
    test_tmpfs();
    test_bind();
    test_flags();
    test_terminals_remounted();
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(umount(base), 0);
    return check::result();
}
