// rename(2) in an overlay: what the lower layers show is hidden, what is moved there hides; directories with a lower
// part are refused, or with redirect_dir=on found under their old names.
#include "overlay.hpp"

#include <linux/fs.h>
#include <sys/syscall.h>

using namespace overlay;

namespace {

long move(const char* from, const char* to, unsigned flags = 0) {
    return syscall(SYS_renameat2, long(AT_FDCWD), from, long(AT_FDCWD), to, long(flags));
}
void remount(const char* more = "") {
    CHECK_OK(umount("m"));
    mount_usual(more);
}
void finish() {
    CHECK_OK(umount("m"));
    for (const char* folder : {"l1", "l2", "l3", "u", "w"}) empty(folder);
    removexattr("u", "trusted.overlay.impure");
}

void test_files() {
    write_file("l1/a", "a"), write_file("l1/b", "b"), write_file("l2/c", "c");
    CHECK_OK(mkdir("l1/d", 0755));
    write_file("l1/d/x", "x");
    mount_usual();
    const ino_t number = status_of("m/a").st_ino;
    CHECK_OK(move("m/a", "m/a2"));
    CHECK(is_whiteout("u/a"));
    CHECK_STREQ(text_of("u/a2"), "a");
    CHECK_EQ(status_of("m/a2").st_ino, number);
    CHECK_OK(move("m/a2", "m/b")); // over a lower file
    CHECK_STREQ(names_in("m"), "b c d");
    CHECK_STREQ(text_of("m/b"), "a");
    CHECK(!exists("u/a2"));
    CHECK_OK(move("m/b", "m/a")); // over a whiteout
    CHECK(is_whiteout("u/b"));
    CHECK_STREQ(text_of("m/a"), "a");
    CHECK_ERRNO(move("m/a", "m/c", RENAME_NOREPLACE), EEXIST);
    CHECK_OK(move("m/a", "m/b", RENAME_NOREPLACE));
    CHECK_OK(move("m/b", "m/c", RENAME_EXCHANGE));
    CHECK_STREQ(text_of("m/b"), "c");
    CHECK_STREQ(text_of("m/c"), "a");
    CHECK_ERRNO(move("m/b", "m/a", RENAME_WHITEOUT), EINVAL);
    CHECK_ERRNO(move("m/none", "m/a"), ENOENT);
    CHECK_ERRNO(move("m/b", "m/d"), EISDIR);
    CHECK_ERRNO(move("m/b", "outside"), EXDEV);
    CHECK_OK(move("m/b", "m/d/x"));
    CHECK_STREQ(text_of("m/d/x"), "c");
    CHECK_OK(move("m/d/x", "m/d/y"));
    CHECK(is_whiteout("u/d/x"));
    CHECK_STREQ(names_in("m/d"), "y");
    CHECK_OK(link("m/c", "m/e"));
    CHECK_OK(move("m/c", "m/e")); // two names of one file: nothing happens
    CHECK_STREQ(names_in("m"), "c d e");
    remount();
    CHECK_STREQ(names_in("m"), "c d e");
    CHECK_STREQ(text_of("m/c"), "a");
    CHECK_STREQ(names_in("m/d"), "y");
    CHECK_EQ(status_of("m/c").st_ino, status_of("m/e").st_ino);
    finish();
}

void test_directories() {
    CHECK_OK(mkdir("l1/d", 0755));
    CHECK_OK(mkdir("l2/d", 0755));
    write_file("l1/d/a", "a"), write_file("l2/d/b", "b");
    CHECK_OK(mkdir("l1/empty", 0755));
    write_file("l1/f", "f");
    mount_usual();
    CHECK_ERRNO(move("m/d", "m/d2"), EXDEV);
    CHECK_ERRNO(move("m/empty", "m/e2"), EXDEV);
    CHECK_ERRNO(move("m/f", "m/d", RENAME_EXCHANGE), EXDEV);
    CHECK_ERRNO(move("m/d", "m/f", RENAME_EXCHANGE), EXDEV);
    CHECK_OK(mkdir("m/new", 0755));
    write_file("m/new/n", "n");
    CHECK_ERRNO(move("m/new", "m/d"), ENOTEMPTY);
    CHECK_ERRNO(move("m/new", "m/f"), ENOTDIR);
    CHECK_ERRNO(move("m/new", "m/new/below"), EINVAL);
    CHECK_OK(move("m/new", "m/empty")); // what is there in the lower layer is hidden
    CHECK_STREQ(names_in("m/empty"), "n");
    CHECK_STREQ(attribute_of("u/empty", "trusted.overlay.opaque"), "y");
    CHECK_OK(unlink("m/d/a"));
    CHECK_OK(unlink("m/d/b"));
    CHECK_OK(move("m/empty", "m/d")); // over one with whiteouts
    CHECK_STREQ(names_in("m/d"), "n");
    CHECK(is_whiteout("u/empty"));
    CHECK_STREQ(names_in("m"), "d f");
    CHECK_OK(move("m/d", "m/empty")); // over a whiteout, and leaves one
    CHECK(is_whiteout("u/d"));
    CHECK_STREQ(names_in("m/empty"), "n");
    CHECK_OK(move("m/empty", "m/f", RENAME_EXCHANGE));
    CHECK_STREQ(names_in("m/f"), "n");
    CHECK_STREQ(text_of("m/empty"), "f");
    CHECK_OK(mkdir("m/g", 0755));
    CHECK_OK(move("m/f", "m/g/f"));
    CHECK(is_whiteout("u/f"));
    remount();
    CHECK_STREQ(names_in("m"), "empty g");
    CHECK_STREQ(text_of("m/empty"), "f");
    CHECK_STREQ(names_in("m/g/f"), "n");
    CHECK_STREQ(names_in("l1/d"), "a");
    finish();
}

void test_redirects() {
    CHECK_OK(mkdir("l1/a", 0755));
    CHECK_OK(mkdir("l2/a", 0755));
    CHECK_OK(mkdir("l1/a/b", 0755));
    CHECK_OK(mkdir("l1/a/b/c", 0755));
    CHECK_OK(mkdir("l2/z", 0755));
    write_file("l1/a/b/c/f", "deep"), write_file("l2/a/second", "2"), write_file("l1/a/first", "1");
    mount_usual(",redirect_dir=on");
    const ino_t number = status_of("m/a").st_ino;
    CHECK_OK(move("m/a", "m/A"));
    CHECK_STREQ(attribute_of("u/A", "trusted.overlay.redirect"), "a");
    CHECK(is_whiteout("u/a"));
    CHECK_STREQ(names_in("m/A"), "b first second");
    CHECK_EQ(status_of("m/A").st_ino, number);
    CHECK_OK(move("m/A/b", "m/B"));
    CHECK_STREQ(attribute_of("u/B", "trusted.overlay.redirect"), "/a/b");
    CHECK_STREQ(names_in("m/B"), "c");
    CHECK_STREQ(names_in("m/A"), "first second");
    CHECK_OK(move("m/B", "m/A/BB"));
    CHECK_STREQ(attribute_of("u/A/BB", "trusted.overlay.redirect"), "/a/b");
    CHECK_OK(move("m/A", "m/Z"));
    CHECK_STREQ(attribute_of("u/Z", "trusted.overlay.redirect"), "a");
    CHECK_OK(move("m/Z/BB/c", "m/Z/BB/d"));
    CHECK_STREQ(attribute_of("u/Z/BB/d", "trusted.overlay.redirect"), "c");
    CHECK_STREQ(text_of("m/Z/BB/d/f"), "deep");
    CHECK_OK(mkdir("m/a", 0755)); // a new one of the old name shows nothing of the lower one
    CHECK_STREQ(names_in("m/a"), "");
    CHECK_OK(move("m/z", "m/Z", RENAME_EXCHANGE));
    CHECK_STREQ(names_in("m/z"), "BB first second");
    CHECK_STREQ(names_in("m/Z"), "");
    for (const char* options : {",redirect_dir=on", ""}) {
        remount(options);
        CHECK_STREQ(names_in("m"), "Z a z");
        CHECK_STREQ(names_in("m/a"), "");
        CHECK_STREQ(names_in("m/z"), "BB first second");
        CHECK_STREQ(names_in("m/z/BB"), "d");
        CHECK_STREQ(text_of("m/z/BB/d/f"), "deep");
        CHECK_EQ(status_of("m/z").st_ino, number);
    }
    CHECK_OK(umount("m"));
    // As a layer of another overlay: redirects on the way to redirects.
    CHECK_OK(mkdir("u2", 0755));
    CHECK_OK(mkdir("w2", 0755));
    CHECK_OK(mount_with("lowerdir=u:l1:l2,upperdir=u2,workdir=w2,redirect_dir=on"));
    CHECK_STREQ(text_of("m/z/BB/d/f"), "deep");
    CHECK_OK(move("m/z/BB/d", "m/top"));
    CHECK_STREQ(attribute_of("u2/top", "trusted.overlay.redirect"), "/z/BB/d");
    CHECK_STREQ(text_of("m/top/f"), "deep");
    CHECK_OK(umount("m"));
    CHECK_OK(mount_with("lowerdir=u:l1:l2,upperdir=u2,workdir=w2,redirect_dir=on"));
    CHECK_STREQ(text_of("m/top/f"), "deep");
    CHECK_STREQ(names_in("m/z/BB"), "");
    CHECK_OK(umount("m"));
    mount_usual(",redirect_dir=on");
    // What is removed is hidden under both names.
    CHECK_OK(unlink("m/z/BB/d/f"));
    CHECK_OK(rmdir("m/z/BB/d"));
    CHECK_OK(rmdir("m/z/BB"));
    CHECK_STREQ(names_in("m/z"), "first second");
    finish();
}

} // namespace

int main() {
    begin();
    need();
    test_files();
    test_directories();
    test_redirects();
    CHECK_OK(chdir("/"));
    return check::result();
}
