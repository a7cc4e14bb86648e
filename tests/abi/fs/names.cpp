// Names: creating, linking, renaming, removing, and the errno of every wrong use.
#include "check.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

int renameat2_(const char* from, const char* to, unsigned flags) {
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

void touch(const char* name) {
    int fd = open(name, O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0);
    close(fd);
}
unsigned long inode_of(const char* name) {
    struct stat st;
    return lstat(name, &st) == 0 ? st.st_ino : 0;
}
unsigned links_of(const char* name) {
    struct stat st;
    return lstat(name, &st) == 0 ? st.st_nlink : 0;
}

void test_create() {
    touch("f");
    CHECK_ERRNO(open("f", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_ERRNO(open("f/", O_CREAT | O_WRONLY, 0644), EISDIR);
    CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("missing/x", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERRNO(mkdir("d", 0755), EEXIST);
    CHECK_ERRNO(mkdir("f", 0755), EEXIST);
    CHECK_ERRNO(mkdir("missing/d", 0755), ENOENT);
    CHECK_EQ(mkdir("slash/", 0755), 0);
    CHECK_ERRNO(open("d", O_WRONLY), EISDIR);
    CHECK_ERRNO(open("d", O_CREAT | O_RDONLY, 0644), EISDIR);
    CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(mkdir(".", 0755), EEXIST);
    CHECK_ERRNO(mkdir("/", 0755), EEXIST);
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    touch(name);
    CHECK_EQ(unlink(name), 0);
    name[255] = 'n';
    name[256] = 0;
    CHECK_ERRNO(open(name, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
    CHECK_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
    char path[5000];
    memset(path, '/', sizeof path);
    path[4999] = 0;
    CHECK_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
    umask(027);
    touch("masked");
    struct stat st;
    CHECK_EQ(stat("masked", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0640u);
    umask(022);
}

void test_links() {
    touch("one");
    CHECK_EQ(link("one", "two"), 0);
    CHECK_EQ(links_of("one"), 2u);
    CHECK_EQ(inode_of("one"), inode_of("two"));
    CHECK_ERRNO(link("one", "two"), EEXIST);
    CHECK_ERRNO(link("d", "dl"), EPERM);
    CHECK_ERRNO(link("missing", "x"), ENOENT);
    CHECK_ERRNO(link("one", "missing/x"), ENOENT);
    CHECK_EQ(rename("one", "two"), 0); // same inode: nothing happens
    CHECK_EQ(links_of("one"), 2u);
    CHECK_EQ(unlink("one"), 0);
    CHECK_EQ(links_of("two"), 1u);
    CHECK_EQ(symlink("two", "s"), 0);
    CHECK_ERRNO(symlink("", "e"), ENOENT);
    CHECK_ERRNO(symlink("two", "s"), EEXIST);
    char text[16];
    CHECK_EQ(readlink("s", text, sizeof text), 3);
    CHECK(memcmp(text, "two", 3) == 0);
    CHECK_EQ(readlink("s", text, 2), 2);
    CHECK_ERRNO(readlink("two", text, sizeof text), EINVAL);
    CHECK_ERRNO(readlink("s", text, 0), EINVAL);
    CHECK_EQ(linkat(AT_FDCWD, "s", AT_FDCWD, "hard-of-link", 0), 0);
    CHECK_EQ(inode_of("hard-of-link"), inode_of("s"));
    CHECK_EQ(linkat(AT_FDCWD, "s", AT_FDCWD, "hard-of-target", AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(inode_of("hard-of-target"), inode_of("two"));
}

void test_remove() {
    CHECK_EQ(mkdir("r", 0755), 0);
    CHECK_EQ(mkdir("r/sub", 0755), 0);
    CHECK_EQ(links_of("r"), 3u);
    CHECK_ERRNO(rmdir("r"), ENOTEMPTY);
    CHECK_ERRNO(unlink("r"), EISDIR);
    touch("r/file");
    CHECK_ERRNO(rmdir("r/file"), ENOTDIR);
    CHECK_ERRNO(unlink("r/file/"), ENOTDIR);
    CHECK_ERRNO(unlink("r/none"), ENOENT);
    CHECK_ERRNO(rmdir("r/sub/."), EINVAL);
    CHECK_ERRNO(rmdir("r/sub/.."), ENOTEMPTY);
    CHECK_ERRNO(rmdir("/"), EBUSY);
    CHECK_ERRNO(unlinkat(AT_FDCWD, "r/sub", 0), EISDIR);
    CHECK_EQ(unlinkat(AT_FDCWD, "r/sub/", AT_REMOVEDIR), 0);
    CHECK_EQ(links_of("r"), 2u);
    CHECK_EQ(unlink("r/file"), 0);
    // A removed directory: nothing can be made in it, and its descriptor still works.
    int fd = open("r", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(rmdir("r"), 0);
    CHECK_ERRNO(mkdirat(fd, "x", 0755), ENOENT);
    CHECK_ERRNO(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0u);
    close(fd);
    // A removed file lives on while it is open.
    fd = open("gone", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(unlink("gone"), 0);
    CHECK_EQ(write(fd, "abc", 3), 3);
    char text[4];
    CHECK_EQ(pread(fd, text, 4, 0), 3);
    close(fd);
}

void test_rename() {
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/b", 0755), 0);
    CHECK_EQ(mkdir("a/b/c", 0755), 0);
    CHECK_ERRNO(rename("a", "a/b/c/d"), EINVAL);
    CHECK_ERRNO(rename("a/b", "a"), ENOTEMPTY);
    CHECK_ERRNO(rename("missing", "x"), ENOENT);
    CHECK_ERRNO(rename("a/.", "x"), EBUSY);
    CHECK_ERRNO(rename("a", ".."), EBUSY);
    touch("p");
    touch("q");
    CHECK_ERRNO(rename("p", "a"), EISDIR);
    CHECK_ERRNO(rename("a", "p"), ENOTDIR);
    CHECK_ERRNO(rename("p/", "z"), ENOTDIR);
    CHECK_ERRNO(rename("p", "z/"), ENOTDIR);
    unsigned long p = inode_of("p"), q = inode_of("q");
    CHECK_ERRNO(renameat2_("p", "q", 1), EEXIST);    // RENAME_NOREPLACE
    CHECK_ERRNO(renameat2_("p", "none", 2), ENOENT); // RENAME_EXCHANGE
    CHECK_ERRNO(renameat2_("p", "q", 3), EINVAL);
    CHECK_EQ(renameat2_("p", "q", 2), 0);
    CHECK_EQ(inode_of("p"), q);
    CHECK_EQ(inode_of("q"), p);
    CHECK_EQ(rename("p", "q"), 0);
    CHECK_EQ(inode_of("q"), q);
    CHECK_EQ(inode_of("p"), 0ul);
    CHECK_EQ(mkdir("empty", 0755), 0);
    CHECK_EQ(rename("a/b/c", "empty"), 0);
    CHECK_EQ(links_of("a/b"), 2u);
    // A directory that moves takes its working directory along.
    CHECK_EQ(mkdir("top1", 0755), 0);
    CHECK_EQ(mkdir("top2", 0755), 0);
    CHECK_EQ(mkdir("top1/cwd", 0755), 0);
    CHECK_EQ(chdir("top1/cwd"), 0);
    CHECK_EQ(rename("../../top1/cwd", "../../top2/moved"), 0);
    char text[400];
    CHECK(getcwd(text, sizeof text) != nullptr);
    CHECK(strstr(text, "/top2/moved") != nullptr);
    CHECK_EQ(links_of("../../top2"), 3u);
    CHECK_EQ(links_of("../../top1"), 2u);
    CHECK_EQ(chdir("../.."), 0);
}

void test_removed_directory() {
    CHECK_EQ(mkdir("leave", 0755), 0);
    CHECK_EQ(chdir("leave"), 0);
    CHECK_EQ(rmdir("../leave"), 0);
    char text[100];
    CHECK_ERRNO((long)syscall(SYS_getcwd, text, sizeof text), ENOENT);
    CHECK_ERRNO(open(".x", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_EQ(chdir(".."), 0);
}

} // namespace

int main() {
    char base[] = "/tmp/names.XXXXXX";
    CHECK(mkdtemp(base) != nullptr);
    CHECK_EQ(chdir(base), 0);
    umask(022);
    test_create();
    test_links();
    test_remove();
    test_rename();
    test_removed_directory();
    return check::result();
}
