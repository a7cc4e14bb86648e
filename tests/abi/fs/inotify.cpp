// inotify(7): which calls are told of, to whom, by what name and in which order; how watches are made, changed and end;
// what a read gives; limits; and many at once.
#include "check.hpp"

#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

namespace {

struct Name {
    uint32_t bit;
    const char* text;
};
constexpr Name names[] = {
    {IN_ACCESS, "access"},           {IN_MODIFY, "modify"},
    {IN_ATTRIB, "attrib"},           {IN_CLOSE_WRITE, "closew"},
    {IN_CLOSE_NOWRITE, "close"},     {IN_OPEN, "open"},
    {IN_MOVED_FROM, "from"},         {IN_MOVED_TO, "to"},
    {IN_CREATE, "create"},           {IN_DELETE, "delete"},
    {IN_DELETE_SELF, "delete-self"}, {IN_MOVE_SELF, "move-self"},
    {IN_UNMOUNT, "unmount"},         {IN_Q_OVERFLOW, "overflow"},
    {IN_IGNORED, "ignored"},         {IN_ISDIR, "directory"},
};

std::string text_of(const inotify_event& event) {
    std::string text = std::to_string(event.wd) + ":";
    uint32_t left = event.mask;
    const char* between = "";
    for (const Name& name : names) {
        if (!(event.mask & name.bit)) continue;
        text = text + between + name.text;
        between = "+";
        left &= ~name.bit;
    }
    if (left) text += "?" + std::to_string(left);
    if (event.len) text = text + "(" + event.name + ")";
    return text;
}

/// An instance that never waits.
struct Listener {
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    std::vector<uint32_t> cookies; // of the last told()
    ~Listener() { close(fd); }
    int watch(const char* path, uint32_t mask = IN_ALL_EVENTS) { return inotify_add_watch(fd, path, mask); }
    /// All that waits, each event a word.
    std::string told() {
        alignas(inotify_event) static char buffer[65536];
        std::string all;
        cookies.clear();
        for (;;) {
            errno = 0;
            const ssize_t got = read(fd, buffer, sizeof buffer);
            if (got <= 0) {
                if (errno != EAGAIN) check::failed(__FILE__, __LINE__, strerror(errno));
                return all;
            }
            for (ssize_t at = 0; at < got;) {
                const auto& event = *(const inotify_event*)(buffer + at);
                all += (all.empty() ? "" : " ") + text_of(event);
                cookies.push_back(event.cookie);
                CHECK_EQ(event.len % sizeof event, 0u);
                at += (ssize_t)(sizeof event + event.len);
            }
        }
    }
};

void same(int line, const std::string& seen, const std::string& wanted) {
    if (seen != wanted)
        check::failed(__FILE__, line, ("\n  seen   \"" + seen + "\"\n  wanted \"" + wanted + "\"").c_str());
}
#define TOLD(listener, wanted) same(__LINE__, (listener).told(), wanted)

int make(const char* path) { return open(path, O_CREAT | O_RDWR, 0644); }
void touch(const char* path) { close(make(path)); }

void test_files() {
    mkdir("d", 0755);
    Listener in;
    CHECK_EQ(in.watch("d"), 1);
    int fd = make("d/file");
    TOLD(in, "1:create(file) 1:open(file)");
    CHECK_EQ(write(fd, "12345", 5), 5);
    CHECK_EQ(write(fd, "12345", 5), 5); // the same again is not told again
    CHECK_EQ(write(fd, "", 0), 0);
    TOLD(in, "1:modify(file)");
    char buffer[10];
    CHECK_EQ(pread(fd, buffer, 10, 0), 10);
    CHECK_EQ(pread(fd, buffer, 10, 10), 0); // nothing read
    TOLD(in, "1:access(file)");
    CHECK_EQ(fchmod(fd, 0600), 0);
    TOLD(in, "1:attrib(file)");
    CHECK_EQ(fchown(fd, 0, 0), 0);
    TOLD(in, "1:attrib(file)");
    CHECK_EQ(ftruncate(fd, 3), 0);
    TOLD(in, "1:modify(file)");
    CHECK_EQ(truncate("d/file", 2), 0);
    TOLD(in, "1:modify(file)");
    CHECK_EQ(fallocate(fd, 0, 0, 100), 0);
    TOLD(in, "1:modify(file)");
    const timespec both[2] = {{1, 0}, {2, 0}}, first[2] = {{1, 0}, {0, UTIME_OMIT}},
                   second[2] = {{0, UTIME_OMIT}, {1, 0}};
    CHECK_EQ(futimens(fd, both), 0);
    TOLD(in, "1:attrib(file)");
    CHECK_EQ(futimens(fd, first), 0);
    TOLD(in, "1:access(file)");
    CHECK_EQ(futimens(fd, second), 0);
    TOLD(in, "1:modify(file)");
    CHECK_EQ(fsetxattr(fd, "trusted.one", "1", 1, 0), 0);
    TOLD(in, "1:attrib(file)");
    CHECK_EQ(fremovexattr(fd, "trusted.one"), 0);
    TOLD(in, "1:attrib(file)");
    CHECK_ERRNO(fremovexattr(fd, "trusted.one"), ENODATA);
    CHECK_ERRNO(open("d/file", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
    struct stat info;
    CHECK_EQ(stat("d/file", &info), 0);
    CHECK_EQ(access("d/file", R_OK), 0);
    close(dup(fd));
    TOLD(in, "");
    // A mapping keeps the file open, and what is written through it is not told.
    void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *(volatile char*)mapped = 1;
    close(fd);
    TOLD(in, "");
    munmap(mapped, 4096);
    TOLD(in, "1:closew(file)");
    close(open("d/file", O_RDONLY));
    TOLD(in, "1:open(file) 1:close(file)");
    close(open("d/file", O_PATH));
    TOLD(in, "");
    fd = open("d/file", O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    const std::string opened = in.told(); // which of the two is first, Linux has changed
    CHECK(opened == "1:open(file) 1:modify(file)" || opened == "1:modify(file) 1:open(file)");
    close(fd);
    TOLD(in, "1:closew(file)");
    unlink("d/file");
    TOLD(in, "1:delete(file)");
    rmdir("d");
}

void test_names() {
    mkdir("d", 0755);
    mkdir("e", 0755);
    Listener in;
    CHECK_EQ(in.watch("d"), 1);
    CHECK_EQ(in.watch("e"), 2);
    mkdir("d/sub", 0755);
    TOLD(in, "1:create+directory(sub)");
    CHECK_EQ(symlink("x", "d/symlink"), 0);
    CHECK_EQ(mkfifo("d/fifo", 0644), 0);
    CHECK_EQ(mknod("d/node", S_IFREG | 0644, 0), 0);
    TOLD(in, "1:create(symlink) 1:create(fifo) 1:create(node)");
    CHECK_EQ(link("d/node", "e/second"), 0);
    TOLD(in, "2:create(second)");
    CHECK_EQ(rename("d/node", "e/other"), 0); // two names of one file: nothing is done, "other" is new
    TOLD(in, "1:from(node) 2:to(other)");
    CHECK(in.cookies.size() == 2 && in.cookies[0] != 0 && in.cookies[0] == in.cookies[1]);
    const uint32_t cookie = in.cookies.empty() ? 0 : in.cookies[0];
    CHECK_EQ(rename("d/sub", "d/longer name than sixteen"), 0);
    TOLD(in, "1:from+directory(sub) 1:to+directory(longer name than sixteen)");
    CHECK(in.cookies.size() == 2 && in.cookies[0] != cookie && in.cookies[0] == in.cookies[1]);
    CHECK_EQ(rename("e/other", "e/second"), 0); // the same file: nothing
    TOLD(in, "");
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "d/fifo", AT_FDCWD, "e/second", RENAME_EXCHANGE), 0);
    TOLD(in, "1:from(fifo) 2:to(second) 2:from(second) 1:to(fifo)");
    CHECK_EQ(in.cookies.size(), 4u);
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    char entries[4096];
    CHECK(syscall(SYS_getdents64, fd, entries, sizeof entries) > 0);
    close(fd);
    TOLD(in, "1:open+directory 1:access+directory 1:close+directory");
    fd = open("d/longer name than sixteen", O_RDONLY | O_DIRECTORY);
    close(fd);
    TOLD(in, "1:open+directory(longer name than sixteen) 1:close+directory(longer name than sixteen)");
    CHECK_EQ(chmod("d", 0700), 0);
    TOLD(in, "1:attrib+directory");
    CHECK_EQ(rmdir("d/longer name than sixteen"), 0);
    TOLD(in, "1:delete+directory(longer name than sixteen)");
    for (const char* path : {"d/symlink", "d/fifo", "e/other", "e/second"}) CHECK_EQ(unlink(path), 0);
    TOLD(in, "1:delete(symlink) 1:delete(fifo) 2:delete(other) 2:delete(second)");
    CHECK_EQ(rmdir("e"), 0);
    TOLD(in, "2:delete-self 2:ignored");
    CHECK_EQ(rename("d", "f"), 0);
    TOLD(in, "1:move-self");
    touch("f/still");
    TOLD(in, "1:create(still) 1:open(still) 1:closew(still)");
    unlink("f/still");
    rmdir("f");
    TOLD(in, "1:delete(still) 1:delete-self 1:ignored");
}

void test_both_ends() {
    mkdir("d", 0755);
    touch("d/a");
    touch("d/b");
    Listener in;
    CHECK_EQ(in.watch("d/a"), 1);
    CHECK_EQ(in.watch("d"), 2);
    close(open("d/a", O_RDONLY));
    TOLD(in, "2:open(a) 1:open 2:close(a) 1:close");
    CHECK_EQ(in.watch("d/b"), 3);
    CHECK_EQ(rename("d/a", "d/b"), 0); // what was b ends, what was a has moved
    TOLD(in, "2:from(a) 2:to(b) 3:attrib 1:move-self 3:delete-self 3:ignored");
    CHECK_EQ(link("d/b", "d/c"), 0);
    TOLD(in, "1:attrib 2:create(c)");
    CHECK_EQ(unlink("d/b"), 0);
    TOLD(in, "1:attrib 2:delete(b)");
    int fd = open("d/c", O_RDWR);
    TOLD(in, "2:open(c) 1:open");
    CHECK_EQ(unlink("d/c"), 0); // still open
    TOLD(in, "1:attrib 2:delete(c)");
    CHECK_EQ(write(fd, "x", 1), 1);
    TOLD(in, "2:modify(c) 1:modify"); // a name that is gone is told, unless it is not wanted
    CHECK_EQ(in.watch("d", IN_ALL_EVENTS | IN_EXCL_UNLINK), 2);
    CHECK_EQ(write(fd, "x", 1), 1);
    TOLD(in, "1:modify");
    close(fd);
    TOLD(in, "1:closew 1:delete-self 1:ignored");
    fd = open("d", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    close(fd);
    in.told(); // what a file without a name tells its directory, kernels differ in
    rmdir("d");
    TOLD(in, "2:delete-self 2:ignored");
}

void test_splices() {
    touch("from");
    touch("to");
    CHECK_EQ(truncate("from", 5000), 0);
    Listener in;
    CHECK_EQ(in.watch("from"), 1);
    CHECK_EQ(in.watch("to"), 2);
    int from = open("from", O_RDONLY), to = open("to", O_WRONLY), ends[2];
    CHECK_EQ(pipe(ends), 0);
    TOLD(in, "1:open 2:open");
    CHECK_EQ(sendfile(to, from, nullptr, 1000), 1000);
    TOLD(in, "1:access 2:modify");
    CHECK_EQ(splice(from, nullptr, ends[1], nullptr, 1000, 0), 1000);
    TOLD(in, "1:access");
    CHECK_EQ(splice(ends[0], nullptr, to, nullptr, 1000, 0), 1000);
    TOLD(in, "2:modify");
    CHECK_EQ(copy_file_range(from, nullptr, to, nullptr, 1000, 0), 1000);
    TOLD(in, "1:access 2:modify");
    close(from);
    close(to);
    close(ends[0]);
    close(ends[1]);
    unlink("from");
    unlink("to");
    TOLD(in, "1:close 2:closew 1:attrib 1:delete-self 1:ignored 2:attrib 2:delete-self 2:ignored");
}

void test_watches() {
    mkdir("d", 0755);
    touch("d/file");
    CHECK_EQ(symlink("d", "link"), 0);
    Listener in;
    CHECK_EQ(in.watch("d", IN_OPEN), 1);
    CHECK_EQ(in.watch("d", IN_CLOSE), 1); // replaced
    close(open("d/file", O_RDONLY));
    TOLD(in, "1:close(file)");
    CHECK_EQ(in.watch("link", IN_OPEN | IN_MASK_ADD), 1); // the same inode
    close(open("d/file", O_RDONLY));
    TOLD(in, "1:open(file) 1:close(file)");
    CHECK_ERRNO(in.watch("d", IN_OPEN | IN_MASK_CREATE), EEXIST);
    CHECK_ERRNO(in.watch("d", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
    CHECK_ERRNO(in.watch("d/file", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    CHECK_ERRNO(in.watch("d/none", IN_OPEN), ENOENT);
    CHECK_ERRNO(in.watch("", IN_OPEN), ENOENT);
    CHECK_ERRNO(in.watch("d", 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(in.fd, (const char*)1, IN_OPEN), EFAULT);
    CHECK_ERRNO(inotify_add_watch(-1, "d", IN_OPEN), EBADF);
    CHECK_ERRNO(inotify_add_watch(0, "d", IN_OPEN), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(-1, 1), EBADF);
    CHECK_ERRNO(inotify_rm_watch(0, 1), EINVAL);
    for (const int wd : {0, -1, 2, INT_MAX, INT_MIN}) CHECK_ERRNO(inotify_rm_watch(in.fd, wd), EINVAL);
    CHECK_ERRNO(inotify_init1(1), EINVAL);
    CHECK_EQ(in.watch("link", IN_ATTRIB | IN_DONT_FOLLOW), 2);
    CHECK_EQ(fchownat(AT_FDCWD, "link", 0, 0, AT_SYMLINK_NOFOLLOW), 0);
    TOLD(in, "2:attrib");
    CHECK_EQ(inotify_rm_watch(in.fd, 2), 0);
    TOLD(in, "2:ignored");
    CHECK_ERRNO(inotify_rm_watch(in.fd, 2), EINVAL);
    CHECK_EQ(in.watch("d/file", IN_ATTRIB | IN_ONESHOT), 3); // numbers are not used again
    chmod("d/file", 0600);
    chmod("d/file", 0644);
    TOLD(in, "3:attrib 3:ignored");
    CHECK_ERRNO(inotify_rm_watch(in.fd, 3), EINVAL);
    // Two instances hear of the same; one that is closed leaves nothing behind.
    {
        Listener other;
        CHECK_EQ(other.watch("d", IN_ATTRIB), 1);
        CHECK_EQ(in.watch("d", IN_ATTRIB), 1);
        chmod("d/file", 0600);
        TOLD(other, "1:attrib(file)");
    }
    chmod("d/file", 0644);
    TOLD(in, "1:attrib(file)");
    // A file, a device and a pipe can be watched by what leads to them.
    char self[64];
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    snprintf(self, sizeof self, "/proc/self/fd/%d", ends[1]);
    CHECK_EQ(in.watch(self, IN_MODIFY | IN_ACCESS), 4);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    TOLD(in, "4:modify");
    close(ends[0]);
    close(ends[1]);
    // Who may not read it may not watch it.
    chmod("d/file", 0300);
    const pid_t child = fork();
    if (child == 0) {
        if (setresuid(1000, 1000, 1000) != 0) _exit(2);
        Listener mine;
        CHECK_ERRNO(mine.watch("d/file"), EACCES);
        CHECK(mine.watch("d") > 0);
        _exit(check::result());
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    unlink("link");
    unlink("d/file");
    rmdir("d");
}

void* wait_for_one(void* listener) {
    char buffer[100];
    return (void*)read(((Listener*)listener)->fd, buffer, sizeof buffer);
}

void test_reading() {
    mkdir("d", 0755);
    Listener in;
    in.watch("d", IN_CREATE);
    pollfd waiting = {in.fd, POLLIN, 0};
    CHECK_EQ(poll(&waiting, 1, 0), 0);
    int bytes = -1;
    CHECK_EQ(ioctl(in.fd, FIONREAD, &bytes), 0);
    CHECK_EQ(bytes, 0);
    char buffer[100];
    CHECK_ERRNO(read(in.fd, buffer, sizeof buffer), EAGAIN);
    CHECK_ERRNO(write(in.fd, buffer, sizeof buffer), EBADF);
    touch("d/1234567");          // 16 + 16 bytes
    touch("d/123456789abcdef");  // the same: fifteen and a zero
    touch("d/123456789abcdef0"); // 16 + 32 bytes
    CHECK_EQ(poll(&waiting, 1, 0), 1);
    CHECK_EQ(ioctl(in.fd, FIONREAD, &bytes), 0);
    CHECK_EQ(bytes, 112);
    CHECK_ERRNO(read(in.fd, buffer, 31), EINVAL);
    CHECK_ERRNO(read(in.fd, buffer, 0), EINVAL);
    CHECK_EQ(read(in.fd, buffer, 33), 32);
    CHECK_EQ(strcmp(buffer + 16, "1234567"), 0);
    CHECK_EQ(read(in.fd, buffer, 79), 32); // the second is whole, the third doesn't fit
    CHECK_EQ(read(in.fd, buffer, sizeof buffer), 48);
    for (size_t i = 32; i < 48; i++) CHECK_EQ(buffer[i], 0);
    CHECK_EQ(poll(&waiting, 1, 0), 0);
    // A reader that waits is woken.
    Listener blocking;
    CHECK_EQ(fcntl(blocking.fd, F_SETFL, 0), 0);
    blocking.watch("d", IN_DELETE);
    pthread_t reader;
    pthread_create(&reader, nullptr, wait_for_one, &blocking);
    unlink("d/1234567");
    void* got = nullptr;
    pthread_join(reader, &got);
    CHECK_EQ((long)got, 32l);
    fcntl(blocking.fd, F_SETFL, O_NONBLOCK);
    char path[64], link[64] = {};
    snprintf(path, sizeof path, "/proc/self/fd/%d", in.fd);
    CHECK(readlink(path, link, sizeof link - 1) > 0);
    CHECK_EQ(strcmp(link, "anon_inode:inotify"), 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", in.fd);
    char info[1000] = {};
    int fd = open(path, O_RDONLY);
    CHECK(read(fd, info, sizeof info - 1) > 0);
    close(fd);
    CHECK(strstr(info, "inotify wd:1 ino:") != nullptr);
    CHECK(strstr(info, " mask:100 ") != nullptr);
    unlink("d/123456789abcdef");
    unlink("d/123456789abcdef0");
    rmdir("d");
}

void test_mounts() {
    mkdir("m", 0755);
    CHECK_EQ(mount("none", "m", "tmpfs", 0, nullptr), 0);
    mkdir("m/d", 0755);
    touch("m/d/file");
    Listener in;
    CHECK_EQ(in.watch("m/d/file", IN_OPEN), 1);
    CHECK_EQ(in.watch("m", IN_OPEN), 2);
    CHECK_EQ(umount("m"), 0); // watches keep nothing busy
    const std::string told = in.told();
    CHECK(told.find("1:unmount 1:ignored") != std::string::npos);
    CHECK(told.find("2:unmount+directory 2:ignored") != std::string::npos);
    CHECK_ERRNO(inotify_rm_watch(in.fd, 1), EINVAL);
    rmdir("m");
}

long setting(const char* name, long fresh = -1) {
    const std::string path = std::string("/proc/sys/fs/inotify/") + name;
    char text[32] = {};
    const int fd = open(path.c_str(), fresh < 0 ? O_RDONLY : O_RDWR);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    if (fresh >= 0) {
        const std::string wanted = std::to_string(fresh) + "\n";
        CHECK_EQ(pwrite(fd, wanted.c_str(), wanted.size(), 0), (ssize_t)wanted.size());
    }
    close(fd);
    return atol(text);
}

void test_limits() {
    CHECK_EQ(setting("max_queued_events"), 16384);
    CHECK_EQ(setting("max_user_instances"), 128);
    CHECK(setting("max_user_watches") >= 8192);
    mkdir("d", 0755);
    touch("d/a");
    const long events = setting("max_queued_events", 5);
    {
        Listener in;
        in.watch("d", IN_OPEN | IN_CLOSE);
        for (int i = 0; i < 4; i++) close(open("d/a", O_RDONLY));
        TOLD(in, "1:open(a) 1:close(a) 1:open(a) 1:close(a) 1:open(a) -1:overflow");
        close(open("d/a", O_RDONLY));
        TOLD(in, "1:open(a) 1:close(a)");
    }
    setting("max_queued_events", events);
    const long watches = setting("max_user_watches", 3);
    const pid_t child = fork();
    if (child == 0) {
        // By a user of its own, who has none yet.
        if (setresuid(12345, 12345, 12345) != 0) _exit(2);
        Listener first, second;
        CHECK_EQ(first.watch("/"), 1);
        CHECK_EQ(second.watch("/"), 1);
        CHECK_EQ(second.watch("/proc"), 2);
        CHECK_ERRNO(first.watch("/dev"), ENOSPC);
        CHECK_EQ(inotify_rm_watch(second.fd, 2), 0);
        CHECK(first.watch("/dev") > 0);
        std::vector<int> instances;
        while (instances.size() < 126) instances.push_back(inotify_init());
        CHECK(instances.back() >= 0);
        CHECK_ERRNO(inotify_init(), EMFILE);
        _exit(check::result());
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    setting("max_user_watches", watches);
    unlink("d/a");
    rmdir("d");
}

/// Four threads make, watch, rename and remove the same few names; what is told of them is what became of them.
void* disturb(void* argument) {
    unsigned state = (unsigned)(unsigned long)argument * 7919 + 1;
    auto pick = [&](unsigned most) { return (state = state * 1103515245 + 12345) / 65536 % most; };
    Listener mine;
    std::vector<int> watches;
    int last = 0;
    for (int i = 0; i < 1500; i++) {
        const std::string name = "d/" + std::to_string(pick(4)), other = "d/" + std::to_string(pick(4));
        switch (pick(7)) {
        case 0:
            close(make(name.c_str()));
            break;
        case 1:
            unlink(name.c_str());
            break;
        case 2:
            rename(name.c_str(), other.c_str());
            break;
        case 3:
            mkdir(name.c_str(), 0755);
            break;
        case 4:
            rmdir(name.c_str());
            break;
        case 5: {
            const int wd = mine.watch(name.c_str(), IN_ALL_EVENTS | (pick(2) ? IN_ONESHOT : 0));
            if (wd > 0) watches.push_back(wd);
            if (wd > last) last = wd;
            break;
        }
        default:
            if (watches.empty()) break;
            inotify_rm_watch(mine.fd, watches.back());
            watches.pop_back();
        }
    }
    // Each tells of its own watches only.
    alignas(inotify_event) static thread_local char buffer[65536];
    ssize_t got;
    while ((got = read(mine.fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const auto& event = *(const inotify_event*)(buffer + at);
            CHECK(event.wd >= 1 && event.wd <= last);
            CHECK(event.len == 0 || strlen(event.name) < event.len);
            at += (ssize_t)(sizeof event + event.len);
        }
    }
    return nullptr;
}

void test_many() {
    mkdir("d", 0755);
    Listener in;
    in.watch("d", IN_CREATE | IN_DELETE | IN_MOVE);
    pthread_t threads[4];
    for (unsigned long i = 0; i < 4; i++) pthread_create(&threads[i], nullptr, disturb, (void*)i);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    // The names that the events leave are the names that are there.
    bool is_there[4] = {};
    alignas(inotify_event) char buffer[4096];
    ssize_t got;
    while ((got = read(in.fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const auto& event = *(const inotify_event*)(buffer + at);
            CHECK(!(event.mask & IN_Q_OVERFLOW));
            if (event.len) is_there[event.name[0] - '0'] = (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0;
            at += (ssize_t)(sizeof event + event.len);
        }
    }
    for (int i = 0; i < 4; i++) {
        const std::string name = "d/" + std::to_string(i);
        CHECK_EQ(access(name.c_str(), F_OK) == 0, is_there[i]);
        unlink(name.c_str());
        rmdir(name.c_str());
    }
    rmdir("d");
    // A thousand watches, ended by the close.
    mkdir("many", 0755);
    Listener thousand;
    for (int i = 0; i < 1000; i++) {
        const std::string name = "many/" + std::to_string(i);
        touch(name.c_str());
        CHECK_EQ(thousand.watch(name.c_str()), i + 1);
    }
    close(thousand.fd);
    thousand.fd = inotify_init1(IN_NONBLOCK);
    for (int i = 0; i < 1000; i++) unlink(("many/" + std::to_string(i)).c_str());
    TOLD(thousand, "");
    rmdir("many");
}

} // namespace

/// Runs it as somebody who is nobody.
void as_nobody(auto action) {
    const pid_t pid = fork();
    if (pid == 0) {
        if (setresuid(65534, 65534, 65534) != 0) _exit(1);
        _exit(action() ? 0 : 2);
    }
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/// A change by somebody else takes the set-user-ID bit away, which is a change of its own.
void test_lost_privileges() {
    chmod(".", 0755);
    mkdir("lost", 0755);
    Listener in;
    CHECK_EQ(in.watch("lost"), 1);
    touch("lost/file");
    const auto again = [&] {
        CHECK_EQ(chmod("lost/file", 04777), 0);
        in.told();
    };
    again();
    as_nobody([] {
        const int fd = open("lost/file", O_RDWR);
        return fd >= 0 && write(fd, "12345", 5) == 5;
    });
    TOLD(in, "1:open(file) 1:attrib(file) 1:modify(file) 1:closew(file)");
    again();
    as_nobody([] { return truncate("lost/file", 2) == 0; });
    TOLD(in, "1:modify+attrib(file)");
    again();
    as_nobody([] { return open("lost/file", O_RDWR | O_TRUNC) >= 0; });
    TOLD(in, "1:open(file) 1:modify+attrib(file) 1:closew(file)");
    again();
    as_nobody([] {
        const int fd = open("lost/file", O_RDWR);
        return fd >= 0 && fallocate(fd, 0, 0, 100) == 0;
    });
    TOLD(in, "1:open(file) 1:attrib(file) 1:modify(file) 1:closew(file)");
    unlink("lost/file");
    rmdir("lost");
}

int main() {
    umask(022);
    test_files();
    test_lost_privileges();
    test_names();
    test_both_ends();
    test_splices();
    test_watches();
    test_reading();
    test_mounts();
    test_limits();
    test_many();
    return check::result();
}
