// pivot_root(2): who may be turned around what, and that everybody with the old root gets the new one.
#include "check.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr const char* outer = "/tmp/pivot-outer";

long pivot(const char* new_root, const char* put_old) { return syscall(SYS_pivot_root, new_root, put_old); }

void make_tree() {
    CHECK_EQ(mkdir("/inner", 0755), 0);
    CHECK_EQ(mkdir("/folder", 0755), 0);
    CHECK_EQ(mkdir("/outer-mark", 0755), 0);
    CHECK_EQ(mount("inner", "/inner", "tmpfs", 0, nullptr), 0);
    CHECK_EQ(mkdir("/inner/old", 0755), 0);
    CHECK_EQ(mkdir("/inner/inner-mark", 0755), 0);
}

void refusals() {
    CHECK_ERRNO(pivot("/inner", "/folder"), EBUSY);         // put_old is in the old root's mount
    CHECK_ERRNO(pivot("/folder", "/folder"), EBUSY);        // new_root is in it, too
    CHECK_ERRNO(pivot("/inner/old", "/inner/old"), EINVAL); // no mount
    CHECK_ERRNO(pivot("/inner", "/inner/missing"), ENOENT);
    CHECK_ERRNO(pivot("/missing", "/inner/old"), ENOENT);
    CHECK_EQ(mknod("/inner/file", S_IFREG | 0644, 0), 0);
    CHECK_ERRNO(pivot("/inner", "/inner/file"), ENOTDIR);
    const pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(setuid(65534), 0);
        CHECK_ERRNO(pivot("/inner", "/inner/old"), EPERM);
        _exit(check::result());
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

// In a child, whose root is a mount over that of everybody else.
void turn_around() {
    CHECK_EQ(chroot(outer), 0);
    CHECK_EQ(chdir("/"), 0);
    make_tree();
    refusals();
    // Somebody who has the same root, a working folder of their own, and waits for the change.
    int tell[2];
    CHECK_EQ(pipe(tell), 0);
    CHECK_EQ(chdir("/folder"), 0);
    const pid_t other = fork();
    if (other == 0) {
        char byte;
        close(tell[1]);
        CHECK_EQ(read(tell[0], &byte, 1), 0);
        CHECK_EQ(access("/inner-mark", F_OK), 0);
        CHECK_ERRNO(access("/outer-mark", F_OK), ENOENT);
        CHECK_EQ(access("../outer-mark", F_OK), 0); // the folder is where it was
        char path[64];
        CHECK(getcwd(path, sizeof path) != nullptr);
        CHECK_STREQ(path, "/old/folder");
        _exit(check::result());
    }
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(pivot("/inner", "/inner/old"), 0);
    CHECK_EQ(access("/inner-mark", F_OK), 0);
    CHECK_EQ(access("/old/outer-mark", F_OK), 0);
    CHECK_EQ(access("inner-mark", F_OK), 0); // the working folder was the root
    CHECK_EQ(access("/..", F_OK), 0);
    CHECK_ERRNO(access("/../outer-mark", F_OK), ENOENT);
    close(tell[1]);
    close(tell[0]);
    int status;
    CHECK_EQ(waitpid(other, &status, 0), other);
    CHECK_EQ(status, 0);
    // Back again: the roles are exchanged.
    CHECK_EQ(mkdir("/old/put", 0755), 0);
    CHECK_EQ(pivot("/old", "/old/put"), 0);
    CHECK_EQ(access("/outer-mark", F_OK), 0);
    CHECK_EQ(access("/put/inner-mark", F_OK), 0);
    CHECK_EQ(umount2("/put", 0), 0);
}

} // namespace

int main() {
    CHECK_EQ(mkdir(outer, 0755), 0);
    // The first root stays what it is.
    CHECK_EQ(mount("outer", outer, "tmpfs", 0, nullptr), 0);
    CHECK_EQ(mkdir("/tmp/pivot-outer/put", 0755), 0);
    CHECK_ERRNO(pivot(outer, "/tmp/pivot-outer/put"), EINVAL);
    CHECK_EQ(rmdir("/tmp/pivot-outer/put"), 0);
    const pid_t child = fork();
    if (child == 0) {
        turn_around();
        _exit(check::result());
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(umount2(outer, 0), 0);
    CHECK_EQ(rmdir(outer), 0);
    return check::result();
}
