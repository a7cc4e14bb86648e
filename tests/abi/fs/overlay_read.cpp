// Overlays that can only be read (mount -t overlay, Linux's Documentation/filesystems/overlayfs): options and limits,
// how the layers are merged, whiteouts, opaque directories and redirects that are found in layers, listings.
#include "overlay.hpp"

#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/wait.h>

using namespace overlay;

namespace {

void refuse(const char* options, int error) {
    if (!CHECK_ERRNO(mount_with(options), error)) {
        printf("    %s\n", options);
        umount("m");
    }
}

/// The line of the overlay in /proc/self/mountinfo behind " - ".
bool shows_option(const char* option) {
    FILE* mounts = fopen("/proc/self/mountinfo", "r");
    REQUIRE(mounts);
    static char line[20000];
    bool found = false;
    while (fgets(line, sizeof line, mounts)) {
        const char* const kind = strstr(line, " - overlay ");
        if (kind && strstr(kind, option)) found = true;
    }
    fclose(mounts);
    if (!found) printf("    not shown: %s\n", option);
    return found;
}

void test_options() {
    refuse("", EINVAL);
    refuse("lowerdir=l1", EINVAL); // one alone is no overlay
    refuse("lowerdir=l1:", EINVAL);
    refuse("lowerdir=:l1:l2", EINVAL);
    refuse("lowerdir=l1:l2:", EINVAL);
    refuse("upperdir=u,workdir=w", EINVAL);
    refuse("lowerdir=l1,upperdir=u", EINVAL);
    refuse("lowerdir=l1,workdir=w", EINVAL);
    refuse("lowerdir=l1,upperdir=,workdir=w", EINVAL);
    refuse("lowerdir=l1:l2,nonsense", EINVAL);
    refuse("lowerdir=l1:l2,redirect_dir=perhaps", EINVAL);
    refuse("lowerdir=l1:l2,xino=many", EINVAL);
    refuse("lowerdir=l1:nowhere", ENOENT);
    write_file("file", "");
    refuse("lowerdir=l1,upperdir=u,workdir=w,userxattr,redirect_dir=on", EINVAL);
    refuse("lowerdir=l1,upperdir=u,workdir=u", EINVAL);
    CHECK_OK(mkdir("u/in", 0755));
    refuse("lowerdir=l1,upperdir=u,workdir=u/in", EINVAL);
    refuse("lowerdir=l1,upperdir=u/in,workdir=u", EINVAL);
    refuse("lowerdir=l1:l1", ELOOP);
    refuse("lowerdir=u,upperdir=u,workdir=w", ELOOP);
    refuse("lowerdir=u/in,upperdir=u,workdir=w", ELOOP);
    refuse("lowerdir=w,upperdir=u,workdir=w", ELOOP);
    CHECK_OK(rmdir("u/in"));
    CHECK_OK(mkdir("l1/in", 0755));
    refuse("lowerdir=l1/in:l1", ELOOP);
    CHECK_OK(rmdir("l1/in"));
    CHECK_ERRNO(mount("overlay", "m", "overlay", 0, nullptr), EINVAL);

    CHECK_OK(mount_with("lowerdir=l1:l2"));
    CHECK(shows_option(",lowerdir=l1:l2"));
    CHECK(shows_option("overlay overlay ro,"));
    struct statfs whole;
    CHECK_OK(statfs("m", &whole));
    CHECK_EQ(whole.f_type, 0x794c7630);
    CHECK_EQ(whole.f_namelen, 255);
    CHECK_ERRNO(mkdir("m/x", 0755), EROFS);
    CHECK_ERRNO(open("m/x", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_OK(umount("m"));

    for (const char* name : {"a:1", "b\\2", "c,3", "d 4"}) CHECK_OK(mkdir(name, 0755));
    write_file("a:1/a", ""), write_file("b\\2/b", ""), write_file("c,3/c", ""), write_file("d 4/d", "");
    CHECK_OK(mount_with("lowerdir=a\\:1:b\\\\2:c\\,3:d 4"));
    CHECK_STREQ(names_in("m"), "a b c d");
    CHECK(shows_option("a\\134:1:b\\134\\1342:c\\134\\0543:d\\0404"));
    CHECK_OK(umount("m"));

    CHECK_OK(mount_with("lowerdir=l1:l2,redirect_dir=nofollow"));
    CHECK(shows_option(",redirect_dir=nofollow"));
    CHECK_OK(umount("m"));
    CHECK_OK(mount_with("lowerdir=l1,upperdir=u,workdir=w,index=off,metacopy=off,nfs_export=off,xino=off"));
    CHECK(shows_option("rw,lowerdir=l1,upperdir=u,workdir=w"));
    CHECK(exists("w/work"));
    CHECK_OK(umount("m"));
    CHECK_OK(mount_with("lowerdir=l1,upperdir=u,workdir=w", "m", MS_RDONLY));
    CHECK_ERRNO(mkdir("m/x", 0755), EROFS);
    CHECK_OK(umount("m"));
    // What is left in the work directory goes.
    CHECK_OK(mkdir("w/work/#1", 0755));
    write_file("w/work/#1/rest", "");
    CHECK_OK(mount_with("lowerdir=l1,upperdir=u,workdir=w"));
    CHECK_STREQ(names_in("w/work"), "");
    CHECK_OK(umount("m"));
}

/// Each name once, as the first layer has it; directories with the names of all.
void test_merging() {
    write_file("l1/both", "one"), write_file("l2/both", "two"), write_file("l2/second", "two");
    CHECK_OK(mkdir("l1/d", 0700));
    CHECK_OK(mkdir("l2/d", 0755));
    CHECK_OK(mkdir("l3/d", 0755));
    write_file("l1/d/a", "1"), write_file("l2/d/b", "2"), write_file("l3/d/c", "3"), write_file("l3/d/a", "3");
    CHECK_OK(mkdir("l1/kind", 0755)); // a directory above a file, and the reverse
    write_file("l2/kind", "file"), write_file("l1/other", "file");
    CHECK_OK(mkdir("l2/other", 0755));
    write_file("l2/other/x", "");
    CHECK_OK(mkdir("l3/kind", 0755));
    write_file("l3/kind/hidden", "");
    CHECK_OK(symlink("second", "l2/link"));
    CHECK_OK(mknod("l3/zero", S_IFCHR | 0666, makedev(1, 5)));
    CHECK_OK(mkfifo("l3/fifo", 0600));
    CHECK_OK(mount_with("lowerdir=l1:l2:l3"));
    CHECK_STREQ(names_in("m"), "both d fifo kind link other second zero");
    CHECK_STREQ(text_of("m/both"), "one");
    CHECK_STREQ(text_of("m/link"), "two");
    CHECK_STREQ(names_in("m/d"), "a b c");
    CHECK_STREQ(text_of("m/d/a"), "1");
    CHECK_STREQ(text_of("m/d/c"), "3");
    CHECK_STREQ(names_in("m/kind"), ""); // a file in between ends it
    CHECK_STREQ(text_of("m/other"), "file");
    const struct stat merged = status_of("m/d"), first = status_of("l1/d"), file = status_of("m/both");
    CHECK_EQ(merged.st_mode & 07777, 0700u);
    CHECK_EQ(merged.st_ino, first.st_ino);
    CHECK_EQ(merged.st_nlink, 1u);
    CHECK(merged.st_dev != first.st_dev);
    CHECK_EQ(merged.st_dev, file.st_dev);
    CHECK_EQ(file.st_ino, status_of("l1/both").st_ino);
    CHECK_EQ(status_of("m/zero").st_rdev, makedev(1, 5));
    char byte = 1;
    const int zero = open("m/zero", O_RDONLY);
    CHECK_EQ(read(zero, &byte, 1), 1);
    CHECK_EQ(byte, 0);
    close(zero);
    CHECK_ERRNO(open("m/both", O_WRONLY), EROFS);
    CHECK_ERRNO(chmod("m/both", 0600), EROFS);
    CHECK_ERRNO(unlink("m/both"), EROFS);
    // A mapping is the lower file's own.
    const int mapped = open("m/both", O_RDONLY);
    char* const page = static_cast<char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, mapped, 0));
    REQUIRE(page != MAP_FAILED);
    write_file("l1/both", "new");
    CHECK_EQ(memcmp(page, "new", 3), 0);
    FILE* const maps = fopen("/proc/self/maps", "r");
    static char line[1000];
    bool named = false;
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "/m/both\n")) named = true;
    fclose(maps);
    CHECK(named);
    munmap(page, 4096);
    close(mapped);
    CHECK_OK(umount("m"));
    for (const char* layer : {"l1", "l2", "l3"}) empty(layer);
}

/// What an upper layer of another time says in a layer.
void test_marks() {
    write_file("l2/gone", ""), write_file("l2/stays", "");
    CHECK_OK(mknod("l1/gone", S_IFCHR, 0));
    CHECK_OK(mknod("l1/never", S_IFCHR, 0));
    CHECK_OK(mkdir("l1/o", 0755));
    CHECK_OK(mkdir("l2/o", 0755));
    write_file("l1/o/above", ""), write_file("l2/o/below", "");
    CHECK_OK(setxattr("l1/o", "trusted.overlay.opaque", "y", 1, 0));
    CHECK_OK(mkdir("l1/new", 0755));
    CHECK_OK(mkdir("l2/old", 0755));
    write_file("l2/old/file", "old");
    CHECK_OK(setxattr("l1/new", "trusted.overlay.redirect", "old", 3, 0));
    CHECK_OK(mkdir("l1/deep", 0755));
    CHECK_OK(mkdir("l1/deep/far", 0755));
    CHECK_OK(mkdir("l2/from", 0755));
    CHECK_OK(mkdir("l2/from/there", 0755));
    write_file("l2/from/there/file", "far");
    CHECK_OK(setxattr("l1/deep/far", "trusted.overlay.redirect", "/from/there", 11, 0));
    CHECK_OK(mount_with("lowerdir=l1:l2:l3,redirect_dir=follow"));
    CHECK_STREQ(names_in("m"), "deep from new o old stays");
    CHECK_ERRNO(open("m/gone", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("m/never", O_RDONLY), ENOENT);
    CHECK_STREQ(names_in("m/o"), "above");
    CHECK_STREQ(text_of("m/new/file"), "old");
    CHECK_STREQ(names_in("m/new"), "file");
    CHECK_STREQ(text_of("m/deep/far/file"), "far");
    CHECK_STREQ(attribute_of("m/new", "trusted.overlay.redirect"), "(none)"); // none of the users' business
    char list[100];
    CHECK_EQ(listxattr("m/o", list, sizeof list), 0);
    CHECK_OK(umount("m"));
    CHECK_OK(mount_with("lowerdir=l1:l2,redirect_dir=nofollow"));
    CHECK_ERRNO(open("m/new", O_RDONLY), EPERM);
    CHECK_OK(umount("m"));
    // Redirects to nowhere, upwards, and too long.
    static char text[5000];
    const char* const bad[] = {"a/b", "/", "//x", "/x//y", "/x/", "..", "/../etc", ""};
    for (const char* redirect : bad) {
        CHECK_OK(setxattr("l1/new", "trusted.overlay.redirect", redirect, strlen(redirect), 0));
        CHECK_OK(mount_with("lowerdir=l1:l2"));
        const char* const names = names_in("m/new");
        if (strcmp(names, "(none)") != 0 && strcmp(names, "") != 0 && strcmp(names, "file") != 0) CHECK(false);
        CHECK_OK(umount("m"));
    }
    memset(text, 'x', sizeof text);
    text[0] = '/';
    CHECK_OK(setxattr("l1/new", "trusted.overlay.redirect", text, sizeof text, 0));
    CHECK_OK(mount_with("lowerdir=l1:l2"));
    exists("m/new");
    CHECK_OK(umount("m"));
    for (const char* layer : {"l1", "l2", "l3"}) empty(layer);
}

/// 10,000 names in two layers, half of them in both; places to go back to.
void test_listing() {
    constexpr int count = 5000;
    char name[64];
    for (int i = 0; i < count; ++i) {
        snprintf(name, sizeof name, "l1/name-%d", i);
        CHECK_OK(mknod(name, S_IFREG | 0644, 0));
        snprintf(name, sizeof name, "l2/name-%d", i + count / 2);
        CHECK_OK(mknod(name, S_IFREG | 0644, 0));
        if (i % 5) continue;
        snprintf(name, sizeof name, "l2/hidden-%d", i);
        CHECK_OK(mknod(name, S_IFREG | 0644, 0));
        name[1] = '1';
        CHECK_OK(mknod(name, S_IFCHR, 0));
    }
    CHECK_OK(mount_with("lowerdir=l1:l2"));
    static bool seen[count * 3 / 2];
    DIR* const all = opendir("m");
    REQUIRE(all);
    int found = 0;
    long middle = 0;
    static char middle_name[64];
    while (const dirent* entry = readdir(all)) {
        int number;
        if (sscanf(entry->d_name, "name-%d", &number) != 1) {
            CHECK(entry->d_name[0] == '.');
            continue;
        }
        REQUIRE(number >= 0 && number < count * 3 / 2);
        if (seen[number]) CHECK(false);
        seen[number] = true;
        if (++found == count) {
            middle = telldir(all);
            const dirent* next = readdir(all);
            REQUIRE(next);
            strcpy(middle_name, next->d_name);
            seekdir(all, middle);
        }
    }
    CHECK_EQ(found, count * 3 / 2);
    seekdir(all, middle);
    const dirent* again = readdir(all);
    REQUIRE(again);
    CHECK_STREQ(again->d_name, middle_name);
    rewinddir(all);
    for (found = 0; readdir(all);) ++found;
    CHECK_EQ(found, count * 3 / 2 + 2);
    closedir(all);
    CHECK_OK(umount("m"));
    empty("l1"), empty("l2");
}

void test_many_layers() {
    static char options[20000] = "lowerdir=";
    char name[32];
    constexpr int most = 500;
    CHECK_OK(mkdir("many", 0755));
    for (int i = 0; i <= most; ++i) {
        snprintf(name, sizeof name, "many/%d", i);
        CHECK_OK(mkdir(name, 0755));
        if (i == most) break;
        if (i) strcat(options, ":");
        strcat(options, name);
        snprintf(name, sizeof name, "many/%d/d", i);
        CHECK_OK(mkdir(name, 0755));
        snprintf(name, sizeof name, "many/%d/d/%d", i, i);
        write_file(name, name);
    }
    // mount(2) takes a page of options: with names of three digits that is where it ends.
    if (strlen(options) < 4096) {
        CHECK_OK(mount_with(options));
        int count = 0;
        DIR* const all = opendir("m/d");
        REQUIRE(all);
        while (readdir(all)) ++count;
        closedir(all);
        CHECK_EQ(count, most + 2);
        CHECK_STREQ(text_of("m/d/499"), "many/499/d/499");
        CHECK_OK(umount("m"));
    }
    CHECK_OK(chdir("many"));
    strcpy(options, "lowerdir=");
    for (int i = 0; i <= most; ++i) {
        snprintf(name, sizeof name, "%s%d", i ? ":" : "", i);
        strcat(options, name);
        if (i == most - 1) {
            CHECK_OK(mount_with(options, "../m"));
            CHECK_STREQ(text_of("../m/d/499"), "many/499/d/499");
            CHECK_OK(umount("../m"));
        }
    }
    CHECK_ERRNO(mount_with(options, "../m"), EINVAL);
    CHECK_OK(chdir(".."));
    empty("many");
}

/// An overlay of an overlay, and no more.
void test_depth() {
    for (const char* name : {"m2", "m3", "uu", "ww"}) CHECK_OK(mkdir(name, 0755));
    write_file("l1/one", "1"), write_file("l2/two", "2"), write_file("l3/three", "3");
    CHECK_OK(mount_with("lowerdir=l1:l2"));
    CHECK_OK(mount_with("lowerdir=m:l3,upperdir=uu,workdir=ww", "m2"));
    CHECK_STREQ(names_in("m2"), "one three two");
    CHECK_STREQ(text_of("m2/two"), "2");
    CHECK_ERRNO(mount_with("lowerdir=m2:l2", "m3"), EINVAL);
    CHECK_OK(umount("m2"));
    CHECK_OK(umount("m"));
    CHECK_OK(mount_with("lowerdir=l1:l2,upperdir=u,workdir=w"));
    CHECK_OK(mkdir("m/u", 0755));
    CHECK_OK(mkdir("m/w", 0755));
    refuse("lowerdir=l3,upperdir=m/u,workdir=m/w", EINVAL);
    CHECK_OK(umount("m"));
}

/// The layers may be unmounted by then, and their names removed.
void test_layers_that_go() {
    CHECK_OK(mkdir("t", 0755));
    CHECK_OK(mount("tmpfs", "t", "tmpfs", 0, nullptr));
    CHECK_OK(mkdir("t/d", 0755));
    write_file("t/f", "lower"), write_file("t/d/x", "x");
    CHECK_OK(mount_with("lowerdir=t:l3"));
    CHECK_OK(umount("t"));
    CHECK_STREQ(text_of("m/f"), "lower");
    CHECK_OK(umount("m"));
    write_file("l2/f", "1");
    CHECK_OK(mkdir("l2/d", 0755));
    write_file("l2/d/x", "x");
    CHECK_OK(mount_with("lowerdir=l2:l3"));
    CHECK(exists("m/d"));
    empty("l2");
    CHECK_OK(rmdir("l2"));
    exists("m/d/x"), exists("m/f"), names_in("m"), names_in("m/d"); // whatever they say
    CHECK_OK(umount("m"));
}

} // namespace

int main() {
    begin();
    need();
    test_options();
    test_merging();
    test_marks();
    test_listing();
    test_many_layers();
    test_depth();
    test_layers_that_go();
    chdir("/");
    return check::result();
}
