// Access control lists (acl(5)) by their extended attributes: which are accepted, whom they let in, how they and the
// mode follow one another, and what a directory hands down.
#include "check.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <initializer_list>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr const char* access_list = "system.posix_acl_access";
constexpr const char* default_list = "system.posix_acl_default";

enum Tag : uint16_t { Owner = 1, User = 2, Group = 4, NamedGroup = 8, Mask = 16, Other = 32 };
struct Entry {
    uint16_t tag, rights;
    uint32_t id = ~0u;
    bool operator==(const Entry&) const = default;
};
using List = std::vector<Entry>;

std::string value_of(const List& list, uint32_t version = 2) {
    std::string value((const char*)&version, sizeof version);
    for (const Entry& entry : list) value.append((const char*)&entry, sizeof entry);
    return value;
}
int set(const char* path, const char* name, const List& list) {
    const std::string value = value_of(list);
    return setxattr(path, name, value.data(), value.size(), 0);
}
/// Empty: there is none.
List get(const char* path, const char* name) {
    char value[1000];
    const ssize_t size = getxattr(path, name, value, sizeof value);
    List list;
    for (ssize_t at = 4; at < size; at += (ssize_t)sizeof(Entry)) list.push_back(*(const Entry*)(value + at));
    return list;
}
unsigned mode_of(const char* path) {
    struct stat info = {};
    CHECK_EQ(lstat(path, &info), 0);
    return info.st_mode & 07777;
}
void make(const char* path, mode_t mode) {
    const int fd = open(path, O_CREAT | O_EXCL | O_RDWR, mode);
    CHECK(fd >= 0);
    close(fd);
}

/// Runs `work` as that user in that group; its checks count here.
template <typename Work>
void as(uid_t uid, gid_t gid, Work work) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        check::failures = 0;
        if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) _exit(2);
        work();
        _exit(check::result());
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

void test_form() {
    make("file", 0644);
    mkdir("folder", 0755);
    CHECK_EQ(get("file", access_list).size(), 0u);
    CHECK_ERRNO(getxattr("file", access_list, nullptr, 0), ENODATA);
    CHECK_ERRNO(getxattr("file", default_list, nullptr, 0), ENODATA);
    const List good = {{Owner, 6},         {User, 4, 1000}, {User, 6, 1001}, {Group, 4},
                       {NamedGroup, 2, 7}, {Mask, 6},       {Other, 0}};
    CHECK_EQ(set("file", access_list, good), 0);
    CHECK(get("file", access_list) == good);
    CHECK_EQ(getxattr("file", access_list, nullptr, 0), (ssize_t)(4 + 8 * good.size()));
    char small[10];
    CHECK_ERRNO(getxattr("file", access_list, small, sizeof small), ERANGE);
    CHECK_EQ(mode_of("file"), 0660u);
    char names[100] = {};
    CHECK_EQ(listxattr("file", names, sizeof names), (ssize_t)strlen(access_list) + 1);
    CHECK_EQ(strcmp(names, access_list), 0);
    // What is not well formed changes nothing.
    for (const List& bad : {
             List{{Owner, 6}, {Group, 4}},                                         // others are missing
             List{{Owner, 6}, {Other, 4}},                                         // the group
             List{{Group, 6}, {Other, 4}},                                         // the owner
             List{{Owner, 6}, {Owner, 6}, {Group, 4}, {Other, 0}},                 // twice
             List{{Owner, 6}, {Group, 4}, {Mask, 4}, {Mask, 4}, {Other, 0}},       // twice
             List{{Owner, 6}, {User, 4, 1000}, {Group, 4}, {Other, 0}},            // a name without a mask
             List{{Owner, 6}, {Group, 4}, {User, 4, 1000}, {Mask, 7}, {Other, 0}}, // out of order
             List{{Owner, 8}, {Group, 4}, {Other, 0}},                             // not a right
             List{{Owner, 6}, {User, 4}, {Group, 4}, {Mask, 7}, {Other, 0}},       // nobody's name
             List{{Owner, 6}, {3, 4}, {Group, 4}, {Mask, 7}, {Other, 0}},          // not a tag
             List{{Owner, 6}, {Group, 4}, {Mask, 7}, {Other, 0}, {64, 0}},         // not a tag
         })
        CHECK_ERRNO(set("file", access_list, bad), EINVAL);
    std::string value = value_of(good, 1);
    CHECK_ERRNO(setxattr("file", access_list, value.data(), value.size(), 0), EOPNOTSUPP);
    value = value_of(good);
    CHECK_ERRNO(setxattr("file", access_list, value.data(), value.size() - 1, 0), EINVAL);
    CHECK_ERRNO(setxattr("file", access_list, value.data(), 3, 0), EINVAL);
    CHECK(get("file", access_list) == good);
    // A list that says what a mode says is the mode.
    CHECK_EQ(set("file", access_list, {{Owner, 7}, {Group, 5}, {Other, 1}}), 0);
    CHECK_EQ(mode_of("file"), 0751u);
    CHECK_ERRNO(getxattr("file", access_list, nullptr, 0), ENODATA);
    // A mask alone is kept. An empty list takes the list away.
    CHECK_EQ(set("file", access_list, {{Owner, 7}, {Group, 5}, {Mask, 1}, {Other, 0}}), 0);
    CHECK_EQ(mode_of("file"), 0710u);
    CHECK_EQ(get("file", access_list).size(), 4u);
    CHECK_EQ(set("file", access_list, {}), 0);
    CHECK_ERRNO(getxattr("file", access_list, nullptr, 0), ENODATA);
    CHECK_EQ(mode_of("file"), 0710u);
    CHECK_EQ(set("file", access_list, good), 0);
    CHECK_EQ(removexattr("file", access_list), 0);
    CHECK_EQ(removexattr("file", access_list), 0); // though there is none
    CHECK_ERRNO(getxattr("file", access_list, nullptr, 0), ENODATA);
    // Default lists are directories'.
    CHECK_ERRNO(set("file", default_list, good), EACCES);
    CHECK_EQ(set("folder", default_list, good), 0);
    CHECK(get("folder", default_list) == good);
    CHECK_EQ(mode_of("folder"), 0755u);
    CHECK_EQ(set("folder", default_list, {{Owner, 7}, {Group, 5}, {Other, 1}}), 0);
    CHECK_EQ(get("folder", default_list).size(), 3u); // kept as it is
    CHECK_EQ(removexattr("folder", default_list), 0);
    CHECK_ERRNO(getxattr("folder", default_list, nullptr, 0), ENODATA);
    CHECK_EQ(symlink("file", "link"), 0);
    CHECK_ERRNO(lsetxattr("link", access_list, value.data(), value.size(), 0), EOPNOTSUPP);
    CHECK_ERRNO(lgetxattr("link", access_list, nullptr, 0), EOPNOTSUPP);
    // Only the owner changes one; anybody may read it.
    chmod("file", 0666);
    as(1000, 1000, [&] {
        CHECK_ERRNO(set("file", access_list, good), EPERM);
        CHECK_ERRNO(removexattr("file", access_list), EPERM);
        CHECK_ERRNO(getxattr("file", access_list, nullptr, 0), ENODATA);
    });
    unlink("link");
    unlink("file");
    rmdir("folder");
}

bool may(const char* path, int mode) { return access(path, mode) == 0; }

void test_rights() {
    make("file", 0600);
    CHECK_EQ(chown("file", 500, 600), 0);
    CHECK_EQ(
        set("file", access_list,
            {{Owner, 4}, {User, 6, 1000}, {User, 0, 1001}, {Group, 4}, {NamedGroup, 2, 700}, {Mask, 6}, {Other, 1}}),
        0);
    as(500, 500, [] { CHECK(may("file", R_OK) && !may("file", W_OK)); });
    as(1000, 1000, [] { CHECK(may("file", R_OK | W_OK) && !may("file", X_OK)); });
    as(1001, 600, [] { CHECK(!may("file", R_OK) && !may("file", X_OK)); }); // named: no group counts
    as(1002, 600, [] { CHECK(may("file", R_OK) && !may("file", W_OK) && !may("file", X_OK)); });
    as(1002, 700, [] { CHECK(may("file", W_OK) && !may("file", R_OK) && !may("file", R_OK | W_OK)); });
    as(1002, 1002, [] { CHECK(may("file", X_OK) && !may("file", R_OK)); });
    as(1000, 1000, [] {
        const int fd = open("file", O_RDWR);
        CHECK(fd >= 0);
        CHECK_ERRNO(open("file", O_RDWR | O_TRUNC | O_DIRECTORY), ENOTDIR);
    });
    // chmod changes the mask, not what the group has.
    CHECK_EQ(chmod("file", 0641), 0);
    CHECK(
        get("file", access_list) ==
        (List{{Owner, 6}, {User, 6, 1000}, {User, 0, 1001}, {Group, 4}, {NamedGroup, 2, 700}, {Mask, 4}, {Other, 1}}));
    as(1000, 1000, [] { CHECK(may("file", R_OK) && !may("file", W_OK)); });
    as(1002, 700, [] { CHECK(!may("file", W_OK) && !may("file", R_OK)); });
    // A new list counts at once, and its end.
    CHECK_EQ(set("file", access_list, {{Owner, 6}, {User, 2, 1000}, {Group, 0}, {Mask, 7}, {Other, 0}}), 0);
    as(1000, 1000, [] { CHECK(may("file", W_OK) && !may("file", R_OK)); });
    as(1002, 600, [] { CHECK(!may("file", R_OK)); });
    CHECK_EQ(removexattr("file", access_list), 0);
    CHECK_EQ(mode_of("file"), 0670u); // what was the mask's is the group's now
    as(1000, 1000, [] { CHECK(!may("file", W_OK)); });
    as(1002, 600, [] { CHECK(may("file", R_OK | W_OK | X_OK)); });
    // The set-group-ID bit goes when somebody sets a list who is not in the group.
    CHECK_EQ(chmod("file", 02755), 0);
    as(500, 500, [] {
        CHECK_EQ(set("file", access_list, {{Owner, 7}, {User, 7, 1000}, {Group, 5}, {Mask, 7}, {Other, 5}}), 0);
        CHECK_EQ(mode_of("file"), 0775u);
    });
    unlink("file");

    // A directory that everybody but one may search.
    mkdir("folder", 0777);
    make("folder/file", 0666);
    chmod("folder", 0777);
    CHECK_EQ(set("folder", access_list, {{Owner, 7}, {User, 0, 1000}, {Group, 7}, {Mask, 7}, {Other, 7}}), 0);
    as(1000, 1000, [] {
        CHECK_ERRNO(open("folder/file", O_RDONLY), EACCES);
        CHECK_ERRNO(open("folder/new", O_CREAT | O_RDWR, 0644), EACCES);
        CHECK_ERRNO(open("folder", O_RDONLY), EACCES);
    });
    as(1001, 1001, [] { CHECK(open("folder/file", O_RDONLY) >= 0); });
    unlink("folder/file");
    rmdir("folder");
}

void test_inheritance() {
    umask(077); // which counts only where nothing is handed down
    mkdir("folder", 0755);
    const List handed = {{Owner, 7}, {User, 6, 1000}, {Group, 5}, {Mask, 7}, {Other, 4}};
    CHECK_EQ(set("folder", default_list, handed), 0);
    make("folder/file", 0664);
    CHECK(get("folder/file", access_list) == (List{{Owner, 6}, {User, 6, 1000}, {Group, 5}, {Mask, 6}, {Other, 4}}));
    CHECK_EQ(mode_of("folder/file"), 0664u);
    CHECK_ERRNO(getxattr("folder/file", default_list, nullptr, 0), ENODATA);
    mkdir("folder/sub", 0750);
    CHECK(get("folder/sub", access_list) == (List{{Owner, 7}, {User, 6, 1000}, {Group, 5}, {Mask, 5}, {Other, 0}}));
    CHECK(get("folder/sub", default_list) == handed);
    CHECK_EQ(mode_of("folder/sub"), 0750u);
    CHECK_EQ(mkfifo("folder/sub/fifo", 0666), 0);
    CHECK_EQ(mode_of("folder/sub/fifo"), 0664u);
    CHECK_EQ(get("folder/sub/fifo", access_list).size(), 5u);
    CHECK_EQ(symlink("x", "folder/link"), 0);
    CHECK_EQ(mode_of("folder/link"), 0777u);
    // Links and moves hand nothing down.
    make("other", 0644);
    CHECK_EQ(rename("other", "folder/other"), 0);
    CHECK_EQ(get("folder/other", access_list).size(), 0u);
    CHECK_EQ(mode_of("folder/other"), 0600u);
    // A default list that says no more than a mode makes modes.
    CHECK_EQ(set("folder", default_list, {{Owner, 6}, {Group, 6}, {Other, 0}}), 0);
    make("folder/plain", 0644);
    CHECK_EQ(mode_of("folder/plain"), 0640u);
    CHECK_EQ(get("folder/plain", access_list).size(), 0u);
    const int fd = open("folder", O_TMPFILE | O_RDWR, 0666);
    struct stat info = {};
    if (fd >= 0) CHECK_EQ(fstat(fd, &info), 0);
    if (fd >= 0) CHECK_EQ(info.st_mode & 07777, 0660u);
    close(fd);
    CHECK_EQ(removexattr("folder", default_list), 0);
    make("folder/masked", 0666);
    CHECK_EQ(mode_of("folder/masked"), 0600u);
    for (const char* path :
         {"folder/file", "folder/sub/fifo", "folder/link", "folder/other", "folder/plain", "folder/masked"})
        CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir("folder/sub"), 0);
    CHECK_EQ(rmdir("folder"), 0);
    umask(022);
}

/// As many as fit, and more.
void test_long_lists() {
    make("file", 0600);
    List list = {{Owner, 6}};
    for (uint32_t id = 1; id <= 200; id++) list.push_back({User, 4, 10000 + id});
    list.insert(list.end(), {{Group, 0}, {Mask, 4}, {Other, 0}});
    CHECK_EQ(set("file", access_list, list), 0);
    CHECK_EQ(getxattr("file", access_list, nullptr, 0), (ssize_t)(4 + 8 * list.size()));
    as(10200, 1, [] { CHECK(may("file", R_OK) && !may("file", W_OK)); });
    as(10201, 1, [] { CHECK(!may("file", R_OK)); });
    unlink("file");
}

} // namespace

int main() {
    umask(022);
    chmod(".", 0755);
    test_form();
    test_rights();
    test_inheritance();
    test_long_lists();
    return check::result();
}
