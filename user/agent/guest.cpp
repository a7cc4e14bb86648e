#include "guest.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace guest {
namespace {

constexpr const char* port_name = "org.linnet.agent";
constexpr const char* modules_list = "/.linnet/modules/list";
constexpr int port_wait_ms = 10000;
constexpr int port_step_ms = 2;

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
        timespec step = {0, port_step_ms * 1000000L};
        nanosleep(&step, nullptr);
    }
    complain(path, errno);
    return -1;
}

int write_file(const char* path, mode_t mode, bool append, std::span<const uint8_t> contents) {
    char folder[4096];
    for (const char* slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", int(slash - path), path);
        mkdir(folder, 0755);
    }
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

void power_off() {
    sync();
    reboot(RB_POWER_OFF);
    complain("power off", errno);
    for (;;) pause();
}

} // namespace guest
