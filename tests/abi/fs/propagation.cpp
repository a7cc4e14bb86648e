// Shared subtrees (mount_namespaces(7)): what mount, bind, move and umount do in peers and slaves, by the propagation
// of source and destination; mountinfo's optional fields; MNT_EXPIRE; fs.mount-max.
#include "check.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr const char* base = "/tmp/propagation";

// ---- what mountinfo says ----

struct Info {
    int mounts = 0; // at this place
    int id = 0, parent = 0, shared = 0, master = 0, from = 0;
    bool unbindable = false;
    char source[64] = "";
};

// The last mount at `place` (relative to base), or number `which`.
Info info_of(const char* place, int which = -1) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s%s%s", base, *place ? "/" : "", place);
    FILE* file = fopen("/proc/self/mountinfo", "re");
    Info result;
    char line[1024];
    int found = 0;
    while (fgets(line, sizeof line, file)) {
        Info info;
        char root[256], at[256], options[256];
        int used = 0;
        if (sscanf(line, "%d %d %*s %255s %255s %255s%n", &info.id, &info.parent, root, at, options, &used) < 5)
            continue;
        if (strcmp(at, wanted) != 0) continue;
        char* rest = line + used;
        char word[64];
        int step;
        while (sscanf(rest, " %63s%n", word, &step) == 1 && strcmp(word, "-") != 0) {
            rest += step;
            sscanf(word, "shared:%d", &info.shared);
            sscanf(word, "master:%d", &info.master);
            sscanf(word, "propagate_from:%d", &info.from);
            if (strcmp(word, "unbindable") == 0) info.unbindable = true;
        }
        sscanf(rest, " - %*s %63s", info.source);
        found++;
        if (which >= 0 && found - 1 != which) continue;
        result = info;
    }
    fclose(file);
    result.mounts = found;
    return result;
}
bool is_mounted(const char* place) { return info_of(place).mounts > 0; }

int count_below(const char* place) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s/%s", base, place);
    FILE* file = fopen("/proc/self/mountinfo", "re");
    char line[1024], at[256];
    int found = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%*d %*d %*s %*s %255s", at) == 1 && strncmp(at, wanted, strlen(wanted)) == 0) found++;
    fclose(file);
    return found;
}

// ---- short words ----

int mount_new(const char* place, const char* name = "none") { return mount(name, place, "tmpfs", 0, nullptr); }
int bind(const char* from, const char* to) { return mount(from, to, nullptr, MS_BIND, nullptr); }
int rbind(const char* from, const char* to) { return mount(from, to, nullptr, MS_BIND | MS_REC, nullptr); }
int move(const char* from, const char* to) { return mount(from, to, nullptr, MS_MOVE, nullptr); }
int set(const char* place, unsigned long kind) { return mount(nullptr, place, nullptr, kind, nullptr); }
void make(const char* path) { CHECK(mkdir(path, 0755) == 0 || errno == EEXIST); }

// A mount at `place` with folders x and y.
void make_mount(const char* place, unsigned long kind = MS_PRIVATE) {
    make(place);
    CHECK_EQ(mount_new(place, place), 0);
    char path[128];
    for (const char* name : {"x", "y"}) {
        snprintf(path, sizeof path, "%s/%s", place, name);
        make(path);
    }
    CHECK_EQ(set(place, kind), 0);
}

// Each test has a private mount, that goes with all in it.
void in_own_mount(void (*test)()) {
    make("t");
    CHECK_EQ(mount_new("t"), 0);
    CHECK_EQ(set("t", MS_PRIVATE), 0);
    test();
    CHECK_EQ(chdir(base), 0);
    CHECK_EQ(umount2("t", MNT_DETACH), 0);
}

// ---- kinds ----

void test_kinds() {
    make_mount("t/a");
    Info info = info_of("t/a");
    CHECK(info.shared == 0 && info.master == 0 && !info.unbindable);
    CHECK_EQ(set("t/a", MS_SLAVE), 0); // nothing to be a slave of
    info = info_of("t/a");
    CHECK(info.shared == 0 && info.master == 0);
    CHECK_EQ(set("t/a", MS_SHARED), 0);
    info = info_of("t/a");
    CHECK(info.shared > 0);
    CHECK_EQ(set("t/a", MS_SHARED), 0);
    CHECK_EQ(info_of("t/a").shared, info.shared);
    CHECK_EQ(set("t/a", MS_SLAVE), 0); // without peers: private
    CHECK_EQ(info_of("t/a").shared, 0);
    CHECK_EQ(info_of("t/a").master, 0);
    CHECK_EQ(set("t/a", MS_UNBINDABLE), 0);
    CHECK(info_of("t/a").unbindable);
    CHECK_EQ(set("t/a", MS_SLAVE), 0);
    CHECK(info_of("t/a").unbindable);
    CHECK_EQ(set("t/a", MS_SHARED), 0);
    CHECK(!info_of("t/a").unbindable && info_of("t/a").shared);
    CHECK_EQ(set("t/a", MS_PRIVATE), 0);
    CHECK_EQ(info_of("t/a").shared, 0);
    // Only the root of a mount has a kind, only one at a time, and nothing else beside it.
    CHECK_ERRNO(set("t/a/x", MS_SHARED), EINVAL);
    CHECK_ERRNO(set("t/a", MS_SHARED | MS_SLAVE), EINVAL);
    CHECK_ERRNO(set("t/a", MS_SHARED | MS_NOATIME), EINVAL);
    CHECK_ERRNO(set("t/a", MS_UNBINDABLE | MS_PRIVATE), EINVAL);
    CHECK_EQ(set("t/a", MS_SHARED | MS_SILENT), 0);
    CHECK_ERRNO(set("t/missing", MS_SHARED), ENOENT);
    // With all below.
    make_mount("t/b");
    make_mount("t/b/x");
    make_mount("t/b/x/y", MS_UNBINDABLE);
    CHECK_EQ(set("t/b", MS_REC | MS_SHARED), 0);
    CHECK(info_of("t/b").shared && info_of("t/b/x").shared && info_of("t/b/x/y").shared);
    CHECK(info_of("t/b").shared != info_of("t/b/x").shared);
    CHECK_EQ(set("t/b", MS_PRIVATE), 0);
    CHECK(!info_of("t/b").shared && info_of("t/b/x").shared);
    CHECK_EQ(set("t/b", MS_REC | MS_UNBINDABLE), 0);
    CHECK(info_of("t/b").unbindable && info_of("t/b/x").unbindable);
}

void test_slaves() {
    make_mount("t/a", MS_SHARED);
    for (const char* place : {"t/b", "t/c", "t/d"}) make(place);
    CHECK_EQ(bind("t/a", "t/b"), 0);
    int group = info_of("t/a").shared;
    CHECK_EQ(info_of("t/b").shared, group);
    CHECK_EQ(set("t/b", MS_SLAVE), 0);
    CHECK(info_of("t/b").shared == 0 && info_of("t/b").master == group);
    CHECK_EQ(set("t/b", MS_SLAVE), 0);
    CHECK_EQ(info_of("t/b").master, group);
    CHECK_EQ(bind("t/b", "t/c"), 0); // a copy of a slave is a slave
    CHECK(info_of("t/c").shared == 0 && info_of("t/c").master == group);
    CHECK_EQ(set("t/b", MS_SHARED), 0); // a shared slave
    int lower = info_of("t/b").shared;
    CHECK(lower && lower != group && info_of("t/b").master == group);
    CHECK_EQ(bind("t/b", "t/d"), 0);
    CHECK(info_of("t/d").shared == lower && info_of("t/d").master == group);
    CHECK_EQ(set("t/d", MS_SLAVE), 0);
    CHECK(info_of("t/d").shared == 0 && info_of("t/d").master == lower);
    // The last of a group that stops to be shared is a slave of the group's master, and so are its slaves.
    CHECK_EQ(set("t/b", MS_SLAVE), 0);
    CHECK(info_of("t/b").shared == 0 && info_of("t/b").master == group);
    CHECK(info_of("t/d").master == group);
    // Without a master, slaves are private.
    CHECK_EQ(set("t/a", MS_PRIVATE), 0);
    for (const char* place : {"t/a", "t/b", "t/c", "t/d"}) CHECK(!info_of(place).shared && !info_of(place).master);
    // When the master is unmounted, too.
    CHECK_EQ(set("t/a", MS_SHARED), 0);
    make("t/e");
    CHECK_EQ(bind("t/a", "t/e"), 0);
    CHECK_EQ(set("t/e", MS_SLAVE), 0);
    CHECK_EQ(set("t/e", MS_SHARED), 0);
    CHECK_EQ(umount("t/a"), 0);
    CHECK(info_of("t/e").shared && !info_of("t/e").master);
}

// ---- mount and unmount ----

// a and b are peers, c is a slave, d its shared slave's slave.
void make_family() {
    make_mount("t/a", MS_SHARED);
    for (const char* place : {"t/b", "t/c", "t/d", "t/e"}) make(place);
    CHECK_EQ(bind("t/a", "t/b"), 0);
    CHECK_EQ(bind("t/a", "t/c"), 0);
    CHECK_EQ(set("t/c", MS_SLAVE), 0);
    CHECK_EQ(bind("t/a", "t/d"), 0);
    CHECK_EQ(set("t/d", MS_SLAVE), 0);
    CHECK_EQ(set("t/d", MS_SHARED), 0);
    CHECK_EQ(bind("t/d", "t/e"), 0);
    CHECK_EQ(set("t/e", MS_SLAVE), 0);
}

void test_mount() {
    make_family();
    CHECK_EQ(mount_new("t/a/x", "first"), 0);
    for (const char* place : {"t/a/x", "t/b/x", "t/c/x", "t/d/x", "t/e/x"}) {
        const Info info = info_of(place);
        CHECK_EQ(info.mounts, 1);
        CHECK_STREQ(info.source, "first");
    }
    CHECK_EQ(info_of("t/b/x").parent, info_of("t/b").id);
    CHECK_EQ(info_of("t/e/x").parent, info_of("t/e").id);
    int group = info_of("t/a/x").shared;
    CHECK(group && info_of("t/b/x").shared == group && !info_of("t/a/x").master);
    CHECK(!info_of("t/c/x").shared && info_of("t/c/x").master == group);
    CHECK(info_of("t/d/x").shared && info_of("t/d/x").master == group);
    CHECK(!info_of("t/e/x").shared && info_of("t/e/x").master == info_of("t/d/x").shared);
    make("t/a/x/below");
    CHECK_EQ(access("t/e/x/below", F_OK), 0);
    // From a slave nothing goes up.
    CHECK_EQ(mount_new("t/c/y"), 0);
    CHECK_EQ(mount_new("t/d/y"), 0);
    CHECK(!is_mounted("t/a/y") && !is_mounted("t/b/y"));
    CHECK(is_mounted("t/e/y") && info_of("t/e/y").master == info_of("t/d/y").shared);
    CHECK(!info_of("t/c/y").shared);
    // What comes from above goes under what a slave has there itself.
    int own = info_of("t/c/y").id;
    CHECK_EQ(mount_new("t/b/y", "second"), 0);
    CHECK_EQ(info_of("t/a/y").mounts, 1);
    CHECK_EQ(info_of("t/c/y").mounts, 2);
    Info lower = info_of("t/c/y", 0), upper = info_of("t/c/y", 1);
    if (lower.id == own) {
        Info swapped = lower;
        lower = upper;
        upper = swapped;
    }
    CHECK_EQ(upper.id, own);
    CHECK_EQ(upper.parent, lower.id);
    CHECK_EQ(lower.parent, info_of("t/c").id);
    CHECK_STREQ(lower.source, "second");
    // And goes from under it.
    CHECK_EQ(umount("t/a/y"), 0);
    CHECK(!is_mounted("t/b/y"));
    CHECK_EQ(info_of("t/c/y").mounts, 1);
    CHECK_EQ(info_of("t/c/y").id, own);
    CHECK_EQ(info_of("t/c/y").parent, info_of("t/c").id);
    CHECK(is_mounted("t/d/y") && is_mounted("t/e/y"));
    CHECK_EQ(umount("t/d/y"), 0);
    CHECK(!is_mounted("t/e/y"));
    CHECK_EQ(umount("t/b/x"), 0);
    for (const char* place : {"t/a/x", "t/b/x", "t/c/x", "t/d/x", "t/e/x"}) CHECK(!is_mounted(place));
}

void test_part() {
    // A peer that shows another part of the file system hears nothing of what it doesn't show.
    make_mount("t/a", MS_SHARED);
    make("t/a/x/deep");
    make("t/b");
    make("t/c");
    CHECK_EQ(bind("t/a/x", "t/b"), 0);
    CHECK_EQ(info_of("t/b").shared, info_of("t/a").shared);
    CHECK_EQ(bind("t/b", "t/c"), 0);
    CHECK_EQ(set("t/c", MS_SLAVE), 0);
    CHECK_EQ(mount_new("t/a/y"), 0);
    CHECK_EQ(count_below("t/b"), 1);
    CHECK_EQ(mount_new("t/a/x/deep"), 0);
    CHECK(is_mounted("t/b/deep") && is_mounted("t/c/deep"));
    CHECK_EQ(umount("t/b/deep"), 0);
    CHECK(!is_mounted("t/a/x/deep") && !is_mounted("t/c/deep"));
}

void test_busy() {
    make_family();
    CHECK_EQ(mount_new("t/a/x"), 0);
    int fd = open("t/e/x", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    CHECK_ERRNO(umount("t/a/x"), EBUSY); // somebody is in a slave's slave
    for (const char* place : {"t/a/x", "t/b/x", "t/c/x", "t/d/x", "t/e/x"}) CHECK(is_mounted(place));
    close(fd);
    // What has mounts of its own within stays, and it doesn't matter that it is used.
    make("t/a/x/own");
    CHECK_EQ(mount_new("t/c/x/own"), 0);
    fd = open("t/c/x", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(umount("t/a/x"), 0);
    close(fd);
    CHECK(!is_mounted("t/b/x") && !is_mounted("t/e/x"));
    CHECK(is_mounted("t/c/x") && is_mounted("t/c/x/own"));
    CHECK(!info_of("t/c/x").master);
    // Lazily, with all below, wherever it is.
    CHECK_EQ(mount_new("t/a/y"), 0);
    make("t/a/y/deep");
    CHECK_EQ(mount_new("t/b/y/deep"), 0);
    CHECK(is_mounted("t/e/y/deep"));
    fd = open("t/d/y/deep", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(umount("t/a/y"), EBUSY);
    CHECK_EQ(umount2("t/a/y", MNT_DETACH), 0);
    close(fd);
    for (const char* place : {"t/a/y", "t/b/y", "t/c/y", "t/d/y", "t/e/y"}) CHECK_EQ(count_below(place), 0);
    // A mount that goes lazily takes with it what its peers have in the same places.
    CHECK_EQ(mount_new("t/a/y"), 0);
    CHECK(is_mounted("t/b/y"));
    CHECK_EQ(umount2("t/a", MNT_DETACH), 0);
    CHECK(!is_mounted("t/b/y"));
    CHECK(is_mounted("t/b"));
}

// ---- bind ----

void test_bind_table() {
    struct Case {
        const char* source;
        bool shared, slave;   // of the copy in a private mount
        bool shared2, slave2; // of the copy in a shared mount
    };
    make_mount("t/shared", MS_SHARED);
    make_mount("t/private");
    make_mount("t/unbindable", MS_UNBINDABLE);
    make("t/slave");
    make("t/both");
    CHECK_EQ(bind("t/shared", "t/slave"), 0);
    CHECK_EQ(set("t/slave", MS_SLAVE), 0);
    CHECK_EQ(bind("t/slave", "t/both"), 0);
    CHECK_EQ(set("t/both", MS_SHARED), 0);
    int master = info_of("t/shared").shared;
    make_mount("t/to");
    make_mount("t/to2", MS_SHARED);
    make("t/peer");
    CHECK_EQ(bind("t/to2", "t/peer"), 0);
    const Case cases[] = {{"t/shared", true, false, true, false},
                          {"t/private", false, false, true, false},
                          {"t/slave", false, true, true, true},
                          {"t/both", true, true, true, true}};
    for (const Case& one : cases) {
        int own = info_of(one.source).shared;
        CHECK_EQ(bind(one.source, "t/to/x"), 0);
        Info copy = info_of("t/to/x");
        CHECK_EQ(copy.shared != 0, one.shared);
        CHECK_EQ(copy.master, one.slave ? master : 0);
        CHECK_EQ(umount("t/to/x"), 0);
        CHECK_EQ(bind(one.source, "t/to2/x"), 0);
        copy = info_of("t/to2/x");
        CHECK_EQ(copy.shared != 0, one.shared2);
        if (own) CHECK_EQ(copy.shared, own);
        CHECK_EQ(copy.master, one.slave2 ? master : 0);
        CHECK_EQ(info_of("t/peer/x").shared, copy.shared);
        CHECK_EQ(info_of("t/peer/x").master, copy.master);
        CHECK_EQ(info_of(one.source).shared, own); // the source is what it was
        CHECK_EQ(umount("t/peer/x"), 0);
    }
    CHECK_ERRNO(bind("t/unbindable", "t/to/x"), EINVAL);
    CHECK_ERRNO(bind("t/unbindable/x", "t/to/x"), EINVAL);
    CHECK_ERRNO(rbind("t/unbindable", "t/to2/x"), EINVAL);
    CHECK_ERRNO(mount("", "t/to/x", nullptr, MS_BIND, nullptr), EINVAL);
    CHECK_ERRNO(mount("", "t/to/x", nullptr, MS_MOVE, nullptr), EINVAL);
    CHECK_ERRNO(mount(nullptr, "t/to/x", nullptr, MS_BIND, nullptr), EINVAL);
}

void test_rbind() {
    make_mount("t/a");
    make_mount("t/a/x", MS_SHARED);
    make_mount("t/a/x/y");
    make_mount("t/a/y", MS_UNBINDABLE);
    make_mount("t/a/y/x");
    make("t/b");
    CHECK_EQ(rbind("t/a", "t/b"), 0);
    CHECK(is_mounted("t/b/x") && is_mounted("t/b/x/y"));
    CHECK_EQ(info_of("t/b/x").shared, info_of("t/a/x").shared);
    CHECK_EQ(info_of("t/b/x/y").shared, info_of("t/a/x/y").shared);
    CHECK(!is_mounted("t/b/y") && !is_mounted("t/b/y/x"));
    // Into a shared mount: all of it is shared, and its peers get all of it.
    make_mount("t/to", MS_SHARED);
    make("t/peer");
    CHECK_EQ(bind("t/to", "t/peer"), 0);
    make("t/slave");
    CHECK_EQ(bind("t/to", "t/slave"), 0);
    CHECK_EQ(set("t/slave", MS_SLAVE), 0);
    CHECK_EQ(rbind("t/a", "t/to/x"), 0);
    CHECK_EQ(count_below("t/to/x"), 3);
    CHECK_EQ(count_below("t/peer/x"), 3);
    CHECK_EQ(count_below("t/slave/x"), 3);
    CHECK(info_of("t/to/x").shared && info_of("t/to/x").shared == info_of("t/peer/x").shared);
    CHECK_EQ(info_of("t/to/x/x").shared, info_of("t/a/x").shared);
    CHECK(info_of("t/to/x/x/y").shared && info_of("t/to/x/x/y").shared == info_of("t/peer/x/x/y").shared);
    CHECK_EQ(info_of("t/slave/x/x/y").master, info_of("t/to/x/x/y").shared);
    CHECK_EQ(info_of("t/slave/x/x").parent, info_of("t/slave/x").id);
    CHECK_EQ(umount2("t/peer/x", MNT_DETACH), 0);
    CHECK_EQ(count_below("t/to/x") + count_below("t/peer/x") + count_below("t/slave/x"), 0);
    // A part: only what is mounted within it.
    make("t/c");
    CHECK_EQ(rbind("t/a/x/y", "t/c"), 0);
    CHECK_EQ(count_below("t/c"), 1);
}

void test_into_itself() {
    // A shared mount bound within itself shows there once.
    make_mount("t/a", MS_SHARED);
    CHECK_EQ(bind("t/a", "t/a/x"), 0);
    CHECK_EQ(count_below("t/a"), 2);
    CHECK_EQ(info_of("t/a/x").shared, info_of("t/a").shared);
    CHECK_EQ(mount_new("t/a/y"), 0);
    CHECK(is_mounted("t/a/x/y"));
    CHECK_EQ(count_below("t/a"), 4);
    CHECK_EQ(umount("t/a/x/y"), 0);
    CHECK(!is_mounted("t/a/y"));
    CHECK_EQ(umount("t/a/x"), 0);
    CHECK_EQ(rbind("t/a", "t/a/x"), 0);
    CHECK_EQ(rbind("t/a", "t/a/y"), 0);
    const int before = count_below("t/a");
    CHECK_EQ(before, 6);
    CHECK_EQ(umount2("t/a/y", MNT_DETACH), 0);
    CHECK_EQ(count_below("t/a"), 1); // with what is at y/x goes what its peers have at x
}

// ---- move ----

void test_move() {
    make_mount("t/shared", MS_SHARED);
    make_mount("t/a");
    make_mount("t/a/x");
    make_mount("t/to", MS_SHARED);
    make("t/peer");
    CHECK_EQ(bind("t/to", "t/peer"), 0);
    make("t/slave");
    CHECK_EQ(bind("t/to", "t/slave"), 0);
    CHECK_EQ(set("t/slave", MS_SLAVE), 0);
    int id = info_of("t/a").id;
    CHECK_EQ(move("t/a", "t/to/y"), 0);
    CHECK(!is_mounted("t/a"));
    CHECK_EQ(info_of("t/to/y").id, id);
    CHECK(info_of("t/to/y").shared && info_of("t/peer/y").shared == info_of("t/to/y").shared);
    CHECK(info_of("t/to/y/x").shared && info_of("t/peer/y/x").shared == info_of("t/to/y/x").shared);
    CHECK_EQ(info_of("t/slave/y/x").master, info_of("t/to/y/x").shared);
    // From below a shared mount nothing is moved.
    make("t/free");
    CHECK_ERRNO(move("t/to/y", "t/free"), EINVAL);
    CHECK_EQ(info_of("t/to/y").id, id);
    CHECK_EQ(move("t/slave/y", "t/free"), 0); // the slave isn't
    CHECK(is_mounted("t/free/x"));
    // Nothing unbindable goes into a shared mount.
    make_mount("t/b");
    make_mount("t/b/x", MS_UNBINDABLE);
    CHECK_ERRNO(move("t/b", "t/to/x"), EINVAL);
    CHECK(is_mounted("t/b/x") && !is_mounted("t/to/x"));
    CHECK(!info_of("t/b").shared);
    make("t/elsewhere");
    CHECK_EQ(move("t/b", "t/elsewhere"), 0);
    CHECK(info_of("t/elsewhere/x").unbindable);
    // A slave is a shared slave then.
    CHECK_EQ(bind("t/shared", "t/b"), 0);
    CHECK_EQ(set("t/b", MS_SLAVE), 0);
    CHECK_EQ(move("t/b", "t/to/x"), 0);
    CHECK_EQ(info_of("t/to/x").master, info_of("t/shared").shared);
    CHECK(info_of("t/to/x").shared && info_of("t/to/x").shared == info_of("t/peer/x").shared);
    CHECK_EQ(info_of("t/peer/x").master, info_of("t/shared").shared);
    // Into itself, of no mount, of a folder onto a file.
    CHECK_ERRNO(move("t/elsewhere", "t/elsewhere/x"), ELOOP);
    CHECK_ERRNO(move("t/elsewhere", "t/elsewhere/y"), ELOOP);
    CHECK_ERRNO(move("t/elsewhere", "t/elsewhere"), ELOOP);
    CHECK_ERRNO(move("t/elsewhere/y", "t/b"), EINVAL);
    close(open("t/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    CHECK_ERRNO(move("t/elsewhere", "t/file"), EINVAL);
}

// ---- what a process under another root sees ----

void test_visible_master() {
    make_mount("t/a", MS_SHARED);
    make("t/outer");
    make_mount("t/jail");
    CHECK_EQ(bind("t/a", "t/outer"), 0);
    CHECK_EQ(set("t/outer", MS_SLAVE), 0);
    CHECK_EQ(set("t/outer", MS_SHARED), 0);
    // In the jail: a copy of the highest, and a slave of the one between, which can't be seen there.
    make("t/jail/top");
    make("t/jail/low");
    make("t/jail/proc");
    CHECK_EQ(bind("t/a", "t/jail/top"), 0);
    CHECK_EQ(bind("t/outer", "t/jail/low"), 0);
    CHECK_EQ(set("t/jail/low", MS_SLAVE), 0);
    CHECK_EQ(bind("/proc", "t/jail/proc"), 0);
    int top = info_of("t/a").shared, between = info_of("t/outer").shared;
    CHECK_EQ(info_of("t/jail/low").master, between);
    CHECK_EQ(info_of("t/jail/low").from, 0); // seen from here
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(chroot("t/jail"), 0);
        CHECK_EQ(chdir("/"), 0);
        FILE* file = fopen("/proc/self/mountinfo", "re");
        char line[1024], wanted[64];
        snprintf(wanted, sizeof wanted, " master:%d propagate_from:%d -", between, top);
        bool found = false;
        while (fgets(line, sizeof line, file))
            if (strstr(line, " /low ")) found = strstr(line, wanted) != nullptr;
        CHECK(found);
        _exit(check::result());
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

void test_pivot_root() {
    make_mount("t/root");
    make("t/root/new");
    CHECK_EQ(mount_new("t/root/new"), 0);
    CHECK_EQ(set("t/root/new", MS_PRIVATE), 0);
    make("t/root/new/old");
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(chroot("t/root"), 0);
        CHECK_EQ(chdir("/"), 0);
        CHECK_EQ(set("/", MS_SHARED), 0);
        CHECK_ERRNO(syscall(SYS_pivot_root, "/new", "/new/old"), EINVAL); // the new root's parent
        CHECK_EQ(set("/", MS_PRIVATE), 0);
        CHECK_EQ(set("/new", MS_SHARED), 0);
        CHECK_ERRNO(syscall(SYS_pivot_root, "/new", "/new/old"), EINVAL); // where the old one would be put
        CHECK_EQ(set("/new", MS_PRIVATE), 0);
        CHECK_EQ(syscall(SYS_pivot_root, "/new", "/new/old"), 0);
        CHECK_EQ(syscall(SYS_pivot_root, "/old", "/old/new"), 0); // and back
        _exit(check::result());
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

// ---- umount2's flags ----

void test_expire() {
    make_mount("t/a");
    CHECK_ERRNO(umount2("t/a", MNT_EXPIRE | MNT_DETACH), EINVAL);
    CHECK_ERRNO(umount2("t/a", MNT_EXPIRE | MNT_FORCE), EINVAL);
    CHECK_ERRNO(umount2("t/a/x", MNT_EXPIRE), EINVAL);
    CHECK_ERRNO(umount2("/", MNT_EXPIRE), EINVAL);
    CHECK_ERRNO(umount2("t/a", 16), EINVAL);
    int fd = open("t/a/x", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(umount2("t/a", MNT_EXPIRE), EBUSY);
    close(fd);
    CHECK_ERRNO(umount2("t/a", MNT_EXPIRE), EAGAIN);
    CHECK_EQ(access("t/a/x", F_OK), 0); // a use
    CHECK_ERRNO(umount2("t/a", MNT_EXPIRE), EAGAIN);
    CHECK_EQ(access("t", F_OK), 0); // none
    CHECK_EQ(umount2("t/a", MNT_EXPIRE), 0);
    CHECK(!is_mounted("t/a"));
    make_mount("t/b");
    CHECK_EQ(symlink("b", "t/link"), 0);
    CHECK_ERRNO(umount2("t/link", UMOUNT_NOFOLLOW), EINVAL);
    CHECK_ERRNO(umount2("t/link", MNT_EXPIRE | UMOUNT_NOFOLLOW), EINVAL);
    CHECK_ERRNO(umount2("t/link", MNT_EXPIRE), EAGAIN);
    CHECK_EQ(umount2("t/b", MNT_EXPIRE | UMOUNT_NOFOLLOW), 0);
    // The mark doesn't keep an ordinary unmount.
    make_mount("t/c");
    CHECK_ERRNO(umount2("t/c", MNT_EXPIRE), EAGAIN);
    CHECK_EQ(umount("t/c"), 0);
}

// ---- limits ----

void set_limit(int limit) {
    FILE* file = fopen("/proc/sys/fs/mount-max", "we");
    CHECK(file != nullptr && fprintf(file, "%d\n", limit) > 0);
    CHECK_EQ(fclose(file), 0);
}
int limit_now() {
    int limit = 0;
    FILE* file = fopen("/proc/sys/fs/mount-max", "re");
    CHECK(file != nullptr && fscanf(file, "%d", &limit) == 1);
    fclose(file);
    return limit;
}

void test_limit() {
    const int usual = limit_now();
    CHECK_EQ(usual, 100000);
    // Each bind of all into itself doubles the number; that ends, and what can't be whole isn't there at all.
    make_mount("t/a", MS_SHARED);
    char path[64];
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "t/a/%d", i);
        make(path);
    }
    const int all = count_below("") + 20; // not all mounts are below: a little room
    set_limit(all + 2000);
    int done = 0;
    for (; done < 30; done++) {
        snprintf(path, sizeof path, "t/a/%d", done);
        if (rbind("t/a", path) != 0) break;
    }
    CHECK(done >= 4 && done < 13);
    const int before = count_below("t/a");
    CHECK(before <= 2050);
    CHECK_ERRNO(rbind("t/a", path), ENOSPC);
    CHECK_EQ(count_below("t/a"), before);
    CHECK_EQ(umount2("t/a/0", MNT_DETACH), 0);
    CHECK(count_below("t/a") < before);
    // A private tree that can't be copied to all peers of the destination stays private, and where it is.
    CHECK_EQ(umount2("t/a", MNT_DETACH), 0);
    make_mount("t/b");
    make_mount("t/b/x");
    make_mount("t/to", MS_SHARED);
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "t/%d", i);
        make(path);
        CHECK_EQ(bind("t/to", path), 0);
    }
    set_limit(1);
    CHECK_ERRNO(move("t/b", "t/to/x"), ENOSPC);
    CHECK_ERRNO(mount_new("t/to/x"), ENOSPC);
    CHECK_ERRNO(bind("t/b", "t/to/x"), ENOSPC);
    CHECK(!info_of("t/b").shared && !info_of("t/b/x").shared && is_mounted("t/b/x"));
    CHECK_EQ(count_below("t/to/x"), 0);
    set_limit(usual);
    CHECK_EQ(move("t/b", "t/to/x"), 0);
    CHECK(is_mounted("t/49/x/x"));
    CHECK_EQ(umount("t/7/x/x"), 0);
    CHECK(!is_mounted("t/to/x/x"));
    CHECK_EQ(umount("t/to/x"), 0);
}

void test_many_peers() {
    const int peers = getenv("LINNET_LONG") ? 20000 : 1000;
    make_mount("t/to", MS_SHARED);
    char path[64];
    for (int i = 0; i < peers; i++) {
        snprintf(path, sizeof path, "t/%d", i);
        make(path);
        CHECK_EQ(bind("t/to", path), 0);
    }
    CHECK_EQ(mount_new("t/500/x"), 0);
    CHECK(is_mounted("t/999/x") && is_mounted("t/to/x"));
    int fd = open("t/999/x", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(umount("t/to/x"), EBUSY);
    close(fd);
    CHECK_EQ(umount("t/to/x"), 0);
    CHECK_EQ(count_below("t"), peers + 2);
    // All of them at once, each with a mount of which all others hear.
    make("t/500/y");
    CHECK_EQ(mount_new("t/500/y"), 0);
    CHECK_EQ(count_below("t"), 2 * peers + 3);
}

} // namespace

int main() {
    CHECK_EQ(mkdir(base, 0755), 0);
    CHECK_EQ(mount_new(base), 0);
    CHECK_EQ(chdir(base), 0);
    CHECK_EQ(set(base, MS_PRIVATE), 0);
    for (auto test :
         {test_kinds, test_slaves, test_mount, test_part, test_busy, test_bind_table, test_rbind, test_into_itself,
          test_move, test_visible_master, test_pivot_root, test_expire, test_limit, test_many_peers})
        in_own_mount(test);
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(umount(base), 0);
    CHECK_EQ(rmdir(base), 0);
    return check::result();
}
