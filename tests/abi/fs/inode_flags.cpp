// ioctl_iflags(2) on tmpfs, where Linux has it since 6.6: what chattr(1) and lsattr(1) do.
//
// needs-linux: 6.6
#include "check.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace {

unsigned flags_of(int file) {
    unsigned flags = ~0u;
    CHECK_OK(ioctl(file, FS_IOC_GETFLAGS, &flags));
    return flags;
}
int set_flags(int file, unsigned flags) { return ioctl(file, FS_IOC_SETFLAGS, &flags); }
fsxattr extended(int file) {
    fsxattr result;
    memset(&result, 0xee, sizeof result);
    CHECK_OK(ioctl(file, FS_IOC_FSGETXATTR, &result));
    return result;
}
int set_extended(int file, unsigned flags, unsigned project = 0, unsigned extent_size = 0) {
    fsxattr wanted{};
    wanted.fsx_xflags = flags, wanted.fsx_projid = project, wanted.fsx_extsize = extent_size;
    return ioctl(file, FS_IOC_FSSETXATTR, &wanted);
}
int create(const char* name) { return open(name, O_CREAT | O_RDWR, 0644); }

/// Each flag alone, of a file and of a directory.
void test_which() {
    const int file = create("file"), directory = open("directory", O_RDONLY);
    constexpr unsigned known = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;
    for (const int fd : {file, directory}) {
        unsigned last = 0;
        CHECK_EQ(flags_of(fd), last);
        for (unsigned flag = 1; flag; flag <<= 1) {
            if (flag & known)
                CHECK_OK(set_flags(fd, flag));
            else
                CHECK_ERRNO(set_flags(fd, flag), EOPNOTSUPP);
            if (flag & known) last = flag;
            CHECK_EQ(flags_of(fd), last); // what is refused leaves them as they were
        }
        CHECK_OK(set_flags(fd, known));
        CHECK_EQ(extended(fd).fsx_xflags,
                 unsigned(FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND | FS_XFLAG_NODUMP | FS_XFLAG_NOATIME));
        struct statx status;
        CHECK_OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status));
        constexpr unsigned shown = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP;
        CHECK_EQ((status.stx_attributes & shown), shown);
        CHECK_EQ((status.stx_attributes_mask & shown), shown);
        CHECK_OK(set_extended(fd, FS_XFLAG_NODUMP));
        CHECK_EQ(flags_of(fd), unsigned(FS_NODUMP_FL));
        const fsxattr now = extended(fd);
        CHECK_EQ(now.fsx_xflags, unsigned(FS_XFLAG_NODUMP));
        CHECK_EQ(now.fsx_projid + now.fsx_extsize + now.fsx_nextents + now.fsx_cowextsize, 0u);
        CHECK_ERRNO(set_extended(fd, FS_XFLAG_SYNC), EOPNOTSUPP);
        CHECK_ERRNO(set_extended(fd, FS_XFLAG_REALTIME), EOPNOTSUPP);
        CHECK_ERRNO(set_extended(fd, 0, 5), EOPNOTSUPP);
        CHECK_ERRNO(set_extended(fd, 0, 0, 4096), EOPNOTSUPP);
        CHECK_OK(set_flags(fd, 0));
    }
    CHECK_ERRNO(set_extended(directory, FS_XFLAG_EXTSIZE), EINVAL);
    CHECK_ERRNO(set_extended(file, FS_XFLAG_EXTSZINHERIT), EINVAL);
    CHECK_ERRNO(ioctl(file, FS_IOC_GETFLAGS, 8L), EFAULT);
    CHECK_ERRNO(ioctl(file, FS_IOC_SETFLAGS, 8L), EFAULT);
    CHECK_ERRNO(ioctl(file, FS_IOC_FSGETXATTR, 8L), EFAULT);
    CHECK_ERRNO(ioctl(file, FS_IOC_FSSETXATTR, 8L), EFAULT);
    close(file);
    close(directory);
}

void test_other_files() {
    CHECK_OK(mkfifo("fifo", 0600));
    int pipes[2];
    CHECK_OK(pipe(pipes));
    for (const int fd :
         {open("fifo", O_RDWR), open("/dev/null", O_RDWR), open("/proc/version", O_RDONLY), eventfd(0, 0), pipes[0]}) {
        CHECK(fd >= 0);
        unsigned flags = 0;
        fsxattr more{};
        CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, &flags), ENOTTY);
        CHECK_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, &flags), ENOTTY);
        CHECK_ERRNO(ioctl(fd, FS_IOC_FSGETXATTR, &more), ENOTTY);
        CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &more), ENOTTY);
        close(fd);
    }
    const int place = open("file", O_PATH);
    unsigned flags;
    CHECK_ERRNO(ioctl(place, FS_IOC_GETFLAGS, &flags), EBADF);
    close(place);
    close(pipes[1]);
}

/// What may still be done to what is fixed, or only grows.
void test_effects() {
    const int file = create("fixed");
    CHECK_EQ(write(file, "text", 4), 4L);
    const int before = open("fixed", O_RDWR);
    CHECK_OK(set_flags(file, FS_IMMUTABLE_FL));
    CHECK_ERRNO(open("fixed", O_WRONLY), EPERM);
    CHECK_ERRNO(unlink("fixed"), EPERM);
    CHECK_ERRNO(rename("fixed", "other"), EPERM);
    CHECK_ERRNO(link("fixed", "other"), EPERM);
    CHECK_ERRNO(fchmod(file, 0600), EPERM);
    CHECK_ERRNO(fchown(file, 1, 1), EPERM);
    CHECK_ERRNO(truncate("fixed", 0), EPERM);
    CHECK_ERRNO(fallocate(before, 0, 0, 8192), EPERM);
    CHECK_ERRNO(setxattr("fixed", "user.a", "b", 1, 0), EPERM);
    CHECK_OK(set_flags(file, FS_APPEND_FL));
    CHECK_ERRNO(open("fixed", O_WRONLY), EPERM);
    CHECK_ERRNO(open("fixed", O_WRONLY | O_APPEND | O_TRUNC), EPERM);
    const int appending = open("fixed", O_WRONLY | O_APPEND);
    CHECK_EQ(write(appending, " more", 5), 5L);
    CHECK_ERRNO(fcntl(appending, F_SETFL, 0), EPERM);
    CHECK_ERRNO(ftruncate(before, 0), EPERM);
    CHECK_ERRNO(unlink("fixed"), EPERM);
    CHECK_OK(set_flags(file, 0));
    CHECK_OK(ftruncate(before, 0));
    CHECK_OK(unlink("fixed"));
    close(appending), close(before), close(file);

    const int directory = open("directory", O_RDONLY);
    CHECK_OK(close(create("directory/in")));
    CHECK_OK(set_flags(directory, FS_IMMUTABLE_FL));
    CHECK_ERRNO(open("directory/new", O_CREAT | O_WRONLY, 0600), EPERM);
    CHECK_ERRNO(unlink("directory/in"), EPERM);
    CHECK_OK(set_flags(directory, FS_APPEND_FL));
    CHECK_OK(close(create("directory/new")));
    CHECK_ERRNO(unlink("directory/in"), EPERM);
    CHECK_OK(set_flags(directory, 0));
    CHECK_OK(unlink("directory/in"));
    CHECK_OK(unlink("directory/new"));
    close(directory);
}

void test_times() {
    const int file = create("times");
    CHECK_EQ(write(file, "text", 4), 4L);
    const struct timespec old[2] = {{1000, 0}, {2000, 0}}; // older than the change: relatime would renew it
    CHECK_OK(futimens(file, old));
    CHECK_OK(set_flags(file, FS_NOATIME_FL));
    char byte;
    CHECK_EQ(pread(file, &byte, 1, 0), 1L);
    struct stat status;
    CHECK_OK(fstat(file, &status));
    CHECK_EQ(status.st_atim.tv_sec, 1000L);
    const struct timespec changed = status.st_ctim;
    CHECK_OK(set_flags(file, 0));
    CHECK_OK(fstat(file, &status));
    CHECK(status.st_ctim.tv_sec > changed.tv_sec ||
          (status.st_ctim.tv_sec == changed.tv_sec && status.st_ctim.tv_nsec >= changed.tv_nsec));
    CHECK_EQ(pread(file, &byte, 1, 0), 1L);
    CHECK_OK(fstat(file, &status));
    CHECK(status.st_atim.tv_sec > 2000);
    close(file);
}

void test_rights() {
    CHECK_OK(close(create("rights")));
    CHECK_OK(close(create("own")));
    const int file = open("rights", O_RDONLY), own = open("own", O_RDONLY);
    CHECK_OK(fchown(own, 1000, 1000));
    const pid_t child = fork();
    if (child == 0) {
        check::failures = 0;
        CHECK_OK(syscall(SYS_setresuid, 1000, 1000, 1000));
        CHECK_EQ(flags_of(file), 0u);
        CHECK_ERRNO(set_flags(file, FS_NODUMP_FL), EPERM);
        CHECK_ERRNO(set_flags(file, 0), EPERM);
        CHECK_OK(set_flags(own, FS_NODUMP_FL));
        CHECK_ERRNO(set_flags(own, FS_NODUMP_FL | FS_IMMUTABLE_FL), EPERM);
        CHECK_ERRNO(set_flags(own, FS_NODUMP_FL | FS_APPEND_FL), EPERM);
        CHECK_ERRNO(set_extended(own, FS_XFLAG_IMMUTABLE), EPERM);
        CHECK_EQ(flags_of(own), unsigned(FS_NODUMP_FL));
        _exit(check::result());
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_OK(mount(nullptr, ".", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr));
    CHECK_ERRNO(set_flags(own, 0), EROFS);
    CHECK_OK(mount(nullptr, ".", nullptr, MS_REMOUNT | MS_BIND, nullptr));
    CHECK_OK(set_flags(own, 0));
    close(file), close(own);
}

} // namespace

int main() {
    char base[] = "/tmp/flags.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_OK(mount("none", base, "tmpfs", 0, nullptr));
    CHECK_OK(chdir(base));
    CHECK_OK(mkdir("directory", 0755));
    test_which();
    test_other_files();
    test_effects();
    test_times();
    test_rights();
    CHECK_OK(chdir("/"));
    CHECK_OK(umount(base));
    CHECK_OK(rmdir(base));
    return check::result();
}
