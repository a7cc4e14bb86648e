// When there is no core file, or only a part of one (core(5), getrlimit(2)): limits, a full disk; and what wait tells.
// timeout: 120
#include <sys/mount.h>

#include "core_file.hpp"
#include "memory.hpp"

using namespace core_file;
using memory::page;

namespace {

void write_and_abort() {
    char* place = memory::map(64 * page);
    memset(place, 'w', 64 * page);
    abort();
}

off_t size_of_core() {
    struct stat status;
    return stat("core", &status) == 0 ? status.st_size : -1;
}

void test_core_limit() {
    CHECK(died_without(crash(write_and_abort, 0), SIGABRT));
    CHECK(!exists("core"));
    CHECK(died_without(crash(write_and_abort, page - 1), SIGABRT));
    CHECK(!exists("core"));

    for (const size_t limit : {page, 3 * page, 20 * page}) {
        CHECK(dumped_by(crash(write_and_abort, limit), SIGABRT));
        struct stat status;
        REQUIRE(stat("core", &status) == 0);
        CHECK_LE(size_t(status.st_blocks) * 512, limit);
        CHECK_GT(status.st_size, 0);
        CHECK(Core("core").is_core());
        CHECK(!Core("core").is_whole());
        unlink("core");
    }
    CHECK(dumped_by(crash(write_and_abort, 1 << 30), SIGABRT));
    CHECK(Core("core").is_whole());
    unlink("core");
}

void test_file_limit() {
    for (const size_t limit : {size_t{0}, 8 * page}) {
        const int status = crash([&] {
            rlimit size{limit, limit};
            CHECK_EQ(setrlimit(RLIMIT_FSIZE, &size), 0);
            write_and_abort();
        });
        CHECK_EQ(WTERMSIG(status), SIGABRT);
        CHECK_LE(size_of_core(), off_t(limit));
        unlink("core");
    }
}

void test_full_disk() {
    CHECK_EQ(mkdir("disk", 0777), 0);
    REQUIRE(mount("none", "disk", "tmpfs", 0, "size=128k") == 0);
    const int status = crash([&] {
        CHECK_EQ(chdir("disk"), 0);
        write_and_abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    {
        const Core core("disk/core");
        CHECK(core.is_core());
        CHECK(!core.is_whole());
    }
    CHECK_EQ(umount("disk"), 0);
}

void test_unwritable() {
    const int status = crash([&] {
        CHECK_EQ(chdir("/proc/self"), 0);
        write_and_abort();
    });
    CHECK(died_without(status, SIGABRT));
}

void test_wait() {
    struct {
        int signal;
        bool dumps;
    } const signals[] = {{SIGQUIT, true},  {SIGILL, true},   {SIGTRAP, true},  {SIGABRT, true},  {SIGBUS, true},
                         {SIGFPE, true},   {SIGSEGV, true},  {SIGXCPU, true},  {SIGXFSZ, true},  {SIGSYS, true},
                         {SIGTERM, false}, {SIGKILL, false}, {SIGUSR1, false}, {SIGRTMIN, false}};
    for (const auto& [signal, dumps] : signals) {
        const pid_t child = fork();
        if (child == 0) {
            limit_core(RLIM_INFINITY);
            raise(signal);
            _exit(1);
        }
        siginfo_t info{};
        CHECK_EQ(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT), 0);
        CHECK_EQ(info.si_code, dumps ? CLD_DUMPED : CLD_KILLED);
        CHECK_EQ(info.si_status, signal);
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(WTERMSIG(status), signal);
        CHECK_EQ(bool(WCOREDUMP(status)), dumps);
        CHECK_EQ(exists("core"), dumps);
        if (dumps) {
            const Core core("core");
            CHECK(core.is_whole());
            const Note* note = core.find(NT_SIGINFO);
            CHECK(note && reinterpret_cast<const siginfo_t*>(note->data)->si_signo == signal);
        }
        unlink("core");
    }
}

siginfo_t seen;

/// SIGCHLD tells the same.
void test_child_signal() {
    struct sigaction action{};
    action.sa_sigaction = [](int, siginfo_t* info, void*) { seen = *info; };
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGCHLD, &action, nullptr);
    CHECK(dumped_by(crash([] { abort(); }), SIGABRT));
    CHECK_EQ(seen.si_signo, SIGCHLD);
    CHECK_EQ(seen.si_code, CLD_DUMPED);
    CHECK_EQ(seen.si_status, SIGABRT);
    signal(SIGCHLD, SIG_DFL);
    unlink("core");
}

/// A signal that others send dumps core as one's own fault does; one that is blocked or handled doesn't.
void test_sent_from_outside() {
    auto& is_ready = *check::shared<std::atomic<bool>>();
    const pid_t child = fork();
    if (child == 0) {
        limit_core(RLIM_INFINITY);
        is_ready = true;
        for (;;) pause();
    }
    REQUIRE(check::eventually([&] { return is_ready.load(); }));
    kill(child, SIGQUIT);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(dumped_by(status, SIGQUIT));
    const Core core("core");
    CHECK(core.is_whole());
    const Note* note = core.find(NT_SIGINFO);
    REQUIRE(note);
    const auto& info = *reinterpret_cast<const siginfo_t*>(note->data);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(core.threads().front()->pr_pid, child);
}

} // namespace

int main() {
    Place place;
    test_core_limit();
    test_file_limit();
    test_full_disk();
    test_unwritable();
    test_wait();
    test_child_signal();
    test_sent_from_outside();
    return check::result();
}
