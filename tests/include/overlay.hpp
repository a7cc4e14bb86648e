// What the tests of overlays have in common: folders of layers on a tmpfs of their own, and small files in them.
#pragma once

#include "check.hpp"

#include <cstdarg>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace overlay {

/// A tmpfs of its own to work in, seen by nobody else where there are mount namespaces.
inline void begin(const char* options = nullptr) {
    if (geteuid() != 0) check::skip("only root mounts");
    if (unshare(CLONE_NEWNS) == 0) CHECK_OK(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    static char place[] = "/tmp/overlay-XXXXXX";
    REQUIRE(mkdtemp(place));
    REQUIRE(mount("tmpfs", place, "tmpfs", 0, options) == 0);
    REQUIRE(chdir(place) == 0);
    for (const char* name : {"l1", "l2", "l3", "u", "w", "m"}) REQUIRE(mkdir(name, 0755) == 0);
    umask(022);
}

inline int mount_with(const char* options, const char* place = "m", unsigned long flags = 0) {
    return mount("overlay", place, "overlay", flags, options);
}
inline void mount_usual(const char* more = "") {
    char options[300];
    snprintf(options, sizeof options, "lowerdir=l1:l2,upperdir=u,workdir=w%s", more);
    REQUIRE(mount_with(options) == 0);
}
/// Whether the machine has overlays at all.
inline void need() {
    if (mount_with("lowerdir=l1:l2") != 0) {
        if (errno == ENODEV) check::skip("no overlayfs here");
        REQUIRE(false && "mount -t overlay");
    }
    REQUIRE(umount("m") == 0);
}

inline void write_file(const char* path, const char* text, mode_t mode = 0644) {
    const int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
    if (!CHECK(file >= 0)) {
        printf("    %s\n", path);
        return;
    }
    CHECK_EQ(write(file, text, strlen(text)), ssize_t(strlen(text)));
    close(file);
}
/// The text of a small file; "(none)" when it can't be read.
inline const char* text_of(const char* path) {
    static thread_local char buffers[4][200];
    static thread_local unsigned turn;
    char* text = buffers[turn++ % 4];
    const int file = open(path, O_RDONLY);
    if (file < 0) return "(none)";
    const ssize_t length = read(file, text, 199);
    close(file);
    text[length < 0 ? 0 : length] = 0;
    return text;
}
inline bool exists(const char* path) {
    struct stat status;
    return lstat(path, &status) == 0;
}
inline struct stat status_of(const char* path) {
    struct stat status{};
    CHECK_OK(lstat(path, &status));
    return status;
}
inline bool is_whiteout(const char* path) {
    const struct stat status = status_of(path);
    return S_ISCHR(status.st_mode) && status.st_rdev == 0;
}
/// An extended attribute as text; "(none)" without one.
inline const char* attribute_of(const char* path, const char* name) {
    static char text[300];
    const ssize_t length = lgetxattr(path, name, text, sizeof text - 1);
    if (length < 0) return "(none)";
    text[length] = 0;
    return text;
}
/// The names in a directory but "." and "..", in order, with spaces between.
inline const char* names_in(const char* path) {
    static thread_local char text[2000];
    dirent** entries = nullptr;
    const int count = scandir(path, &entries, nullptr, alphasort);
    if (count < 0) return "(none)";
    text[0] = 0;
    for (int i = 0; i < count; ++i) {
        if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..")) {
            if (text[0]) strncat(text, " ", sizeof text - strlen(text) - 1);
            strncat(text, entries[i]->d_name, sizeof text - strlen(text) - 1);
        }
        free(entries[i]);
    }
    free(entries);
    return text;
}

/// Removes all that is in a folder.
inline void empty(const char* folder) {
    static const char* top;
    top = folder;
    CHECK_OK(nftw(
        folder, [](const char* path, const struct stat*, int, FTW*) { return strcmp(path, top) ? remove(path) : 0; },
        20, FTW_DEPTH | FTW_PHYS));
}

} // namespace overlay
