#include "guest.hpp"

#include "command_words.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace guest {
namespace {

constexpr const char* port_name = "org.linnet.agent";
constexpr const char* modules_list = "/.linnet/modules/list";
constexpr int port_wait_ms = 10000;
constexpr int port_step_ms = 2;
constexpr int root_wait_ms = 3000;
constexpr int root_step_ms = 10;
constexpr int kill_wait_ms = 5000; // how long killed processes may take to go
constexpr const char* new_root = "/.linnet/root";

bool root_is_on_disk = false;

void sleep_ms(int milliseconds) {
    timespec step = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&step, nullptr);
}

void mount_one(const char* type, const char* where, mode_t mode, unsigned long flags, const char* options) {
    mkdir(where, mode);
    // EBUSY: somebody mounted it before us, which is as good.
    if (mount(type, where, type, flags, options) != 0 && errno != EBUSY) complain(where, errno);
}

void link_once(const char* target, const char* path) {
    if (symlink(target, path) != 0 && errno != EEXIST) complain(path, errno);
}

void load_module(const char* path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        complain(path, errno);
        return;
    }
    if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) complain(path, errno);
    close(fd);
}

// Reads a small file into `text` as a string.
bool read_text(const char* path, char* text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t count = read(fd, text, size - 1);
    close(fd);
    if (count < 0) return false;
    text[count] = 0;
    return true;
}

// The port's device as sysfs names it, else the one that a guest with a single console device has.
void find_port(char* path, size_t size) {
    snprintf(path, size, "/dev/vport0p1");
    DIR* ports = opendir("/sys/class/virtio-ports");
    if (!ports) return;
    while (dirent* entry = readdir(ports)) {
        char file[512], name[64];
        snprintf(file, sizeof file, "/sys/class/virtio-ports/%s/name", entry->d_name);
        if (entry->d_name[0] == '.' || !read_text(file, name, sizeof name)) continue;
        if (strncmp(name, port_name, strlen(port_name)) == 0) snprintf(path, size, "/dev/%s", entry->d_name);
    }
    closedir(ports);
}

// Mounts the device of root=, which a driver may still be about to find.
bool mount_disk(const CommandWords& words) {
    const char* device = words.value("root");
    const char* type = words.value("rootfstype");
    unsigned long flags = words.is_read_only() ? MS_RDONLY : 0;
    mkdir(new_root, 0755);
    for (int waited = 0; waited < root_wait_ms; waited += root_step_ms) {
        if (mount(device, new_root, type ? type : "ext4", flags, words.value("rootflags")) == 0) return true;
        if (errno != ENOENT && errno != ENXIO) break;
        sleep_ms(root_step_ms);
    }
    char what[280];
    snprintf(what, sizeof what, "cannot mount the root %s", device);
    complain(what, errno);
    return false;
}

void make_folders_above(const char* path) {
    char folder[4096];
    for (const char* slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", int(slash - path), path);
        mkdir(folder, 0755);
    }
}

// Takes a mount along into the new root, which on a read-only disk needs the folder to be there.
void move_mount(const char* from) {
    char to[64];
    snprintf(to, sizeof to, "%s%s", new_root, from);
    mkdir(to, 0755);
    if (mount(from, to, nullptr, MS_MOVE, nullptr) != 0) complain(to, errno);
}

} // namespace

void complain(const char* what, int error) {
    char line[256];
    int length = snprintf(line, sizeof line, "linnet-agent: %s: %s\n", what, strerror(error));
    if (length > 0) (void)!write(STDERR_FILENO, line, size_t(length));
}

void mount_file_systems() {
    umask(0);
    mount_one("proc", "/proc", 0555, MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
    mount_one("sysfs", "/sys", 0555, MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
    mount_one("devtmpfs", "/dev", 0755, MS_NOSUID, "mode=0755");
    mount_one("devpts", "/dev/pts", 0755, MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
    mount_one("tmpfs", "/dev/shm", 01777, MS_NOSUID | MS_NODEV, "mode=1777");
    mkdir("/tmp", 01777);
    mkdir("/run", 0755);
    link_once("/proc/self/fd", "/dev/fd");
    link_once("/proc/self/fd/0", "/dev/stdin");
    link_once("/proc/self/fd/1", "/dev/stdout");
    link_once("/proc/self/fd/2", "/dev/stderr");
    umask(022);
}

void load_modules() {
    char list[4096];
    if (!read_text(modules_list, list, sizeof list)) return;
    char* rest = list;
    while (char* name = strsep(&rest, "\n")) {
        char path[256];
        snprintf(path, sizeof path, "/.linnet/modules/%s", name);
        if (*name) load_module(path);
    }
}

int open_port() {
    char path[280];
    for (int waited = 0; waited < port_wait_ms; waited += port_step_ms) {
        find_port(path, sizeof path);
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0) return fd;
        sleep_ms(port_step_ms);
    }
    complain(path, errno);
    return -1;
}

int mount_share(const char* tag, const char* path, bool read_only) {
    make_folders_above(path);
    mkdir(path, 0755);
    const char* options = "trans=virtio,version=9p2000.L,msize=131072,cache=mmap";
    return mount(tag, path, "9p", read_only ? MS_RDONLY : 0, options) == 0 ? 0 : errno;
}

int write_file(const char* path, mode_t mode, bool append, std::span<const uint8_t> contents) {
    make_folders_above(path);
    // A new file, not new contents: a program that is still running must not keep us from replacing it.
    if (!append) unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), mode);
    if (fd < 0) return errno;
    int error = fchmod(fd, mode) == 0 ? 0 : errno;
    while (!error && !contents.empty()) {
        ssize_t written = write(fd, contents.data(), contents.size());
        if (written < 0 && errno != EINTR) error = errno;
        if (written > 0) contents = contents.subspan(size_t(written));
    }
    close(fd);
    return error;
}

bool enter_root_on_disk() {
    CommandWords words;
    if (!words.value("root")) return true;
    if (!mount_disk(words)) return false;
    for (const char* place : {"/proc", "/sys", "/dev"}) move_mount(place);
    if (chdir(new_root) != 0 || mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || chroot(".") != 0) {
        complain(new_root, errno);
        return false;
    }
    root_is_on_disk = true;
    mount_one("tmpfs", "/run", 0755, MS_NOSUID | MS_NODEV, "mode=755");
    mkdir("/tmp", 01777);
    return true;
}

void execute_own_init(char** arguments) {
    CommandWords words;
    const char* program = words.value("init");
    if (!program) return;
    arguments[0] = const_cast<char*>(program);
    execv(program, arguments);
    complain(program, errno);
}

void kill_all() {
    kill(-1, SIGKILL);
    for (int waited = 0; waited < kill_wait_ms;) {
        pid_t pid = waitpid(-1, nullptr, WNOHANG | __WALL);
        if (pid < 0 && errno == ECHILD) return;
        if (pid != 0) continue;
        sleep_ms(1);
        waited++;
    }
}

void power_off() {
    sync();
    if (root_is_on_disk) {
        kill_all();
        if (chdir("/") != 0 || mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0)
            complain("the root stays mounted for writing", errno);
    }
    reboot(RB_POWER_OFF);
    complain("power off", errno);
    for (;;) pause();
}

} // namespace guest
