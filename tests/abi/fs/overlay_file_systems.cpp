// Overlays whose layers lie on several file systems: what stat(2) and readdir(3) say of numbers and devices, with and
// without xino; that a copy keeps what its original had. And volatile overlays, which can't be mounted again.
#include "overlay.hpp"

#include <sys/mman.h>

using namespace overlay;

namespace {

void check_listed(const char* folder) {
    DIR* const all = opendir(folder);
    REQUIRE(all);
    while (const dirent* entry = readdir(all)) {
        if (strcmp(entry->d_name, "..") == 0) continue;
        char path[300];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!CHECK_EQ(entry->d_ino, status_of(path).st_ino)) printf("    %s\n", path);
    }
    closedir(all);
}

void test_numbers(const char* more, bool one_device) {
    char options[100];
    snprintf(options, sizeof options, "lowerdir=t1/l:t2/l,upperdir=u,workdir=w,%s", more);
    REQUIRE(mount_with(options) == 0);
    const struct stat root = status_of("m"), folder = status_of("m/d"), first = status_of("m/d/1"),
                      second = status_of("m/d/2");
    CHECK_EQ(root.st_dev, folder.st_dev);
    CHECK(first.st_ino != second.st_ino || first.st_dev != second.st_dev);
    CHECK_EQ(first.st_dev == root.st_dev, one_device);
    CHECK_EQ(first.st_dev == second.st_dev, one_device);
    CHECK_OK(chmod("m/d/1", 0600));
    CHECK_OK(chmod("m/d/2", 0600));
    const struct stat copy = status_of("m/d/1");
    CHECK_EQ(copy.st_ino, first.st_ino);
    CHECK_EQ(copy.st_dev, first.st_dev);
    write_file("m/d/3", "");
    CHECK_EQ(status_of("m/d/3").st_dev == root.st_dev, one_device);
    CHECK(status_of("m/d/3").st_ino != 0);
    if (one_device) check_listed("m"), check_listed("m/d");
    CHECK_STREQ(names_in("m/d"), "1 2 3");
    CHECK_OK(link("m/d/1", "m/link"));
    CHECK_ERRNO(link("m/d/1", "t1/link"), EXDEV);
    CHECK_OK(umount("m"));
    REQUIRE(mount_with(options) == 0);
    CHECK_EQ(status_of("m/d/1").st_ino, status_of("m/link").st_ino);
    CHECK_EQ(status_of("m/d/2").st_ino, second.st_ino); // known from what the copy says of its origin
    CHECK_OK(umount("m"));
    empty("u"), empty("w");
    removexattr("u", "trusted.overlay.impure");
}

void test_volatile() {
    write_file("l1/f", "lower");
    CHECK_OK(mount_with("lowerdir=l1,upperdir=u,workdir=w,volatile"));
    const int file = open("m/f", O_RDWR);
    CHECK_EQ(write(file, "upper", 5), 5);
    CHECK_OK(fsync(file));
    CHECK_OK(syncfs(file));
    close(file);
    CHECK_OK(umount("m"));
    CHECK(exists("w/work/incompat/volatile"));
    CHECK_ERRNO(mount_with("lowerdir=l1,upperdir=u,workdir=w"), EINVAL);
    empty("w/work/incompat");
    CHECK_OK(mount_with("lowerdir=l1,upperdir=u,workdir=w"));
    CHECK_STREQ(text_of("m/f"), "upper");
    CHECK_OK(umount("m"));
    empty("u"), empty("w");
}

/// Layers on what can't be changed, and programs' own folders.
void test_kinds() {
    CHECK_OK(mount(nullptr, "t1", nullptr, MS_REMOUNT | MS_RDONLY, nullptr));
    CHECK_OK(mount_with("lowerdir=t1/l,upperdir=u,workdir=w"));
    write_file("m/d/1", "new");
    CHECK_STREQ(text_of("m/d/1"), "new");
    CHECK_OK(umount("m"));
    empty("u"), empty("w");
    CHECK_OK(mkdir("t2/u", 0755));
    CHECK_OK(mkdir("t2/w", 0755));
    CHECK_OK(mount(nullptr, "t2", nullptr, MS_REMOUNT | MS_RDONLY, nullptr));
    CHECK_ERRNO(mount_with("lowerdir=t1/l,upperdir=t2/u,workdir=t2/w"), EINVAL);
    CHECK_OK(mount(nullptr, "t2", nullptr, MS_REMOUNT, nullptr));
    CHECK_ERRNO(mount_with("lowerdir=t1/l,upperdir=t2/u,workdir=w"), EINVAL);
    // An upper layer that is made read-only meanwhile.
    CHECK_OK(mount_with("lowerdir=t1/l,upperdir=t2/u,workdir=t2/w"));
    write_file("m/here", "x");
    if (mount(nullptr, "t2", nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0) {
        CHECK_ERRNO(mkdir("m/x", 0755), EROFS);
        CHECK_ERRNO(unlink("m/here"), EROFS);
        CHECK_ERRNO(chmod("m/d/1", 0600), EROFS);
        CHECK_STREQ(text_of("m/here"), "x");
        CHECK_OK(mount(nullptr, "t2", nullptr, MS_REMOUNT, nullptr));
    }
    CHECK_OK(unlink("m/here"));
    CHECK_OK(umount("m"));
}

} // namespace

int main() {
    begin();
    need();
    for (const char* place : {"t1", "t2"}) {
        CHECK_OK(mkdir(place, 0755));
        REQUIRE(mount("tmpfs", place, "tmpfs", 0, nullptr) == 0);
    }
    for (const char* folder : {"t1/l", "t1/l/d", "t2/l", "t2/l/d"}) CHECK_OK(mkdir(folder, 0755));
    write_file("t1/l/d/1", "1"), write_file("t2/l/d/2", "2");
    test_numbers("xino=off", false);
    test_numbers("xino=on", true);
    test_volatile();
    test_kinds();
    CHECK_OK(umount("t1"));
    CHECK_OK(umount("t2"));
    CHECK_OK(chdir("/"));
    return check::result();
}
