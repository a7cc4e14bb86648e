// sched_setattr(2) and its older relatives: which policies, priorities and parameters are taken, by whom, and what a
// child inherits. sched(7).
#include <cerrno>
#include <cstdint>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.hpp"
#include "scheduling_attributes.hpp"

namespace {

using Attributes = check::SchedulingAttributes;

constexpr int other = 0, fifo = 1, round_robin = 2, batch = 3, idle = 5, deadline = 6;
constexpr int reset_on_fork = 0x40000000;
constexpr uint64_t flag_reset = 1, flag_keep_policy = 8, flag_keep_params = 16;
constexpr uint64_t ms = 1000000;

long set(const Attributes& attributes, pid_t pid = 0, unsigned flags = 0) {
    return syscall(SYS_sched_setattr, pid, &attributes, flags);
}
Attributes get(pid_t pid = 0) {
    Attributes attributes;
    CHECK_OK(syscall(SYS_sched_getattr, pid, &attributes, 48, 0));
    return attributes;
}
long set_policy(int policy, int priority) {
    sched_param param = {priority};
    return sched_setscheduler(0, policy, &param);
}

void values() {
    for (int policy : {fifo, round_robin}) {
        CHECK_ERRNO(set_policy(policy, 0), EINVAL);
        CHECK_ERRNO(set_policy(policy, 100), EINVAL);
        CHECK_ERRNO(set_policy(policy, -1), EINVAL);
        CHECK_ERRNO(set_policy(policy, 256 + 1), EINVAL);
        CHECK_OK(set_policy(policy, 99));
        CHECK_EQ(sched_getscheduler(0), policy);
        CHECK_OK(set_policy(policy, 1));
        sched_param param = {};
        CHECK_OK(sched_getparam(0, &param));
        CHECK_EQ(param.sched_priority, 1);
        param.sched_priority = 7;
        CHECK_OK(sched_setparam(0, &param));
        CHECK_EQ(get().priority, 7u);
        CHECK_EQ(get().nice, 0);
        param.sched_priority = 0;
        CHECK_ERRNO(sched_setparam(0, &param), EINVAL);
    }
    for (int policy : {other, batch, idle}) {
        CHECK_ERRNO(set_policy(policy, 1), EINVAL);
        CHECK_OK(set_policy(policy, 0));
        CHECK_EQ(sched_getscheduler(0), policy);
    }
    for (int policy : {4, 7, 77, -1}) CHECK_ERRNO(set_policy(policy, 0), EINVAL);
    CHECK_OK(set_policy(other, 0));
    timespec turn = {-1, -1};
    CHECK_OK(set_policy(round_robin, 3));
    CHECK_OK(sched_rr_get_interval(0, &turn));
    CHECK_EQ(turn.tv_sec, 0);
    CHECK_EQ(turn.tv_nsec, 100000000);
    CHECK_OK(set_policy(fifo, 3));
    CHECK_OK(sched_rr_get_interval(0, &turn));
    CHECK_EQ(turn.tv_sec + turn.tv_nsec, 0);
    CHECK_OK(set_policy(other, 0));
    CHECK_ERRNO(sched_rr_get_interval(-1, &turn), EINVAL);
    CHECK_ERRNO(sched_getscheduler(-1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, 0, nullptr), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, 0, 8), EFAULT);
}

void structures() {
    Attributes attributes = {.policy = fifo, .priority = 5};
    CHECK_OK(set(attributes));
    CHECK_EQ(get().policy, uint32_t(fifo));
    CHECK_EQ(get().priority, 5u);
    attributes.size = 47;
    CHECK_ERRNO(set(attributes), E2BIG);
    CHECK_GE(attributes.size, 48u); // told how big it is
    struct {
        Attributes known;
        uint64_t newer = 0;
    } bigger;
    bigger.known = {.size = sizeof bigger, .policy = other};
    CHECK_OK(syscall(SYS_sched_setattr, 0, &bigger, 0));
    bigger.known.size = sizeof bigger;
    bigger.newer = 1;
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &bigger, 0), E2BIG);
    attributes = {.size = 0, .policy = other};
    CHECK_OK(set(attributes));
    CHECK_ERRNO(set(attributes, 0, 1), EINVAL);
    CHECK_ERRNO(set(attributes, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, nullptr, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, 8, 0), EFAULT);
    attributes = {.policy = 0x80000000};
    CHECK_ERRNO(set(attributes), EINVAL);
    attributes = {.policy = other, .flags = 1 << 30};
    CHECK_ERRNO(set(attributes), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &attributes, 47, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &attributes, 48, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, &attributes, 1 << 20, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, nullptr, 48, 0), EINVAL);

    attributes = {.policy = batch, .nice = 100};
    CHECK_OK(set(attributes));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    attributes = {.policy = other, .flags = flag_keep_policy, .nice = 3};
    CHECK_OK(set(attributes));
    CHECK_EQ(sched_getscheduler(0), batch);
    CHECK_EQ(get().nice, 3);
    attributes = {.policy = other, .flags = flag_keep_params, .nice = 9};
    CHECK_OK(set(attributes));
    CHECK_EQ(sched_getscheduler(0), batch); // the policy counts among them
    CHECK_EQ(get().nice, 3);
    CHECK_OK(set_policy(other, 0));
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 0));
}

void reservations() {
    Attributes asked = {.policy = deadline, .runtime = 2 * ms, .deadline = 10 * ms, .period = 20 * ms};
    CHECK_OK(set(asked));
    CHECK_EQ(sched_getscheduler(0), deadline);
    Attributes got = get();
    CHECK_EQ(got.runtime, 2 * ms);
    CHECK_EQ(got.deadline, 10 * ms);
    CHECK_EQ(got.period, 20 * ms);
    CHECK_ERRNO(fork(), EAGAIN);
    cpu_set_t one, all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (CPU_COUNT(&all) > 1) CHECK_ERRNO(sched_setaffinity(0, sizeof one, &one), EBUSY);
    asked.period = 0; // the deadline
    CHECK_OK(set(asked));
    CHECK_EQ(get().period, 10 * ms);
    const Attributes bad[] = {
        {.policy = deadline},
        {.policy = deadline, .runtime = 2 * ms},
        {.policy = deadline, .runtime = 1023, .deadline = 10 * ms, .period = 10 * ms},
        {.policy = deadline, .runtime = 11 * ms, .deadline = 10 * ms, .period = 20 * ms},
        {.policy = deadline, .runtime = 2 * ms, .deadline = 21 * ms, .period = 20 * ms},
        {.policy = deadline, .runtime = 2000, .deadline = 50000, .period = 50000},
        {.policy = deadline, .runtime = 2 * ms, .deadline = 10 * ms, .period = 5000 * ms},
        {.policy = deadline, .runtime = 2 * ms, .deadline = 1ull << 63, .period = 1ull << 63},
        {.policy = deadline, .priority = 1, .runtime = 2 * ms, .deadline = 10 * ms, .period = 10 * ms},
    };
    for (const Attributes& attributes : bad) CHECK_ERRNO(set(attributes), EINVAL);
    // The rest of the reservation is given up at the end of a yield, and comes back.
    for (int i = 0; i < 5; i++) CHECK_OK(sched_yield());
    CHECK_OK(set_policy(other, 0));
}

void too_much() {
    // One thread after another asks for nine tenths of a CPU, and keeps it.
    cpu_set_t all;
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    const int cpus = CPU_COUNT(&all);
    int admitted = 0, error = 0;
    int pipes[2], held[2];
    CHECK_OK(pipe(pipes));
    CHECK_OK(pipe(held));
    while (error == 0 && admitted <= cpus) {
        if (fork() == 0) {
            close(held[1]);
            Attributes asked = {.policy = deadline, .runtime = 9 * ms, .deadline = 10 * ms, .period = 10 * ms};
            int result = set(asked) == 0 ? 0 : errno;
            write(pipes[1], &result, sizeof result);
            char byte;
            _exit(read(held[0], &byte, 1) != 0);
        }
        CHECK_EQ(read(pipes[0], &error, sizeof error), long(sizeof error));
        if (error == 0) ++admitted;
    }
    CHECK_EQ(error, EBUSY);
    CHECK_EQ(admitted, cpus); // 0.95 of each may be promised
    close(held[1]);
    while (wait(nullptr) > 0) {
    }
    // What the dead held is free again.
    Attributes asked = {.policy = deadline, .runtime = 9 * ms, .deadline = 10 * ms, .period = 10 * ms};
    CHECK_OK(set(asked));
    CHECK_OK(set_policy(other, 0));
}

using check::run_in_child;

void inheritance() {
    CHECK_OK(set_policy(round_robin, 9));
    run_in_child([] {
        CHECK_EQ(sched_getscheduler(0), round_robin);
        CHECK_EQ(get().priority, 9u);
    });
    CHECK_OK(set_policy(round_robin | reset_on_fork, 9));
    CHECK_EQ(sched_getscheduler(0), round_robin | reset_on_fork);
    CHECK_EQ(get().flags & flag_reset, flag_reset);
    run_in_child([] {
        CHECK_EQ(sched_getscheduler(0), other);
        CHECK_EQ(get().flags, 0u);
        CHECK_EQ(get().nice, 0);
    });
    Attributes attributes = {.policy = batch, .flags = flag_reset, .nice = -7};
    CHECK_OK(set(attributes));
    run_in_child([] {
        CHECK_EQ(sched_getscheduler(0), batch);
        CHECK_EQ(get().nice, 0);
    });
    attributes = {.policy = deadline, .flags = flag_reset, .runtime = 2 * ms, .deadline = 10 * ms, .period = 10 * ms};
    CHECK_OK(set(attributes));
    run_in_child([] { CHECK_EQ(sched_getscheduler(0), other); });
    CHECK_OK(set_policy(other, 0));
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 0));
}

void limit(int resource, rlim_t value) {
    rlimit both = {value, value};
    CHECK_OK(setrlimit(resource, &both));
}

void without_privilege() {
    run_in_child([] {
        limit(RLIMIT_RTPRIO, 0);
        limit(RLIMIT_NICE, 0);
        CHECK_OK(set_policy(fifo, 10));
        CHECK_OK(setuid(65534));
        CHECK_OK(set_policy(fifo, 10));
        CHECK_OK(set_policy(fifo, 4)); // less is always allowed
        CHECK_ERRNO(set_policy(fifo, 5), EPERM);
        CHECK_ERRNO(set_policy(round_robin, 4), EPERM);
        CHECK_OK(set_policy(other, 0));
        CHECK_ERRNO(set_policy(fifo, 1), EPERM);
        Attributes asked = {.policy = deadline, .runtime = 2 * ms, .deadline = 10 * ms, .period = 10 * ms};
        CHECK_ERRNO(set(asked), EPERM);
        CHECK_OK(set_policy(idle, 0));
        CHECK_ERRNO(set_policy(other, 0), EPERM);
        CHECK_ERRNO(set_policy(batch, 0), EPERM);
        CHECK_OK(set_policy(idle, 0));
        CHECK_ERRNO(sched_setscheduler(1, other, (sched_param[]){{0}}), EPERM);
        Attributes nicer = {.policy = idle, .nice = -1};
        CHECK_OK(set(nicer)); // it makes no difference there
        CHECK_ERRNO(set_policy(other, 0), EPERM);
    });
    run_in_child([] {
        limit(RLIMIT_NICE, 0);
        CHECK_OK(setuid(65534));
        Attributes nicer = {.policy = batch, .nice = 5};
        CHECK_OK(set(nicer));
        nicer.nice = 4;
        CHECK_ERRNO(set(nicer), EPERM);
    });
    run_in_child([] {
        limit(RLIMIT_RTPRIO, 20);
        limit(RLIMIT_NICE, 20);
        CHECK_OK(setuid(65534));
        CHECK_OK(set_policy(fifo, 20));
        CHECK_ERRNO(set_policy(fifo, 21), EPERM);
        CHECK_OK(set_policy(round_robin, 12));
        CHECK_OK(set_policy(idle, 0));
        CHECK_OK(set_policy(other | reset_on_fork, 0));
        CHECK_ERRNO(set_policy(other, 0), EPERM); // the flag can't be taken back
        CHECK_OK(set_policy(batch | reset_on_fork, 0));
    });
}

} // namespace

int main() {
    if (geteuid() != 0) check::skip("only root may have real-time priorities");
    values();
    structures();
    reservations();
    too_much();
    inheritance();
    without_privilege();
    return check::result();
}
