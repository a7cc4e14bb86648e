// Calls every system call with random, huge and hostile arguments, in children that may die of it; the kernel may not.
// What counts as failure is the harness's business (a panic or a hang of the guest) and, here, a kernel that no longer
// forks, or a child that can't be killed.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fuzz {

struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state;
    }
    uint64_t below(uint64_t bound) { return next() % bound; }
};

/// What the children must not call: it would end the test, or change the machine under the tests that follow, rather
/// than test the kernel.
inline bool is_forbidden(long number) {
    switch (number) {
    case SYS_reboot:
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo:
    case SYS_pidfd_send_signal:
    case SYS_umount2:
    case SYS_pivot_root:
    case SYS_mount:
    case SYS_ptrace:
    case SYS_settimeofday:
    case SYS_clock_settime:
    case SYS_sethostname:
    case SYS_exit:
    case SYS_exit_group:
    case SYS_syslog:
    case SYS_swapon:
    case SYS_swapoff:
    case SYS_acct:
    case SYS_setitimer:
        return true;
    default:
        return false;
    }
}

struct Arena {
    char* page;      // one readable and writable page, a hole behind it
    char* read_only; // a page that can't be written
    size_t page_size;
};

inline Arena make_arena() {
    Arena arena{};
    arena.page_size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    auto* base = static_cast<char*>(
        mmap(nullptr, 4 * arena.page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(base + arena.page_size, arena.page_size);
    mprotect(base + 2 * arena.page_size, arena.page_size, PROT_READ);
    arena.page = base;
    arena.read_only = base + 2 * arena.page_size;
    return arena;
}

inline unsigned long argument(Random& random, const Arena& arena) {
    static const char* const names[] = {"f",         "d/f", "/proc/self/mem", "..",
                                        "/dev/null", "",    "/dev/tty",       "/proc/self/fd/0"};
    static const unsigned long odd[] = {0,
                                        1,
                                        2,
                                        3,
                                        7,
                                        8,
                                        16,
                                        64,
                                        255,
                                        4095,
                                        4096,
                                        65536,
                                        1ul << 20,
                                        1ul << 31,
                                        (1ul << 31) - 1,
                                        1ul << 32,
                                        1ul << 47,
                                        (1ul << 47) - 1,
                                        1ul << 62,
                                        1ul << 63,
                                        ~0ul,
                                        ~0ul - 1,
                                        ~0ul - 4095,
                                        0xffffffff80200000ul,
                                        0xffff888000000000ul,
                                        0xffffffc000000000ul,
                                        0x9000000000200000ul,
                                        0x0000800000000000ul,
                                        0x7fffffff};
    switch (random.below(9)) {
    case 0:
        return odd[random.below(sizeof(odd) / sizeof(odd[0]))];
    case 1:
        return random.below(24); // a descriptor, a small count
    case 2:
        return reinterpret_cast<unsigned long>(arena.page) + 8 * random.below(64);
    case 3:
        return reinterpret_cast<unsigned long>(arena.page) + arena.page_size - random.below(16); // before a hole
    case 4:
        return reinterpret_cast<unsigned long>(arena.read_only);
    case 5:
        return reinterpret_cast<unsigned long>(names[random.below(sizeof(names) / sizeof(names[0]))]);
    case 6:
        return random.next();
    case 7:
        return 1ul << random.below(64);
    default:
        return random.below(1u << 16);
    }
}

inline void limit(int resource, unsigned long value) {
    rlimit bound{value, value};
    setrlimit(static_cast<__rlimit_resource_t>(resource), &bound);
}

/// The calls of one seed. A child made by a random fork or clone notices that it is another process, and ends.
[[noreturn]] inline void run_child(uint64_t seed, volatile uint64_t* calls, bool as_nobody) {
    Random random{seed * 0x9e3779b97f4a7c15ull | 1};
    setpgid(0, 0);
    limit(RLIMIT_AS, 512ul << 20);
    limit(RLIMIT_FSIZE, 1ul << 20);
    limit(RLIMIT_NOFILE, 64);
    limit(RLIMIT_CORE, 0);
    if (as_nobody) {
        // Behind the limit on processes only root is exempt.
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(99);
        limit(RLIMIT_NPROC, 32);
    }
    close(0), close(1), close(2); // whatever it writes is not for the harness
    for (int signal = 1; signal < 32; ++signal)
        if (signal != SIGSEGV && signal != SIGBUS && signal != SIGILL) ::signal(signal, SIG_IGN);
    ::signal(SIGCHLD, SIG_DFL);
    // A call that blocks is interrupted soon.
    struct sigaction interrupt{};
    interrupt.sa_handler = [](int) {};
    sigaction(SIGALRM, &interrupt, nullptr);
    itimerval often{{0, 20'000}, {0, 20'000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    Arena arena = make_arena();
    for (size_t i = 0; i < arena.page_size; i += 8)
        *reinterpret_cast<unsigned long*>(arena.page + i) = argument(random, arena);
    pid_t self = static_cast<pid_t>(syscall(SYS_getpid));
    for (int i = 0; i < 400; ++i) {
        long number = static_cast<long>(random.below(470));
        if (is_forbidden(number)) continue;
        unsigned long a[6];
        for (auto& each : a) each = argument(random, arena);
        // Processes that share this memory or never return here would leave the seed's path.
        if (number == SYS_clone) a[0] &= 0xff, a[1] = 0;
#ifdef SYS_vfork
        if (number == SYS_vfork) continue;
#endif
        syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (static_cast<pid_t>(syscall(SYS_getpid)) != self) _exit(0);
        *calls = *calls + 1;
    }
    _exit(0);
}

inline long available_kib() {
    FILE* info = fopen("/proc/meminfo", "r");
    char line[128];
    long kib = -1;
    while (info && fgets(line, sizeof line, info))
        if (sscanf(line, "MemAvailable: %ld", &kib) == 1) break;
    if (info) fclose(info);
    return kib;
}

/// What the children made of System V's semaphores and message queues, which outlive them.
inline void remove_queues() {
    msginfo info;
    const int highest = msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&info));
    for (int index = 0; index <= highest; ++index) {
        msqid_ds data;
        const int id = msgctl(index, MSG_STAT, &data);
        if (id >= 0) msgctl(id, IPC_RMID, nullptr);
    }
}
inline void remove_semaphores() {
    seminfo info;
    const int highest = semctl(0, 0, SEM_INFO, &info);
    for (int index = 0; index <= highest; ++index) {
        semid_ds data;
        const int id = semctl(index, 0, SEM_STAT, &data);
        if (id >= 0) semctl(id, 0, IPC_RMID);
    }
}

/// What all those calls may leave behind: files of a few names, caches.
inline constexpr long leak_limit_kib = 32 * 1024;

inline int run(uint64_t wanted_calls) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    auto* calls =
        static_cast<volatile uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    char folder[] = "/tmp/fuzzXXXXXX";
    if (!mkdtemp(folder) || chmod(folder, 0777) != 0 || chdir(folder) != 0) return perror("mkdtemp"), 1;
    const long before = available_kib();
    uint64_t seed = 1;
    for (; *calls < wanted_calls; ++seed) {
        pid_t child = fork();
        if (child < 0) return perror("the kernel doesn't fork any more"), 1;
        if (child == 0) run_child(seed, calls, seed & 1);
        setpgid(child, child);
        int status = 0;
        // Every child ends: of its own, or (stuck with its signals blocked) by SIGKILL after a second.
        bool killed = false;
        for (int tenths = 0;; ++tenths) {
            pid_t done = waitpid(child, &status, WNOHANG);
            if (done == child) break;
            if (done < 0) return perror("waitpid"), 1;
            if (tenths > 1000) return printf("seed %lu: the child can't be killed\n", seed), 1;
            if (tenths > 100 && !killed) killed = true, kill(child, SIGKILL), kill(-child, SIGKILL);
            timespec pause{0, tenths < 10 ? 2'000'000 : 10'000'000};
            nanosleep(&pause, nullptr);
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 99) return printf("can't become nobody\n"), 1;
        kill(-child, SIGKILL);
        while (waitpid(-1, nullptr, WNOHANG) > 0) {
        }
    }
    remove_queues();
    remove_semaphores();
    const long lost = before - available_kib();
    printf("%lu calls, %lu children, %ld KiB less available\n", static_cast<unsigned long>(*calls),
           static_cast<unsigned long>(seed), lost);
    return before > 0 && lost < leak_limit_kib ? 0 : 1;
}

} // namespace fuzz
