// renameat2(2), RENAME_WHITEOUT: what is moved leaves a device node 0:0 behind, in one step.
#include "check.hpp"

#include <atomic>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

long move(const char* from, const char* to, unsigned flags = RENAME_WHITEOUT) {
    return syscall(SYS_renameat2, long(AT_FDCWD), from, long(AT_FDCWD), to, long(flags));
}
void touch(const char* name) {
    const int file = open(name, O_CREAT | O_WRONLY, 0644);
    CHECK(file >= 0);
    close(file);
}
struct stat status_of(const char* name) {
    struct stat status{};
    CHECK_OK(lstat(name, &status));
    return status;
}
void check_whiteout(const char* name, unsigned owner = 0) {
    const struct stat status = status_of(name);
    CHECK_EQ(status.st_mode, unsigned(S_IFCHR));
    CHECK_EQ(status.st_rdev, makedev(0, 0));
    CHECK_EQ(status.st_nlink, 1ul);
    CHECK_EQ(status.st_uid, owner);
    CHECK_EQ(status.st_gid, 77u); // the directory's
}

void test_files() {
    touch("a"), touch("x");
    const ino_t moved = status_of("a").st_ino, replaced = status_of("x").st_ino;
    const int watch = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(watch, ".", IN_ALL_EVENTS) >= 0);
    CHECK_OK(move("a", "b"));
    alignas(inotify_event) char events[512] = {};
    const ssize_t length = read(watch, events, sizeof events);
    CHECK_EQ(length, long(2 * (sizeof(inotify_event) + 16))); // nobody is told of the node
    CHECK_EQ(reinterpret_cast<inotify_event*>(events)->mask, unsigned(IN_MOVED_FROM));
    close(watch);
    check_whiteout("a");
    CHECK_EQ(status_of("b").st_ino, moved);
    CHECK(status_of("a").st_ino != moved);
    CHECK_OK(move("b", "x"));
    CHECK_EQ(status_of("x").st_ino, moved);
    CHECK(status_of("b").st_ino != replaced || status_of("b").st_rdev == 0);
    check_whiteout("b");
    CHECK_OK(move("x", "y", RENAME_WHITEOUT | RENAME_NOREPLACE));
    check_whiteout("x");
    CHECK_ERRNO(move("y", "x", RENAME_WHITEOUT | RENAME_NOREPLACE), EEXIST);
    CHECK_ERRNO(move("y", "x", RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(move("none", "z"), ENOENT);
    CHECK_OK(move("y", "y")); // the same file: nothing is done
    CHECK_EQ(status_of("y").st_ino, moved);
    CHECK_OK(link("y", "z"));
    CHECK_OK(move("y", "z"));
    CHECK_EQ(status_of("y").st_nlink, 2ul);
    CHECK_OK(move("y", "x")); // a whiteout is replaced as anything is
    CHECK_EQ(status_of("x").st_ino, moved);
    check_whiteout("y");
    CHECK_ERRNO(open("y", O_RDONLY), ENXIO);
    CHECK_ERRNO(open("y", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    for (const char* name : {"a", "b", "x", "y", "z"}) CHECK_OK(unlink(name));
}

void test_directories() {
    CHECK_OK(mkdir("d", 0755));
    CHECK_OK(mkdir("sub", 0755));
    touch("d/in");
    CHECK_EQ(status_of(".").st_nlink, 4ul);
    CHECK_OK(move("d", "e"));
    check_whiteout("d");
    CHECK_EQ(status_of(".").st_nlink, 4ul);
    CHECK_OK(move("e", "sub/e"));
    check_whiteout("e");
    CHECK_EQ(status_of(".").st_nlink, 3ul);
    CHECK_EQ(status_of("sub").st_nlink, 3ul);
    CHECK_OK(unlink("sub/e/in"));
    CHECK_OK(mkdir("empty", 0755));
    CHECK_OK(move("sub/e", "empty"));
    check_whiteout("sub/e");
    CHECK_EQ(status_of("sub").st_nlink, 2ul);
    CHECK_ERRNO(rmdir("sub"), ENOTEMPTY);
    int names = 0;
    DIR* listing = opendir("sub");
    while (const dirent* entry = readdir(listing))
        if (entry->d_name[0] != '.') names += entry->d_type == DT_CHR && strcmp(entry->d_name, "e") == 0 ? 1 : 100;
    closedir(listing);
    CHECK_EQ(names, 1);
    CHECK_OK(unlink("sub/e"));
    for (const char* name : {"d", "e"}) CHECK_OK(unlink(name));
    for (const char* name : {"sub", "empty"}) CHECK_OK(rmdir(name));
}

/// Nobody needs a right to make nodes for it.
void test_rights() {
    touch("u");
    CHECK_OK(chown("u", 1000, 1000));
    const pid_t child = fork();
    if (child == 0) {
        check::failures = 0;
        CHECK_OK(syscall(SYS_setresgid, 1000, 1000, 1000));
        CHECK_OK(syscall(SYS_setresuid, 1000, 1000, 1000));
        CHECK_OK(move("u", "v"));
        check_whiteout("u", 1000);
        CHECK_OK(mknod("w", S_IFCHR | 0600, makedev(0, 0)));
        CHECK_ERRNO(mknod("n", S_IFCHR | 0600, makedev(1, 3)), EPERM);
        _exit(check::result());
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    for (const char* name : {"u", "v", "w"}) CHECK_OK(unlink(name));
}

/// While a file goes to and fro between two names, both are always there for who looks.
void test_one_step() {
    touch("left"), touch("right");
    static std::atomic<bool> is_over{false};
    pthread_t looker;
    CHECK_EQ(pthread_create(
                 &looker, nullptr,
                 [](void*) -> void* {
                     struct stat status;
                     while (!is_over) {
                         CHECK_OK(lstat("left", &status));
                         CHECK_OK(lstat("right", &status));
                     }
                     return nullptr;
                 },
                 nullptr),
             0);
    for (int i = 0; i < 1000; ++i) {
        CHECK_OK(move("left", "right"));
        CHECK_OK(move("right", "left"));
    }
    is_over = true;
    CHECK_EQ(pthread_join(looker, nullptr), 0);
    CHECK_OK(unlink("left"));
    CHECK_OK(unlink("right"));
}

} // namespace

int main() {
    char base[] = "/tmp/whiteout.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_OK(mount("none", base, "tmpfs", 0, nullptr));
    CHECK_OK(chdir(base));
    CHECK_OK(chown(".", 0, 77));
    CHECK_OK(chmod(".", 02777));
    test_files();
    test_directories();
    test_rights();
    test_one_step();
    CHECK_OK(chdir("/"));
    CHECK_OK(umount(base));
    CHECK_OK(rmdir(base));
    return check::result();
}
