// /proc/locks and the lines "lock:" of /proc/PID/fdinfo/N (proc_locks(5), proc_pid_fdinfo(5)): record locks, those of
// open files, flock(2)'s and leases, who waits for them, and a thousand of them while four threads lock and unlock.
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <set>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <thread>
#include <vector>

#include "asleep.hpp"
#include "proc_text.hpp"

namespace {

std::string text_of(const char* path) {
    std::string text;
    char piece[4096];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    for (ssize_t got; (got = read(fd, piece, sizeof piece)) > 0;) text.append(piece, size_t(got));
    close(fd);
    return text;
}

/// "MAJOR:MINOR:INODE", as the lines name a file.
std::string name_of(int fd) {
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    char name[64];
    snprintf(name, sizeof name, "%02x:%02x:%lu", major(status.st_dev), minor(status.st_dev),
             static_cast<unsigned long>(status.st_ino));
    return name;
}

/// The lines of /proc/locks about a file without their numbers, those of who waits too; also those about nothing
/// ("<none>"), which belong to whom they follow.
std::vector<std::string> lines_about(int fd) {
    const std::string all = text_of("/proc/locks"), name = name_of(fd) + " ";
    std::vector<std::string> found;
    bool ours = false;
    for (size_t at = 0, end; (end = all.find('\n', at)) != std::string::npos; at = end + 1) {
        const std::string line = all.substr(at, end - at);
        const size_t colon = line.find(": ");
        CHECK(colon != std::string::npos && strtoul(line.c_str(), nullptr, 10) > 0);
        if (line.find("<none>") == std::string::npos) ours = line.find(name) != std::string::npos;
        if (ours) found.push_back(line.substr(colon + 2));
    }
    return found;
}

std::string line(const char* kind, int process, int fd, const char* range) {
    return std::string(kind) + " " + std::to_string(process) + " " + name_of(fd) + " " + range;
}

std::set<std::string> set_about(int fd) {
    const auto lines = lines_about(fd);
    return {lines.begin(), lines.end()};
}

/// What follows "lock:" in the descriptor's file of /proc, without the numbers.
std::vector<std::string> descriptor_lines(int fd) {
    const std::string all = text_of(("/proc/self/fdinfo/" + std::to_string(fd)).c_str());
    std::vector<std::string> found;
    for (size_t at = 0; (at = all.find("lock:\t", at)) != std::string::npos;) {
        const size_t begin = all.find(": ", at) + 2, end = all.find('\n', at);
        found.push_back(all.substr(begin, end - begin));
        at = end;
    }
    return found;
}

int lock(int fd, int command, short type, off_t start, off_t length) {
    struct flock wanted = {};
    wanted.l_type = type;
    wanted.l_whence = SEEK_SET;
    wanted.l_start = start;
    wanted.l_len = length;
    return fcntl(fd, command, &wanted);
}

int fresh_file(const char* name) {
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    return fd;
}

/// A child that has asked for something and sleeps.
template <typename F>
pid_t waiting_child(F ask) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        ask();
        for (;;) pause();
    }
    CHECK(check::wait_asleep(child));
    return child;
}

void test_records() {
    const int fd = fresh_file("records"), pid = getpid();
    CHECK(lines_about(fd).empty());
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 10, 5));
    CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 50, 0));
    CHECK(set_about(fd) == (std::set{line("POSIX  ADVISORY  WRITE", pid, fd, "10 14"),
                                     line("POSIX  ADVISORY  READ", pid, fd, "50 EOF")}));
    CHECK(descriptor_lines(fd) == (std::vector{line("POSIX  ADVISORY  WRITE", pid, fd, "10 14"),
                                               line("POSIX  ADVISORY  READ", pid, fd, "50 EOF")}));

    // One who waits stands behind the lock that it waits for.
    const pid_t writer = waiting_child([&] { (void)lock(fd, F_SETLKW, F_WRLCK, 0, 20); });
    const pid_t reader = waiting_child([&] { (void)lock(fd, F_SETLKW, F_RDLCK, 12, 1); });
    const auto lines = lines_about(fd);
    CHECK_EQ(lines.size(), 4u);
    size_t holder = 0;
    for (size_t i = 0; i < lines.size(); ++i)
        if (lines[i] == line("POSIX  ADVISORY  WRITE", pid, fd, "10 14")) holder = i;
    std::set<std::string> waiting;
    for (size_t i = holder + 1; i < lines.size() && i <= holder + 2; ++i) {
        const size_t arrow = lines[i].find("-> "); // further to the right behind one who waits, too
        CHECK(arrow != std::string::npos);
        waiting.insert(lines[i].substr(arrow + 3));
    }
    CHECK(waiting == (std::set{line("POSIX  ADVISORY  WRITE", writer, fd, "0 19"),
                               line("POSIX  ADVISORY  READ", reader, fd, "12 12")}));
    CHECK_EQ(descriptor_lines(fd).size(), 2u);
    check::end_child(writer);
    check::end_child(reader);
    CHECK_EQ(lines_about(fd).size(), 2u);

    // The part in the middle given up makes two of one.
    CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 12, 1));
    CHECK_EQ(lines_about(fd).size(), 3u);
    CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    CHECK(lines_about(fd).empty());
    CHECK(descriptor_lines(fd).empty());
    close(fd);
}

void test_open_files() {
    const int fd = fresh_file("open-file");
    CHECK_OK(lock(fd, F_OFD_SETLK, F_WRLCK, 3, 0));
    CHECK(lines_about(fd) == std::vector{line("OFDLCK ADVISORY  WRITE", -1, fd, "3 EOF")});
    CHECK(descriptor_lines(fd) == lines_about(fd));
    const int other = open("open-file", O_RDWR | O_CLOEXEC);
    CHECK(descriptor_lines(other).empty());
    const pid_t child = waiting_child([&] {
        const int own = open("open-file", O_RDWR);
        close(fd); // it is the parent's
        (void)lock(own, F_OFD_SETLKW, F_RDLCK, 0, 10);
    });
    CHECK(lines_about(fd) == (std::vector{line("OFDLCK ADVISORY  WRITE", -1, fd, "3 EOF"),
                                          "-> " + line("OFDLCK ADVISORY  READ", -1, fd, "0 9")}));
    // It gets the lock once this one goes with its file.
    const int watch = open("open-file", O_RDONLY | O_CLOEXEC);
    close(fd);
    CHECK(check::eventually(
        [&] { return lines_about(watch) == std::vector{line("OFDLCK ADVISORY  READ", -1, watch, "0 9")}; }));
    check::end_child(child);
    CHECK(lines_about(watch).empty());
    close(watch);
    close(other);
}

void test_whole_files() {
    const int fd = fresh_file("whole"), pid = getpid();
    CHECK_OK(flock(fd, LOCK_EX));
    CHECK(lines_about(fd) == std::vector{line("FLOCK  ADVISORY  WRITE", pid, fd, "0 EOF")});
    CHECK(descriptor_lines(fd) == lines_about(fd));
    const pid_t child = waiting_child([] { (void)flock(open("whole", O_RDONLY), LOCK_SH); });
    CHECK(lines_about(fd) == (std::vector{line("FLOCK  ADVISORY  WRITE", pid, fd, "0 EOF"),
                                          "-> " + line("FLOCK  ADVISORY  READ", child, fd, "0 EOF")}));
    CHECK_OK(flock(fd, LOCK_SH));
    CHECK(check::eventually([&] {
        return set_about(fd) == std::set{line("FLOCK  ADVISORY  READ", pid, fd, "0 EOF"),
                                         line("FLOCK  ADVISORY  READ", child, fd, "0 EOF")};
    }));
    check::end_child(child);
    CHECK_OK(flock(fd, LOCK_UN));
    CHECK(lines_about(fd).empty());
    close(fd);
}

void test_leases() {
    signal(SIGIO, SIG_IGN);
    close(fresh_file("leased"));
    const int fd = open("leased", O_RDONLY | O_CLOEXEC), pid = getpid();
    CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    CHECK(lines_about(fd) == std::vector{line("LEASE  ACTIVE    READ", pid, fd, "0 EOF")});
    CHECK(descriptor_lines(fd) == lines_about(fd));
    const pid_t child = waiting_child([] { (void)open("leased", O_WRONLY); });
    const auto lines = lines_about(fd);
    CHECK_EQ(lines.size(), 2u);
    CHECK(lines.size() == 2 && lines[0] == line("LEASE  BREAKING  UNLCK", pid, fd, "0 EOF"));
    CHECK(lines.size() == 2 && lines[1] == "-> LEASE  BREAKER   WRITE " + std::to_string(child) + " <none>:0 0 EOF");
    CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    CHECK(lines_about(fd).empty());
    check::end_child(child);
    close(fd);
}

/// A thousand locks of a file, and a hundred files with one, each told once while others come and go.
void test_many() {
    const int fd = fresh_file("many");
    for (int i = 0; i < 1000; ++i) CHECK_OK(lock(fd, F_SETLK, F_WRLCK, i * 10L, 5));
    std::vector<int> files;
    for (int i = 0; i < 100; ++i) {
        files.push_back(fresh_file(("many-" + std::to_string(i)).c_str()));
        CHECK_OK(flock(files.back(), LOCK_EX));
    }
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&stop, i] {
            const std::string name = "busy-" + std::to_string(i % 2); // two for each file
            while (!stop) {
                const int busy = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
                CHECK_OK(flock(busy, LOCK_EX));
                CHECK_OK(lock(busy, F_OFD_SETLKW, F_WRLCK, i, 3));
                close(busy);
                (void)unlink(name.c_str());
            }
        });
    for (int round = 0; round < 20; ++round) {
        // Linux, whose text is made piece by piece, may skip some.
        const size_t seen = set_about(fd).size(), one = lines_about(files[size_t(round)]).size();
        CHECK(seen <= 1000 && (!proc_text::is_linnet() || (seen == 1000 && one == 1)));
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    CHECK_EQ(descriptor_lines(fd).size(), 1000u);
    for (const int file : files) close(file);
    close(fd);
}

} // namespace

int main() {
    test_records();
    test_open_files();
    test_whole_files();
    test_leases();
    test_many();
    return check::result();
}
