// Names under contention: processes create, rename, link, remove, list and look up the same few names at once. Every
// call may fail in the ways the race allows, and nothing else may happen; afterwards the tree is as consistent as
// before.
#include "check.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int workers = 4;
constexpr int steps = 3000;

unsigned state;
unsigned random_below(unsigned bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % bound;
}
/// One of a few names in a few directories that may themselves be moved about.
const char* name() {
    static char names[4][32];
    static int next;
    char* text = names[next++ % 4];
    if (random_below(3))
        snprintf(text, 32, "d%u/n%u", random_below(3), random_below(4));
    else
        snprintf(text, 32, "d%u", random_below(3));
    return text;
}

void allow(long result, std::initializer_list<int> errors, const char* what) {
    if (result >= 0) return;
    for (int error : errors)
        if (errno == error) return;
    printf("%s: unexpected errno %d (%s)\n", what, errno, strerror(errno));
    check::failures++;
}

void list(const char* path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    char buffer[512];
    while (syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0) {
    }
    close(fd);
}

void work(unsigned seed) {
    state = seed;
    struct stat st;
    for (int i = 0; i < steps; i++) {
        switch (random_below(10)) {
        case 0: {
            int fd = open(name(), O_CREAT | O_RDWR, 0644);
            allow(fd, {ENOENT, EISDIR, ENOTDIR}, "open");
            if (fd >= 0) {
                allow(write(fd, "x", 1), {}, "write");
                close(fd);
            }
            break;
        }
        case 1:
            allow(unlink(name()), {ENOENT, EISDIR, ENOTDIR}, "unlink");
            break;
        case 2:
            allow(mkdir(name(), 0755), {EEXIST, ENOENT, ENOTDIR}, "mkdir");
            break;
        case 3:
            allow(rmdir(name()), {ENOENT, ENOTEMPTY, ENOTDIR}, "rmdir");
            break;
        case 4:
        case 5:
            allow(rename(name(), name()), {ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EINVAL, EEXIST}, "rename");
            break;
        case 6:
            allow(link(name(), name()), {ENOENT, EEXIST, EPERM, ENOTDIR}, "link");
            break;
        case 7:
            allow(stat(name(), &st), {ENOENT, ENOTDIR, ELOOP}, "stat");
            break;
        case 8:
            list(name());
            break;
        case 9:
            allow(syscall(SYS_renameat2, AT_FDCWD, name(), AT_FDCWD, name(), 2), {ENOENT, EINVAL, ENOTDIR}, "exchange");
            break;
        }
    }
}

/// Removes everything; what is listed can be removed.
void remove_tree(const char* path) {
    DIR* directory = opendir(path);
    if (!directory) {
        CHECK_EQ(unlink(path), 0);
        return;
    }
    while (dirent* entry = readdir(directory)) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        char inner[600];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        struct stat st;
        CHECK_EQ(lstat(inner, &st), 0);
        if (S_ISDIR(st.st_mode))
            remove_tree(inner);
        else
            CHECK_EQ(unlink(inner), 0);
    }
    closedir(directory);
    CHECK_EQ(rmdir(path), 0);
}

} // namespace

int main() {
    char base[] = "/tmp/race.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chdir(base), 0);
    for (unsigned i = 0; i < workers; i++)
        if (fork() == 0) {
            work(i + 1);
            _Exit(check::failures > 0);
        }
    for (int i = 0; i < workers; i++) {
        int status;
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(chdir("/"), 0);
    remove_tree(base);
    return check::result();
}
