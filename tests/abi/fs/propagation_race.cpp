// Four threads mount, bind, move, change kinds, unmount and walk in one shared tree at once. Nothing hangs, every errno
// is one that such calls may give, and in the end all is as it was. timeout: 180
#include "check.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr const char* base = "/tmp/propagation-race";
constexpr int places = 4;
std::atomic<bool> stop{false};
std::atomic<unsigned long> succeeded[8];

unsigned long next_random(unsigned long& state) {
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return state >> 33;
}

// A place up to three mounts deep.
void choose_place(unsigned long& random, char* path, size_t size) {
    int length = snprintf(path, size, "%s/m%lu", base, next_random(random) % places);
    for (unsigned long depth = next_random(random) % 3; depth > 0; depth--)
        length += snprintf(path + length, size - length, "/m%lu", next_random(random) % places);
}

bool is_expected(int error) {
    for (int one : {ENOENT, EBUSY, EINVAL, ENOTDIR, ELOOP, EAGAIN, ENOSPC})
        if (error == one) return true;
    return false;
}

int make_mount(const char* path) {
    int result = mount("race", path, "tmpfs", 0, "size=64k");
    char folder[256];
    if (result == 0)
        for (int i = 0; i < places; i++) {
            snprintf(folder, sizeof folder, "%s/m%d", path, i);
            mkdir(folder, 0755);
        }
    return result;
}

int change_kind(const char* path, unsigned long& random) {
    constexpr unsigned long kinds[] = {MS_SHARED, MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE};
    unsigned long recursive = next_random(random) % 2 ? MS_REC : 0;
    return mount(nullptr, path, nullptr, kinds[next_random(random) % 5] | recursive, nullptr);
}

int walk(const char* path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    char back[300];
    snprintf(back, sizeof back, "%s/../../.", path);
    const int result = access(back, F_OK);
    const int error = errno;
    close(fd);
    errno = error;
    return result;
}

int read_mountinfo() {
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    static thread_local char text[65536];
    while (read(fd, text, sizeof text) > 0) continue;
    return close(fd);
}

void* worker(void* argument) {
    auto random = (unsigned long)argument;
    char path[256], other[256];
    while (!stop) {
        choose_place(random, path, sizeof path);
        choose_place(random, other, sizeof other);
        const unsigned long what = next_random(random) % 8;
        int result = 0;
        errno = 0;
        switch (what) {
        case 0:
            result = make_mount(path);
            break;
        case 1:
            result = mount(path, other, nullptr, MS_BIND | (next_random(random) % 2 ? MS_REC : 0), nullptr);
            break;
        case 2:
            result = mount(path, other, nullptr, MS_MOVE, nullptr);
            break;
        case 3:
            result = change_kind(path, random);
            break;
        case 4:
            result = umount2(path, next_random(random) % 4 ? 0 : MNT_EXPIRE);
            break;
        case 5:
            result = umount2(path, MNT_DETACH);
            break;
        case 6:
            result = walk(path);
            break;
        default:
            result = next_random(random) % 8 ? walk(other) : read_mountinfo();
            break;
        }
        if (result == 0)
            succeeded[what]++;
        else if (!is_expected(errno))
            CHECK_EQ(errno, 0);
    }
    return nullptr;
}

// Somebody makes and removes the folder that others mount on: what is mounted has a place, and keeps it.
constexpr const char* fleeting = "/tmp/propagation-race/fleeting";
std::atomic<unsigned long> removed{0}, mounted{0}, came_late{0};

void* make_and_remove(void*) {
    while (!stop) {
        mkdir(fleeting, 0755);
        const int error = rmdir(fleeting) == 0 ? 0 : errno;
        if (error == 0)
            removed++;
        else
            CHECK_EQ(error, EBUSY);
    }
    return nullptr;
}
void* mount_and_unmount(void*) {
    while (!stop) {
        if (mount("fleeting", fleeting, "tmpfs", 0, nullptr) != 0) {
            const int error = errno;
            CHECK_EQ(error, ENOENT);
            came_late++;
            continue;
        }
        mounted++;
        CHECK_EQ(umount2(fleeting, 0), 0);
    }
    return nullptr;
}

void test_removal() {
    pthread_t remover, mounter;
    stop = false;
    CHECK_EQ(pthread_create(&remover, nullptr, make_and_remove, nullptr), 0);
    CHECK_EQ(pthread_create(&mounter, nullptr, mount_and_unmount, nullptr), 0);
    while ((removed < 200 || mounted < 200 || came_late < 200) && check::failures == 0) sched_yield();
    stop = true;
    CHECK_EQ(pthread_join(remover, nullptr), 0);
    CHECK_EQ(pthread_join(mounter, nullptr), 0);
    rmdir(fleeting);
}

void set_limit(int limit) {
    FILE* file = fopen("/proc/sys/fs/mount-max", "we");
    CHECK(file != nullptr && fprintf(file, "%d\n", limit) > 0);
    CHECK_EQ(fclose(file), 0);
}

int mounts_now() {
    FILE* file = fopen("/proc/self/mountinfo", "re");
    int lines = 0;
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

} // namespace

int main() {
    const int before = mounts_now();
    CHECK_EQ(mkdir(base, 0755), 0);
    CHECK_EQ(make_mount(base), 0);
    CHECK_EQ(mount(nullptr, base, nullptr, MS_PRIVATE, nullptr), 0);
    CHECK_EQ(mount(nullptr, base, nullptr, MS_SHARED, nullptr), 0);
    test_removal();
    stop = false;
    set_limit(400);
    pthread_t threads[4];
    for (unsigned long i = 0; i < 4; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, worker, (void*)(i + 1)), 0);
    const timespec duration{getenv("LINNET_LONG") ? 60 : 4, 0}; // how long they run, not a wait for anything
    nanosleep(&duration, nullptr);
    stop = true;
    for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
    for (auto& count : succeeded) CHECK(count > 0);
    set_limit(100000);
    // What is there can still be taken apart, from the top of what covers the base downwards.
    while (umount2(base, MNT_DETACH) == 0) continue;
    CHECK_ERRNO(umount2(base, MNT_DETACH), EINVAL);
    CHECK_EQ(mounts_now(), before);
    CHECK_EQ(rmdir(base), 0);
    return check::result();
}
