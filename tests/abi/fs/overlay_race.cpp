// Four threads that open, write, rename, remove and make the same names of an overlay, each of which lies in the lower
// layer. Whatever they do, each file is whole, the work directory is left empty, and the lower layer as it was.
// timeout: 180
#include "overlay.hpp"

#include <pthread.h>

using namespace overlay;

namespace {

constexpr int names = 12, threads = 4, rounds = 400;
constexpr size_t length = 20000;
char contents[length];
std::atomic<int> bad{0};

void path_of(char* path, const char* layer, int number) { snprintf(path, 40, "%s/d%d/f%d", layer, number % 3, number); }

/// All of one byte, or empty for a moment where it was truncated.
void check_whole(int file) {
    static thread_local char text[length + 1];
    const ssize_t count = pread(file, text, sizeof text, 0);
    if (count != 0 && count != ssize_t(length)) ++bad;
    for (ssize_t i = 1; i < count; ++i)
        if (text[i] < 'a' || text[i] > 'z') {
            ++bad;
            break;
        }
}

void* work(void* argument) {
    const auto self = reinterpret_cast<long>(argument);
    unsigned state = unsigned(self) * 7919 + 1;
    const auto pick = [&](unsigned below) { return (state = state * 1103515245 + 12345) / 65536 % below; };
    char path[40], other[40];
    for (int i = 0; i < rounds; ++i) {
        path_of(path, "m", int(pick(names)));
        path_of(other, "m", int(pick(names)));
        int file = -1;
        switch (pick(8)) {
        case 0:
        case 1:
            if ((file = open(path, O_RDWR)) >= 0) {
                char byte = char('a' + pick(26));
                if (pwrite(file, &byte, 1, long(pick(length))) != 1 && errno != ENOSPC) ++bad;
            }
            break;
        case 2:
            if ((file = open(path, O_RDONLY)) >= 0) check_whole(file);
            break;
        case 3:
            if (rename(path, other) != 0 && errno != ENOENT) ++bad;
            break;
        case 4:
            if (unlink(path) != 0 && errno != ENOENT) ++bad;
            break;
        case 5: {
            // A new one comes whole, by a name of its own.
            char fresh[40];
            snprintf(fresh, sizeof fresh, "m/d0/new%ld", self);
            file = open(fresh, O_CREAT | O_RDWR | O_EXCL, 0644);
            if (file < 0 || write(file, contents, length) != ssize_t(length) || rename(fresh, path) != 0) ++bad;
            break;
        }
        case 6:
            if (chmod(path, 0600 + pick(64)) != 0 && errno != ENOENT) ++bad;
            break;
        default: {
            struct stat status;
            if (stat(path, &status) == 0 ? status.st_size != long(length) : errno != ENOENT) ++bad;
            DIR* const all = opendir("m/d1");
            if (!all) ++bad;
            while (all && readdir(all)) {
            }
            if (all) closedir(all);
        }
        }
        if (file >= 0) close(file);
    }
    return nullptr;
}

void run(const char* options) {
    REQUIRE(mount_with(options) == 0);
    pthread_t all[threads];
    for (long i = 0; i < threads; ++i) REQUIRE(pthread_create(&all[i], nullptr, work, reinterpret_cast<void*>(i)) == 0);
    for (const pthread_t thread : all) pthread_join(thread, nullptr);
    CHECK_EQ(bad.exchange(0), 0);
    for (int i = 0; i < names; ++i) {
        char path[40];
        path_of(path, "m", i);
        const int file = open(path, O_RDONLY);
        if (file < 0) continue;
        check_whole(file);
        close(file);
        path_of(path, "l1", i);
        CHECK_EQ(status_of(path).st_size, long(length));
    }
    CHECK_EQ(bad.exchange(0), 0);
    DIR* const rest = opendir("w/work");
    REQUIRE(rest);
    while (const dirent* entry = readdir(rest)) {
        char path[300];
        snprintf(path, sizeof path, "w/work/%s", entry->d_name);
        if (entry->d_name[0] != '.') CHECK(is_whiteout(path)); // Linux keeps one
    }
    closedir(rest);
    CHECK_OK(umount("m"));
    empty("u"), empty("w");
}

} // namespace

int main() {
    begin();
    need();
    memset(contents, 'x', sizeof contents);
    for (int i = 0; i < 3; ++i) {
        char path[40];
        snprintf(path, sizeof path, "l1/d%d", i);
        CHECK_OK(mkdir(path, 0755));
    }
    for (int i = 0; i < names; ++i) {
        char path[40];
        path_of(path, "l1", i);
        const int file = open(path, O_CREAT | O_WRONLY, 0644);
        CHECK_EQ(write(file, contents, length), ssize_t(length));
        close(file);
    }
    run("lowerdir=l1:l2,upperdir=u,workdir=w");
    // Two deep.
    CHECK_OK(mkdir("m1", 0755));
    CHECK_OK(mount_with("lowerdir=l1:l2", "m1"));
    run("lowerdir=m1:l3,upperdir=u,workdir=w");
    CHECK_OK(umount("m1"));
    CHECK_OK(chdir("/"));
    return check::result();
}
