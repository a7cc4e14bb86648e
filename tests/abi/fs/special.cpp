// The nodes of /dev and the files of /proc and /sys that procps, BusyBox and the C library read: what is in them is
// well formed and agrees with what the calls say.
#include <cinttypes>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "asleep.hpp"

using namespace check;

namespace {

std::string contents(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY);
    if (fd < 0) {
        failed(__FILE__, __LINE__, (path + ": " + strerror(errno)).c_str());
        return {};
    }
    std::string all;
    char block[777]; // an odd size: reads continue where they ended
    ssize_t count;
    while ((count = read(fd, block, sizeof block)) > 0) all.append(block, size_t(count));
    if (count < 0) failed(__FILE__, __LINE__, (path + ": reading: " + strerror(errno)).c_str());
    close(fd);
    return all;
}

/// The text after `name` up to the line's end.
std::string field(const std::string& text, const std::string& name) {
    size_t at = text.rfind(name, 0) == 0 ? 0 : text.find("\n" + name);
    if (at == std::string::npos) {
        failed(__FILE__, __LINE__, ("no line " + name).c_str());
        return {};
    }
    at += name.size() + (at != 0 || text[0] == '\n');
    while (text[at] == '\t' || text[at] == ' ') ++at;
    return text.substr(at, text.find('\n', at) - at);
}

void same(int line, const std::string& seen, const std::string& wanted) {
    if (seen != wanted) failed(__FILE__, line, ("seen \"" + seen + "\", wanted \"" + wanted + "\"").c_str());
}

long number(const std::string& text, const std::string& name) { return atol(field(text, name).c_str()); }

void device(const char* name, unsigned major_number, unsigned minor_number, mode_t mode) {
    struct stat info = {};
    if (!CHECK_OK(stat(name, &info))) return;
    if (S_ISCHR(info.st_mode) && major(info.st_rdev) == major_number && minor(info.st_rdev) == minor_number &&
        (info.st_mode & 0777) == mode)
        return;
    char text[100];
    snprintf(text, sizeof text, "%s: mode %o, device %u:%u", name, info.st_mode, major(info.st_rdev),
             minor(info.st_rdev));
    failed(__FILE__, __LINE__, text);
}

void devices() {
    device("/dev/null", 1, 3, 0666);
    device("/dev/zero", 1, 5, 0666);
    device("/dev/full", 1, 7, 0666);
    device("/dev/random", 1, 8, 0666);
    device("/dev/urandom", 1, 9, 0666);
    device("/dev/tty", 5, 0, 0666);
    device("/dev/console", 5, 1, 0600);
    device("/dev/ptmx", 5, 2, 0666);
    device("/dev/kmsg", 1, 11, 0644);
    char buffer[4096];
    int fd = open("/dev/null", O_RDWR);
    CHECK_EQ(read(fd, buffer, sizeof buffer), 0);
    CHECK_EQ(write(fd, buffer, sizeof buffer), ssize_t(sizeof buffer));
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 0);
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    memset(buffer, 1, sizeof buffer);
    CHECK_EQ(read(fd, buffer, sizeof buffer), ssize_t(sizeof buffer));
    for (char byte : buffer) CHECK_EQ(int(byte), 0);
    for (int kind : {MAP_PRIVATE, MAP_SHARED}) {
        auto* memory = (volatile char*)mmap(nullptr, 4096, PROT_READ | PROT_WRITE, kind, fd, 0);
        CHECK_NE((void*)memory, MAP_FAILED);
        CHECK_EQ(int(memory[100]), 0);
        memory[100] = 1;
        munmap((void*)memory, 4096);
    }
    close(fd);
    fd = open("/dev/full", O_RDWR);
    CHECK_EQ(read(fd, buffer, 10), 10);
    CHECK_ERRNO(write(fd, buffer, 10), ENOSPC);
    close(fd);
    fd = open("/dev/urandom", O_RDWR);
    uint64_t one[4] = {}, other[4] = {};
    CHECK_EQ(read(fd, one, sizeof one), ssize_t(sizeof one));
    CHECK_EQ(read(fd, other, sizeof other), ssize_t(sizeof other));
    CHECK_NE(memcmp(one, other, sizeof one), 0);
    CHECK_EQ(write(fd, one, sizeof one), ssize_t(sizeof one));
    close(fd);
    for (const char* name : {"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"}) {
        struct stat info;
        if (lstat(name, &info) == 0) CHECK(S_ISLNK(info.st_mode));
    }
    // A node of one's own reaches the same driver; an unknown one is ENXIO.
    CHECK_OK(mknod("special.zero", S_IFCHR | 0600, makedev(1, 5)));
    fd = open("special.zero", O_RDONLY);
    CHECK_EQ(read(fd, buffer, 10), 10);
    close(fd);
    unlink("special.zero");
    CHECK_OK(mknod("special.none", S_IFCHR | 0600, makedev(240, 77)));
    CHECK_ERRNO(open("special.none", O_RDONLY), ENXIO);
    unlink("special.none");
}

void own_process() {
    const std::string status = contents("/proc/self/status");
    CHECK_EQ(number(status, "Pid:"), getpid());
    CHECK_EQ(number(status, "Tgid:"), getpid());
    CHECK_EQ(number(status, "PPid:"), getppid());
    CHECK_EQ(number(status, "Uid:"), long(getuid()));
    CHECK_EQ(number(status, "Threads:"), 1);
    CHECK_EQ(field(status, "State:")[0], 'R');
    same(__LINE__, field(status, "Name:"), std::string(program_invocation_short_name).substr(0, 15));
    CHECK_GT(number(status, "VmRSS:"), 0);
    CHECK_GE(number(status, "VmSize:"), number(status, "VmRSS:"));
    sigset_t set = set_of(SIGUSR1, SIGRTMIN), old;
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(SIGUSR2, SIG_IGN);
    handle(SIGHUP, [](int) {});
    raise(SIGUSR1);
    const std::string signals = contents("/proc/self/status");
    CHECK_EQ(strtoull(field(signals, "SigPnd:").c_str(), nullptr, 16), 1ull << (SIGUSR1 - 1));
    CHECK_EQ(strtoull(field(signals, "SigBlk:").c_str(), nullptr, 16), 1ull << (SIGUSR1 - 1) | 1ull << (SIGRTMIN - 1));
    CHECK_EQ(strtoull(field(signals, "SigIgn:").c_str(), nullptr, 16) & (1ull << (SIGUSR2 - 1)), 1ull << (SIGUSR2 - 1));
    CHECK_EQ(strtoull(field(signals, "SigCgt:").c_str(), nullptr, 16) & 1, 1ull);
    signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_SETMASK, &old, nullptr);
    for (int signo : {SIGUSR1, SIGUSR2, SIGHUP}) signal(signo, SIG_DFL);

    // /proc/PID/stat: 52 fields.
    const std::string stat = contents("/proc/self/stat");
    int pid = 0, parent = 0, group = 0, session = 0;
    char state = 0;
    CHECK_EQ(sscanf(stat.c_str(), "%d (%*[^)]) %c %d %d %d", &pid, &state, &parent, &group, &session), 5);
    CHECK_EQ(pid, getpid());
    CHECK_EQ(state, 'R');
    CHECK_EQ(parent, getppid());
    CHECK_EQ(group, getpgrp());
    CHECK_EQ(session, getsid(0));
    int fields = 1;
    for (char c : stat.substr(stat.rfind(')'))) fields += c == ' ';
    CHECK_EQ(fields + 1, 52);
    CHECK_EQ(stat.back(), '\n');
    long size = 0, resident = 0;
    CHECK_EQ(sscanf(contents("/proc/self/statm").c_str(), "%ld %ld", &size, &resident), 2);
    CHECK(size >= resident && resident > 0);
    CHECK_EQ(contents("/proc/self/comm").back(), '\n');
    CHECK_EQ(contents("/proc/self/cmdline").back(), '\0');
    char link[256] = {}, directory[256] = {};
    CHECK(readlink("/proc/self/cwd", link, sizeof link - 1) > 0);
    CHECK_STREQ(link, getcwd(directory, sizeof directory));
    CHECK(readlink("/proc/self", link, sizeof link) > 0);
    CHECK_EQ(atoi(link), getpid());
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    CHECK_EQ(rlim_t(number(contents("/proc/self/limits"), "Max open files")), limit.rlim_cur);
}

void other_processes() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    const std::string base = "/proc/" + std::to_string(child);
    CHECK(wait_asleep(child));
    same(__LINE__, field(contents(base + "/status"), "State:"), "S (sleeping)");
    bool listed = false;
    DIR* processes = opendir("/proc");
    while (dirent* entry = readdir(processes)) listed |= atoi(entry->d_name) == child;
    closedir(processes);
    CHECK(listed);
    const int directory = open(base.c_str(), O_RDONLY | O_DIRECTORY);
    const int file = openat(directory, "stat", O_RDONLY);
    kill(child, SIGKILL);
    CHECK(eventually([&] { return thread_state(child) == 'Z'; }));
    CHECK_EQ(contents(base + "/cmdline").size(), 0u);
    waitpid(child, nullptr, 0);
    char byte;
    CHECK_ERRNO(read(file, &byte, 1), ESRCH);
    CHECK_EQ(openat(directory, "status", O_RDONLY), -1);
    struct stat info;
    CHECK_ERRNO(stat(base.c_str(), &info), ENOENT);
    close(file), close(directory);
}

void system_files() {
    const std::string memory = contents("/proc/meminfo");
    struct sysinfo info;
    CHECK_OK(sysinfo(&info));
    CHECK_EQ(number(memory, "MemTotal:"), long(info.totalram * info.mem_unit / 1024));
    CHECK_GT(number(memory, "MemFree:"), 0);
    CHECK_GE(number(memory, "MemTotal:"), number(memory, "MemAvailable:"));
    for (const char* name : {"Buffers:", "Cached:", "SwapTotal:", "SwapFree:", "Shmem:", "Slab:", "SReclaimable:"})
        field(memory, name);
    const std::string stat = contents("/proc/stat");
    CHECK_EQ(stat.rfind("cpu ", 0), 0u);
    long user = 0, nice = 0, system = 0, idle = 0;
    CHECK_EQ(sscanf(stat.c_str(), "cpu %ld %ld %ld %ld", &user, &nice, &system, &idle), 4);
    CHECK_GT(user + system + idle, 0);
    int cpus = 0;
    for (size_t at = 0; (at = stat.find("\ncpu", at)) != std::string::npos; ++at) ++cpus;
    CHECK_EQ(cpus, int(sysconf(_SC_NPROCESSORS_ONLN)));
    CHECK_GT(number(stat, "btime"), 0);
    CHECK_GT(number(stat, "processes"), 0);
    CHECK_GT(number(stat, "ctxt"), 0);
    double up = 0, idle_time = 0;
    CHECK_EQ(sscanf(contents("/proc/uptime").c_str(), "%lf %lf", &up, &idle_time), 2);
    CHECK(up > 0 && up - double(info.uptime) < 10);
    double one = -1, five = -1, fifteen = -1;
    int running = 0, tasks = 0, last = 0;
    CHECK_EQ(sscanf(contents("/proc/loadavg").c_str(), "%lf %lf %lf %d/%d %d", &one, &five, &fifteen, &running, &tasks,
                    &last),
             6);
    CHECK(one >= 0 && running >= 1 && tasks >= running && last > 0);
    utsname name;
    uname(&name);
    CHECK_EQ(contents("/proc/version").rfind(std::string(name.sysname) + " version " + name.release, 0), 0u);
    same(__LINE__, contents("/proc/sys/kernel/osrelease"), std::string(name.release) + "\n");
    CHECK(contents("/proc/filesystems").find("\ttmpfs\n") != std::string::npos);
    CHECK(contents("/proc/mounts").find(" /proc proc ") != std::string::npos);
    CHECK(contents("/proc/self/mountinfo").find(" - proc ") != std::string::npos);
    CHECK(contents("/proc/cpuinfo").find("processor") != std::string::npos);
    CHECK(contents("/proc/devices").rfind("Character devices:", 0) == 0);
    CHECK_GT(atoi(contents("/proc/sys/kernel/pid_max").c_str()), 300);
    same(__LINE__, contents("/proc/sys/kernel/hostname"), std::string(name.nodename) + "\n");
    same(__LINE__, contents("/sys/devices/system/cpu/online").substr(0, 1), "0");
}

/// df: what statfs says of a tmpfs follows what is written to it.
void file_system_sizes() {
    CHECK_OK(mkdir("special.fs", 0700));
    CHECK_OK(mount("none", "special.fs", "tmpfs", 0, "size=1m,nr_inodes=100"));
    struct statfs before, after;
    CHECK_OK(statfs("special.fs", &before));
    CHECK_EQ(before.f_type, 0x01021994);
    CHECK_EQ(uint64_t(before.f_blocks) * uint64_t(before.f_bsize), 1u << 20);
    CHECK_EQ(before.f_files, 100u);
    const int fd = open("special.fs/f", O_RDWR | O_CREAT, 0600);
    static char block[256 * 1024];
    CHECK_EQ(write(fd, block, sizeof block), ssize_t(sizeof block));
    CHECK_OK(statfs("special.fs", &after));
    CHECK_EQ(uint64_t(before.f_bfree - after.f_bfree) * uint64_t(before.f_bsize), sizeof block);
    CHECK_EQ(before.f_ffree - after.f_ffree, 1u);
    for (int i = 0; i < 2; ++i) CHECK_EQ(write(fd, block, sizeof block), ssize_t(sizeof block));
    static char rest[512 * 1024];
    CHECK_EQ(write(fd, rest, sizeof rest), ssize_t(sizeof block)); // as much as fits
    CHECK_ERRNO(write(fd, rest, 1), ENOSPC);
    CHECK_OK(statfs("special.fs", &after));
    CHECK_EQ(after.f_bfree, 0u);
    CHECK_OK(ftruncate(fd, 0));
    CHECK_OK(statfs("special.fs", &after));
    CHECK_EQ(after.f_bfree, before.f_bfree);
    close(fd);
    CHECK_OK(umount("special.fs"));
    CHECK_OK(rmdir("special.fs"));
    CHECK_OK(statfs("/proc", &before));
    CHECK_EQ(before.f_type, 0x9fa0);
    CHECK_OK(statfs("/dev/pts", &before));
    CHECK_EQ(before.f_type, 0x1cd1);
    CHECK_OK(statfs("/sys", &before));
    CHECK_EQ(before.f_type, 0x62656572);
}

/// By which the C library sizes its buffers, so that it is seen in how programs read.
void block_sizes() {
    struct stat status;
    CHECK_OK(stat("/proc/filesystems", &status));
    CHECK_EQ(status.st_blksize, 1024);
    CHECK_OK(stat("/proc/self/status", &status));
    CHECK_EQ(status.st_blksize, 1024);
    CHECK_OK(stat("/dev/pts/ptmx", &status));
    CHECK_EQ(status.st_blksize, 1024);
    CHECK_OK(stat("/sys/kernel", &status));
    CHECK_EQ(status.st_blksize, sysconf(_SC_PAGESIZE));
}

} // namespace

int main() {
    devices();
    own_process();
    other_processes();
    system_files();
    file_system_sizes();
    block_sizes();
    return result();
}
