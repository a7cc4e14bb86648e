// ioprio_set(2) and ioprio_get(2): of threads, process groups and users.
#include <sys/syscall.h>

#include "asleep.hpp"

namespace {

enum Which { process = 1, group = 2, user = 3 };
constexpr int best_effort(int level) { return 2 << 13 | level; }
constexpr int real_time(int level) { return 1 << 13 | level; }
constexpr int idle = 3 << 13;
constexpr uid_t nobody = 65534, somebody = 23456;

int get(int which, int who) { return int(syscall(SYS_ioprio_get, which, who)); }
int set(int which, int who, int priority) { return int(syscall(SYS_ioprio_set, which, who, priority)); }

pid_t sleeper(pid_t pgid, uid_t uid = 0) {
    const pid_t pid = fork();
    if (pid == 0) {
        if (uid != 0 && setuid(uid) != 0) _exit(1);
        for (;;) pause();
    }
    CHECK_OK(setpgid(pid, pgid));
    CHECK(check::wait_asleep(pid));
    return pid;
}

void end(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
}

void test_errors() {
    for (int which : {-1, 0, 4}) {
        CHECK_ERRNO(get(which, 0), EINVAL);
        CHECK_ERRNO(set(which, 0, best_effort(4)), EINVAL);
    }
    for (int which : {process, group, user}) {
        CHECK_ERRNO(set(which, 0, 4 << 13), EINVAL);
        CHECK_ERRNO(set(which, 0, 1), EINVAL); // a level without a class
        CHECK_ERRNO(get(which, 0x3fffffff), ESRCH);
        CHECK_ERRNO(set(which, 0x3fffffff, best_effort(4)), ESRCH);
    }
}

void test_group() {
    const pid_t first = sleeper(0), second = sleeper(first), other = sleeper(0);
    CHECK_OK(set(process, other, best_effort(7)));
    CHECK_OK(set(group, first, best_effort(5)));
    for (pid_t pid : {first, second}) CHECK_EQ(get(process, pid), best_effort(5));
    CHECK_EQ(get(process, other), best_effort(7));
    CHECK_EQ(get(group, first), best_effort(5));
    // The highest of them speaks for the group.
    CHECK_OK(set(process, second, best_effort(2)));
    CHECK_EQ(get(group, first), best_effort(2));
    CHECK_OK(set(process, first, idle));
    CHECK_EQ(get(group, first), best_effort(2));
    CHECK_OK(set(process, first, real_time(7)));
    CHECK_EQ(get(group, first), real_time(7));
    // Whoever may not be changed ends it.
    check::run_in_child([&] {
        CHECK_OK(setuid(nobody));
        CHECK_ERRNO(set(group, first, best_effort(3)), EPERM);
        CHECK_ERRNO(set(process, first, best_effort(3)), EPERM);
        CHECK_ERRNO(set(process, 0, real_time(3)), EPERM);
        CHECK_OK(set(process, 0, idle));
        CHECK_EQ(get(group, first), real_time(7));
    });
    // One's own group.
    check::run_in_child([] {
        CHECK_OK(setpgid(0, 0));
        CHECK_OK(set(group, 0, best_effort(6)));
        CHECK_EQ(get(process, 0), best_effort(6));
        CHECK_EQ(get(group, 0), best_effort(6));
    });
    for (pid_t pid : {first, second, other}) end(pid);
    CHECK_ERRNO(get(group, first), ESRCH);
}

void test_user() {
    CHECK_ERRNO(get(user, somebody), ESRCH);
    const pid_t first = sleeper(0, somebody), second = sleeper(0, somebody), other = sleeper(0);
    CHECK_OK(set(process, other, best_effort(7)));
    CHECK_OK(set(user, somebody, best_effort(5)));
    for (pid_t pid : {first, second}) CHECK_EQ(get(process, pid), best_effort(5));
    CHECK_EQ(get(process, other), best_effort(7));
    CHECK_OK(set(process, second, best_effort(1)));
    CHECK_EQ(get(user, somebody), best_effort(1));
    check::run_in_child([&] {
        CHECK_OK(setuid(somebody));
        // 0 is root here, not oneself.
        CHECK_ERRNO(set(user, 0, best_effort(6)), EPERM);
        CHECK_OK(set(user, somebody, best_effort(6)));
        for (pid_t pid : {0, first, second}) CHECK_EQ(get(process, pid), best_effort(6));
        CHECK_ERRNO(set(user, 0x7ffffff, best_effort(6)), ESRCH);
    });
    CHECK_EQ(get(process, other), best_effort(7));
    for (pid_t pid : {first, second, other}) end(pid);
}

} // namespace

int main() {
    test_errors();
    test_group();
    test_user();
    return check::result();
}
