// needs-linux: 5.10
//
// Attribute by attribute: what fork(2), a new thread and execve(2) keep, and to what they reset the rest. Each row of
// the table sets an attribute, reads it as a number, and says what becomes of it.
#include <cfenv>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#include "asleep.hpp"
#include "proc_text.hpp"

using namespace check;

namespace {

enum class Fate {
    Kept,
    Reset,   // to the row's number
    Changed, // to any other number
    Ignored,
};
using enum Fate;

struct Attribute {
    const char* name;
    void (*set)();
    long (*get)();
    Fate fork, thread, exec;
    long fresh = 0;
};

// Descriptors and addresses that parent, child and new program name by the same number.
constexpr int plain_fd = 60, closing_fd = 61, directory_fd = 62, timer_fd = 63, offset_fd = 64, lock_fd = 65,
              flock_fd = 66, ofd_fd = 67, queue_fd = 68, values_fd = 69;
char* const shared_page = reinterpret_cast<char*>(0x20000000);
char* const not_forked_page = reinterpret_cast<char*>(0x21000000);
char* const wiped_page = reinterpret_cast<char*>(0x22000000);

long hash(const char* text) {
    unsigned long sum = 5381;
    while (*text) sum = sum * 33 + static_cast<unsigned char>(*text++);
    return long(sum >> 1);
}

long status_hex(const char* path, const char* name) {
    const char* text = proc_text::read_file(path);
    const char* at = text ? strstr(text, name) : nullptr;
    return at ? long(strtoull(at + strlen(name), nullptr, 16)) : -1;
}
constexpr const char* own_status = "/proc/thread-self/status";

/// One field of /proc/self/stat, counted as proc_pid_stat(5) does.
long stat_field(int number) {
    const char* text = proc_text::read_file("/proc/self/stat");
    const char* at = strrchr(text, ')') + 2;
    for (int field = 3; field < number; ++field) at = strchr(at, ' ') + 1;
    return atol(at);
}

struct CapabilityHeader {
    unsigned version;
    int pid;
};
struct CapabilityData {
    unsigned effective, permitted, inheritable;
};
constexpr int net_raw = 13, sys_boot = 22, sys_time = 25;

void edit_capabilities(void (*edit)(CapabilityData&)) {
    CapabilityHeader header = {0x20080522, 0};
    CapabilityData data[2] = {};
    CHECK_OK(syscall(SYS_capget, &header, data));
    edit(data[0]);
    CHECK_OK(syscall(SYS_capset, &header, data));
}
long capability(const char* set, int number) { return (status_hex(own_status, set) >> number) & 1; }

void do_nothing(int) {}

void burn(clockid_t clock, long milliseconds) {
    timespec now;
    do clock_gettime(clock, &now);
    while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < milliseconds);
}
long clock_reached(clockid_t clock, long milliseconds) {
    timespec now;
    CHECK_OK(clock_gettime(clock, &now));
    return now.tv_sec * 1000 + now.tv_nsec / 1000000 >= milliseconds;
}
long microseconds(const timeval& time) { return time.tv_sec * 1000000 + time.tv_usec; }

struct KernelAction {
    unsigned long handler, flags, rest[4];
};
KernelAction raw_action(int signal) {
    KernelAction action = {};
    CHECK_OK(syscall(SYS_rt_sigaction, signal, nullptr, &action, 8));
    return action;
}

void set_itimer(int which) {
    const itimerval timer = {{0, 0}, {5000, 0}};
    CHECK_OK(setitimer(__itimer_which_t(which), &timer, nullptr));
}
long itimer_armed(int which) {
    itimerval timer = {};
    CHECK_OK(getitimer(__itimer_which_t(which), &timer));
    return timer.it_value.tv_sec > 1000;
}

void map_at(char* address, int flags) {
    CHECK(mmap(address, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == address);
    *address = 7;
}
long mapped(const char* address) {
    unsigned char resident = 0;
    return mincore(const_cast<char*>(address), 4096, &resident) == 0;
}

int open_as(const char* path, int flags, int number, int close_on_exec = 0) {
    const int fd = open(path, flags | O_CREAT, 0600);
    CHECK_OK(fd);
    CHECK_OK(dup3(fd, number, close_on_exec));
    return close(fd);
}

timer_t posix_timer;
char* const no_text = nullptr;

long limits_sum() {
    unsigned long sum = 0;
    for (int resource = 0; resource < 16; ++resource) {
        rlimit limit = {};
        CHECK_OK(getrlimit(__rlimit_resource_t(resource), &limit));
        sum = sum * 31 + limit.rlim_cur + 7 * limit.rlim_max;
    }
    return long(sum >> 1);
}

const Attribute signal_rows[] = {
    {"signal mask",
     [] {
         const sigset_t mask = set_of(SIGUSR2, SIGRTMIN + 3);
         sigprocmask(SIG_SETMASK, &mask, nullptr);
     },
     [] { return status_hex(own_status, "SigBlk:"); }, Kept, Kept, Kept},
    {"pending signals of the thread", [] { syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2); },
     [] { return status_hex(own_status, "SigPnd:"); }, Reset, Reset, Kept},
    {"pending signals of the process", [] { kill(getpid(), SIGRTMIN + 3); },
     [] { return status_hex(own_status, "ShdPnd:"); }, Reset, Kept, Kept},
    {"handler", [] { handle(SIGUSR1, do_nothing, SA_RESTART); }, [] { return long(raw_action(SIGUSR1).handler); }, Kept,
     Kept, Reset},
    {"flags of a handler", nullptr, [] { return long(raw_action(SIGUSR1).flags & SA_RESTART); }, Kept, Kept, Reset},
    {"ignored signal",
     [] {
         struct sigaction action = {};
         action.sa_handler = SIG_IGN;
         action.sa_flags = SA_NODEFER;
         CHECK_OK(sigaction(SIGWINCH, &action, nullptr));
     },
     [] { return long(raw_action(SIGWINCH).handler); }, Kept, Kept, Kept},
    {"flags of an ignored signal", nullptr, [] { return long(raw_action(SIGWINCH).flags & SA_NODEFER); }, Kept, Kept,
     Reset},
    {"alternate stack",
     [] {
         static char memory[65536];
         stack_t stack = {};
         stack.ss_sp = memory;
         stack.ss_size = sizeof memory;
         CHECK_OK(sigaltstack(&stack, nullptr));
     },
     [] {
         stack_t stack = {};
         CHECK_OK(sigaltstack(nullptr, &stack));
         return long(stack.ss_flags);
     },
     Kept, Reset, Reset, SS_DISABLE},
};

const Attribute time_rows[] = {
    {"ITIMER_REAL", [] { set_itimer(ITIMER_REAL); }, [] { return itimer_armed(ITIMER_REAL); }, Reset, Kept, Kept},
    {"ITIMER_VIRTUAL", [] { set_itimer(ITIMER_VIRTUAL); }, [] { return itimer_armed(ITIMER_VIRTUAL); }, Reset, Kept,
     Kept},
    {"ITIMER_PROF", [] { set_itimer(ITIMER_PROF); }, [] { return itimer_armed(ITIMER_PROF); }, Reset, Kept, Kept},
    {"POSIX timer",
     [] {
         const itimerspec time = {{0, 0}, {5000, 0}};
         CHECK_OK(timer_create(CLOCK_MONOTONIC, nullptr, &posix_timer));
         CHECK_OK(timer_settime(posix_timer, 0, &time, nullptr));
     },
     [] {
         // Its number is 0, being the first; glibc's timer_t of it is not the number, so the call itself is asked.
         itimerspec time = {};
         return long(syscall(SYS_timer_gettime, 0, &time) == 0);
     },
     Reset, Kept, Reset},
    {"timerfd",
     [] {
         const itimerspec time = {{0, 0}, {5000, 0}};
         const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
         CHECK_OK(dup2(fd, timer_fd));
         close(fd);
         CHECK_OK(timerfd_settime(timer_fd, 0, &time, nullptr));
     },
     [] {
         itimerspec time = {};
         CHECK_OK(timerfd_gettime(timer_fd, &time));
         return long(time.it_value.tv_sec > 1000);
     },
     Kept, Kept, Kept},
    {"CPU time of the process", [] { burn(CLOCK_PROCESS_CPUTIME_ID, 200); },
     [] { return clock_reached(CLOCK_PROCESS_CPUTIME_ID, 200); }, Reset, Kept, Kept},
    {"CPU time of the thread", [] { burn(CLOCK_THREAD_CPUTIME_ID, 200); },
     [] { return clock_reached(CLOCK_THREAD_CPUTIME_ID, 200); }, Reset, Reset, Kept},
    {"usage of children",
     [] {
         const pid_t child = fork();
         if (child == 0) {
             burn(CLOCK_PROCESS_CPUTIME_ID, 100);
             _exit(0);
         }
         CHECK_EQ(waitpid(child, nullptr, 0), child);
     },
     [] {
         rusage usage = {};
         CHECK_OK(getrusage(RUSAGE_CHILDREN, &usage));
         tms times_now = {};
         times(&times_now);
         return long(microseconds(usage.ru_utime) + microseconds(usage.ru_stime) >= 80000) * 2 +
                (times_now.tms_cutime + times_now.tms_cstime >= 5);
     },
     Reset, Kept, Kept},
    {"timer slack", [] { CHECK_OK(prctl(PR_SET_TIMERSLACK, 70000)); }, [] { return long(prctl(PR_GET_TIMERSLACK)); },
     Kept, Kept, Kept},
    {"default timer slack", nullptr,
     [] {
         const int now = prctl(PR_GET_TIMERSLACK);
         CHECK_OK(prctl(PR_SET_TIMERSLACK, 0));
         const int usual = prctl(PR_GET_TIMERSLACK);
         CHECK_OK(prctl(PR_SET_TIMERSLACK, now));
         return long(usual);
     },
     Reset, Reset, Kept, 70000},
};

const Attribute scheduling_rows[] = {
    {"nice", [] { CHECK_OK(setpriority(PRIO_PROCESS, 0, 3)); }, [] { return long(getpriority(PRIO_PROCESS, 0)); }, Kept,
     Kept, Kept},
    {"policy",
     [] {
         const sched_param none = {};
         CHECK_OK(sched_setscheduler(0, SCHED_BATCH, &none));
     },
     [] { return long(sched_getscheduler(0)); }, Kept, Kept, Kept},
    {"affinity",
     [] {
         cpu_set_t set;
         CPU_ZERO(&set);
         CPU_SET(1, &set);
         CPU_SET(2, &set);
         CHECK_OK(sched_setaffinity(0, sizeof set, &set));
     },
     [] {
         cpu_set_t set;
         CPU_ZERO(&set);
         CHECK_OK(sched_getaffinity(0, sizeof set, &set));
         return long(CPU_ISSET(0, &set) + 2 * CPU_ISSET(1, &set) + 4 * CPU_ISSET(2, &set) + 8 * CPU_ISSET(3, &set));
     },
     Kept, Kept, Kept},
    {"I/O priority", [] { CHECK_OK(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6)); },
     [] { return long(syscall(SYS_ioprio_get, 1, 0)); }, Kept, Kept, Kept},
    {"oom_score_adj", [] { CHECK(proc_text::write_file("/proc/self/oom_score_adj", "321")); },
     [] { return atol(proc_text::read_file("/proc/self/oom_score_adj")); }, Kept, Kept, Kept},
};

const Attribute name_rows[] = {
    {"session", nullptr, [] { return long(getsid(0)); }, Kept, Kept, Kept},
    {"process group", nullptr, [] { return long(getpgrp()); }, Kept, Kept, Kept},
    {"controlling terminal", nullptr, [] { return stat_field(7); }, Kept, Kept, Kept},
    {"working directory", [] { CHECK_OK(chdir("/proc")); },
     [] {
         char name[256] = {};
         CHECK(getcwd(name, sizeof name));
         return hash(name);
     },
     Kept, Kept, Kept},
    {"umask", [] { umask(027); },
     [] {
         const mode_t mask = umask(0);
         umask(mask);
         return long(mask);
     },
     Kept, Kept, Kept},
    {"limits",
     [] {
         for (int resource = 0; resource < 16; ++resource) {
             rlimit limit = {};
             CHECK_OK(getrlimit(__rlimit_resource_t(resource), &limit));
             if (limit.rlim_cur == RLIM_INFINITY) limit.rlim_cur = limit.rlim_max = (1ul << 40) + unsigned(resource);
             CHECK_OK(setrlimit(__rlimit_resource_t(resource), &limit));
         }
     },
     limits_sum, Kept, Kept, Kept},
    {"personality", [] { CHECK_OK(personality(ADDR_NO_RANDOMIZE | SHORT_INODE)); },
     [] { return long(personality(0xffffffff)); }, Kept, Kept, Kept},
    {"name", [] { CHECK_OK(prctl(PR_SET_NAME, "inheriting")); },
     [] {
         char name[16] = {};
         CHECK_OK(prctl(PR_GET_NAME, name));
         return hash(name);
     },
     Kept, Kept, Changed},
    {"process id", nullptr, [] { return long(getpid()); }, Changed, Kept, Kept},
    {"parent", nullptr, [] { return long(getppid()); }, Changed, Kept, Kept},
    {"thread id", nullptr, [] { return long(gettid()); }, Changed, Changed, Kept},
    {"address of the thread id", nullptr,
     [] {
         void* address = nullptr;
         CHECK_OK(prctl(PR_GET_TID_ADDRESS, &address));
         return long(address != nullptr);
     },
     Reset, Ignored, Ignored},
    {"robust list", nullptr,
     [] {
         void* head = nullptr;
         size_t length = 0;
         CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &length));
         return long(head != nullptr);
     },
     Reset, Ignored, Ignored},
};

const Attribute rights_rows[] = {
    {"supplementary groups",
     [] {
         const gid_t groups[] = {7, 5};
         CHECK_OK(setgroups(2, groups));
     },
     [] {
         gid_t groups[8] = {};
         const int count = getgroups(8, groups);
         return long(count * 10000 + groups[0] * 100 + groups[1]);
     },
     Kept, Kept, Kept},
    {"saved user id", [] { CHECK_OK(syscall(SYS_setresuid, -1, -1, 1000)); },
     [] {
         uid_t real, effective, saved;
         CHECK_OK(getresuid(&real, &effective, &saved));
         return long(saved);
     },
     Kept, Kept, Reset},
    {"inheritable capabilities",
     [] { edit_capabilities([](CapabilityData& data) { data.inheritable = 1 << net_raw; }); },
     [] { return status_hex(own_status, "CapInh:"); }, Kept, Kept, Kept},
    {"ambient capabilities", [] { CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, net_raw, 0, 0)); },
     [] { return status_hex(own_status, "CapAmb:"); }, Kept, Kept, Kept},
    {"bounding set", [] { CHECK_OK(prctl(PR_CAPBSET_DROP, sys_boot)); },
     [] { return status_hex(own_status, "CapBnd:"); }, Kept, Kept, Kept},
    {"permitted capability outside of the bounding set", nullptr, [] { return capability("CapPrm:", sys_boot); }, Kept,
     Kept, Reset, 0},
    {"effective capability that was lowered",
     [] { edit_capabilities([](CapabilityData& data) { data.effective &= ~(1u << sys_time); }); },
     [] { return capability("CapEff:", sys_time); }, Kept, Kept, Reset, 1},
    {"securebits", [] { CHECK_OK(prctl(PR_SET_SECUREBITS, 4 | 8)); },
     [] { return long(prctl(PR_GET_SECUREBITS) & ~16); }, Kept, Kept, Kept},
    {"keep capabilities", [] { CHECK_OK(prctl(PR_SET_KEEPCAPS, 1)); }, [] { return long(prctl(PR_GET_KEEPCAPS)); },
     Kept, Kept, Reset},
    {"no_new_privs", [] { CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); },
     [] { return long(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)); }, Kept, Kept, Kept},
    {"child subreaper", [] { CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1)); },
     [] {
         int on = -1;
         CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
         return long(on);
     },
     Reset, Kept, Kept},
    {"signal at the parent's death", [] { CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGURG)); },
     [] {
         int signal = -1;
         CHECK_OK(prctl(PR_GET_PDEATHSIG, &signal));
         return long(signal);
     },
     Reset, Reset, Kept},
    {"dumpable", [] { CHECK_OK(prctl(PR_SET_DUMPABLE, 0)); }, [] { return long(prctl(PR_GET_DUMPABLE)); }, Kept, Kept,
     Reset, 1},
};

const Attribute memory_rows[] = {
    {"shared mapping", [] { map_at(shared_page, MAP_SHARED); }, [] { return mapped(shared_page); }, Kept, Kept, Reset},
    {"MADV_DONTFORK",
     [] {
         map_at(not_forked_page, MAP_PRIVATE);
         CHECK_OK(madvise(not_forked_page, 4096, MADV_DONTFORK));
     },
     [] { return mapped(not_forked_page); }, Reset, Kept, Reset},
    {"MADV_WIPEONFORK",
     [] {
         map_at(wiped_page, MAP_PRIVATE);
         CHECK_OK(madvise(wiped_page, 4096, MADV_WIPEONFORK));
     },
     [] { return mapped(wiped_page) ? long(*wiped_page) : 0; }, Reset, Kept, Reset},
    {"transparent huge pages disabled", [] { CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)); },
     [] { return long(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0)); }, Kept, Kept, Kept},
    {"locked memory", [] { CHECK_OK(mlock(shared_page, 4096)); }, [] { return long(proc_text::status("VmLck") > 0); },
     Reset, Kept, Reset},
    {"MCL_FUTURE", [] { CHECK_OK(mlockall(MCL_FUTURE)); },
     [] {
         const long before = long(proc_text::status("VmLck"));
         void* memory = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         const long after = long(proc_text::status("VmLck"));
         CHECK_OK(munmap(memory, 65536));
         return long(after - before >= 64);
     },
     Reset, Kept, Reset},
    {"rounding mode", [] { fesetround(FE_UPWARD); }, [] { return long(fegetround()); }, Kept, Kept, Reset,
     FE_TONEAREST},
};

const Attribute file_rows[] = {
    {"descriptor", [] { open_as("/tmp/inherit.plain", O_RDWR | O_APPEND, plain_fd); },
     [] { return long(fcntl(plain_fd, F_GETFL) & (O_ACCMODE | O_APPEND)); }, Kept, Kept, Kept},
    {"descriptor with O_CLOEXEC", [] { open_as("/tmp/inherit.plain", O_RDONLY, closing_fd, O_CLOEXEC); },
     [] { return long(fcntl(closing_fd, F_GETFD)); }, Kept, Kept, Reset, -1},
    {"file offset",
     [] {
         open_as("/tmp/inherit.offset", O_RDWR, offset_fd);
         CHECK_EQ(lseek(offset_fd, 1234, SEEK_SET), 1234);
     },
     [] { return long(lseek(offset_fd, 0, SEEK_CUR)); }, Kept, Kept, Kept},
    {"place in a directory",
     [] {
         const int fd = open("/", O_RDONLY | O_DIRECTORY);
         CHECK_OK(dup2(fd, directory_fd));
         close(fd);
         char entries[64];
         CHECK_GT(syscall(SYS_getdents64, directory_fd, entries, sizeof entries), 0);
     },
     [] { return long(lseek(directory_fd, 0, SEEK_CUR)); }, Kept, Kept, Kept},
    {"record lock",
     [] {
         open_as("/tmp/inherit.lock", O_RDWR, lock_fd);
         struct flock lock = {};
         lock.l_type = F_WRLCK;
         CHECK_OK(fcntl(lock_fd, F_SETLK, &lock));
     },
     [] {
         struct flock lock = {};
         lock.l_type = F_WRLCK;
         CHECK_OK(fcntl(lock_fd, F_GETLK, &lock));
         return long(lock.l_type == F_UNLCK); // nobody else has it
     },
     Reset, Kept, Kept},
    {"flock",
     [] {
         open_as("/tmp/inherit.flock", O_RDWR, flock_fd);
         CHECK_OK(flock(flock_fd, LOCK_EX));
     },
     [] {
         const int other = open("/tmp/inherit.flock", O_RDWR);
         const bool held = flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
         close(other);
         return long(held && flock(flock_fd, LOCK_EX | LOCK_NB) == 0);
     },
     Kept, Kept, Kept},
    {"lock of an open file description",
     [] {
         open_as("/tmp/inherit.ofd", O_RDWR, ofd_fd);
         struct flock lock = {};
         lock.l_type = F_WRLCK;
         CHECK_OK(fcntl(ofd_fd, F_OFD_SETLK, &lock));
     },
     [] {
         struct flock lock = {};
         lock.l_type = F_WRLCK;
         const int other = open("/tmp/inherit.ofd", O_RDWR);
         CHECK_OK(fcntl(other, F_OFD_GETLK, &lock));
         const bool held = lock.l_type == F_WRLCK;
         lock = {};
         lock.l_type = F_WRLCK;
         CHECK_OK(fcntl(ofd_fd, F_OFD_GETLK, &lock));
         close(other);
         return long(held && lock.l_type == F_UNLCK);
     },
     Kept, Kept, Kept},
    {"descriptor of a message queue",
     [] {
         const long fd = syscall(SYS_mq_open, "inheritance", O_RDWR | O_CREAT, 0600, nullptr);
         CHECK_OK(fd);
         CHECK_OK(dup3(int(fd), queue_fd, O_CLOEXEC)); // as mq_open makes it
         CHECK_EQ(fcntl(int(fd), F_GETFD), FD_CLOEXEC);
         close(int(fd));
         syscall(SYS_mq_unlink, "inheritance");
     },
     [] { return long(fcntl(queue_fd, F_GETFD)); }, Kept, Kept, Reset, -1},
};

struct Table {
    const Attribute* rows;
    size_t count;
};
template <size_t n>
constexpr Table table(const Attribute (&rows)[n]) {
    return {rows, n};
}
// Memory before rights: without them there's no locking. Files last: they lie in /tmp.
const Table tables[] = {table(signal_rows), table(time_rows), table(scheduling_rows), table(name_rows),
                        table(memory_rows), table(file_rows), table(rights_rows)};

template <typename F>
void for_each_row(F visit) {
    size_t index = 0;
    for (const Table& part : tables)
        for (size_t i = 0; i < part.count; ++i) visit(part.rows[i], index++);
}

constexpr size_t most_rows = 100;
struct Values {
    long at[most_rows];
};
Values* values; // what the process read that set all, in memory that the others see too

enum class Heir { Fork, Thread, Exec };

void check_row(const Attribute& row, long before, Heir heir) {
    constexpr const char* heir_names[] = {"fork", "thread", "exec"};
    const Fate fates[] = {row.fork, row.thread, row.exec};
    const Fate fate = fates[int(heir)];
    if (fate == Ignored) return;
    const long now = row.get();
    const bool right = fate == Kept ? now == before : fate == Reset ? now == row.fresh : now != before;
    if (right) return;
    char text[256];
    snprintf(text, sizeof text, "%s after %s: %ld; before it was %ld", row.name, heir_names[int(heir)], now, before);
    failed(__FILE__, __LINE__, text);
}

void check_all(Heir heir) {
    for_each_row([&](const Attribute& row, size_t index) { check_row(row, values->at[index], heir); });
}

void* thread_body(void*) {
    check_all(Heir::Thread);
    return nullptr;
}

/// A session of its own with a terminal, so that there is one to inherit.
void take_terminal() {
    CHECK_OK(setsid());
    const int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK_OK(master);
    int unlock = 0;
    CHECK_OK(ioctl(master, TIOCSPTLCK, &unlock));
    const int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    CHECK_OK(slave);
    CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
    CHECK_GT(stat_field(7), 0);
    signal(SIGHUP, SIG_IGN);
    fcntl(master, F_SETFD, 0); // the terminal would hang up with it
}

void map_values(int fd) {
    values = static_cast<Values*>(mmap(nullptr, sizeof(Values), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    REQUIRE(values != MAP_FAILED);
}

int inherit(const char* self) {
    const int memory = memfd_create("values", 0);
    REQUIRE(dup2(memory, values_fd) == values_fd);
    close(memory);
    CHECK_OK(ftruncate(values_fd, sizeof(Values)));
    map_values(values_fd);
    take_terminal();
    for_each_row([](const Attribute& row, size_t) {
        if (row.set) row.set();
    });
    for_each_row([](const Attribute& row, size_t index) { values->at[index] = row.get(); });

    fflush(stdout);
    // Not by glibc, whose fork() sets the robust list anew.
    const pid_t child = pid_t(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (child == 0) {
        failures = 0;
        check_all(Heir::Fork);
        _exit(result());
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);

    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, thread_body, nullptr), 0);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
    if (failures) return 1;
    execl(self, self, "inherited", no_text);
    return 2;
}

} // namespace

int main(int count, char**) {
    if (count > 1) {
        map_values(values_fd);
        check_all(Heir::Exec);
        return result();
    }
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    size_t rows = 0;
    for_each_row([&](const Attribute&, size_t) { ++rows; });
    REQUIRE(rows <= most_rows);
    run_in_child([&] { return inherit(self); });
    return result();
}
