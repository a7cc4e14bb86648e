// Attributes: modes, owners, times, permissions of a user without rights, directory listings, statfs, xattrs.
#include "asleep.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

namespace {

void touch(const char* name, mode_t mode = 0644) {
    int fd = open(name, O_CREAT | O_WRONLY, mode);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(chmod(name, mode), 0);
}
unsigned mode_of(const char* name) {
    struct stat st;
    return lstat(name, &st) == 0 ? st.st_mode & 07777 : 0xffff;
}

template <typename F>
int as_nobody(F function) {
    pid_t pid = fork();
    if (pid == 0) {
        if (syscall(SYS_setgroups, 0, nullptr) || syscall(SYS_setresgid, 1000, 1000, 1000) ||
            syscall(SYS_setresuid, 1000, 1000, 1000))
            _Exit(200);
        function();
        _Exit(check::failures > 100 ? 100 : check::failures.load());
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

void test_modes() {
    touch("m");
    CHECK_EQ(chmod("m", 07777), 0);
    CHECK_EQ(mode_of("m"), 07777u);
    CHECK_EQ(chown("m", 5, 6), 0); // takes the set-id bits away, from root too
    CHECK_EQ(mode_of("m"), 01777u);
    struct stat st;
    CHECK_EQ(stat("m", &st), 0);
    CHECK_EQ(st.st_uid, 5u);
    CHECK_EQ(st.st_gid, 6u);
    CHECK_EQ(chown("m", -1, 7), 0);
    CHECK_EQ(stat("m", &st), 0);
    CHECK_EQ(st.st_uid, 5u);
    CHECK_EQ(st.st_gid, 7u);
    CHECK_EQ(symlink("m", "ml"), 0);
    CHECK_EQ(lchown("ml", 9, 9), 0);
    CHECK_EQ(stat("ml", &st), 0);
    CHECK_EQ(st.st_uid, 5u);
    CHECK_EQ(lstat("ml", &st), 0);
    CHECK_EQ(st.st_uid, 9u);
    // A set-group-ID directory hands its group down.
    CHECK_EQ(mkdir("g", 0755), 0);
    CHECK_EQ(chown("g", 0, 77), 0);
    CHECK_EQ(chmod("g", 02755), 0);
    touch("g/f");
    CHECK_EQ(mkdir("g/d", 0755), 0);
    CHECK_EQ(stat("g/f", &st), 0);
    CHECK_EQ(st.st_gid, 77u);
    CHECK_EQ(stat("g/d", &st), 0);
    CHECK_EQ(st.st_gid, 77u);
    CHECK_EQ(st.st_mode & 07777, 02755u);
}

void test_times() {
    touch("t");
    timespec times[2] = {{100, 5}, {200, 999999999}};
    CHECK_EQ(utimensat(AT_FDCWD, "t", times, 0), 0);
    struct stat st;
    CHECK_EQ(stat("t", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 100);
    CHECK_EQ(st.st_atim.tv_nsec, 5);
    CHECK_EQ(st.st_mtim.tv_sec, 200);
    CHECK_EQ(st.st_mtim.tv_nsec, 999999999);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    CHECK_EQ(utimensat(AT_FDCWD, "t", times, 0), 0);
    CHECK_EQ(stat("t", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 100);
    CHECK(st.st_mtim.tv_sec > 200);
    times[0].tv_nsec = 1000000000;
    CHECK_ERRNO(utimensat(AT_FDCWD, "t", times, 0), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, "missing", nullptr, 0), ENOENT);
    int fd = open("t", O_RDWR);
    CHECK_EQ(futimens(fd, nullptr), 0);
    CHECK_EQ(stat("t", &st), 0);
    CHECK(st.st_atim.tv_sec > 100);
    timespec before = st.st_mtim;
    // File times step with the coarse clock.
    CHECK(check::eventually([&] {
        timespec now;
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        return now.tv_sec > before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec > before.tv_nsec);
    }));
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(stat("t", &st), 0);
    CHECK(st.st_mtim.tv_sec > before.tv_sec || st.st_mtim.tv_nsec > before.tv_nsec);
    close(fd);
}

void test_permissions() {
    mkdir("locked", 0700);
    touch("locked/f");
    mkdir("sticky", 0777);
    chmod("sticky", 01777);
    touch("sticky/roots", 0666);
    touch("private", 0600);
    touch("readable", 0644);
    touch("script", 0755);
    CHECK_EQ(as_nobody([] {
                 check::failures = 0;
                 CHECK_ERRNO(open("locked/f", O_RDONLY), EACCES);
                 CHECK_ERRNO(open("private", O_RDONLY), EACCES);
                 CHECK(open("readable", O_RDONLY) >= 0);
                 CHECK_ERRNO(open("readable", O_WRONLY), EACCES);
                 CHECK_ERRNO(open("new", O_CREAT | O_WRONLY, 0644), EACCES);
                 CHECK_ERRNO(chmod("readable", 0777), EPERM);
                 CHECK_ERRNO(chown("readable", 1000, 1000), EPERM);
                 CHECK_ERRNO(unlink("sticky/roots"), EPERM);
                 CHECK_ERRNO(rename("sticky/roots", "sticky/mine"), EPERM);
                 CHECK(open("sticky/mine", O_CREAT | O_RDWR, 0600) >= 0);
                 CHECK_EQ(chmod("sticky/mine", 06777), 0);
                 CHECK_EQ(chown("sticky/mine", 1000, 1000), 0);
                 CHECK_ERRNO(chown("sticky/mine", 1001, -1), EPERM);
                 CHECK_ERRNO(chown("sticky/mine", -1, 0), EPERM);
                 CHECK_EQ(unlink("sticky/mine"), 0);
                 CHECK_EQ(access("script", X_OK | R_OK), 0);
                 CHECK_ERRNO(access("script", W_OK), EACCES);
                 CHECK_ERRNO(access("readable", X_OK), EACCES);
                 CHECK_ERRNO(access("locked/f", F_OK), EACCES);
                 CHECK_ERRNO(mknod("sticky/dev", S_IFCHR | 0600, 0x103), EPERM);
                 CHECK_EQ(mknod("sticky/fifo", S_IFIFO | 0600, 0), 0);
                 CHECK_ERRNO(utimensat(AT_FDCWD, "readable", nullptr, 0), EACCES);
                 CHECK_EQ(utimensat(AT_FDCWD, "sticky/roots", nullptr, 0), 0);
                 timespec times[2] = {{1, 0}, {1, 0}};
                 CHECK_ERRNO(utimensat(AT_FDCWD, "sticky/roots", times, 0), EPERM);
                 CHECK_ERRNO(chroot("sticky"), EPERM);
             }),
             0);
    CHECK_EQ(access("readable", W_OK), 0);
    CHECK_ERRNO(access("readable", X_OK), EACCES); // not even for root
    CHECK_ERRNO(access("readable", 8), EINVAL);
    // A write by someone else takes set-user-ID away.
    touch("suid", 06777);
    CHECK_EQ(as_nobody([] {
                 check::failures = 0;
                 int fd = open("suid", O_WRONLY);
                 CHECK_EQ(write(fd, "x", 1), 1);
             }),
             0);
    CHECK_EQ(mode_of("suid"), 0777u);
}

void test_listing() {
    CHECK_EQ(mkdir("many", 0755), 0);
    constexpr int count = 500;
    char name[32];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "many/entry%d", i);
        touch(name);
    }
    DIR* directory = opendir("many");
    REQUIRE(directory != nullptr);
    bool seen[count] = {};
    int found = 0, dots = 0;
    long half = 0;
    while (dirent* entry = readdir(directory)) {
        int number;
        if (entry->d_name[0] == '.')
            dots++;
        else if (sscanf(entry->d_name, "entry%d", &number) == 1 && !seen[number]) {
            seen[number] = true;
            found++;
            if (found == count / 2) half = telldir(directory);
            // Removing what was listed doesn't disturb the rest.
            snprintf(name, sizeof name, "many/%s", entry->d_name);
            if (number % 2) CHECK_EQ(unlink(name), 0);
        }
    }
    CHECK_EQ(found, count);
    CHECK_EQ(dots, 2);
    seekdir(directory, half);
    int rest = 0;
    while (readdir(directory)) rest++;
    CHECK(rest <= count / 2);
    rewinddir(directory);
    int all = 0;
    while (readdir(directory)) all++;
    CHECK_EQ(all, count / 2 + 2);
    closedir(directory);
    int fd = open("many", O_RDONLY | O_DIRECTORY);
    char small[20];
    CHECK_ERRNO((long)syscall(SYS_getdents64, fd, small, sizeof small), EINVAL);
    CHECK_ERRNO((long)syscall(SYS_getdents64, fd, (void*)16, 4096), EFAULT);
    CHECK_ERRNO((long)read(fd, small, 1), EISDIR);
    int file = open("t", O_RDONLY);
    CHECK_ERRNO((long)syscall(SYS_getdents64, file, small, sizeof small), ENOTDIR);
}

/// tmpfs reckons twenty bytes a name, "." and ".." among them.
void test_size_of_folder() {
    struct stat info;
    CHECK_EQ(mkdir("sized", 0755), 0);
    for (off_t size : {40, 60, 80}) {
        CHECK_EQ(stat("sized", &info), 0);
        CHECK_EQ(info.st_size, size);
        if (size == 40) touch("sized/one");
        if (size == 60) CHECK_EQ(mkdir("sized/two", 0755), 0);
    }
    CHECK_EQ(rename("sized/one", "moved"), 0);
    CHECK_EQ(rmdir("sized/two"), 0);
    CHECK_EQ(stat("sized", &info), 0);
    CHECK_EQ(info.st_size, 40);
}

void test_statfs_statx() {
    struct statfs fs;
    CHECK_EQ(statfs(".", &fs), 0);
    CHECK(fs.f_namelen == 255);
    CHECK(fs.f_bsize > 0);
    CHECK_ERRNO(statfs("missing", &fs), ENOENT);
    struct statx sx;
    CHECK_EQ(statx(AT_FDCWD, "t", 0, STATX_BASIC_STATS | STATX_BTIME, &sx), 0);
    CHECK_EQ(sx.stx_size, 1u);
    CHECK(S_ISREG(sx.stx_mode));
    // When it was made is told only to who asks.
    CHECK_EQ(statx(AT_FDCWD, "t", 0, STATX_BASIC_STATS, &sx), 0);
    CHECK_EQ(sx.stx_mask & (STATX_BASIC_STATS | STATX_BTIME), unsigned(STATX_BASIC_STATS));
    CHECK_EQ(sx.stx_btime.tv_sec, 0);
    CHECK_ERRNO(statx(AT_FDCWD, "t", 0, 0x80000000u, &sx), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, "t", 0x6000, STATX_BASIC_STATS, &sx), EINVAL);
    CHECK_EQ(statx(0, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx), 0);
    struct stat st;
    CHECK_EQ(mknod("node", S_IFCHR | 0600, (300 << 8) | 7 | (0x12 << 20)), 0);
    CHECK_EQ(stat("node", &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    // The system call itself: a C library may make a stat() of it with a buffer of its own.
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "t", 0, STATX_BASIC_STATS, (struct statx*)16), EFAULT);
    CHECK_ERRNO(stat((char*)16, &st), EFAULT);
}

void test_extended_attributes() {
    touch("x");
    char value[64];
    if (setxattr("x", "user.one", "1", 1, 0) < 0 && errno == EOPNOTSUPP) return;
    CHECK_EQ(getxattr("x", "user.one", value, sizeof value), 1);
    CHECK_EQ(value[0], '1');
    CHECK_EQ(getxattr("x", "user.one", nullptr, 0), 1);
    CHECK_ERRNO(setxattr("x", "user.one", "2", 1, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(setxattr("x", "user.two", "2", 1, XATTR_REPLACE), ENODATA);
    CHECK_EQ(setxattr("x", "user.two", "long value", 10, XATTR_CREATE), 0);
    CHECK_ERRNO(getxattr("x", "user.two", value, 5), ERANGE);
    CHECK_EQ(listxattr("x", nullptr, 0), 18);
    CHECK_ERRNO(listxattr("x", value, 5), ERANGE);
    CHECK_EQ(removexattr("x", "user.one"), 0);
    CHECK_ERRNO(removexattr("x", "user.one"), ENODATA);
    CHECK_ERRNO(getxattr("x", "nonsense.one", value, sizeof value), EOPNOTSUPP);
    CHECK_EQ(symlink("x", "xl"), 0);
    CHECK_ERRNO(lsetxattr("xl", "user.a", "1", 1, 0), EPERM);
    CHECK_EQ(setxattr("xl", "user.a", "1", 1, 0), 0);
}

/// Pipes, sockets and event descriptors keep no attributes.
void test_attributes_without_place() {
    int pipes[2], sockets[2];
    CHECK_OK(pipe(pipes));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    char value[16];
    for (const int fd : {eventfd(0, 0), pipes[0], sockets[0]}) {
        CHECK_ERRNO(fsetxattr(fd, "user.a", "1", 1, 0), EPERM);
        CHECK_ERRNO(fgetxattr(fd, "user.a", value, sizeof value), ENODATA);
        CHECK_ERRNO(fremovexattr(fd, "user.a"), EPERM);
        for (const char* name : {"trusted.a", "security.a", "nonsense.a"}) {
            CHECK_ERRNO(fsetxattr(fd, name, "1", 1, 0), EOPNOTSUPP);
            CHECK_ERRNO(fgetxattr(fd, name, value, sizeof value), EOPNOTSUPP);
        }
        if (fd != sockets[0]) CHECK_EQ(flistxattr(fd, value, sizeof value), 0);
        close(fd);
    }
    close(pipes[1]);
    close(sockets[1]);
}

} // namespace

int main() {
    char base[] = "/tmp/attributes.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chmod(base, 0755), 0);
    CHECK_EQ(chdir(base), 0);
    umask(022);
    test_modes();
    test_times();
    test_permissions();
    test_listing();
    test_size_of_folder();
    test_statfs_statx();
    test_extended_attributes();
    test_attributes_without_place();
    return check::result();
}
