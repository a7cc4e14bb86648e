// /proc/PID/syscall (proc_pid_syscall(5)): threads that sleep in calls, run, are stopped in their own code, have ended.
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asleep.hpp"
#include "check.hpp"

using namespace check;

namespace {

struct Shown {
    int fields = 0;
    long number = -2;
    unsigned long values[8] = {};
    std::string text;
};

Shown look(pid_t pid) {
    Shown shown;
    char text[256] = {};
    const int file = open(("/proc/" + std::to_string(pid) + "/syscall").c_str(), O_RDONLY);
    CHECK(file >= 0);
    const ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    CHECK(length > 0);
    shown.text = text;
    unsigned long* v = shown.values;
    shown.fields = sscanf(text, "%ld 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx\n", &shown.number, v, v + 1, v + 2,
                          v + 3, v + 4, v + 5, v + 6, v + 7);
    CHECK(text[length - 1] == '\n');
    return shown;
}

void in_a_call() {
    int ends[2];
    CHECK_OK(pipe(ends));
    static char buffer[7];
    const pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        syscall(SYS_read, ends[0], buffer, sizeof buffer, 0x1111, 0x2222, 0x123456789abcdef);
        _exit(0);
    }
    CHECK(wait_asleep(child));
    const Shown shown = look(child);
    CHECK_EQ(shown.fields, 9);
    CHECK_EQ(shown.number, long(SYS_read));
    const unsigned long wanted[] = {(unsigned long)ends[0], (unsigned long)buffer, sizeof buffer, 0x1111, 0x2222,
                                    0x123456789abcdef};
    for (int i = 0; i < 6; ++i) CHECK_EQ(shown.values[i], wanted[i]);
    CHECK(shown.values[6] != 0 && shown.values[7] != 0);
    close(ends[0]), close(ends[1]);
    waitpid(child, nullptr, 0);
}

void in_its_own_code() {
    auto* const begun = shared<std::atomic<int>>();
    const pid_t child = fork();
    if (child == 0) {
        begun->store(1);
        for (;;) asm volatile("");
    }
    while (begun->load() == 0) sched_yield();
    bool seen = false;
    for (int i = 0; i < 1000 && !seen; ++i) seen = look(child).text == "running\n";
    CHECK(seen);
    kill(child, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(eventually([&] { return look(child).text != "running\n"; }));
    const Shown shown = look(child);
    CHECK_EQ(shown.fields, 3);
    CHECK_EQ(shown.number, -1);
    CHECK(shown.values[0] != 0 && shown.values[1] != 0);
    kill(child, SIGKILL);
    siginfo_t info;
    CHECK_OK(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT));
    CHECK(look(child).text == "-1 0x0 0x0\n");
    waitpid(child, nullptr, 0);
}

void of_oneself() {
    const Shown shown = look(getpid());
    CHECK_EQ(shown.fields, 9);
    CHECK_EQ(shown.number, long(SYS_read));
    CHECK_EQ(shown.values[2], 255ul);
}

void of_others() {
    const pid_t child = fork();
    if (child == 0) {
        if (setuid(12345) != 0) _exit(9);
        errno = 0;
        _exit(open(("/proc/" + std::to_string(getppid()) + "/syscall").c_str(), O_RDONLY) < 0 && errno == EACCES ? 0
                                                                                                                 : 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/// One that sleeps and wakes all the time: each line is one or the other, whole.
void while_it_changes() {
    const pid_t child = fork();
    if (child == 0)
        for (;;) syscall(SYS_ppoll, nullptr, 0, &(const timespec&)timespec{0, 1000}, nullptr, 8, 0x77);
    for (int i = 0; i < 3000; ++i) {
        const Shown shown = look(child);
        if (shown.text == "running\n" || shown.number == -1) continue;
        CHECK_EQ(shown.fields, 9);
        if (shown.number == SYS_ppoll) CHECK_EQ(shown.values[5], 0x77ul);
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

} // namespace

int main() {
    in_a_call();
    in_its_own_code();
    of_oneself();
    of_others();
    while_it_changes();
    return result();
}
