// needs-linux: 5.10
//
// getrlimit(2): each of the 16 limits is hit, and says what its man page says; prlimit64's rights. RLIMIT_RSS and
// RLIMIT_LOCKS limit nothing since Linux 2.4: that too is looked at.
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "asleep.hpp"

using namespace check;

namespace {

void limit(int resource, rlim_t soft, rlim_t hard) {
    const rlimit wanted = {soft, hard};
    CHECK_OK(setrlimit(__rlimit_resource_t(resource), &wanted));
}
void limit(int resource, rlim_t both) { limit(resource, both, both); }
rlim_t soft_limit(int resource) {
    rlimit now = {};
    CHECK_OK(getrlimit(__rlimit_resource_t(resource), &now));
    return now.rlim_cur;
}

void become_user(uid_t uid = 1000) {
    CHECK_OK(setresgid(1000, 1000, 1000));
    CHECK_OK(setresuid(uid, uid, uid));
}

double cpu_seconds() {
    timespec now = {};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

void* map(size_t size, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

// ---- time ----

void cpu() {
    // SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one.
    auto* seen = shared<std::atomic<int>>();
    auto* raised = shared<std::atomic<long>>();
    const int killed = in_child([=] {
        static std::atomic<int>* count;
        count = seen;
        handle(SIGXCPU, [](int) { (*count)++; });
        limit(RLIMIT_CPU, 1, 3);
        while (*seen == 0) {
        }
        CHECK_GE(cpu_seconds(), 0.99);
        *raised = long(soft_limit(RLIMIT_CPU));
        for (;;) {
        }
    });
    CHECK(died_of(killed, SIGKILL));
    CHECK_EQ(seen->load(), 2);
    CHECK_EQ(raised->load(), 2); // the soft limit itself goes up with each signal
    const int by_default = in_child([] {
        limit(RLIMIT_CPU, 1, RLIM_INFINITY);
        for (;;) {
        }
    });
    CHECK(died_of(by_default, SIGXCPU));
    // A limit of 0 is reached at once, and again after a second.
    const int at_once = in_child([=] {
        static std::atomic<int>* count;
        count = seen;
        *seen = 0;
        handle(SIGXCPU, [](int) { (*count)++; });
        limit(RLIMIT_CPU, 0, 3);
        while (*seen == 0) {
        }
        CHECK_LT(cpu_seconds(), 0.5);
        CHECK_EQ(long(soft_limit(RLIMIT_CPU)), 1l);
        while (*seen == 1) {
        }
        CHECK_GE(cpu_seconds(), 0.99);
        CHECK_EQ(long(soft_limit(RLIMIT_CPU)), 2l);
    });
    CHECK_EQ(at_once, 0);
    const int killed_at_once = in_child([] {
        limit(RLIMIT_CPU, 0, 0);
        for (;;) {
        }
    });
    CHECK(died_of(killed_at_once, SIGKILL));
}

void real_time() {
    const int killed = in_child([] {
        static std::atomic<int> seen;
        handle(SIGXCPU, [](int) { seen++; });
        limit(RLIMIT_RTTIME, 100000, 300000);
        const sched_param parameters = {5};
        CHECK_OK(sched_setscheduler(0, SCHED_FIFO, &parameters));
        while (seen == 0) {
        }
        for (;;) {
        }
    });
    CHECK(died_of(killed, SIGKILL));
    const int by_default = in_child([] {
        limit(RLIMIT_RTTIME, 50000, 5000000);
        const sched_param parameters = {5};
        CHECK_OK(sched_setscheduler(0, SCHED_RR, &parameters));
        for (;;) {
        }
    });
    CHECK(died_of(by_default, SIGXCPU));
}

// ---- memory ----

void memory() {
    run_in_child([] {
        limit(RLIMIT_AS, 64 << 20);
        CHECK_ERRNO(long(map(64 << 20)), ENOMEM);
        void* half = map(32 << 20);
        CHECK(half != MAP_FAILED);
        CHECK_ERRNO(long(mremap(half, 32 << 20, 64 << 20, MREMAP_MAYMOVE)), ENOMEM);
        CHECK_ERRNO(syscall(SYS_brk, 0) < 0 || sbrk(60 << 20) == reinterpret_cast<void*>(-1) ? -1 : 0, ENOMEM);
    });
    run_in_child([] {
        limit(RLIMIT_DATA, 16 << 20);
        CHECK_ERRNO(long(sbrk(17 << 20)), ENOMEM);
        CHECK_ERRNO(long(map(17 << 20)), ENOMEM); // private and writable counts, since Linux 4.7
        void* shared_memory = map(17 << 20, MAP_SHARED | MAP_ANONYMOUS);
        CHECK(shared_memory != MAP_FAILED);
        void* readable = mmap(nullptr, 17 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(readable != MAP_FAILED);
        CHECK_ERRNO(mprotect(readable, 17 << 20, PROT_READ | PROT_WRITE), ENOMEM);
    });
    run_in_child([] { // nothing limits what is resident
        limit(RLIMIT_RSS, 4096);
        char* memory = static_cast<char*>(map(8 << 20));
        CHECK(memory != MAP_FAILED);
        memset(memory, 1, 8 << 20);
        CHECK_EQ(memory[(8 << 20) - 1], 1);
    });
    const int grown = in_child([] {
        limit(RLIMIT_STACK, 256 << 10, 256 << 10);
        struct Recursion {
            static int deeper(int level, volatile char* above) {
                volatile char room[16384];
                room[0] = char(level + above[0]); // the rooms can't share one place
                return level == 0 ? room[0] : deeper(level - 1, room) + room[0];
            }
        };
        volatile char first = 0;
        return Recursion::deeper(64, &first) ? 1 : 0;
    });
    CHECK(died_of(grown, SIGSEGV));
}

void locked_memory() {
    run_in_child([] {
        limit(RLIMIT_MEMLOCK, 64 << 10);
        void* memory = map(1 << 20);
        CHECK_OK(mlock(memory, 1 << 20)); // CAP_IPC_LOCK
        CHECK_OK(munlock(memory, 1 << 20));
        become_user();
        CHECK_OK(mlock(memory, 64 << 10));
        CHECK_ERRNO(mlock(memory, 128 << 10), ENOMEM);
        CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
        CHECK_ERRNO(long(map(64 << 10, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED)), EAGAIN);
        CHECK_OK(munlock(memory, 64 << 10));
        limit(RLIMIT_MEMLOCK, 0);
        CHECK_ERRNO(mlock(memory, 4096), EPERM);
        CHECK_ERRNO(mlockall(MCL_FUTURE), EPERM);
    });
}

// ---- files ----

void file_size() {
    run_in_child([] {
        limit(RLIMIT_FSIZE, 10000);
        const int fd = open("/tmp/limit.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
        static char bytes[20000];
        static std::atomic<int> told;
        handle(SIGXFSZ, [](int) { told++; });
        CHECK_EQ(write(fd, bytes, 20000), 10000); // as much as there's room for
        CHECK_EQ(told.load(), 0);
        CHECK_ERRNO(write(fd, bytes, 1), EFBIG);
        CHECK_EQ(told.load(), 1);
        CHECK_ERRNO(pwrite(fd, bytes, 1, 10000), EFBIG);
        CHECK_EQ(told.load(), 2);
        CHECK_ERRNO(ftruncate(fd, 10001), EFBIG);
        CHECK_EQ(told.load(), 3);
        CHECK_ERRNO(truncate("/tmp/limit.file", 10001), EFBIG);
        CHECK_ERRNO(fallocate(fd, 0, 0, 10001), EFBIG);
        CHECK_EQ(told.load(), 5);
        CHECK_OK(ftruncate(fd, 10000));
        CHECK_EQ(write(fd, bytes, 0), 0);
        close(fd);
        signal(SIGXFSZ, SIG_IGN);
        CHECK_ERRNO(truncate("/tmp/limit.file", 10001), EFBIG);
    });
    const int killed = in_child([] {
        limit(RLIMIT_FSIZE, 100);
        return truncate("/tmp/limit.file", 20000);
    });
    CHECK(WIFSIGNALED(killed));
    CHECK_EQ(WTERMSIG(killed), SIGXFSZ);
    unlink("/tmp/limit.file");
}

void descriptors() {
    run_in_child([] {
        limit(RLIMIT_NOFILE, 20);
        int highest = -1;
        for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;) highest = fd;
        CHECK_EQ(highest, 19);
        CHECK_ERRNO(open("/dev/null", O_RDONLY), EMFILE);
        CHECK_ERRNO(dup(0), EMFILE);
        CHECK_ERRNO(dup2(0, 20), EBADF);
        CHECK_OK(dup2(0, 19));
        CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
        CHECK_ERRNO(fcntl(0, F_DUPFD, 19), EMFILE);
        int pipes[2];
        close(19);
        CHECK_ERRNO(pipe(pipes), EMFILE);
        CHECK_EQ(open("/dev/null", O_RDONLY), 19); // pipe has left nothing behind
        static pollfd entries[21];
        for (pollfd& entry : entries) entry.fd = -1;
        CHECK_EQ(poll(entries, 20, 0), 0);
        CHECK_ERRNO(poll(entries, 21, 0), EINVAL);
        // What is open beyond a lowered limit stays.
        limit(RLIMIT_NOFILE, 5);
        CHECK_OK(fcntl(19, F_GETFD));
    });
}

void locks() {
    run_in_child([] {
        limit(RLIMIT_LOCKS, 0);
        const int fd = open("/tmp/limit.locks", O_RDWR | O_CREAT, 0600);
        CHECK_OK(flock(fd, LOCK_EX));
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        CHECK_OK(fcntl(fd, F_SETLK, &lock));
        unlink("/tmp/limit.locks");
    });
}

/// No core file, and no core bit in the status, where the limit is 0.
void core_size() {
    const int status = in_child([] {
        limit(RLIMIT_CORE, 0);
        abort();
    });
    CHECK(died_of(status, SIGABRT));
    CHECK(!WCOREDUMP(status));
}

// ---- tasks, signals, messages ----

void tasks() {
    run_in_child([] {
        limit(RLIMIT_NPROC, 3);
        become_user(4711);
        pid_t children[4];
        int made = 0;
        for (; made < 4; ++made) {
            children[made] = fork();
            if (children[made] == 0)
                for (;;) pause();
            if (children[made] < 0) break;
        }
        CHECK_EQ(made, 2);
        CHECK_ERRNO(fork(), EAGAIN);
        alignas(16) static char stack[16384];
        CHECK_ERRNO(
            clone([](void*) { return 0; }, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, nullptr),
            EAGAIN); // threads count
        for (int i = 0; i < made; ++i) {
            kill(children[i], SIGKILL);
            CHECK_EQ(waitpid(children[i], nullptr, 0), children[i]);
        }
    });
}

void pending_signals() {
    run_in_child([] {
        limit(RLIMIT_SIGPENDING, 5);
        become_user(4712);
        const sigset_t set = set_of(SIGRTMIN, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        const sigval value = {};
        for (int i = 0; i < 5; ++i) CHECK_OK(sigqueue(getpid(), SIGRTMIN, value));
        CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, value), EAGAIN);
        CHECK_OK(kill(getpid(), SIGUSR1)); // kill(2)'s gets through with its details
        timer_t timer;
        CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, nullptr, &timer), EAGAIN);
        siginfo_t info = {};
        CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
        CHECK_EQ(info.si_pid, getpid());
        CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
        CHECK_OK(sigqueue(getpid(), SIGRTMIN, value));
    });
}

void message_bytes() {
    run_in_child([] {
        limit(RLIMIT_MSGQUEUE, 20000);
        become_user(4713);
        mq_attr attributes = {};
        attributes.mq_maxmsg = 4;
        attributes.mq_msgsize = 4096;
        auto open_queue = [&](const char* name) {
            return syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
        };
        const long first = open_queue("limits.one");
        CHECK_OK(first);
        CHECK_ERRNO(open_queue("limits.two"), EMFILE);
        CHECK_OK(syscall(SYS_mq_unlink, "limits.one"));
        CHECK_ERRNO(open_queue("limits.two"), EMFILE); // open yet
        close(int(first));
        CHECK_OK(open_queue("limits.two"));
        syscall(SYS_mq_unlink, "limits.two");
    });
}

// ---- priorities ----

void priorities() {
    run_in_child([] {
        limit(RLIMIT_NICE, 15); // down to nice 5
        limit(RLIMIT_RTPRIO, 4);
        become_user();
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 10));
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 4), EACCES);
        sched_param parameters = {4};
        CHECK_OK(sched_setscheduler(0, SCHED_FIFO, &parameters));
        parameters.sched_priority = 5;
        CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &parameters), EPERM);
        parameters.sched_priority = 0;
        CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &parameters));
        limit(RLIMIT_RTPRIO, 0);
        parameters.sched_priority = 1;
        CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &parameters), EPERM);
        limit(RLIMIT_NICE, 0);
        CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 18), EACCES);
    });
}

// ---- rights ----

int other_limit(pid_t pid, int resource, const rlimit* fresh, rlimit* old) {
    return int(syscall(SYS_prlimit64, pid, resource, fresh, old));
}

pid_t user_process(uid_t real, uid_t effective, uid_t saved) {
    auto* ready = shared<std::atomic<int>>();
    const pid_t child = fork();
    if (child == 0) {
        if (setresgid(1000, 1000, 1000) || setresuid(real, effective, saved)) _exit(1);
        *ready = 1;
        for (;;) pause();
    }
    CHECK(eventually([&] { return *ready == 1; }));
    return child;
}

void rights() {
    rlimit old = {}, fresh = {100, 200};
    CHECK_ERRNO(other_limit(0, 16, nullptr, &old), EINVAL);
    CHECK_ERRNO(other_limit(0, -1, nullptr, &old), EINVAL);
    CHECK_ERRNO(other_limit(INT32_MAX, RLIMIT_NOFILE, nullptr, &old), ESRCH);
    CHECK_ERRNO(other_limit(-1, RLIMIT_NOFILE, nullptr, &old), ESRCH);
    CHECK_ERRNO(other_limit(0, RLIMIT_NOFILE, reinterpret_cast<rlimit*>(8), nullptr), EFAULT);
    CHECK_ERRNO(other_limit(0, RLIMIT_NOFILE, nullptr, reinterpret_cast<rlimit*>(8)), EFAULT);
    CHECK_OK(other_limit(0, RLIMIT_NOFILE, nullptr, nullptr));
    const rlimit upside_down = {200, 100};
    CHECK_ERRNO(other_limit(0, RLIMIT_CORE, &upside_down, nullptr), EINVAL);

    const pid_t same = user_process(1000, 1000, 1000), other_real = user_process(1001, 1000, 1000),
                other_effective = user_process(1000, 1001, 1000), other_saved = user_process(1000, 1000, 1001);
    CHECK_OK(other_limit(same, RLIMIT_NOFILE, &fresh, &old)); // root
    CHECK_NE(old.rlim_cur, 100u);
    CHECK_OK(other_limit(same, RLIMIT_NOFILE, nullptr, &old));
    CHECK_EQ(old.rlim_cur, 100u);
    CHECK_EQ(old.rlim_max, 200u);
    run_in_child([&] {
        become_user();
        rlimit now = {};
        for (const pid_t pid : {other_real, other_effective, other_saved}) {
            CHECK_ERRNO(other_limit(pid, RLIMIT_NOFILE, nullptr, &now), EPERM);
            CHECK_ERRNO(other_limit(pid, RLIMIT_NOFILE, &fresh, nullptr), EPERM);
        }
        CHECK_OK(other_limit(same, RLIMIT_NOFILE, nullptr, &now));
        const rlimit lower = {50, 150}, higher = {50, 151}, most = {150, 150}, too_much = {151, 150};
        CHECK_OK(other_limit(same, RLIMIT_NOFILE, &lower, &now));
        CHECK_EQ(now.rlim_max, 200u);
        CHECK_ERRNO(other_limit(same, RLIMIT_NOFILE, &higher, nullptr), EPERM);
        CHECK_ERRNO(other_limit(same, RLIMIT_NOFILE, &too_much, nullptr), EINVAL);
        CHECK_OK(other_limit(same, RLIMIT_NOFILE, &most, nullptr));
    });
    // Its soft limit counts at once, in the process that it was set for.
    for (const pid_t pid : {same, other_real, other_effective, other_saved}) {
        kill(pid, SIGKILL);
        CHECK_EQ(waitpid(pid, nullptr, 0), pid);
    }
    // No more descriptors than fs.nr_open, whoever asks.
    const rlimit huge = {1024, RLIM_INFINITY};
    CHECK_ERRNO(other_limit(0, RLIMIT_NOFILE, &huge, nullptr), EPERM);
}

} // namespace

int main() {
    cpu();
    real_time();
    memory();
    locked_memory();
    file_size();
    descriptors();
    locks();
    core_size();
    tasks();
    pending_signals();
    message_bytes();
    priorities();
    rights();
    return result();
}
