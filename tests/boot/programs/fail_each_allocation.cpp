// Does one thing after another in a child whose first, second, third … allocation in the kernel fails, until the thing
// needs no more allocations. It must succeed, fail with an errno that says so, or end the child by a signal. Prints a
// line for each thing: how many allocations it makes, in how many of these cases it failed, how many children were
// killed.
#include "memory.hpp"
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

namespace {

using memory::page;
const char* self;
char* touched; // pages that the child shares with its parent
constexpr const char* knob = "/proc/sys/vm/fail_allocations";

bool shared_page() {
    void* place = mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return false;
    static_cast<char*>(place)[page] = 1;
    return munmap(place, 4 * page) == 0;
}
bool private_pages() {
    void* place = mmap(nullptr, 600 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return false;
    auto* bytes = static_cast<char*>(place);
    bytes[0] = bytes[300 * page] = bytes[599 * page] = 1;
    bool done = mprotect(bytes + 10 * page, page, PROT_READ) == 0 && munmap(bytes + 100 * page, page) == 0 &&
                madvise(bytes, 20 * page, MADV_DONTNEED) == 0;
    if (mremap(bytes + 200 * page, 10 * page, 700 * page, MREMAP_MAYMOVE) == MAP_FAILED) done = false;
    return done;
}
bool copies() {
    for (size_t i = 0; i < 8; i++) touched[i * page] = 2;
    return true;
}
bool fork_wait() {
    pid_t child = fork();
    if (child == 0) _exit(0);
    int status;
    return child > 0 && waitpid(child, &status, 0) == child;
}
bool fork_exec() {
    pid_t child = fork();
    if (child == 0) {
        execl(self, self, "--exit", nullptr);
        _exit(0);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child;
}
/// What exec needs is counted in this thread.
bool exec_here() {
    execl(self, self, "--exit", nullptr);
    return false;
}
void* no_work(void*) { return nullptr; }
bool thread() {
    pthread_t made;
    int error = pthread_create(&made, nullptr, no_work, nullptr);
    if (error) return errno = error, false;
    return pthread_join(made, nullptr) == 0;
}
/// Removing may fail too, once.
void remove_all(std::initializer_list<const char*> paths) {
    for (const char* path : paths)
        for (int i = 0; i < 3 && remove(path) != 0 && errno != ENOENT; i++) {
        }
}
bool folders() {
    int error = 0;
    auto note = [&](bool done) {
        if (!done && !error) error = errno;
    };
    note(mkdir("/tmp/failing", 0700) == 0);
    int fd = open("/tmp/failing/a", O_CREAT | O_WRONLY, 0600);
    note(fd >= 0);
    close(fd);
    note(symlink("a", "/tmp/failing/b") == 0);
    note(link("/tmp/failing/a", "/tmp/failing/c") == 0);
    note(rename("/tmp/failing/a", "/tmp/failing/d") == 0);
    remove_all({"/tmp/failing/a", "/tmp/failing/b", "/tmp/failing/c", "/tmp/failing/d", "/tmp/failing"});
    return errno = error, error == 0;
}
bool file() {
    char name[] = "/tmp/failing.XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0) return false;
    bool done = write(fd, name, sizeof name) == ssize_t(sizeof name) && ftruncate(fd, off_t(100 * page)) == 0 &&
                pwrite(fd, name, 1, off_t(90 * page)) == 1;
    int saved = errno;
    close(fd);
    remove_all({name});
    return errno = saved, done;
}
bool pipes() {
    int ends[2];
    if (pipe(ends) != 0) return false;
    char block[9000] = {};
    bool done = write(ends[1], block, sizeof block) > 0 && read(ends[0], block, sizeof block) > 0;
    if (fcntl(ends[0], F_SETPIPE_SZ, 1 << 18) < 0) done = false;
    return close(ends[0]), close(ends[1]), done;
}
bool waiting() {
    int one = eventfd(1, 0), two = epoll_create1(0), three = timerfd_create(CLOCK_MONOTONIC, 0);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    int four = signalfd(-1, &set, 0);
    if (one < 0 || two < 0 || three < 0 || four < 0) return false;
    epoll_event event{EPOLLIN, {}};
    pollfd many[40];
    for (auto& entry : many) entry = {one, POLLIN, 0};
    return epoll_ctl(two, EPOLL_CTL_ADD, one, &event) == 0 && epoll_ctl(two, EPOLL_CTL_ADD, three, &event) == 0 &&
           epoll_wait(two, &event, 1, 1000) == 1 && poll(many, 40, 1000) == 40;
}
bool proc_files() {
    char text[4096];
    for (const char* name : {"/proc/self/maps", "/proc/self/status", "/proc/meminfo", "/proc/self/cmdline"}) {
        int fd = open(name, O_RDONLY);
        if (fd < 0) return false;
        ssize_t got = read(fd, text, sizeof text);
        close(fd);
        if (got < 0) return false;
    }
    int fd = open("/proc", O_RDONLY | O_DIRECTORY);
    if (fd < 0) return false;
    bool done = syscall(SYS_getdents64, fd, text, sizeof text) > 0;
    return close(fd), done;
}
bool signals() {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    sigval value{};
    if (sigqueue(getpid(), SIGRTMIN, value) != 0 || kill(getpid(), SIGUSR1) != 0) return false;
    timer_t timer;
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = SIGUSR1;
    return timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
}
bool memory_file() {
    int fd = memfd_create("failing", 0);
    if (fd < 0 || ftruncate(fd, off_t(1000 * page)) != 0) return false;
    void* place = mmap(nullptr, 1000 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void* copy = mmap(nullptr, 1000 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (place == MAP_FAILED || copy == MAP_FAILED) return false;
    static_cast<char*>(place)[0] = static_cast<char*>(place)[900 * page] = 1;
    static_cast<char*>(copy)[0] = static_cast<char*>(copy)[901 * page] = 1;
    return ftruncate(fd, 0) == 0;
}
bool names() {
    char block[5000];
    memset(block, 'n', sizeof block);
    block[sizeof block - 1] = 0;
    open(block, O_RDONLY); // too long
    sigaction(SIGUSR2, nullptr, nullptr);
    int groups = setgroups(0, nullptr);
    return groups == 0 && chdir("/proc/self/fd") == 0 && chdir("/tmp") == 0 && dup2(0, 300) == 300;
}

int mounts_at(const char* place) {
    struct stat above, at;
    char parent[64];
    snprintf(parent, sizeof parent, "%s/..", place);
    if (stat(parent, &above) != 0 || stat(place, &at) != 0) return -1;
    return above.st_dev != at.st_dev;
}
/// A mount in a shared one with a peer and a slave: it shows in all three, or in none.
bool mounts() {
    int error = 0;
    auto note = [&](bool done) {
        if (!done && !error) error = errno;
        return done;
    };
    constexpr const char* top = "/tmp/failing.mounts";
    note(mkdir(top, 0700) == 0);
    bool is_mounted = note(mount("top", top, "tmpfs", 0, nullptr) == 0);
    if (is_mounted && note(mount(nullptr, top, nullptr, MS_PRIVATE, nullptr) == 0)) {
        note(chdir(top) == 0 && mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0 && mkdir("c", 0700) == 0);
        const bool is_family = note(mount("a", "a", "tmpfs", 0, nullptr) == 0) && note(mkdir("a/x", 0700) == 0) &&
                               note(mount(nullptr, "a", nullptr, MS_SHARED, nullptr) == 0) &&
                               note(mount("a", "b", nullptr, MS_BIND, nullptr) == 0) &&
                               note(mount("a", "c", nullptr, MS_BIND, nullptr) == 0) &&
                               note(mount(nullptr, "c", nullptr, MS_SLAVE, nullptr) == 0);
        const bool done = is_family && note(mount("x", "a/x", "tmpfs", 0, nullptr) == 0);
        for (const char* place : {"a/x", "b/x", "c/x"})
            if (is_family && mounts_at(place) == !done) error = EPROTO;
        if (done) note(mount("a", "c/x", nullptr, MS_BIND | MS_REC, nullptr) == 0);
    }
    for (int i = 0; i < 3 && chdir("/tmp") != 0; i++) {
    }
    for (int i = 0; i < 3 && is_mounted && umount2(top, MNT_DETACH) != 0; i++) {
    }
    remove_all({top});
    return errno = error, error == 0;
}

/// Looking may fail too, once.
bool is_there(const char* path) {
    for (int i = 0; i < 3; i++)
        if (access(path, F_OK) == 0) return true;
    return false;
}
bool make_file(const char* path) {
    const int fd = open(path, O_CREAT | O_WRONLY, 0644);
    const bool done = fd >= 0 && write(fd, "text", 4) == 4;
    if (fd >= 0) close(fd);
    return done;
}
/// Each change in an overlay is done or isn't, and nothing is left in its work directory.
bool overlays() {
    int error = 0;
    auto note = [&](bool done) {
        if (!done && !error) error = errno;
        return done;
    };
    constexpr const char* top = "/tmp/failing.overlay";
    note(mkdir(top, 0700) == 0);
    const bool is_mounted = note(mount("top", top, "tmpfs", 0, nullptr) == 0);
    if (is_mounted && note(chdir(top) == 0)) {
        for (const char* folder : {"l", "u", "w", "m", "l/d"}) note(mkdir(folder, 0700) == 0);
        for (const char* name : {"l/f", "l/g", "l/d/x"}) note(make_file(name));
        const bool is_whole = error == 0;
        const bool has_overlay =
            note(mount("o", "m", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w,redirect_dir=on") == 0);
        if (is_whole && has_overlay) {
            note(chmod("m/f", 0600) == 0);
            const bool moved = note(rename("m/f", "m/f2") == 0);
            if (is_there("m/f") == moved || is_there("m/f2") != moved) error = EPROTO;
            const bool removed = note(unlink("m/g") == 0);
            if (is_there("m/g") == removed) error = EPROTO;
            if (removed) note(mkdir("m/g", 0700) == 0);
            note(link("m/f2", "m/f3") == 0);
            const bool renamed = note(rename("m/d", "m/e") == 0);
            if (is_there("m/d/x") == renamed || is_there("m/e/x") != renamed) error = EPROTO;
            const int folder = open("m", O_RDONLY | O_DIRECTORY);
            char entries[2000];
            note(folder >= 0 && syscall(SYS_getdents64, long(folder), entries, sizeof entries) > 0);
            if (folder >= 0) close(folder);
            for (int i = 0; i < 3 && umount("m") != 0; i++) {
            }
        } else if (has_overlay) {
            umount("m");
        }
    }
    for (int i = 0; i < 3 && chdir("/tmp") != 0; i++) {
    }
    for (int i = 0; i < 3 && is_mounted && umount2(top, MNT_DETACH) != 0; i++) {
    }
    remove_all({top});
    return errno = error, error == 0;
}

struct Thing {
    const char* name;
    bool (*act)();
};
constexpr Thing things[] = {
    {"shared memory", shared_page},
    {"private memory", private_pages},
    {"copies", copies},
    {"fork", fork_wait},
    {"fork and exec", fork_exec},
    {"exec", exec_here},
    {"thread", thread},
    {"file", file},
    {"folders", folders},
    {"pipes", pipes},
    {"waiting", waiting},
    {"proc", proc_files},
    {"signals", signals},
    {"memory file", memory_file},
    {"names", names},
    {"mounts", mounts},
    {"overlays", overlays},
};

bool set_knob(const char* text) {
    int fd = open(knob, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == ssize_t(strlen(text));
    close(fd);
    return done;
}

/// What is left of the countdown, by a descriptor that was open before.
unsigned left(int fd) {
    char text[300] = {};
    if (pread(fd, text, sizeof text - 1, 0) <= 0) return 0;
    const char* line = strstr(text, "nth ");
    return line ? unsigned(atoi(line + 4)) : 0;
}

enum Outcome { Succeeded, Failed, NotReached, Wrong };

[[noreturn]] void be_child(const Thing& thing, unsigned nth) {
    char text[40];
    snprintf(text, sizeof text, "all nth=%u", nth);
    int fd = open(knob, O_RDWR);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) _exit(Wrong);
    errno = 0;
    bool done = thing.act();
    int error = errno;
    if (left(fd) > 0) _exit(NotReached);
    if (done) _exit(Succeeded);
    const int allowed[] = {ENOMEM, EAGAIN, ENFILE, ENOSPC, EFAULT, 0};
    for (int one : allowed)
        if (error == one) _exit(Failed);
    printf("%s, allocation %u: errno %d\n", thing.name, nth, error);
    fflush(stdout);
    _exit(Wrong);
}

/// KiB of kernel memory in use, by lines of /proc/meminfo. Not stacks: of those that are free the kernel keeps some,
/// sometimes more, sometimes less.
long kernel_memory() {
    FILE* file = fopen("/proc/meminfo", "r");
    REQUIRE(file);
    char line[100];
    long sum = 0;
    while (fgets(line, sizeof line, file))
        for (const char* name : {"Slab:", "PageTables:", "AnonPages:", "Shmem:", "VmallocUsed:"})
            if (strncmp(line, name, strlen(name)) == 0) sum += atol(line + strlen(name));
    fclose(file);
    return sum;
}

/// The same when those have ended whose parents were killed.
long settled_memory() {
    long least = kernel_memory();
    for (int i = 0; i < 20; i++) {
        usleep(10000);
        least = std::min(least, kernel_memory());
    }
    return least;
}

enum class Say { Counts, Nothing };
int thing_allocations; // of the last sweep

void sweep(const Thing& thing, Say say) {
    int outcomes[4] = {}, killed = 0;
    unsigned nth = 1;
    for (; nth < 3000; nth++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) be_child(thing, nth);
        int status = -1;
        REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status)) {
            killed++;
            continue;
        }
        if (WEXITSTATUS(status) <= Wrong) outcomes[WEXITSTATUS(status)]++;
        CHECK(WEXITSTATUS(status) < Wrong);
        // A program that was executed can't tell.
        if (WEXITSTATUS(status) == NotReached || (thing.act == exec_here && nth == 120)) break;
    }
    CHECK(nth < 3000);
    thing_allocations = int(nth);
    if (say == Say::Counts)
        printf("%s: %u allocations, %d failures, %d killed\n", thing.name, nth - 1, outcomes[Failed], killed);
}

/// KiB that `times` sweeps, or as many children of which nothing is asked but to do the thing, leave behind.
long left_behind(const Thing& thing, int times, bool with_failures) {
    long before = settled_memory();
    for (int i = 0; i < times; i++)
        if (with_failures)
            sweep(thing, Say::Nothing);
        else
            for (int j = 0; j < thing_allocations; j++) {
                pid_t child = fork();
                if (child == 0) be_child(thing, 1u << 30);
                REQUIRE(child > 0 && waitpid(child, nullptr, 0) == child);
            }
    return settled_memory() - before;
}

/// What a failure leaves behind adds up. Caches grow too, of names for instance: a success shows by how much.
void look_for_leaks(const Thing& thing, int times) {
    left_behind(thing, 3, true);
    long more = left_behind(thing, times, true), usual = left_behind(thing, times, false);
    printf("%s: %ld KiB more after %d sweeps, %ld without failures\n", thing.name, more, times, usual);
    CHECK_LT(more, usual + (64 + times) * long(page / 4096)); // slabs are of whole pages
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) return 0;
    self = arguments[0];
    touched = memory::map(8 * page);
    for (size_t i = 0; i < 8; i++) touched[i * page] = 1;
    for (const Thing& thing : things) sweep(thing, Say::Counts);
    for (const Thing& thing : things) look_for_leaks(thing, memory::long_run() ? 100 : 5);
    CHECK(set_knob("off"));
    CHECK(!set_knob("every=5"));
    CHECK(!set_knob("heap"));
    CHECK(!set_knob("heap every=0"));
    CHECK(!set_knob("heap every=2 nth=2"));
    CHECK(!set_knob("nonsense every=2"));
    return check::result();
}
