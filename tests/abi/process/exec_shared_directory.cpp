// needs-linux: 5.10
// timeout: 120
//
// A program that runs with more rights than its caller must not share its directory context (CLONE_FS) with somebody
// who hasn't got them: who shares it with a task outside of the process gets no rights by execve. While execve looks
// at that, nobody begins to share (clone(2): EAGAIN).
#include <pthread.h>
#include <sched.h>

#include "asleep.hpp"
#include "exec_report.hpp"

using namespace check;
using namespace exec_report;

namespace {

/// A child that shares this process's directory context until the process executes a program or ends.
pid_t sharer() {
    int end[2];
    CHECK_OK(pipe2(end, O_CLOEXEC));
    const pid_t child = pid_t(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
    if (child == 0) {
        close(end[1]);
        char byte;
        _exit(read(end[0], &byte, 1) != 0);
    }
    CHECK(child > 0);
    close(end[0]); // the other one stays open until then
    return child;
}

void become_sharing_user() {
    become_user();
    sharer();
}

/// What stays withheld whatever the file gives: the ids are the user's own, and no capability came.
void check_own_rights(const Report& report, unsigned capabilities = 0) {
    CHECK_EQ(report.error, 0);
    CHECK_EQ(report.uid, 1000u);
    CHECK_EQ(report.euid, 1000u);
    CHECK_EQ(report.suid, 1000u);
    CHECK_EQ(report.fsuid, 1000u);
    CHECK_EQ(report.egid, 1000u);
    CHECK_EQ(report.sgid, 1000u);
    CHECK_EQ(report.permitted, capabilities);
    CHECK_EQ(report.secure, 1u); // it is told to be careful all the same
}

void keep_capabilities(unsigned which) {
    CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
    become_user();
    set_capabilities(which, 0);
}

void set_user_id() {
    give(0, 0, 04755);
    Report report = run(become_sharing_user);
    check_own_rights(report);
    CHECK_EQ(report.effective, 0u);
    CHECK_EQ(report.dumpable, 1);
    report = run([] {
        become_sharing_user();
        CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGURG));
    });
    CHECK_EQ(report.death_signal, 0);
    // An effective id that it had before goes too.
    report = run([] {
        CHECK_OK(setgroups(0, nullptr));
        CHECK_OK(setresgid(1000, 2000, 2000));
        CHECK_OK(setresuid(1000, 2000, 2000));
        sharer();
    });
    check_own_rights(report);
    CHECK_EQ(report.dumpable, 0);
    // It keeps what it has itself …
    report = run([] {
        keep_capabilities(net_raw);
        sharer();
    });
    check_own_rights(report, net_raw);
    CHECK_EQ(report.effective, net_raw);
    // … and becomes another user if it could do so anyway.
    constexpr unsigned setuid_bit = 1u << 7;
    report = run([] {
        keep_capabilities(net_raw | setuid_bit);
        sharer();
    });
    CHECK_EQ(report.euid, 0u);
    CHECK_EQ(report.suid, 0u);
    CHECK_EQ(report.permitted, net_raw | setuid_bit);
    CHECK_EQ(report.effective, net_raw | setuid_bit);
    give(2000, 3000, 06755);
    check_own_rights(run(become_sharing_user));
    report = run([] { sharer(); });
    CHECK_EQ(report.uid, 0u);
    CHECK_EQ(report.euid, 2000u);
    CHECK_EQ(report.egid, 3000u);
    // Without capabilities the superuser gets none by executing a file.
    give(0, 0, 0755);
    report = run([] {
        set_capabilities(net_raw, 0);
        sharer();
    });
    CHECK_EQ(report.permitted, net_raw);
    CHECK_EQ(report.secure, 0u);
}

void capabilities_of_files() {
    give(0, 0, 0755);
    give_capabilities(net_raw | kill_bit, 0, true);
    Report report = run(become_sharing_user);
    check_own_rights(report);
    CHECK_EQ(report.effective, 0u);
    report = run([] {
        keep_capabilities(net_raw);
        sharer();
    });
    check_own_rights(report, net_raw);
    CHECK_EQ(report.effective, net_raw);
    CHECK_EQ(report.dumpable, 1);
    // no_new_privs does the same.
    auto renounced = [] {
        keep_capabilities(net_raw);
        CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    };
    report = run(renounced);
    check_own_rights(report, net_raw);
    CHECK_EQ(report.effective, net_raw);
    give_capabilities(net_raw, 0, false);
    report = run(renounced);
    check_own_rights(report, net_raw);
    CHECK_EQ(report.effective, 0u);
    take_capabilities();
}

void* wait_for_ever(void*) {
    for (;;) pause();
}

/// Sharing with the threads of the process, or with who is gone, takes nothing away.
void harmless_sharing() {
    give(0, 0, 04755);
    CHECK_EQ(run([] {
                 become_user();
                 pthread_t threads[3];
                 for (pthread_t& thread : threads)
                     CHECK_EQ(pthread_create(&thread, nullptr, wait_for_ever, nullptr), 0);
             }).euid,
             0u);
    CHECK_EQ(run([] {
                 become_user();
                 const pid_t child = pid_t(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
                 if (child == 0) _exit(0);
                 CHECK_EQ(waitpid(child, nullptr, 0), child);
             }).euid,
             0u);
    // With both, the outsider counts.
    CHECK_EQ(run([] {
                 become_sharing_user();
                 pthread_t thread;
                 CHECK_EQ(pthread_create(&thread, nullptr, wait_for_ever, nullptr), 0);
             }).euid,
             1000u);
    // Those who look at it by way of /proc are no users.
    CHECK_EQ(run([] {
                 become_user();
                 CHECK(open("/proc/self/cwd", O_PATH) >= 0);
             }).euid,
             0u);
}

/// A script whose interpreter is a script … and at last nothing that could run: long to look at, and all in vain.
void make_failing_chain() {
    for (int number = 0; number < 4; ++number) {
        char name[64], text[64];
        snprintf(name, sizeof name, "%s/chain%d", folder, number);
        const int length = snprintf(text, sizeof text, number < 3 ? "#!%s/chain%d\n" : "nothing", folder, number + 1);
        const int file = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0755);
        CHECK_EQ(write(file, text, size_t(length)), length);
        close(file);
    }
}

/// While a thread executes, no other begins to share: EAGAIN. It can again afterwards.
void no_new_sharers() {
    make_failing_chain();
    static std::atomic<bool> is_over, has_failed;
    is_over = has_failed = false;
    pthread_t executor;
    CHECK_EQ(pthread_create(
                 &executor, nullptr,
                 [](void*) -> void* {
                     char name[64];
                     snprintf(name, sizeof name, "%s/chain0", folder);
                     char* arguments[] = {name, nullptr};
                     while (!is_over) {
                         CHECK_ERRNO(execv(name, arguments), ENOEXEC);
                         has_failed = true;
                     }
                     return nullptr;
                 },
                 nullptr),
             0);
    bool was_refused = false;
    const bool in_time = eventually(
        [&] {
            for (int i = 0; i < 100 && !was_refused; ++i) {
                const pid_t child = pid_t(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
                if (child == 0) _exit(0);
                const int error = errno;
                if (child < 0) CHECK_EQ(error, EAGAIN);
                was_refused = child < 0;
                if (child > 0) CHECK_EQ(waitpid(child, nullptr, 0), child);
            }
            return was_refused && has_failed;
        },
        60);
    CHECK(in_time);
    // Who takes a copy comes through.
    for (int i = 0; i < 20; ++i) {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        CHECK(child > 0);
        CHECK_EQ(waitpid(child, nullptr, 0), child);
    }
    is_over = true;
    pthread_join(executor, nullptr);
    const pid_t child = pid_t(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
    if (child == 0) _exit(0);
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
}

} // namespace

int main(int count, char** arguments) {
    report_if_asked(count, arguments);
    copy_self();
    set_user_id();
    capabilities_of_files();
    harmless_sharing();
    no_new_sharers();
    remove_copy();
    return result();
}
