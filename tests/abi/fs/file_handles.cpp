// name_to_handle_at, open_by_handle_at on tmpfs, and what file systems without handles say.
//
// needs-linux: 6.12
#include "check.hpp"
#include "child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr int at_handle_fid = 0x200; // AT_HANDLE_FID
constexpr int type_of_tmpfs = 1, type_of_fid = 0x81, type_invalid = 0xff;
constexpr unsigned bytes_of_tmpfs = 12;

struct Handle {
    unsigned bytes = sizeof data;
    int type = 77;
    unsigned char data[128] = {};
};
int mount_id;

long name_to_handle(int directory, const char* path, void* handle, int flags = 0) {
    return syscall(SYS_name_to_handle_at, directory, path, handle, &mount_id, flags);
}
long open_handle(int mount, const void* handle, int flags) {
    return syscall(SYS_open_by_handle_at, mount, handle, flags);
}
Handle handle_of(const char* path) {
    Handle handle;
    CHECK_OK(name_to_handle(AT_FDCWD, path, &handle));
    return handle;
}

/// The mount's number as /proc says it of a descriptor.
int mount_of(int fd) {
    char path[64], text[512] = {};
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    const int info = open(path, O_RDONLY);
    CHECK(read(info, text, sizeof text - 1) > 0);
    close(info);
    const char* line = strstr(text, "mnt_id:");
    return line ? atoi(line + strlen("mnt_id:")) : -1;
}

/// Whether the descriptor is open at a path that ends so.
bool is_at(int fd, const char* end) {
    char path[64], text[512] = {};
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(readlink(path, text, sizeof text - 1) > 0);
    const size_t length = strlen(text), wanted = strlen(end);
    const bool same = length >= wanted && strcmp(text + length - wanted, end) == 0;
    if (!same) printf("it is at %s\n", text);
    return same;
}

void test_making(int file) {
    Handle handle;
    CHECK_OK(name_to_handle(AT_FDCWD, "file", &handle));
    CHECK_EQ(handle.bytes, bytes_of_tmpfs);
    CHECK_EQ(handle.type, type_of_tmpfs);
    CHECK_EQ(mount_id, mount_of(file));
    Handle other;
    CHECK_OK(name_to_handle(file, "", &other, AT_EMPTY_PATH));
    CHECK(memcmp(&other, &handle, 8 + bytes_of_tmpfs) == 0);
    const int place = open("file", O_PATH);
    other = {};
    CHECK_OK(name_to_handle(place, "", &other, AT_EMPTY_PATH));
    CHECK(memcmp(&other, &handle, 8 + bytes_of_tmpfs) == 0);
    close(place);
    other = {};
    CHECK_OK(name_to_handle(AT_FDCWD, "link", &other));
    CHECK(memcmp(other.data, handle.data, bytes_of_tmpfs) != 0);
    other = {};
    CHECK_OK(name_to_handle(AT_FDCWD, "link", &other, AT_SYMLINK_FOLLOW));
    CHECK(memcmp(other.data, handle.data, bytes_of_tmpfs) == 0);
    other = {};
    CHECK_OK(name_to_handle(AT_FDCWD, "", &other, AT_EMPTY_PATH));
    CHECK(memcmp(&other.data, handle_of(".").data, bytes_of_tmpfs) == 0);
    other = {};
    CHECK_OK(name_to_handle(AT_FDCWD, "file", &other, at_handle_fid));
    CHECK_EQ(other.bytes, bytes_of_tmpfs);

    for (unsigned size : {0u, 4u, 8u, 11u}) {
        mount_id = -1;
        Handle small;
        small.bytes = size;
        CHECK_ERRNO(name_to_handle(AT_FDCWD, "file", &small), EOVERFLOW);
        CHECK_EQ(small.bytes, bytes_of_tmpfs);
        CHECK_EQ(small.type, type_invalid);
        CHECK_EQ(mount_id, mount_of(file));
    }
    Handle large;
    large.bytes = 129;
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "file", &large), EINVAL);
}

void test_making_errors(int file) {
    Handle handle;
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "file", &handle, AT_SYMLINK_NOFOLLOW), EINVAL);
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "file", &handle, 1 << 30), EINVAL);
    CHECK_ERRNO(name_to_handle(file, "", &handle), ENOENT);
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "none", &handle), ENOENT);
    CHECK_ERRNO(name_to_handle(file, "file", &handle), ENOTDIR);
    CHECK_ERRNO(name_to_handle(999, "file", &handle), EBADF);
    CHECK_ERRNO(name_to_handle(999, "", &handle, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(name_to_handle(file, nullptr, &handle, AT_EMPTY_PATH), EFAULT);
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "file", nullptr), EFAULT);
    CHECK_ERRNO(syscall(SYS_name_to_handle_at, AT_FDCWD, "file", &handle, nullptr, 0), EFAULT);

    CHECK_ERRNO(name_to_handle(AT_FDCWD, "/proc/self/stat", &handle), EOPNOTSUPP);
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "/proc/self/stat", nullptr), EOPNOTSUPP);
    CHECK_ERRNO(name_to_handle(AT_FDCWD, "/dev/pts", &handle), EOPNOTSUPP);
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(name_to_handle(ends[0], "", &handle, AT_EMPTY_PATH), EOPNOTSUPP);
    // What only tells inodes apart every file system has.
    handle = {};
    CHECK_OK(name_to_handle(ends[0], "", &handle, AT_EMPTY_PATH | at_handle_fid));
    CHECK_EQ(handle.type, type_of_fid);
    CHECK_EQ(handle.bytes, 12u);
    struct stat status;
    CHECK_OK(fstat(ends[0], &status));
    unsigned long number;
    memcpy(&number, handle.data, sizeof number);
    CHECK_EQ(number, (unsigned long)status.st_ino);
    handle = {};
    CHECK_OK(name_to_handle(AT_FDCWD, "/proc/self/stat", &handle, at_handle_fid));
    CHECK_EQ(handle.type, type_of_fid);
    close(ends[0]);
    close(ends[1]);
}

void test_opening(int file, int root) {
    const Handle handle = handle_of("file"), directory = handle_of("directory"), link = handle_of("link");
    struct {
        int flags, wanted;
    } const kinds[] = {{O_RDWR, O_RDWR}, {O_WRONLY | O_APPEND, O_WRONLY | O_APPEND}, {O_RDWR | O_CREAT, O_RDWR}};
    for (const auto& kind : kinds) {
        const int fd = int(open_handle(root, &handle, kind.flags));
        CHECK(fd >= 0);
        CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), kind.wanted);
        CHECK_EQ(fcntl(fd, F_GETFD), 0);
        CHECK(is_at(fd, "handles/file"));
        CHECK_EQ(write(fd, "text", 4), 4L);
        close(fd);
    }
    int fd = int(open_handle(file, &handle, O_RDONLY | O_CLOEXEC));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char text[16];
    CHECK_EQ(read(fd, text, sizeof text), 8L);
    close(fd);
    fd = int(open_handle(AT_FDCWD, &handle, O_RDWR | O_TRUNC));
    CHECK_EQ(read(fd, text, sizeof text), 0L);
    close(fd);
    fd = int(open_handle(root, &handle, O_PATH));
    CHECK_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
    close(fd);
    fd = int(open_handle(root, &directory, O_RDONLY));
    CHECK(is_at(fd, "handles/directory"));
    CHECK_ERRNO(open_handle(fd, &handle, O_RDONLY | O_DIRECTORY), ENOTDIR);
    close(fd);
    CHECK_ERRNO(open_handle(root, &directory, O_RDWR), EISDIR);
    CHECK_ERRNO(open_handle(root, &directory, O_RDONLY | O_CREAT), EISDIR);
    CHECK_ERRNO(open_handle(root, &handle, O_RDWR | O_CREAT | O_EXCL), EEXIST);
    fd = int(open_handle(root, &directory, O_RDWR | O_TMPFILE));
    CHECK(fd >= 0);
    CHECK(is_at(fd, " (deleted)"));
    close(fd);
    CHECK_ERRNO(open_handle(root, &link, O_RDONLY), ELOOP);
    fd = int(open_handle(root, &link, O_PATH));
    CHECK_EQ(readlinkat(fd, "", text, sizeof text), 4L);
    close(fd);
}

void test_opening_errors(int root) {
    const Handle handle = handle_of("file");
    const int place = open(".", O_PATH), proc = open("/proc/self", O_RDONLY);
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(open_handle(place, &handle, O_RDONLY), EBADF);
    CHECK_ERRNO(open_handle(999, &handle, O_RDONLY), EBADF);
    CHECK_ERRNO(open_handle(-1, &handle, O_RDONLY), EBADF);
    CHECK_ERRNO(open_handle(proc, &handle, O_RDONLY), ESTALE);
    CHECK_ERRNO(open_handle(ends[0], &handle, O_RDONLY), ESTALE);
    for (int fd : {place, proc, ends[0], ends[1]}) close(fd);

    CHECK_ERRNO(open_handle(root, nullptr, O_RDONLY), EFAULT);
    Handle forged = handle;
    for (unsigned bytes : {0u, 129u, ~0u}) {
        forged.bytes = bytes;
        CHECK_ERRNO(open_handle(root, &forged, O_RDONLY), EINVAL);
    }
    for (unsigned bytes : {1u, 4u, 8u, 11u}) {
        forged.bytes = bytes;
        CHECK_ERRNO(open_handle(root, &forged, O_RDONLY), ESTALE);
    }
    forged = handle;
    forged.type = -1;
    const int found = int(open_handle(root, &forged, O_RDONLY)); // Linux 6.12 finds it, as by any type
    const bool is_either = found >= 0 || errno == EINVAL;
    CHECK(is_either);
    close(found);
    for (unsigned byte = 0; byte < bytes_of_tmpfs; ++byte) {
        forged = handle;
        forged.data[byte] ^= 0x80;
        CHECK_ERRNO(open_handle(root, &forged, O_RDONLY), ESTALE);
    }
    // Whatever follows means nothing.
    forged = handle;
    forged.bytes = 128;
    const int longer = int(open_handle(root, &forged, O_RDONLY));
    CHECK(longer >= 0);
    close(longer);
    unsigned random = 1;
    for (int i = 0; i < 2000; ++i) {
        for (unsigned char& byte : forged.data)
            byte = static_cast<unsigned char>((random = random * 1103515245 + 12345) >> 16);
        forged.bytes = random >> 8 & 127;
        forged.type = static_cast<int>(random >> 16 & 3);
        errno = 0;
        const long fd = open_handle(root, &forged, O_RDONLY);
        if (fd >= 0 || (errno != ESTALE && errno != EINVAL)) CHECK_EQ(fd, -1L);
    }
}

/// A handle is the inode's: it follows it through renames, and ends with it.
void test_life(int root) {
    int fd = open("moved", O_RDWR | O_CREAT, 0600);
    const Handle handle = handle_of("moved");
    CHECK_OK(rename("moved", "directory/moved"));
    int again = int(open_handle(root, &handle, O_RDONLY));
    CHECK(is_at(again, "directory/moved"));
    close(again);
    CHECK_OK(unlink("directory/moved"));
    again = int(open_handle(root, &handle, O_RDWR));
    CHECK(again >= 0);
    CHECK(is_at(again, "directory/moved (deleted)"));
    close(again);
    close(fd);
    CHECK_ERRNO(open_handle(root, &handle, O_RDONLY), ESTALE);
    for (int i = 0; i < 100; ++i) {
        fd = open("next", O_RDWR | O_CREAT, 0600);
        CHECK_ERRNO(open_handle(root, &handle, O_RDONLY), ESTALE);
        close(fd);
        unlink("next");
    }

    CHECK_OK(mkdir("directory/a", 0700));
    CHECK_OK(mkdir("directory/a/b", 0700));
    const Handle below = handle_of("directory/a/b");
    CHECK_OK(rename("directory/a", "a"));
    again = int(open_handle(root, &below, O_RDONLY));
    CHECK(is_at(again, "handles/a/b"));
    CHECK_OK(fchdir(again));
    CHECK_OK(access("../../file", F_OK));
    CHECK_OK(fchdir(root));
    close(again);
    CHECK_OK(rmdir("a/b"));
    CHECK_ERRNO(open_handle(root, &below, O_RDONLY), ESTALE);
    CHECK_OK(rmdir("a"));

    // Without names in memory (where the kernel forgets any) it is found as well.
    CHECK_OK(mkdir("c", 0700));
    CHECK_OK(mkdir("c/d", 0700));
    const Handle deep = handle_of("c/d");
    const int drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
    CHECK_EQ(write(drop, "2", 1), 1L);
    close(drop);
    again = int(open_handle(root, &deep, O_RDONLY));
    CHECK(is_at(again, "handles/c/d"));
    close(again);
    CHECK_OK(rmdir("c/d"));
    CHECK_OK(rmdir("c"));
}

void test_rights(int root) {
    const Handle handle = handle_of("file");
    check::run_in_child([&] {
        CHECK_OK(setgid(1));
        CHECK_OK(setuid(1));
        CHECK_ERRNO(open_handle(root, &handle, O_RDONLY), EPERM);
        Handle own;
        CHECK_OK(name_to_handle(AT_FDCWD, "file", &own));
        CHECK(memcmp(own.data, handle.data, bytes_of_tmpfs) == 0);
    });
}

} // namespace

int main() {
    mkdir("handles", 0755);
    CHECK_OK(mount("none", "handles", "tmpfs", 0, nullptr));
    CHECK_OK(chdir("handles"));
    const int root = open(".", O_RDONLY | O_DIRECTORY), file = open("file", O_RDWR | O_CREAT, 0644);
    CHECK_OK(mkdir("directory", 0755));
    CHECK_OK(symlink("file", "link"));
    test_making(file);
    test_making_errors(file);
    test_opening(file, root);
    test_opening_errors(root);
    test_life(root);
    test_rights(root);
    close(file);
    close(root);
    CHECK_OK(chdir(".."));
    CHECK_OK(umount("handles"));
    rmdir("handles");
    return check::result();
}
