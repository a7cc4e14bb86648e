// What files and descriptors cost, in instructions under -icount, else in nanoseconds.
//
//   fs DIRECTORY [PREFIX]     the calls about files, in that directory; PREFIX before the names of the rows
//   fs --descriptors          poll(2), epoll(7), eventfd(2), pipes and Unix sockets
//   fs --program NAME ARG…    one program from fork(2) to its end, twice, of which the second time counts
//
// A MiB is what the rows of bandwidth are told for.
#include <array>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "measure.hpp"

namespace {

using measuring::least;
using measuring::must;
using measuring::report;

constexpr const char* deep = "d1/d2/d3/d4/d5/d6/d7/file";
constexpr size_t mib = 1 << 20;
constexpr int big_mib = 64;
alignas(4096) char block[64 << 10];

std::string prefix;

template <typename Body>
void measure(const char* name, int count, Body body) {
    report((prefix + name).c_str(), least(count, [&](int times) {
               for (int i = 0; i < times; i++) body();
           }));
}

void make_file(const char* path, size_t size) {
    const int fd = open(path, O_CREAT | O_WRONLY, 0644);
    must(fd >= 0 && write(fd, block, size) == ssize_t(size), path);
    close(fd);
}

void prepare(const char* directory) {
    must(chdir(directory) == 0, directory);
    for (const char* at = deep; (at = strchr(at, '/')); at++) mkdir(std::string(deep, at).c_str(), 0755);
    make_file(deep, 4096);
    mkdir("thousand", 0755);
    for (int i = 0; i < 1000; i++) make_file(("thousand/" + std::to_string(i)).c_str(), 0);
}

void list_thousand() {
    DIR* directory = opendir("thousand");
    int count = 0;
    while (readdir(directory)) count++;
    closedir(directory);
    must(count == 1002, "thousand");
}

void write_whole(int fd, size_t size) {
    for (size_t done = 0; done < size; done += sizeof block)
        must(pwrite(fd, block, sizeof block, off_t(done)) == sizeof block, "pwrite");
}

void read_whole(int fd, size_t size) {
    for (size_t done = 0; done < size; done += sizeof block)
        must(pread(fd, block, sizeof block, off_t(done)) == sizeof block, "pread");
}

void measure_files(const char* directory) {
    prepare(directory);
    struct stat info;
    measure("open+close", 1000, [] { close(open(deep, O_RDONLY)); });
    measure("stat", 1000, [&] { must(stat(deep, &info) == 0, deep); });
    measure("stat-missing", 1000, [&] { must(stat("d1/none", &info) != 0, deep); });
    measure("fstat-by-path-of-1", 1000, [&] { must(stat("d1", &info) == 0, deep); });
    measure("create+unlink", 500, [] {
        close(open("new", O_CREAT | O_WRONLY, 0644));
        must(unlink("new") == 0, "new");
    });
    measure("mkdir+rmdir", 500, [] {
        must(mkdir("newdir", 0755) == 0, "newdir");
        must(rmdir("newdir") == 0, "newdir");
    });
    measure("rename", 500, [] { must(rename(deep, "r") == 0 && rename("r", deep) == 0, "rename"); });
    measure("readdir-1000", 5, list_thousand);
    int fd = open(deep, O_RDWR);
    measure("read-4k", 1000, [&] { must(pread(fd, block, 4096, 0) == 4096, "pread"); });
    measure("write-4k", 1000, [&] { must(pwrite(fd, block, 4096, 0) == 4096, "pwrite"); });
    close(fd);

    fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0644);
    const double fresh = least(1, [&](int) {
        must(ftruncate(fd, 0) == 0, "ftruncate");
        write_whole(fd, big_mib * mib);
    });
    report((prefix + "write-new-1m").c_str(), fresh / big_mib);
    report((prefix + "write-1m").c_str(), least(1, [&](int) { write_whole(fd, big_mib * mib); }) / big_mib);
    report((prefix + "read-1m").c_str(), least(1, [&](int) { read_whole(fd, big_mib * mib); }) / big_mib);
    close(fd);
    unlink("big");
}

/// Bytes from one process to another, which reads all of them; the cost of a MiB.
template <typename Make>
double bandwidth(Make make) {
    constexpr size_t total = 16 * mib;
    return least(1,
                 [&](int) {
                     std::array<int, 2> ends; // to read from, to write to
                     make(ends.data());
                     const pid_t child = fork();
                     if (child == 0) {
                         for (size_t left = total; left > 0; left -= sizeof block)
                             must(write(ends[1], block, sizeof block) == sizeof block, "write");
                         _exit(0);
                     }
                     for (size_t left = total; left > 0;) {
                         const ssize_t got = read(ends[0], block, sizeof block);
                         must(got > 0, "read");
                         left -= size_t(got);
                     }
                     must(waitpid(child, nullptr, 0) == child, "waitpid");
                     close(ends[0]), close(ends[1]);
                 }) /
           (total / mib);
}

/// A byte there and back between two processes.
template <typename Make>
double round_trip(Make make) {
    int there[2], back[2];
    make(there), make(back);
    const pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        for (char byte; read(there[0], &byte, 1) == 1;) must(write(back[1], &byte, 1) == 1, "write");
        _exit(0);
    }
    close(there[0]);
    const double cost = least(500, [&](int times) {
        for (char byte = 0; times > 0; times--)
            must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "round trip");
    });
    close(there[1]), close(back[0]), close(back[1]);
    must(waitpid(child, nullptr, 0) == child, "waitpid");
    return cost;
}

void make_pipe(int* ends) { must(pipe(ends) == 0, "pipe"); }
void make_sockets(int* ends) { must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair"); }

void measure_descriptors() {
    constexpr int many = 1000, hundred = 100;
    std::vector<int> events(many);
    const int set = epoll_create1(0);
    for (int& fd : events) {
        must((fd = eventfd(0, EFD_NONBLOCK)) >= 0, "eventfd");
        epoll_event interest = {.events = EPOLLIN, .data = {.fd = fd}};
        must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &interest) == 0, "epoll_ctl");
    }
    std::vector<pollfd> polled(hundred);
    for (int i = 0; i < hundred; i++) polled[size_t(i)] = {events[size_t(i)], POLLIN, 0};
    measure("poll-100", 500, [&] { must(poll(polled.data(), hundred, 0) == 0, "poll"); });

    uint64_t one = 1, value;
    measure("eventfd", 1000,
            [&] { must(write(events[0], &one, 8) == 8 && read(events[0], &value, 8) == 8, "eventfd"); });
    // Ten of a thousand become ready, are told and emptied.
    std::array<epoll_event, 64> ready;
    measure("epoll-1000", 200, [&] {
        for (size_t i = 0; i < many; i += 100) must(write(events[i], &one, 8) == 8, "write");
        const int count = epoll_wait(set, ready.data(), int(ready.size()), 0);
        must(count == 10, "epoll_wait");
        for (int i = 0; i < count; i++) must(read(ready[size_t(i)].data.fd, &value, 8) == 8, "read");
    });
    measure("dup+close", 1000, [&] { close(dup(events[0])); });
    for (const int fd : events) close(fd);
    close(set);

    report("pipe", round_trip(make_pipe));
    report("socket", round_trip(make_sockets));
    report("pipe-1m", bandwidth(make_pipe));
    report("socket-1m", bandwidth(make_sockets));
}

void measure_program(const char* name, char** words) {
    double last = 0;
    for (int turn = 0; turn < 2; turn++) {
        const uint64_t start = counter::now();
        const pid_t child = fork();
        if (child == 0) {
            const int null = open("/dev/null", O_RDWR);
            dup2(null, 0), dup2(null, 1);
            execvp(words[0], words);
            perror(words[0]);
            _exit(127);
        }
        int status;
        must(waitpid(child, &status, 0) == child, "waitpid");
        last = counter::units(counter::now() - start);
        if (status != 0) {
            fprintf(stderr, "%s: wait status %#x\n", words[0], unsigned(status));
            exit(1);
        }
    }
    report(name, last);
}

} // namespace

int main(int argc, char** argv) {
    const std::string_view first = argc > 1 ? argv[1] : "/tmp";
    if (first == "--descriptors") {
        measure_descriptors();
    } else if (first == "--program" && argc > 3) {
        measure_program(argv[2], argv + 3);
    } else {
        if (argc > 2) prefix = argv[2];
        measure_files(argc > 1 ? argv[1] : "/tmp");
    }
    return 0;
}
