// Changes in an overlay: what is copied up when, and how; creating, removing, whiteouts, opaque directories;
// attributes, permissions, links; what a full upper layer leaves. timeout: 120
#include "overlay.hpp"

#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <utime.h>

using namespace overlay;

namespace {

void finish() {
    CHECK_OK(umount("m"));
    for (const char* folder : {"l1", "l2", "l3", "u", "w"}) empty(folder);
    removexattr("u", "trusted.overlay.impure");
}

/// Linux keeps a whiteout to link to; else nothing is to be left in a work directory.
bool is_clean(const char* folder) {
    DIR* const all = opendir(folder);
    REQUIRE(all);
    bool clean = true;
    while (const dirent* entry = readdir(all)) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.' && !is_whiteout(path)) clean = false;
    }
    closedir(all);
    return clean;
}

/// What each change copies: everything but the change is as it was.
void test_copy_up() {
    CHECK_OK(mkdir("l1/d", 0751));
    CHECK_OK(mkdir("l1/d/e", 0711));
    CHECK_OK(chown("l1/d", 7, 8));
    CHECK_OK(setxattr("l1/d", "trusted.note", "d", 1, 0));
    const char* const names[] = {"open",     "chmod", "chown",  "utimes",   "truncate",
                                 "setxattr", "link",  "append", "fallocate"};
    char path[64];
    for (const char* name : names) {
        snprintf(path, sizeof path, "l1/d/e/%s", name);
        write_file(path, "0123456789", 0640);
        CHECK_OK(chown(path, 5, 6));
        CHECK_OK(chmod(path, 04750));
        CHECK_OK(setxattr(path, "trusted.note", name, strlen(name), 0));
        const timespec times[2] = {{1000, 5}, {2000, 6}};
        CHECK_OK(utimensat(AT_FDCWD, path, times, 0));
    }
    const timespec old[2] = {{11, 0}, {12, 0}};
    CHECK_OK(utimensat(AT_FDCWD, "l1/d", old, 0));
    mount_usual();
    CHECK(!exists("u/d"));
    const struct stat before = status_of("m/d/e/chmod");
    int file = open("m/d/e/open", O_RDONLY);
    close(file);
    CHECK(!exists("u/d")); // reading copies nothing
    file = open("m/d/e/open", O_RDWR);
    CHECK(file >= 0);
    close(file);
    CHECK_STREQ(names_in("u/d/e"), "open");
    struct stat status = status_of("u/d/e/open");
    CHECK_EQ(status.st_mode, unsigned(S_IFREG | 04750));
    CHECK_EQ(status.st_uid, 5u);
    CHECK_EQ(status.st_gid, 6u);
    CHECK_EQ(status.st_mtim.tv_sec, 2000);
    CHECK_EQ(status.st_mtim.tv_nsec, 6);
    CHECK_STREQ(attribute_of("u/d/e/open", "trusted.note"), "open");
    CHECK_STREQ(text_of("u/d/e/open"), "0123456789");
    status = status_of("u/d");
    CHECK_EQ(status.st_mode, unsigned(S_IFDIR | 0751));
    CHECK_EQ(status.st_uid, 7u);
    CHECK_EQ(status.st_mtim.tv_sec, 12);
    CHECK_STREQ(attribute_of("u/d", "trusted.note"), "d");
    CHECK_STREQ(attribute_of("u/d", "trusted.overlay.opaque"), "(none)");
    CHECK_OK(chmod("m/d/e/chmod", 0600));
    CHECK_EQ(status_of("u/d/e/chmod").st_mode, unsigned(S_IFREG | 0600));
    CHECK_EQ(status_of("m/d/e/chmod").st_mode, unsigned(S_IFREG | 0600));
    CHECK_EQ(status_of("l1/d/e/chmod").st_mode, unsigned(S_IFREG | 04750));
    CHECK_EQ(status_of("m/d/e/chmod").st_ino, before.st_ino);
    CHECK_EQ(status_of("m/d/e/chmod").st_dev, before.st_dev);
    CHECK_OK(chown("m/d/e/chown", 50, 60));
    CHECK_EQ(status_of("u/d/e/chown").st_uid, 50u);
    const timespec times[2] = {{3000, 0}, {4000, 0}};
    CHECK_OK(utimensat(AT_FDCWD, "m/d/e/utimes", times, 0));
    CHECK_EQ(status_of("u/d/e/utimes").st_mtim.tv_sec, 4000);
    CHECK_EQ(status_of("m/d/e/utimes").st_mtim.tv_sec, 4000);
    CHECK_OK(truncate("m/d/e/truncate", 4));
    CHECK_STREQ(text_of("u/d/e/truncate"), "0123");
    CHECK_STREQ(text_of("l1/d/e/truncate"), "0123456789");
    CHECK_EQ(status_of("m/d/e/truncate").st_size, 4);
    CHECK_OK(setxattr("m/d/e/setxattr", "trusted.more", "x", 1, 0));
    CHECK_STREQ(attribute_of("u/d/e/setxattr", "trusted.more"), "x");
    CHECK_ERRNO(removexattr("m/d/e/link", "trusted.absent"), ENODATA);
    CHECK(!exists("u/d/e/link"));
    CHECK_OK(link("m/d/e/link", "m/d/e/linked"));
    CHECK_EQ(status_of("u/d/e/link").st_ino, status_of("u/d/e/linked").st_ino);
    CHECK_EQ(status_of("m/d/e/link").st_ino, status_of("m/d/e/linked").st_ino);
    CHECK_EQ(status_of("m/d/e/link").st_nlink, 2u);
    file = open("m/d/e/append", O_WRONLY | O_APPEND);
    CHECK_EQ(write(file, "more", 4), 4);
    CHECK_EQ(lseek(file, 0, SEEK_END), 14);
    close(file);
    CHECK_STREQ(text_of("m/d/e/append"), "0123456789more");
    CHECK_STREQ(text_of("l1/d/e/append"), "0123456789");
    file = open("m/d/e/fallocate", O_WRONLY);
    CHECK_OK(fallocate(file, 0, 0, 100));
    CHECK_OK(ftruncate(file, 50));
    CHECK_OK(fsync(file));
    close(file);
    CHECK_EQ(status_of("m/d/e/fallocate").st_size, 50);
    CHECK(is_clean("w/work"));
    // Special files and symlinks have attributes, too.
    finish();
    CHECK_OK(mkfifo("l1/fifo", 0600));
    CHECK_OK(symlink("target", "l1/link"));
    CHECK_OK(mknod("l1/null", S_IFCHR | 0600, makedev(1, 3)));
    mount_usual();
    CHECK_OK(chmod("m/fifo", 0644));
    CHECK_OK(lchown("m/link", 3, 3));
    CHECK_OK(chmod("m/null", 0666));
    CHECK_EQ(status_of("u/fifo").st_mode, unsigned(S_IFIFO | 0644));
    CHECK_EQ(status_of("u/link").st_uid, 3u);
    CHECK_EQ(status_of("u/null").st_rdev, makedev(1, 3));
    char target[20] = {};
    CHECK_EQ(readlink("m/link", target, sizeof target), 6);
    CHECK_STREQ(target, "target");
    file = open("m/null", O_WRONLY);
    CHECK_EQ(write(file, "x", 1), 1);
    close(file);
    finish();
}

void test_data() {
    // Two megabytes with a hole of one; what was open before reads on.
    const int lower = open("l1/big", O_CREAT | O_RDWR, 0644);
    static char block[65536];
    for (unsigned i = 0; i < sizeof block; ++i) block[i] = char(i * 7 + i / 256);
    for (int i = 0; i < 8; ++i)
        CHECK_EQ(pwrite(lower, block, sizeof block, i * long(sizeof block)), long(sizeof block));
    CHECK_EQ(pwrite(lower, block, sizeof block, 1536 * 1024), long(sizeof block));
    CHECK_OK(ftruncate(lower, 2 << 20));
    const struct stat sparse = status_of("l1/big");
    mount_usual();
    const int reader = open("m/big", O_RDONLY);
    char* const mapped = static_cast<char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, reader, 0));
    REQUIRE(mapped != MAP_FAILED);
    CHECK_EQ(mapped[1], block[1]);
    const int writer = open("m/big", O_RDWR);
    CHECK_EQ(pwrite(writer, "WRITTEN", 7, 0), 7);
    CHECK_GE(status_of("u/big").st_blocks, sparse.st_blocks);
    CHECK_LT(status_of("u/big").st_blocks, 4096); // Linux keeps holes of a megabyte and more
    static char copy[65536];
    CHECK_EQ(pread(writer, copy, sizeof copy, 1536 * 1024), long(sizeof copy));
    CHECK_EQ(memcmp(copy, block, sizeof copy), 0);
    CHECK_EQ(pread(writer, copy, 4096, 1 << 20), 4096l);
    CHECK_EQ(copy[77], 0);
    char text[8] = {};
    CHECK_EQ(pread(reader, text, 7, 0), 7);
    CHECK_STREQ(text, "WRITTEN");
    CHECK_EQ(memcmp(mapped, block, 7), 0); // the lower file's page, as documented
    struct stat status;
    CHECK_OK(fstat(reader, &status));
    CHECK_EQ(status.st_ino, status_of("m/big").st_ino);
    CHECK_EQ(pread(lower, text, 7, 0), 7);
    CHECK_EQ(memcmp(text, block, 7), 0);
    // Shared mappings of the copy are the copy.
    char* const shared = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0));
    REQUIRE(shared != MAP_FAILED);
    memcpy(shared, "MAPPED!", 7);
    CHECK_EQ(pread(writer, text, 7, 0), 7);
    CHECK_STREQ(text, "MAPPED!");
    char upper[8] = {};
    const int direct = open("u/big", O_RDONLY);
    CHECK_EQ(read(direct, upper, 7), 7);
    CHECK_STREQ(upper, "MAPPED!");
    munmap(mapped, 4096), munmap(shared, 4096);
    close(direct), close(reader), close(writer), close(lower);
    // O_TRUNC copies no data.
    write_file("l1/t", "long text");
    write_file("m/t", "short");
    CHECK_STREQ(text_of("m/t"), "short");
    CHECK_STREQ(text_of("l1/t"), "long text");
    finish();
}

void test_create_and_remove() {
    write_file("l1/f", "lower"), write_file("l2/f", "lowest");
    CHECK_OK(mkdir("l1/d", 0755));
    CHECK_OK(mkdir("l2/d", 0755));
    write_file("l1/d/a", "1"), write_file("l2/d/b", "2");
    CHECK_OK(mkdir("l1/only", 0755));
    mount_usual();
    CHECK_ERRNO(open("m/f", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    write_file("m/new", "new");
    CHECK_STREQ(text_of("u/new"), "new");
    CHECK_OK(unlink("m/new"));
    CHECK(!exists("u/new")); // nothing to be hidden
    CHECK_OK(unlink("m/f"));
    CHECK(is_whiteout("u/f"));
    CHECK(!exists("m/f"));
    CHECK_STREQ(names_in("m"), "d only");
    CHECK_ERRNO(unlink("m/f"), ENOENT);
    write_file("m/f", "again");
    CHECK_STREQ(text_of("u/f"), "again");
    CHECK_STREQ(text_of("m/f"), "again");
    CHECK_OK(unlink("m/f"));
    CHECK(is_whiteout("u/f"));
    CHECK_OK(symlink("x", "m/f"));
    CHECK_OK(unlink("m/f"));
    CHECK_OK(mkfifo("m/f", 0600));
    CHECK(S_ISFIFO(status_of("u/f").st_mode));
    CHECK_OK(unlink("m/f"));
    CHECK_OK(mkdir("m/f", 0700));
    CHECK_STREQ(attribute_of("u/f", "trusted.overlay.opaque"), "y");
    CHECK_OK(rmdir("m/f"));
    CHECK(is_whiteout("u/f"));
    write_file("m/other", "other");
    CHECK_OK(link("m/other", "m/f"));
    CHECK_EQ(status_of("m/f").st_nlink, 2u);
    CHECK_EQ(status_of("m/f").st_ino, status_of("m/other").st_ino);

    CHECK_ERRNO(rmdir("m/d"), ENOTEMPTY);
    CHECK_ERRNO(unlink("m/d"), EISDIR);
    CHECK_OK(unlink("m/d/a"));
    CHECK_ERRNO(rmdir("m/d"), ENOTEMPTY);
    CHECK_OK(unlink("m/d/b"));
    CHECK(is_whiteout("u/d/a"));
    CHECK(is_whiteout("u/d/b"));
    CHECK_STREQ(names_in("m/d"), "");
    CHECK_OK(rmdir("m/d"));
    CHECK(is_whiteout("u/d"));
    CHECK_OK(mkdir("m/d", 0755));
    CHECK_STREQ(names_in("m/d"), ""); // opaque
    CHECK_STREQ(attribute_of("u/d", "trusted.overlay.opaque"), "y");
    write_file("m/d/c", "3");
    CHECK_STREQ(names_in("m/d"), "c");
    CHECK_OK(rmdir("m/only"));
    CHECK(is_whiteout("u/only"));
    CHECK_ERRNO(mknod("m/w", S_IFCHR | 0600, 0), EPERM); // it would not be there
    CHECK(is_clean("w/work"));
    // All that is so after the next mount.
    CHECK_OK(umount("m"));
    mount_usual();
    CHECK_STREQ(names_in("m"), "d f other");
    CHECK_STREQ(names_in("m/d"), "c");
    CHECK_STREQ(text_of("l1/f"), "lower");
    CHECK_STREQ(names_in("l1/d"), "a");
    finish();
}

/// What is open lives on without a name.
void test_unlinked() {
    write_file("l1/f", "lower"), write_file("l1/g", "lower");
    CHECK_OK(mkdir("l1/d", 0755));
    mount_usual();
    const int lower = open("m/f", O_RDONLY);
    const int upper = open("m/g", O_RDWR);
    const int folder = open("m/d", O_RDONLY | O_DIRECTORY);
    CHECK_OK(unlink("m/f"));
    CHECK_OK(unlink("m/g"));
    CHECK_OK(rmdir("m/d"));
    char text[8] = {};
    CHECK_EQ(pread(lower, text, 5, 0), 5);
    CHECK_STREQ(text, "lower");
    CHECK_EQ(pwrite(upper, "upper", 5, 0), 5);
    CHECK_EQ(pread(upper, text, 5, 0), 5);
    CHECK_STREQ(text, "upper");
    struct stat status;
    CHECK_OK(fstat(upper, &status));
    CHECK_EQ(status.st_nlink, 0u);
    CHECK_ERRNO(openat(folder, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERRNO(mkdirat(folder, "x", 0755), ENOENT);
    // One without a name from the beginning gets one.
    const int unnamed = open("m", O_TMPFILE | O_RDWR, 0640);
    if (CHECK(unnamed >= 0)) {
        CHECK_EQ(write(unnamed, "temporary", 9), 9);
        CHECK_OK(fstat(unnamed, &status));
        CHECK_EQ(status.st_nlink, 0u);
        char place[64];
        snprintf(place, sizeof place, "/proc/self/fd/%d", unnamed);
        CHECK_OK(linkat(AT_FDCWD, place, AT_FDCWD, "m/named", AT_SYMLINK_FOLLOW));
        CHECK_STREQ(text_of("m/named"), "temporary");
        CHECK_STREQ(text_of("u/named"), "temporary");
        CHECK_OK(fstat(unnamed, &status));
        CHECK_EQ(status.st_nlink, 1u);
        CHECK_EQ(status.st_ino, status_of("m/named").st_ino);
        close(unnamed);
    }
    close(lower), close(upper), close(folder);
    finish();
}

/// Two names of a lower file are two files from the first change on; of an upper one they are one.
void test_links() {
    write_file("l1/a", "lower");
    CHECK_OK(link("l1/a", "l1/b"));
    mount_usual();
    CHECK_EQ(status_of("m/a").st_ino, status_of("m/b").st_ino);
    const int file = open("m/a", O_WRONLY);
    CHECK_EQ(write(file, "upper", 5), 5);
    close(file);
    CHECK_STREQ(text_of("m/a"), "upper");
    CHECK_STREQ(text_of("m/b"), "lower");
    CHECK_EQ(status_of("m/a").st_nlink, 1u);
    CHECK(status_of("m/a").st_ino != status_of("m/b").st_ino);
    write_file("m/c", "one");
    CHECK_OK(link("m/c", "m/d"));
    CHECK_OK(umount("m"));
    mount_usual();
    const int first = open("m/c", O_RDWR), second = open("m/d", O_RDWR);
    CHECK_EQ(pwrite(first, "two, longer", 11, 0), 11);
    CHECK_EQ(lseek(second, 0, SEEK_END), 11);
    CHECK_OK(flock(first, LOCK_EX));
    CHECK_ERRNO(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(first), close(second);
    finish();
}

void test_attributes() {
    write_file("l1/f", "");
    mount_usual();
    CHECK_OK(setxattr("m/f", "trusted.overlay.mine", "1", 1, 0));
    CHECK_STREQ(attribute_of("m/f", "trusted.overlay.mine"), "1");
    CHECK_STREQ(attribute_of("u/f", "trusted.overlay.overlay.mine"), "1");
    CHECK_STREQ(attribute_of("u/f", "trusted.overlay.mine"), "(none)");
    CHECK_STREQ(attribute_of("m/f", "trusted.overlay.origin"), "(none)");
    char list[100] = {};
    CHECK_EQ(listxattr("m/f", list, sizeof list), long(sizeof "trusted.overlay.mine"));
    CHECK_STREQ(list, "trusted.overlay.mine");
    CHECK_GE(listxattr("m/f", nullptr, 0), long(sizeof "trusted.overlay.mine"));
    CHECK_ERRNO(listxattr("m/f", list, 5), ERANGE);
    CHECK_OK(removexattr("m/f", "trusted.overlay.mine"));
    CHECK_ERRNO(removexattr("m/f", "trusted.overlay.mine"), ENODATA);
    CHECK_ERRNO(removexattr("m/f", "trusted.overlay.origin"), ENODATA);
    finish();
    // userxattr: the notes of those who own the files.
    CHECK_OK(mkdir("l1/o", 0755));
    CHECK_OK(mkdir("l2/o", 0755));
    write_file("l2/o/hidden", "");
    CHECK_OK(mkdir("l2/p", 0755));
    write_file("l2/p/shown", "");
    if (setxattr("l1/o", "user.overlay.opaque", "y", 1, 0) == 0) { // tmpfs keeps user.* from Linux 6.6 on
        mount_usual(",userxattr");
        CHECK_STREQ(names_in("m/o"), "");
        CHECK_OK(unlink("m/p/shown"));
        CHECK_OK(rmdir("m/p"));
        CHECK_OK(mkdir("m/p", 0755));
        CHECK_STREQ(attribute_of("u/p", "user.overlay.opaque"), "y");
        CHECK_OK(umount("m"));
    } else {
        mount_usual();
        CHECK_OK(umount("m"));
    }
    CHECK_OK(mount("tmpfs", "m", "tmpfs", 0, nullptr));
    finish();
}

int as_user(int (*body)()) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        if (setgid(1000) || setuid(1000)) _exit(99);
        check::failures = 0;
        body();
        fflush(stdout);
        _exit(check::result());
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

/// The overlay's modes and owners count, and no others: a user can change his file in a folder of his, though the upper
/// layer and the work directory are root's.
void test_permissions() {
    CHECK_OK(mkdir("l1/his", 0755));
    write_file("l1/his/file", "his"), write_file("l1/his/secret", "x", 0600), write_file("l1/roots", "root");
    CHECK_OK(chown("l1/his", 1000, 1000));
    CHECK_OK(chown("l1/his/file", 1000, 1000));
    CHECK_OK(chmod("u", 0755));
    CHECK_OK(chmod("w", 0700));
    CHECK_OK(chmod(".", 0755));
    mount_usual();
    CHECK_EQ(as_user([] {
                 CHECK_ERRNO(open("m/roots", O_WRONLY), EACCES);
                 CHECK_ERRNO(open("m/new", O_CREAT | O_WRONLY, 0644), EACCES);
                 CHECK_ERRNO(open("m/his/secret", O_RDONLY), EACCES);
                 CHECK_ERRNO(chmod("m/his/secret", 0644), EPERM);
                 CHECK_ERRNO(unlink("m/roots"), EACCES);
                 const int file = open("m/his/file", O_WRONLY);
                 CHECK(file >= 0);
                 CHECK_EQ(write(file, "HIS", 3), 3);
                 close(file);
                 CHECK_OK(unlink("m/his/secret"));
                 CHECK_OK(mkdir("m/his/secret", 0700));
                 write_file("m/his/new", "new");
                 CHECK_ERRNO(setxattr("m/his/new", "trusted.overlay.opaque", "y", 1, 0), EPERM);
                 return 0;
             }),
             0);
    CHECK_STREQ(text_of("u/his/file"), "HIS");
    CHECK_EQ(status_of("u/his/file").st_uid, 1000u);
    CHECK_EQ(status_of("u/his/new").st_uid, 1000u);
    CHECK_EQ(status_of("u/his/secret").st_uid, 1000u);
    CHECK(!exists("u/roots"));
    CHECK_EQ(status_of("u/his").st_uid, 1000u);
    finish();
}

/// Programs run from it; what runs isn't written; sockets, pipes and watches work.
void test_uses() {
    const int self = open("/proc/self/exe", O_RDONLY);
    const int copy = open("l1/program", O_CREAT | O_WRONLY, 0755);
    static char buffer[65536];
    for (ssize_t count; (count = read(self, buffer, sizeof buffer)) > 0;) CHECK_EQ(write(copy, buffer, count), count);
    close(self), close(copy);
    mount_usual();
    fflush(stdout);
    int ready[2];
    CHECK_OK(pipe(ready));
    const pid_t child = fork();
    if (child == 0) {
        dup2(ready[1], 1);
        execl("m/program", "program", "wait", nullptr);
        _exit(98);
    }
    char byte;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_ERRNO(open("m/program", O_WRONLY), ETXTBSY);
    CHECK(!exists("u/program"));
    CHECK_OK(kill(child, SIGTERM));
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    close(ready[0]), close(ready[1]);

    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, "m/socket");
    CHECK_OK(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address));
    CHECK_OK(listen(listener, 1));
    const int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_OK(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address));
    close(client), close(listener);

    const int watch = inotify_init1(IN_NONBLOCK);
    write_file("l1/watched", "");
    CHECK(inotify_add_watch(watch, "m", IN_CREATE | IN_MODIFY | IN_DELETE) >= 0);
    write_file("m/watched", "x");
    write_file("m/created", "");
    CHECK_OK(unlink("m/watched"));
    alignas(inotify_event) char events[500];
    const ssize_t length = read(watch, events, sizeof events);
    unsigned seen = 0;
    for (ssize_t at = 0; at < length;) {
        const auto* event = reinterpret_cast<inotify_event*>(events + at);
        seen |= event->mask;
        at += ssize_t(sizeof *event + event->len);
    }
    CHECK_EQ(seen, unsigned(IN_CREATE | IN_MODIFY | IN_DELETE));
    close(watch);
    const int open_file = open("m/created", O_WRONLY);
    const int other = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(other, "m/created", IN_MODIFY) >= 0);
    CHECK_OK(ftruncate(open_file, 100));
    CHECK_EQ(read(other, events, sizeof events), long(sizeof(inotify_event)));
    close(other);
    alignas(file_handle) char handle[200];
    reinterpret_cast<file_handle*>(handle)->handle_bytes = 128;
    int mount_id;
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "m/created", reinterpret_cast<file_handle*>(handle), &mount_id, 0),
                EOPNOTSUPP);
    CHECK_ERRNO(umount("m"), EBUSY);
    CHECK_ERRNO(mount(nullptr, "m", nullptr, MS_REMOUNT | MS_RDONLY, nullptr), EBUSY);
    close(open_file);
    CHECK_OK(mount(nullptr, "m", nullptr, MS_REMOUNT | MS_RDONLY, nullptr));
    CHECK_ERRNO(unlink("m/created"), EROFS);
    CHECK_OK(mount(nullptr, "m", nullptr, MS_REMOUNT, nullptr));
    CHECK_OK(unlink("m/created"));
    struct statfs whole, upper;
    CHECK_OK(statfs("m", &whole));
    CHECK_OK(statfs("u", &upper));
    CHECK_EQ(whole.f_blocks, upper.f_blocks);
    CHECK_OK(syncfs(open("m", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    close(open("m", O_RDONLY) - 1); // the one that syncfs() had
    for (int i = 3; i < 20; ++i) close(i);
    finish();
}

/// A full upper layer: nothing is half there, and what is there can be read and removed.
void test_full() {
    CHECK_OK(mount("tmpfs", "l3", "tmpfs", 0, "size=256k,nr_inodes=20"));
    CHECK_OK(mkdir("l3/u", 0755));
    CHECK_OK(mkdir("l3/w", 0755));
    static char block[65536];
    memset(block, 'x', sizeof block);
    const int big = open("l1/big", O_CREAT | O_WRONLY, 0644);
    for (int i = 0; i < 8; ++i) CHECK_EQ(write(big, block, sizeof block), long(sizeof block));
    close(big);
    write_file("l1/small", "small");
    CHECK_OK(mkdir("l1/d", 0755));
    write_file("l1/d/f", "f");
    CHECK_OK(mount_with("lowerdir=l1:l2,upperdir=l3/u,workdir=l3/w"));
    CHECK_ERRNO(open("m/big", O_WRONLY), ENOSPC);
    CHECK(!exists("l3/u/big"));
    CHECK(is_clean("l3/w/work"));
    CHECK_EQ(status_of("m/big").st_size, 8l * long(sizeof block));
    const int emptied = open("m/big", O_WRONLY | O_TRUNC); // what is cut needs no room
    CHECK(emptied >= 0);
    close(emptied);
    CHECK_EQ(status_of("l3/u/big").st_size, 0);
    char name[32];
    int made = 0;
    for (; made < 30; ++made) {
        snprintf(name, sizeof name, "m/file-%d", made);
        if (mknod(name, S_IFREG | 0644, 0) != 0) break;
    }
    CHECK(made < 30);
    CHECK_ERRNO(mknod(name, S_IFREG | 0644, 0), ENOSPC);
    CHECK_ERRNO(chmod("m/d/f", 0600), ENOSPC);
    CHECK_ERRNO(unlink("m/small"), ENOSPC); // for want of a whiteout
    CHECK_STREQ(text_of("m/small"), "small");
    CHECK_EQ(status_of("m/d/f").st_mode & 07777, 0644u);
    CHECK(is_clean("l3/w/work"));
    for (int i = 0; i < made; ++i) {
        snprintf(name, sizeof name, "m/file-%d", i);
        CHECK_OK(unlink(name));
    }
    CHECK_OK(chmod("m/d/f", 0600));
    CHECK_OK(unlink("m/small"));
    CHECK_OK(umount("m"));
    CHECK_OK(umount("l3"));
    CHECK_OK(mount("tmpfs", "m", "tmpfs", 0, nullptr));
    finish();
}

/// What a copy was made from is known after the next mount, so that it keeps its number; the numbers of readdir(3) are
/// those of stat(2).
void test_numbers() {
    write_file("l1/f", "x"), write_file("l1/g", "x");
    CHECK_OK(mkdir("l1/d", 0755));
    CHECK_OK(mkdir("l2/d", 0755));
    write_file("l1/d/a", ""), write_file("l2/d/b", "");
    mount_usual();
    const ino_t before = status_of("m/f").st_ino;
    CHECK_OK(chmod("m/f", 0600));
    CHECK_OK(chmod("m/d/b", 0600));
    CHECK_OK(mkdir("m/new", 0755));
    CHECK_OK(umount("m"));
    mount_usual();
    CHECK_EQ(status_of("m/f").st_ino, before);
    const char* const folders[] = {"m", "m/d"};
    for (const char* folder : folders) {
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
    finish();
}

/// Open directories show what has come and gone when they are read from the beginning, others' readers or not.
void test_listings() {
    CHECK_OK(mkdir("l1/d", 0755));
    CHECK_OK(mkdir("l2/d", 0755));
    write_file("l1/d/1", ""), write_file("l2/d/2", "");
    mount_usual();
    const auto count = [](DIR* directory) {
        int names = -2;
        while (readdir(directory)) ++names;
        return names;
    };
    DIR* const first = opendir("m/d");
    DIR* const second = opendir("m/d");
    REQUIRE(first && second);
    CHECK_EQ(count(first), 2);
    CHECK(readdir(second)); // it has read all by now
    write_file("m/d/3", "");
    CHECK_EQ(count(second), 1);
    rewinddir(first), rewinddir(second);
    CHECK_EQ(count(first), 3);
    CHECK_EQ(count(second), 3);
    CHECK_OK(unlink("m/d/1"));
    CHECK_OK(rename("m/d/2", "m/d/4"));
    rewinddir(first);
    CHECK_EQ(count(first), 2);
    closedir(first);
    rewinddir(second);
    CHECK_EQ(count(second), 2);
    closedir(second);
    CHECK_STREQ(names_in("m/d"), "3 4");
    finish();
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "wait") == 0) {
        if (write(1, "x", 1) == 1) pause();
        return 1;
    }
    begin();
    need();
    test_copy_up();
    test_data();
    test_create_and_remove();
    test_unlinked();
    test_links();
    test_attributes();
    test_permissions();
    test_uses();
    test_full();
    test_numbers();
    test_listings();
    CHECK_OK(chdir("/"));
    return check::result();
}
