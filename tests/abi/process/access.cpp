// Who may look into whom (ptrace(2), "Ptrace access mode checking"): ids, capabilities and the dumpable flag decide for
// process_vm_readv, pidfd_getfd, get_robust_list, kcmp, process_madvise and the private files of /proc/PID.
// needs-linux: 5.10
#include "asleep.hpp"
#include "proc_text.hpp"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

namespace {

constexpr uid_t nobody = 65534, somebody = 1234;
constexpr unsigned net_raw = 1u << CAP_NET_RAW;

struct Who {
    uid_t uid = nobody;
    gid_t gid = nobody;
    unsigned permitted = 0, effective = 0;
    int dumpable = 1;
};

void become(const Who& who) {
    CHECK_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    CHECK_OK(setgroups(0, nullptr));
    CHECK_OK(setresgid(who.gid, who.gid, who.gid));
    CHECK_OK(setresuid(who.uid, who.uid, who.uid));
    if (who.uid != 0) {
        __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        __user_cap_data_struct data[2] = {{who.effective, who.permitted, 0}, {}};
        CHECK_OK(syscall(SYS_capset, &header, data));
    }
    CHECK_OK(prctl(PR_SET_DUMPABLE, who.dumpable, 0, 0, 0));
}

char secret[16] = "secret";

// Each way in, tried on `victim`: bits of those that were refused, with the errno that belongs to that.
enum Way : unsigned {
    memory_call = 1,
    descriptor = 2,
    robust_list = 4,
    compare = 8,
    memory_file = 16,
    maps = 32,
    executable = 64,
    links = 128,
    advice = 256,
    all = 511
};
unsigned refusals(pid_t victim) {
    unsigned refused = 0;
    auto note = [&](Way way, bool is_refused, int error) {
        const int seen = errno;
        if (!is_refused) return;
        CHECK_EQ(seen, error);
        refused |= way;
    };
    char copy[16] = {}, name[64], target[64];
    iovec here = {copy, sizeof copy}, there = {secret, sizeof secret};
    note(memory_call, process_vm_readv(victim, &here, 1, &there, 1, 0) < 0, EPERM);
    const int pidfd = int(syscall(SYS_pidfd_open, victim, 0));
    CHECK(pidfd >= 0);
    const int fd = int(syscall(SYS_pidfd_getfd, pidfd, 1, 0));
    note(descriptor, fd < 0, EPERM);
    close(fd);
    void* head;
    size_t size;
    note(robust_list, syscall(SYS_get_robust_list, victim, &head, &size) < 0, EPERM);
    note(compare, syscall(SYS_kcmp, victim, getpid(), KCMP_VM, 0, 0) < 0, EPERM);
    auto path = [&](const char* file) {
        snprintf(name, sizeof name, "/proc/%d/%s", int(victim), file);
        return name;
    };
    const int memory = open(path("mem"), O_RDONLY);
    note(memory_file, memory < 0, EACCES);
    close(memory);
    const int text = open(path("maps"), O_RDONLY);
    note(maps, text < 0, EACCES);
    close(text);
    note(executable, readlink(path("exe"), target, sizeof target) < 0, EACCES);
    note(links, readlink(path("fd/1"), target, sizeof target) < 0, EACCES);
    // Whoever is let in lacks the capability to slow others down.
    const auto page = size_t(sysconf(_SC_PAGESIZE));
    iovec range = {secret - reinterpret_cast<uintptr_t>(secret) % page, page};
    const long advised = syscall(SYS_process_madvise, pidfd, &range, 1, MADV_COLD, 0);
    if (advised < 0 && errno != EPERM)
        note(advice, true, EACCES);
    else
        CHECK_EQ(advised < 0, geteuid() != 0);
    close(pidfd);
    return refused;
}

unsigned refusals_between(const Who& looker, const Who& looked_at) {
    auto* ready = check::shared<std::atomic<bool>>();
    auto* result = check::shared<std::atomic<unsigned>>();
    const pid_t victim = fork();
    if (victim == 0) {
        become(looked_at);
        *ready = true;
        for (;;) pause();
    }
    CHECK(check::eventually([&] { return ready->load(); }));
    check::run_in_child([&] {
        become(looker);
        *result = refusals(victim);
    });
    kill(victim, SIGKILL);
    CHECK_EQ(waitpid(victim, nullptr, 0), victim);
    return *result;
}

} // namespace

int main() {
    if (geteuid() != 0) check::skip("only root can become others");
    proc_text::write_file("/proc/sys/kernel/yama/ptrace_scope", "0");
    const Who root = {0, 0, 0, 0, 1}, plain;
    CHECK_EQ(refusals_between(plain, plain), 0u);
    CHECK_EQ(refusals_between(root, plain), 0u);
    CHECK_EQ(refusals_between(plain, root), unsigned(all));
    CHECK_EQ(refusals_between(plain, {.uid = somebody}), unsigned(all));
    CHECK_EQ(refusals_between(plain, {.gid = somebody}), unsigned(all));
    CHECK_EQ(refusals_between(plain, {.dumpable = 0}), unsigned(all));
    CHECK_EQ(refusals_between(root, {.dumpable = 0}), 0u);
    CHECK_EQ(refusals_between(root, {.uid = somebody, .dumpable = 0}), 0u);
    // Who has more capabilities is not for those with less; of calls what is permitted counts, of files what is
    // effective.
    const Who able = {.permitted = net_raw, .effective = net_raw}, resting = {.permitted = net_raw};
    CHECK_EQ(refusals_between(plain, able), unsigned(all));
    CHECK_EQ(refusals_between(plain, resting), unsigned(all));
    CHECK_EQ(refusals_between(able, able), 0u);
    CHECK_EQ(refusals_between(able, plain), 0u);
    CHECK_EQ(refusals_between(resting, resting), unsigned(memory_file | maps | executable | links | advice));
    // The capability opens all but what the rights of a file keep closed.
    constexpr unsigned tracer = 1u << CAP_SYS_PTRACE;
    CHECK_EQ(refusals_between({.permitted = tracer, .effective = tracer},
                              {.uid = somebody, .permitted = net_raw, .dumpable = 0}),
             unsigned(memory_file | links));
    return check::result();
}
