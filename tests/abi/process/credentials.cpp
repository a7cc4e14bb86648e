// setuid(2) and its family, capabilities, RLIMIT_NPROC. As root.
#include <csignal>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

template <typename F>
static void in_child(F function) {
    pid_t child = fork();
    if (child == 0) {
        function();
        _exit(check::result());
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

struct CapabilityHeader {
    unsigned version;
    int pid;
};
struct CapabilityData {
    unsigned effective, permitted, inheritable;
};

static CapabilityData capabilities() {
    CapabilityHeader header = {0x20080522, 0};
    CapabilityData data[2] = {};
    CHECK_OK(syscall(SYS_capget, &header, data));
    return data[0];
}

int main() {
    in_child([] {
        gid_t groups[] = {7, 5};
        CHECK_OK(setgroups(2, groups));
        gid_t got[4];
        CHECK_EQ(getgroups(4, got), 2);
        CHECK_ERRNO(getgroups(1, got), EINVAL);
        CHECK_OK(setgid(1000));
        CHECK_OK(setuid(1000));
        uid_t real, effective, saved;
        CHECK_OK(getresuid(&real, &effective, &saved));
        CHECK(real == 1000 && effective == 1000 && saved == 1000);
        CHECK_ERRNO(setuid(0), EPERM);
        CHECK_ERRNO(setgroups(0, groups), EPERM);
        CHECK_EQ(capabilities().permitted, 0u);
        CHECK_ERRNO(kill(1, SIGTERM), EPERM);
        CHECK_ERRNO(sethostname("x", 1), EPERM);
    });
    in_child([] {
        // The saved id leads back.
        CHECK_OK(seteuid(1000));
        CHECK_EQ(getuid(), 0u);
        CHECK_EQ(capabilities().effective, 0u);
        CHECK_NE(capabilities().permitted, 0u);
        CHECK_OK(seteuid(0));
        CHECK_NE(capabilities().effective, 0u);
        CHECK_EQ(setfsuid(1000), 0);
        CHECK_EQ(setfsuid(uid_t(-1)), 1000);
        CHECK_OK(setreuid(1000, uid_t(-1)));
        CHECK_EQ(getuid(), 1000u);
        CHECK_EQ(geteuid(), 0u);
    });
    in_child([] {
        CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
        CHECK_OK(setuid(1000));
        CHECK_NE(capabilities().permitted, 0u);
        CHECK_EQ(capabilities().effective, 0u);
        CHECK_EQ(prctl(PR_CAPBSET_READ, 5), 1);
        CHECK_ERRNO(prctl(PR_CAPBSET_READ, 100), EINVAL);
    });
    in_child([] {
        rlimit limit = {5, 5};
        CHECK_OK(setrlimit(RLIMIT_NPROC, &limit));
        CHECK_OK(setuid(54321));
        pid_t children[10];
        int made = 0, error = 0;
        while (made < 10) {
            pid_t child = fork();
            if (child == 0)
                for (;;) pause();
            if (child < 0) {
                error = errno;
                break;
            }
            children[made++] = child;
        }
        CHECK_EQ(error, EAGAIN);
        CHECK_EQ(made, 4);
        for (int i = 0; i < made; i++) {
            kill(children[i], SIGKILL);
            CHECK_EQ(waitpid(children[i], nullptr, 0), children[i]);
        }
        pid_t child = fork(); // there is room again
        if (child == 0) _exit(0);
        CHECK_EQ(waitpid(child, nullptr, 0), child);
    });
    return check::result();
}
