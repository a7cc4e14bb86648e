// Executing a copy of the test itself, whose owner, mode and capabilities the test chooses, and what the new program
// says of its rights. The program calls `report_if_asked` first of all.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "child.hpp"
#include "proc_text.hpp"

namespace exec_report {
using namespace check;

constexpr const char* folder = "/tmp/rights";
constexpr const char* copy = "/tmp/rights/program";
constexpr unsigned net_raw = 1u << 13, chown_bit = 1u << 0, kill_bit = 1u << 5;

/// What the new program says of itself, by way of a pipe.
struct Report {
    uid_t uid, euid, suid, fsuid;
    gid_t gid, egid, sgid;
    unsigned long secure, effective, permitted, inheritable, ambient;
    int dumpable, death_signal, no_new_privs, keeps_capabilities;
    int error; // of an execve that failed
};

inline unsigned long set_of_capabilities(const char* name) {
    const char* text = proc_text::read_file("/proc/self/status");
    const char* at = text ? strstr(text, name) : nullptr;
    return at ? strtoul(at + strlen(name), nullptr, 16) : ~0ul;
}

inline Report report_of_self() {
    Report report = {};
    CHECK_OK(getresuid(&report.uid, &report.euid, &report.suid));
    CHECK_OK(getresgid(&report.gid, &report.egid, &report.sgid));
    report.fsuid = uid_t(setfsuid(uid_t(-1)));
    report.secure = getauxval(AT_SECURE);
    report.effective = set_of_capabilities("CapEff:");
    report.permitted = set_of_capabilities("CapPrm:");
    report.inheritable = set_of_capabilities("CapInh:");
    report.ambient = set_of_capabilities("CapAmb:");
    report.dumpable = prctl(PR_GET_DUMPABLE);
    CHECK_OK(prctl(PR_GET_PDEATHSIG, &report.death_signal));
    report.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    report.keeps_capabilities = prctl(PR_GET_KEEPCAPS);
    return report;
}

/// Executes the copy in a child that has prepared itself, and takes its report.
template <typename F>
Report run(F prepare) {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 9);
        prepare();
        execl(copy, copy, "report", nullptr);
        Report failed = {};
        failed.error = errno;
        _exit(write(9, &failed, sizeof failed) == sizeof failed ? 0 : 1);
    }
    close(pipes[1]);
    Report report = {};
    CHECK_EQ(read(pipes[0], &report, sizeof report), ssize_t(sizeof report));
    close(pipes[0]);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    return report;
}

struct CapabilityHeader {
    unsigned version;
    int pid;
};
struct CapabilityData {
    unsigned effective, permitted, inheritable;
};

inline void set_capabilities(unsigned permitted, unsigned inheritable) {
    CapabilityHeader header = {0x20080522, 0};
    const CapabilityData data[2] = {{permitted, permitted, inheritable}, {}};
    CHECK_OK(syscall(SYS_capset, &header, data));
}

inline void become_user() {
    CHECK_OK(setgroups(0, nullptr));
    CHECK_OK(setresgid(1000, 1000, 1000));
    CHECK_OK(setresuid(1000, 1000, 1000));
}

inline void give(uid_t user, gid_t group, mode_t mode) {
    CHECK_OK(chown(copy, user, group));
    CHECK_OK(chmod(copy, mode)); // chown takes the bits away
}

inline void give_capabilities(unsigned permitted, unsigned inheritable, bool effective) {
    const unsigned attribute[5] = {0x02000000u | effective, permitted, inheritable, 0, 0};
    CHECK_OK(setxattr(copy, "security.capability", attribute, sizeof attribute, 0));
}
inline void take_capabilities() { CHECK_OK(removexattr(copy, "security.capability")); }

/// Ends the new program with its report.
inline void report_if_asked(int count, char** arguments) {
    if (count < 2 || strcmp(arguments[1], "report") != 0) return;
    const Report report = report_of_self();
    _exit(write(9, &report, sizeof report) == sizeof report ? result() : 1);
}

/// Copies the test itself to where it is executed from, on a file system of its own.
inline void copy_self() {
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    CHECK_OK(mkdir(folder, 0755));
    REQUIRE(mount("none", folder, "tmpfs", 0, "mode=0755") == 0);
    const int from = open(self, O_RDONLY), to = open(copy, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    static char bytes[65536];
    for (ssize_t got; (got = read(from, bytes, sizeof bytes)) > 0;) CHECK_EQ(write(to, bytes, size_t(got)), got);
    close(from);
    close(to);
}
inline void remove_copy() {
    CHECK_OK(umount2(folder, MNT_DETACH));
    rmdir(folder);
}

} // namespace exec_report
