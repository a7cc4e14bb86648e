// perf_event_open(2): events that software counts, for a thread, for another process and for a CPU; how they are read,
// switched and inherited; what is refused. needs-linux: 5.13
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace check;
using namespace memory;

namespace {

int open_event(perf_event_attr* attributes, pid_t pid = 0, int cpu = -1, int group = -1, unsigned long flags = 0) {
    return int(syscall(SYS_perf_event_open, attributes, pid, cpu, group, flags));
}

int opened(int fd) {
    CHECK_GE(fd, 0);
    return fd;
}

perf_event_attr software(uint64_t config, uint64_t read_format = 0) {
    perf_event_attr attributes = {};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = config;
    attributes.read_format = read_format;
    return attributes;
}

int count(uint64_t config, pid_t pid = 0, int cpu = -1) {
    perf_event_attr attributes = software(config);
    return opened(open_event(&attributes, pid, cpu));
}

uint64_t value(int fd) {
    uint64_t number = 0;
    CHECK_EQ(read(fd, &number, sizeof number), ssize_t(sizeof number));
    return number;
}

void touch(size_t pages) {
    char* place = map(pages * page);
    madvise(place, pages * page, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < pages; ++i) static_cast<volatile char*>(place)[i * page] = 1;
    munmap(place, pages * page);
}

void spin_for(long nanoseconds) {
    timespec start, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < nanoseconds);
}

// ---- the attributes ----

void attributes() {
    perf_event_attr good = software(PERF_COUNT_SW_DUMMY);
    perf_event_attr bad = good;
    for (uint32_t size : {1u, 63u, unsigned(page) + 8, ~0u}) {
        bad = good;
        bad.size = size;
        CHECK_ERRNO(open_event(&bad), E2BIG);
        CHECK_GE(bad.size, uint32_t(PERF_ATTR_SIZE_VER0));
    }
    bad = good, bad.size = 0; // the first version's
    close(opened(open_event(&bad)));
    bad = good, bad.size = PERF_ATTR_SIZE_VER0;
    close(opened(open_event(&bad)));
    static struct {
        perf_event_attr attributes;
        char more[256];
    } longer = {};
    longer.attributes = good;
    longer.attributes.size = sizeof longer;
    close(opened(open_event(&longer.attributes)));
    longer.more[255] = 1;
    CHECK_ERRNO(open_event(&longer.attributes), E2BIG);
    CHECK_ERRNO(open_event(nullptr), EFAULT);
    CHECK_ERRNO(open_event(reinterpret_cast<perf_event_attr*>(-8ull)), EFAULT);

    CHECK_ERRNO(open_event(&good, 0, -1, -1, 1 << 4), EINVAL);
    CHECK_ERRNO(open_event(&good, -1, -1), EINVAL);
    CHECK_ERRNO(open_event(&good, 0x3fffffff, -1), ESRCH);
    CHECK_ERRNO(open_event(&good, -2, -1), ESRCH);
    CHECK_ERRNO(open_event(&good, 0, 100000), EINVAL);
    CHECK_ERRNO(open_event(&good, -1, 100000), EINVAL);
    CHECK_ERRNO(open_event(&good, 0, -1, 1000), EBADF);
    const int other = opened(open("/dev/null", O_RDONLY));
    CHECK_ERRNO(open_event(&good, 0, -1, other), EBADF);
    close(other);

    bad = good, bad.type = 0x7ffffff0;
    CHECK_ERRNO(open_event(&bad), ENOENT);
    bad = good, bad.config = 1000;
    CHECK_ERRNO(open_event(&bad), ENOENT);
    bad = good, bad.config = ~0ull;
    CHECK_ERRNO(open_event(&bad), ENOENT);
    bad = good, bad.read_format = 1 << 10;
    CHECK_ERRNO(open_event(&bad), EINVAL);
    bad = good, bad.sample_type = 1ull << 40;
    CHECK_ERRNO(open_event(&bad), EINVAL);
    bad = good, bad.__reserved_2 = 1;
    CHECK_ERRNO(open_event(&bad), EINVAL);
    bad = good, bad.freq = 1, bad.sample_freq = 1 << 30;
    CHECK_ERRNO(open_event(&bad), EINVAL);
    bad = good, bad.inherit_thread = 1; // without inherit
    CHECK_ERRNO(open_event(&bad), EINVAL);
    bad = good, bad.enable_on_exec = 1, bad.remove_on_exec = 1;
    CHECK_ERRNO(open_event(&bad), EINVAL);

    const int event = opened(open_event(&good, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
    CHECK_EQ(fcntl(event, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(event, F_GETFL) & O_ACCMODE, O_RDWR);
    char name[64];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", event);
    name[std::max<ssize_t>(readlink(link, name, sizeof name - 1), 0)] = 0;
    CHECK_STREQ(name, "anon_inode:[perf_event]");
    CHECK_ERRNO(write(event, "x", 1), EINVAL);
    CHECK_ERRNO(lseek(event, 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(ioctl(event, 0x5401, nullptr), ENOTTY);
    close(event);
}

// ---- what is counted ----

void page_faults() {
    const int all = count(PERF_COUNT_SW_PAGE_FAULTS), minor = count(PERF_COUNT_SW_PAGE_FAULTS_MIN),
              major = count(PERF_COUNT_SW_PAGE_FAULTS_MAJ);
    const uint64_t before = value(all), minor_before = value(minor), major_before = value(major);
    touch(200);
    const uint64_t faults = value(all) - before;
    CHECK_GE(faults, 200u);
    CHECK_LE(faults, 230u);
    CHECK_GE(value(minor) - minor_before, 200u);
    CHECK_LE(value(major) - major_before, 5u);
    close(all), close(minor), close(major);
}

/// Of faults in the kernel's own copies and of the program's, each can be left out.
void sides() {
    perf_event_attr only_user = software(PERF_COUNT_SW_PAGE_FAULTS);
    only_user.exclude_kernel = 1;
    perf_event_attr only_kernel = software(PERF_COUNT_SW_PAGE_FAULTS);
    only_kernel.exclude_user = 1;
    const int user = opened(open_event(&only_user)), kernel = opened(open_event(&only_kernel));
    const int zero = opened(open("/dev/zero", O_RDONLY));
    uint64_t user_before = value(user), kernel_before = value(kernel);
    touch(100);
    CHECK_GE(value(user) - user_before, 100u);
    CHECK_LE(value(kernel) - kernel_before, 20u);
    char* place = map(100 * page);
    madvise(place, 100 * page, MADV_NOHUGEPAGE);
    user_before = value(user), kernel_before = value(kernel);
    CHECK_EQ(read(zero, place, 100 * page), ssize_t(100 * page));
    CHECK_GE(value(kernel) - kernel_before, 100u);
    CHECK_LE(value(user) - user_before, 20u);
    munmap(place, 100 * page);
    close(zero), close(user), close(kernel);
    perf_event_attr switches = software(PERF_COUNT_SW_CONTEXT_SWITCHES);
    switches.exclude_kernel = 1; // a switch happens in the kernel
    const int none = opened(open_event(&switches));
    for (int i = 0; i < 5; ++i) usleep(1000); // each a switch that must not be counted
    CHECK_EQ(value(none), 0u);
    close(none);
}

void switches_and_migrations() {
    const int switches = count(PERF_COUNT_SW_CONTEXT_SWITCHES), migrations = count(PERF_COUNT_SW_CPU_MIGRATIONS);
    stay_on(0);
    const uint64_t before = value(switches), moved_before = value(migrations);
    for (int i = 0; i < 20; ++i) usleep(1000); // each is a switch
    CHECK_GE(value(switches) - before, 15u);   // on a busy host a sleep may be over before it begins
    CHECK_EQ(value(migrations), moved_before);
    for (int i = 0; i < 10; ++i) stay_on(1), stay_on(0);
    CHECK_GE(value(migrations) - moved_before, 20u);
    close(switches), close(migrations);
}

void clocks() {
    const int task = count(PERF_COUNT_SW_TASK_CLOCK), cpu = count(PERF_COUNT_SW_CPU_CLOCK);
    const uint64_t task_before = value(task), cpu_before = value(cpu);
    spin_for(50'000'000);
    usleep(100'000);
    for (uint64_t spent : {value(task) - task_before, value(cpu) - cpu_before}) {
        CHECK_GE(spent, 45'000'000u);
        CHECK_LE(spent, 95'000'000u);
    }
    const int dummy = count(PERF_COUNT_SW_DUMMY);
    spin_for(1'000'000);
    CHECK_EQ(value(dummy), 0u);
    close(task), close(cpu), close(dummy);
}

// ---- how it is read ----

void formats() {
    perf_event_attr all = software(PERF_COUNT_SW_PAGE_FAULTS,
                                   PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_ID);
    const int event = opened(open_event(&all));
    uint64_t read_values[4] = {}, id = 0;
    CHECK_ERRNO(read(event, read_values, 31), ENOSPC);
    CHECK_EQ(read(event, read_values, 32), 32);
    CHECK_EQ(read(event, read_values, 32), 32);
    CHECK_EQ(read_values[1], read_values[2]);
    CHECK_GT(read_values[1], 0u);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ID, &id));
    CHECK_EQ(read_values[3], id);
    CHECK_GT(id, 0u);
    CHECK_ERRNO(ioctl(event, PERF_EVENT_IOC_ID, nullptr), EFAULT);
    const uint64_t enabled = read_values[1];
    spin_for(5'000'000);
    read(event, read_values, sizeof read_values);
    CHECK_GE(read_values[1] - enabled, 5'000'000u);
    // Time goes on while the thread sleeps? No: of a thread's event it is the time in which it ran.
    const uint64_t awake = read_values[1];
    usleep(200'000);
    read(event, read_values, sizeof read_values);
    CHECK_LT(read_values[2] - awake, 100'000'000u);
    close(event);
}

void groups() {
    perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS, PERF_FORMAT_GROUP | PERF_FORMAT_ID);
    faults.disabled = 1;
    perf_event_attr switches = software(PERF_COUNT_SW_CONTEXT_SWITCHES, PERF_FORMAT_GROUP | PERF_FORMAT_ID);
    const int leader = opened(open_event(&faults));
    const int member = opened(open_event(&switches, 0, -1, leader));
    CHECK_ERRNO(open_event(&switches, 0, -1, member), EINVAL); // it leads no group
    CHECK_ERRNO(open_event(&switches, getppid(), -1, leader), EINVAL);
    struct {
        uint64_t count;
        struct {
            uint64_t value, id;
        } events[2];
    } values = {};
    CHECK_ERRNO(read(leader, &values, sizeof values - 1), ENOSPC);
    CHECK_EQ(read(leader, &values, sizeof values), ssize_t(sizeof values));
    CHECK_EQ(values.count, 2u);
    uint64_t id = 0;
    ioctl(leader, PERF_EVENT_IOC_ID, &id);
    CHECK_EQ(values.events[0].id, id);
    ioctl(member, PERF_EVENT_IOC_ID, &id);
    CHECK_EQ(values.events[1].id, id);
    touch(50);
    usleep(1000);
    read(leader, &values, sizeof values); // members count only while their leader does
    CHECK_EQ(values.events[0].value, 0u);
    CHECK_EQ(values.events[1].value, 0u);
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP));
    touch(50);
    for (int i = 0; i < 10; ++i) usleep(1000); // on a busy host a sleep may be over before it begins
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP));
    read(leader, &values, sizeof values);
    CHECK_GE(values.events[0].value, 50u);
    CHECK_GE(values.events[1].value, 1u);
    const uint64_t faults_then = values.events[0].value;
    touch(50);
    read(leader, &values, sizeof values);
    CHECK_EQ(values.events[0].value, faults_then);
    CHECK_OK(ioctl(leader, PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP));
    read(leader, &values, sizeof values);
    CHECK_EQ(values.events[0].value, 0u);
    CHECK_EQ(values.events[1].value, 0u);
    close(leader); // the member goes on by itself, and reads with the format of a group of its own
    CHECK_EQ(read(member, &values, sizeof values), ssize_t(sizeof values - sizeof values.events[1]));
    CHECK_EQ(values.count, 1u);
    close(member);
}

// ---- switching ----

void switching() {
    perf_event_attr off = software(PERF_COUNT_SW_PAGE_FAULTS, PERF_FORMAT_TOTAL_TIME_ENABLED);
    off.disabled = 1;
    const int event = opened(open_event(&off));
    uint64_t values[2] = {};
    touch(20);
    read(event, values, sizeof values);
    CHECK_EQ(values[0], 0u);
    CHECK_EQ(values[1], 0u);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
    touch(20);
    spin_for(20'000'000); // where Linux trusts no counter, its clock for this stands still for milliseconds
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
    touch(20);
    read(event, values, sizeof values);
    CHECK_GE(values[0], 20u);
    CHECK_LE(values[0], 35u);
    const uint64_t time_then = values[1];
    CHECK_GT(time_then, 0u);
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_RESET, 0));
    read(event, values, sizeof values);
    CHECK_EQ(values[0], 0u);
    CHECK_EQ(values[1], time_then);                               // not reset
    CHECK_ERRNO(ioctl(event, PERF_EVENT_IOC_REFRESH, 1), EINVAL); // it takes no samples
    uint64_t period = 100;
    CHECK_ERRNO(ioctl(event, PERF_EVENT_IOC_PERIOD, &period), EINVAL);
    CHECK_OK(prctl(PR_TASK_PERF_EVENTS_ENABLE));
    touch(20);
    CHECK_OK(prctl(PR_TASK_PERF_EVENTS_DISABLE));
    touch(20);
    read(event, values, sizeof values);
    CHECK_GE(values[0], 20u);
    CHECK_LE(values[0], 35u);
    close(event);
}

// ---- others ----

void another_process() {
    int go[2], done[2];
    CHECK_OK(pipe(go));
    CHECK_OK(pipe(done));
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        read(go[0], &byte, 1);
        touch(60);
        write(done[1], "", 1);
        read(go[0], &byte, 1);
        _Exit(0);
    }
    const int event = count(PERF_COUNT_SW_PAGE_FAULTS, child);
    pollfd watched = {event, POLLIN, 0};
    CHECK_EQ(poll(&watched, 1, 0), 1); // nothing will ever come, for it has no buffer
    CHECK_EQ(watched.revents, POLLHUP);
    char byte;
    write(go[1], "", 1);
    read(done[0], &byte, 1);
    CHECK_GE(value(event), 60u);
    CHECK_LE(value(event), 90u);
    write(go[1], "", 1);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    const uint64_t last = value(event);
    CHECK_GE(last, 60u);
    touch(50);
    CHECK_EQ(value(event), last);
    CHECK_EQ(poll(&watched, 1, 0), 1);
    CHECK_EQ(watched.revents, POLLHUP);
    close(event);
    for (int fd : {go[0], go[1], done[0], done[1]}) close(fd);
}

void inheritance() {
    perf_event_attr with = software(PERF_COUNT_SW_PAGE_FAULTS);
    with.inherit = 1;
    const int event = opened(open_event(&with)), alone = count(PERF_COUNT_SW_PAGE_FAULTS);
    const uint64_t before = value(event), alone_before = value(alone);
    for (int i = 0; i < 3; ++i) {
        const int status = in_child([] {
            const int inner = in_child([] {
                touch(100);
                _Exit(0);
            });
            _Exit(WEXITSTATUS(inner));
        });
        CHECK_EQ(status, 0);
    }
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
            touch(100);
            return nullptr;
        },
        nullptr);
    pthread_join(thread, nullptr);
    CHECK_GE(value(event) - before, 400u);
    CHECK_LT(value(alone) - alone_before, 400u);
    close(event), close(alone);
}

void enable_on_exec() {
    perf_event_attr waiting = software(PERF_COUNT_SW_PAGE_FAULTS);
    waiting.disabled = 1;
    waiting.enable_on_exec = 1;
    waiting.inherit = 1;
    int go[2];
    CHECK_OK(pipe(go));
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        read(go[0], &byte, 1);
        touch(50);
        read(go[0], &byte, 1);
        execl("/proc/self/exe", "counting", "fault", nullptr);
        _Exit(1);
    }
    const int event = opened(open_event(&waiting, child));
    write(go[1], "", 1);
    CHECK(wait_asleep(child));
    CHECK_EQ(value(event), 0u);
    write(go[1], "", 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_GE(value(event), 100u);
    close(event), close(go[0]), close(go[1]);
}

/// A program that gains rights is not watched any more.
void programs_with_rights() {
    const char* path = "/tmp/perf-counting";
    for (unsigned mode : {0755u, 04755u}) {
        const int from = opened(open("/proc/self/exe", O_RDONLY)), to = opened(open(path, O_WRONLY | O_CREAT, 0700));
        char bytes[4096];
        for (ssize_t some; (some = read(from, bytes, sizeof bytes)) > 0;)
            CHECK_EQ(write(to, bytes, size_t(some)), some);
        CHECK_OK(fchown(to, 65534, 65534));
        CHECK_OK(fchmod(to, mode));
        close(from), close(to);
        int go[2];
        CHECK_OK(pipe(go));
        const pid_t child = fork();
        if (child == 0) {
            char byte;
            read(go[0], &byte, 1);
            execl(path, "counting", "fault", nullptr);
            _Exit(1);
        }
        const int event = count(PERF_COUNT_SW_PAGE_FAULTS, child);
        write(go[1], "", 1);
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        CHECK_EQ(value(event) < 1000, mode == 04755u);
        close(event), close(go[0]), close(go[1]);
        CHECK_OK(unlink(path));
    }
}

void a_cpu() {
    perf_event_attr switches = software(PERF_COUNT_SW_CONTEXT_SWITCHES);
    const int event = opened(open_event(&switches, -1, 0));
    stay_on(0);
    const uint64_t before = value(event);
    for (int i = 0; i < 20; ++i) usleep(1000);
    CHECK_GE(value(event) - before, 15u);
    const int clock = count(PERF_COUNT_SW_CPU_CLOCK, -1, 0);
    const uint64_t then = value(clock);
    usleep(50'000);
    CHECK_GE(value(clock) - then, 50'000'000u); // whoever runs
    close(clock), close(event);
}

void rights() {
    const int status = in_child([] {
        CHECK_OK(setresuid(65534, 65534, 65534));
        perf_event_attr faults = software(PERF_COUNT_SW_PAGE_FAULTS);
        CHECK_ERRNO(open_event(&faults, -1, 0), EACCES);
        CHECK_ERRNO(open_event(&faults, getppid(), -1), EACCES);
        CHECK_ERRNO(open_event(&faults, 1, -1), EACCES);
        CHECK_ERRNO(open_event(&faults), EACCES); // it would see the kernel
        _Exit(result());
    });
    CHECK_EQ(status, 0);
}

} // namespace

int main(int arguments, char**) {
    if (arguments > 1) {
        touch(1000);
        return 0;
    }
    attributes();
    page_faults();
    sides();
    switches_and_migrations();
    clocks();
    formats();
    groups();
    switching();
    another_process();
    inheritance();
    enable_on_exec();
    programs_with_rights();
    a_cpu();
    rights();
    return result();
}
