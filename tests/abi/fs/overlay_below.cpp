// Layers that are changed while they are shown, which Linux calls undefined but harmless: folders, files and marks
// come, go and change their kind under three threads that use the overlay. Afterwards all can be unmounted, and new
// overlays show what is there. timeout: 180
#include "overlay.hpp"

#include <pthread.h>

using namespace overlay;

namespace {

constexpr int rounds = 300;
std::atomic<bool> is_over{false};

unsigned next(unsigned& state) { return (state = state * 1103515245 + 12345) / 65536; }

void name_in(char* path, const char* layer, unsigned& state) {
    if (next(state) % 3)
        snprintf(path, 40, "%s/d%u/n%u", layer, next(state) % 3, next(state) % 6);
    else
        snprintf(path, 40, "%s/d%u", layer, next(state) % 3);
}

/// All that can be done to a name in a layer.
void meddle(unsigned& state) {
    const char* const layers[] = {"u", "l1", "l2", "w/work"};
    char path[40], other[40];
    name_in(path, layers[next(state) % 4], state);
    name_in(other, layers[next(state) % 4], state);
    const char* const values[] = {"y", "x", "d0", "/d1", "/d2/n1", "..", "/"};
    const char* const marks[] = {"trusted.overlay.opaque",   "trusted.overlay.redirect", "trusted.overlay.origin",
                                 "trusted.overlay.whiteout", "trusted.overlay.metacopy", "trusted.overlay.impure"};
    const char* const value = values[next(state) % 7];
    switch (next(state) % 10) {
    case 0:
    case 1:
        mkdir(path, 0755);
        break;
    case 2:
        rmdir(path);
        break;
    case 3:
        unlink(path);
        break;
    case 4:
        mknod(path, S_IFCHR, 0);
        break;
    case 5:
    case 6: {
        const int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
        if (file < 0) break;
        CHECK(write(file, path, strlen(path)) >= 0);
        close(file);
        break;
    }
    case 7:
        rename(path, other);
        break;
    case 8:
        symlink("nowhere", path); // not anywhere outside: who uses it changes what it leads to
        break;
    default:
        lsetxattr(path, marks[next(state) % 6], value, strlen(value), 0);
        if (next(state) % 4 == 0) lremovexattr(path, marks[next(state) % 6]);
    }
}

void* use(void* argument) {
    auto state = unsigned(reinterpret_cast<long>(argument));
    char path[40], other[40], text[64];
    while (!is_over) {
        name_in(path, "m", state);
        name_in(other, "m", state);
        struct stat status;
        switch (next(state) % 9) {
        case 0:
            stat(path, &status);
            break;
        case 1:
            names_in(path);
            break;
        case 2:
            unlink(path);
            break;
        case 3:
            rmdir(path);
            break;
        case 4:
            mkdir(path, 0755);
            break;
        case 5:
            rename(path, other);
            break;
        case 6:
            chmod(path, 0700 + next(state) % 64);
            break;
        case 7:
            link(path, other);
            break;
        default: {
            const int file = open(path, O_RDWR | O_CREAT | O_NONBLOCK, 0644);
            if (file < 0) break;
            if (write(file, "mine", 4) >= 0) pread(file, text, sizeof text, 0);
            fstat(file, &status);
            close(file);
        }
        }
    }
    return nullptr;
}

void use_and_meddle(unsigned seed) {
    is_over = false;
    pthread_t users[3];
    for (long i = 0; i < 3; ++i)
        REQUIRE(pthread_create(&users[i], nullptr, use, reinterpret_cast<void*>(i + 10 * seed)) == 0);
    unsigned state = seed;
    for (int i = 0; i < rounds; ++i) meddle(state);
    is_over = true;
    for (const pthread_t user : users) pthread_join(user, nullptr);
}

} // namespace

int main() {
    begin();
    need();
    for (unsigned turn = 1; turn <= 6; ++turn) {
        char options[100];
        snprintf(options, sizeof options, "lowerdir=l1:l2,upperdir=u,workdir=w%s", turn % 2 ? "" : ",redirect_dir=on");
        REQUIRE(mount_with(options) == 0);
        use_and_meddle(turn);
        CHECK_OK(umount("m"));
    }
    for (const char* folder : {"u", "w", "l1", "l2"}) empty(folder);
    removexattr("u", "trusted.overlay.impure");
    write_file("l1/file", "text");
    mount_usual();
    write_file("m/file", "new");
    CHECK_STREQ(text_of("u/file"), "new");
    CHECK_STREQ(names_in("m"), "file");
    CHECK_OK(umount("m"));
    CHECK_OK(chdir("/"));
    return check::result();
}
