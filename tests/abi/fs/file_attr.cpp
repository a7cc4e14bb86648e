// file_getattr(2) and file_setattr(2) (Linux 6.17): inodes' flags by a directory and a name, on tmpfs.
//
// needs-linux: 6.17
#include "check.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct Attributes { // struct file_attr of linux/fs.h
    unsigned long flags;
    unsigned extent_size, extents, project, copied_extent_size;
};

long get(int directory, const char* path, void* to, long size = 24, long flags = 0) {
    return syscall(468, long(directory), path, to, size, flags);
}
long set(int directory, const char* path, const void* from, long size = 24, long flags = 0) {
    return syscall(469, long(directory), path, from, size, flags);
}
const auto nowhere = reinterpret_cast<char*>(8);

void test_get(int file) {
    Attributes found;
    memset(&found, 0xee, sizeof found);
    CHECK_OK(get(AT_FDCWD, "file", &found));
    CHECK_EQ(found.flags, 0ul);
    CHECK_EQ(found.extent_size + found.extents + found.project + found.copied_extent_size, 0u);
    CHECK_OK(get(file, "", &found, 24, AT_EMPTY_PATH));
    CHECK_OK(get(file, nullptr, &found, 24, AT_EMPTY_PATH));
    CHECK_OK(get(AT_FDCWD, "", &found, 24, AT_EMPTY_PATH));
    CHECK_OK(get(AT_FDCWD, "link", &found));
    const int place = open("file", O_PATH), event = eventfd(0, 0);
    CHECK_ERRNO(get(place, "", &found, 24, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(set(place, "", &found, 24, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(get(event, "", &found, 24, AT_EMPTY_PATH), EOPNOTSUPP);
    CHECK_ERRNO(set(event, "", &found, 24, AT_EMPTY_PATH), EOPNOTSUPP);
    for (const char* other : {"/proc/version", "/dev/null"}) {
        CHECK_ERRNO(get(AT_FDCWD, other, &found), EOPNOTSUPP);
        CHECK_ERRNO(set(AT_FDCWD, other, &found), EOPNOTSUPP);
    }
    CHECK_ERRNO(get(AT_FDCWD, "none", &found), ENOENT);
    CHECK_ERRNO(get(file, "", &found), ENOENT);
    CHECK_ERRNO(get(AT_FDCWD, "file", &found, 24, 1), EINVAL);
    CHECK_ERRNO(get(AT_FDCWD, "file", &found, 23), EINVAL);
    CHECK_ERRNO(get(AT_FDCWD, "file", &found, 0), EINVAL);
    CHECK_ERRNO(get(AT_FDCWD, "file", &found, 1 << 20), E2BIG);
    CHECK_ERRNO(get(AT_FDCWD, "file", nowhere), EFAULT);
    static char large[4096];
    memset(large, 0xee, sizeof large);
    CHECK_OK(get(AT_FDCWD, "file", large, sizeof large));
    CHECK_EQ(large[24] | large[sizeof large - 1], 0);
    close(place), close(event);
}

void test_set(int file) {
    constexpr unsigned long known = FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND | FS_XFLAG_NOATIME | FS_XFLAG_NODUMP;
    Attributes found{}, wanted{};
    for (unsigned long flag = 1; flag; flag <<= 1) {
        wanted.flags = flag;
        if (flag & known) {
            CHECK_OK(set(AT_FDCWD, "file", &wanted));
            CHECK_OK(get(AT_FDCWD, "link", &found));
            CHECK_EQ(found.flags, flag);
        } else if (flag == 0x4 || flag == 0x1000 || (flag >= 0x10000000 && flag != 0x80000000)) {
            // Newer kernels know more of the lower ones.
            CHECK_ERRNO(set(AT_FDCWD, "file", &wanted), EINVAL);
        }
    }
    for (const unsigned long flag : {FS_XFLAG_REALTIME, FS_XFLAG_SYNC, FS_XFLAG_PROJINHERIT}) {
        wanted.flags = flag;
        CHECK_ERRNO(set(file, "", &wanted, 24, AT_EMPTY_PATH), EOPNOTSUPP);
    }
    wanted = {};
    CHECK_OK(set(file, nullptr, &wanted, 24, AT_EMPTY_PATH));
    wanted.extents = 7;
    CHECK_OK(set(file, "", &wanted, 24, AT_EMPTY_PATH));
    wanted.project = 7;
    CHECK_ERRNO(set(file, "", &wanted, 24, AT_EMPTY_PATH), EOPNOTSUPP);
    wanted = {};
    wanted.extent_size = 4096;
    CHECK_ERRNO(set(file, "", &wanted, 24, AT_EMPTY_PATH), EOPNOTSUPP);
    wanted = {};
    CHECK_ERRNO(set(AT_FDCWD, "file", &wanted, 23), EINVAL);
    CHECK_ERRNO(set(AT_FDCWD, "file", &wanted, 24, 1), EINVAL);
    CHECK_ERRNO(set(AT_FDCWD, "file", &wanted, 1 << 20), E2BIG);
    CHECK_ERRNO(set(AT_FDCWD, "file", nowhere), EFAULT);
    static char large[4096];
    CHECK_OK(set(AT_FDCWD, "file", large, sizeof large));
    large[30] = 1;
    CHECK_ERRNO(set(AT_FDCWD, "file", large, sizeof large), E2BIG);
    CHECK_OK(get(AT_FDCWD, "file", &found));
    CHECK_EQ(found.flags, 0ul);
}

} // namespace

int main() {
    char base[] = "/tmp/attr.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_OK(mount("none", base, "tmpfs", 0, nullptr));
    CHECK_OK(chdir(base));
    const int file = open("file", O_CREAT | O_RDWR, 0644);
    CHECK(file >= 0);
    CHECK_OK(symlink("file", "link"));
    test_get(file);
    test_set(file);
    close(file);
    CHECK_OK(chdir("/"));
    CHECK_OK(umount(base));
    CHECK_OK(rmdir(base));
    return check::result();
}
