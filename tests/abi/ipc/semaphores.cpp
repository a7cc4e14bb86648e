// System V semaphores: semget, semop, semtimedop, semctl. Least Linux: 4.17 (SEM_STAT_ANY).
// timeout: 150
#include "semaphores.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <sys/syscall.h>

using namespace semaphores;

namespace {

const key_t some_key = 0x5c696e6e;
char* const bad = reinterpret_cast<char*>(-4096);

void test_get() {
    CHECK_ERRNO(semget(some_key, 1, 0600), ENOENT);
    CHECK_ERRNO(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    CHECK_ERRNO(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    CHECK_ERRNO(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
    const int id = make(3, IPC_EXCL | 0640, some_key);
    CHECK_EQ(semget(some_key, 0, 0), id);
    CHECK_EQ(semget(some_key, 3, IPC_CREAT | 0600), id);
    CHECK_ERRNO(semget(some_key, 4, 0), EINVAL);
    CHECK_ERRNO(semget(some_key, 3, IPC_CREAT | IPC_EXCL), EEXIST);
    const semid_ds data = status(id);
    CHECK_EQ(data.sem_perm.__key, some_key);
    CHECK_EQ(data.sem_perm.mode, 0640);
    CHECK_EQ(data.sem_nsems, 3u);
    CHECK_EQ(data.sem_otime, 0);
    CHECK(llabs(data.sem_ctime - time(nullptr)) <= 2);
    for (int i = 0; i < 3; i++) CHECK(value(id, i) == 0 && last_pid(id, i) == 0);
    remove(id);
    CHECK_ERRNO(semget(some_key, 0, 0), ENOENT);
    CHECK_ERRNO(semctl(id, 0, GETVAL), EINVAL);
    CHECK_ERRNO(operate(id, {step(0, 1)}), EINVAL);
    CHECK_ERRNO(semctl(id, 0, IPC_RMID), EINVAL);
}

void test_operations() {
    const int id = make(3);
    CHECK_EQ(operate(id, {step(0, 5)}), 0);
    CHECK_EQ(value(id), 5);
    CHECK_EQ(last_pid(id), getpid());
    CHECK_EQ(last_pid(id, 1), 0);
    CHECK(llabs(status(id).sem_otime - time(nullptr)) <= 2);
    CHECK_ERRNO(operate(id, {step(0, -6, no_wait)}), EAGAIN);
    CHECK_ERRNO(operate(id, {step(0, 0, no_wait)}), EAGAIN);
    CHECK_EQ(operate(id, {step(1, 0, no_wait)}), 0);
    CHECK_EQ(last_pid(id, 1), getpid()); // a wait for zero too
    // All or nothing, and in order.
    CHECK_ERRNO(operate(id, {step(0, -5), step(1, 1), step(2, -1, no_wait)}), EAGAIN);
    CHECK(value(id, 0) == 5 && value(id, 1) == 0 && value(id, 2) == 0);
    CHECK_EQ(operate(id, {step(2, 1), step(0, -5), step(0, 0), step(2, -1), step(1, 2)}), 0);
    CHECK(value(id, 0) == 0 && value(id, 1) == 2 && value(id, 2) == 0);
    CHECK_ERRNO(operate(id, {step(0, -1, no_wait), step(0, 1)}), EAGAIN);
    // Only the step that would wait says whether it may.
    CHECK_ERRNO(operate(id, {step(1, -1), step(0, -1, no_wait)}), EAGAIN);
    CHECK_EQ(value(id, 1), 2);
    // Limits.
    set(id, 0, 32767);
    CHECK_ERRNO(operate(id, {step(0, 1)}), ERANGE);
    CHECK_ERRNO(operate(id, {step(1, 1), step(0, 1)}), ERANGE);
    CHECK_EQ(value(id, 1), 2);
    CHECK_EQ(operate(id, {step(0, -32767)}), 0);
    CHECK_ERRNO(operate(id, {step(3, 1)}), EFBIG);
    CHECK_ERRNO(operate(id, {step(65535, 0)}), EFBIG);
    Step many[501] = {};
    CHECK_ERRNO(semop(id, many, 501), E2BIG);
    CHECK_EQ(semop(id, many, 500), 0);
    for (Step& each : many) each = step(2, 1);
    CHECK_EQ(semop(id, many, 500), 0);
    CHECK_EQ(value(id, 2), 500);
    CHECK_ERRNO(semop(id, many, 0), EINVAL);
    CHECK_ERRNO(semop(-1, many, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_semop, id, many, ~0ul), E2BIG);
    CHECK_ERRNO(syscall(SYS_semop, id, nullptr, 1), EFAULT);
    CHECK_ERRNO(syscall(SYS_semop, id, bad, 2), EFAULT);
    remove(id);
}

void test_values() {
    const int id = make(4);
    set(id, 1, 7);
    CHECK_EQ(last_pid(id, 1), getpid());
    CHECK_ERRNO(semctl(id, 1, SETVAL, -1), ERANGE);
    CHECK_ERRNO(semctl(id, 1, SETVAL, 32768), ERANGE);
    CHECK_ERRNO(semctl(id, 4, SETVAL, 1), EINVAL);
    CHECK_ERRNO(semctl(id, -1, SETVAL, 1), EINVAL);
    for (int command : {GETVAL, GETPID, GETNCNT, GETZCNT}) {
        CHECK_ERRNO(semctl(id, 4, command), EINVAL);
        CHECK_ERRNO(semctl(id, -1, command), EINVAL);
        CHECK_ERRNO(semctl(-1, 0, command), EINVAL);
    }
    unsigned short values[4] = {};
    CHECK_EQ(semctl(id, 99, GETALL, values), 0); // the number isn't looked at
    CHECK(values[0] == 0 && values[1] == 7 && values[3] == 0);
    const unsigned short fresh[4] = {1, 2, 3, 32767}, wrong[4] = {9, 9, 9, 32768};
    CHECK_EQ(semctl(id, 0, SETALL, fresh), 0);
    CHECK_ERRNO(semctl(id, 0, SETALL, wrong), ERANGE);
    CHECK_ERRNO(semctl(id, 0, SETALL, bad), EFAULT);
    CHECK_ERRNO(semctl(id, 0, GETALL, bad), EFAULT);
    for (int i = 0; i < 4; i++) CHECK_EQ(value(id, i), fresh[i]);
    CHECK_EQ(last_pid(id, 3), getpid());
    CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
    CHECK_ERRNO(semctl(id, 0, -1), EINVAL);
    CHECK_ERRNO(semctl(id, 0, IPC_STAT, bad), EFAULT);
    CHECK_ERRNO(semctl(id, 0, IPC_SET, bad), EFAULT);
    semid_ds data = status(id);
    data.sem_perm.mode = 07644;
    data.sem_perm.uid = 12, data.sem_perm.gid = 34;
    CHECK_EQ(semctl(id, 0, IPC_SET, &data), 0);
    data = status(id);
    CHECK_EQ(data.sem_perm.mode, 0644);
    CHECK(data.sem_perm.uid == 12 && data.sem_perm.gid == 34 && data.sem_perm.cuid == 0);
    data.sem_perm.uid = uid_t(-1);
    CHECK_ERRNO(semctl(id, 0, IPC_SET, &data), EINVAL);
    remove(id);
}

void test_information() {
    const int id = make(5, 0600, some_key);
    seminfo info{};
    int highest = semctl(0, 0, IPC_INFO, &info);
    CHECK_GE(highest, 0);
    CHECK(info.semmsl == 32000 && info.semmns == 1024000000 && info.semopm == 500 && info.semmni == 32000);
    CHECK(info.semvmx == 32767 && info.semaem == 32767 && info.semusz == 20 && info.semume == 500);
    highest = semctl(0, 0, SEM_INFO, &info);
    CHECK_GE(info.semusz, 1);
    CHECK_GE(info.semaem, 5);
    CHECK_ERRNO(semctl(0, 0, IPC_INFO, bad), EFAULT);
    bool found = false;
    for (int index = 0; index <= highest; index++) {
        semid_ds data;
        const int got = semctl(index, 0, SEM_STAT, &data), any = semctl(index, 0, SEM_STAT_ANY, &data);
        CHECK_EQ(got, any);
        if (got == id) found = data.sem_nsems == 5;
    }
    CHECK(found);
    semid_ds data;
    CHECK_ERRNO(semctl(highest + 1, 0, SEM_STAT, &data), EINVAL);
    char line[200];
    data = status(id);
    snprintf(line, sizeof line, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lu %10lu\n", some_key, id, 0600, 5, 0, 0, 0, 0,
             0ul, (unsigned long)data.sem_ctime);
    const char* text = proc_text::read_file("/proc/sysvipc/sem");
    const char* heading = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
    REQUIRE(text);
    CHECK_EQ(strncmp(text, heading, strlen(heading)), 0);
    CHECK(strstr(text, line));
    remove(id);
    CHECK(!strstr(proc_text::read_file("/proc/sysvipc/sem"), line));
}

void become(uid_t uid) {
    CHECK_OK(setgid(uid));
    CHECK_OK(setuid(uid));
}

void test_permissions() {
    const int id = make(1, 0640, some_key), open_to_all = make(1, 0606), write_only = make(1, 0602);
    check::run_in_child([&] {
        become(1000);
        CHECK_ERRNO(semget(some_key, 0, 0400), EACCES);
        CHECK_EQ(semget(some_key, 0, 0), id); // asks for nothing
        semid_ds data;
        unsigned short all[1] = {0};
        CHECK_ERRNO(semctl(id, 0, IPC_STAT, &data), EACCES);
        CHECK_ERRNO(semctl(id, 0, GETVAL), EACCES);
        CHECK_ERRNO(semctl(id, 0, GETALL, all), EACCES);
        CHECK_ERRNO(semctl(id, 0, SETALL, all), EACCES);
        CHECK_ERRNO(semctl(id, 0, SETVAL, 1), EACCES);
        CHECK_ERRNO(operate(id, {step(0, 0)}), EACCES);
        CHECK_ERRNO(operate(id, {step(0, 1)}), EACCES);
        CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
        CHECK_ERRNO(semctl(open_to_all, 0, IPC_SET, &data), EPERM);
        CHECK_EQ(operate(open_to_all, {step(0, 1)}), 0);
        CHECK_EQ(operate(write_only, {step(0, 1)}), 0);
        CHECK_ERRNO(operate(write_only, {step(0, 0)}), EACCES);
        CHECK_ERRNO(semctl(write_only, 0, GETVAL), EACCES);
        seminfo info;
        const int highest = semctl(0, 0, SEM_INFO, &info);
        bool found = false;
        for (int index = 0; index <= highest; index++)
            if (semctl(index, 0, SEM_STAT_ANY, &data) == id) {
                found = true;
                CHECK_ERRNO(semctl(index, 0, SEM_STAT, &data), EACCES);
            }
        CHECK(found);
    });
    // Given away, the new owner may do everything.
    semid_ds data = status(id);
    data.sem_perm.uid = 1000;
    CHECK_EQ(semctl(id, 0, IPC_SET, &data), 0);
    check::run_in_child([&] {
        become(1000);
        CHECK_EQ(operate(id, {step(0, 1)}), 0);
        remove(id);
    });
    remove(open_to_all);
    remove(write_only);
}

void test_waiting() {
    const int id = make(2);
    // For an increase, for a zero, and for both.
    pid_t decreases = child(id, {step(0, -2)});
    CHECK(waiting(id, 0, 1));
    CHECK_EQ(semctl(id, 0, GETZCNT), 0);
    CHECK_EQ(operate(id, {step(0, 1)}), 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    CHECK_EQ(operate(id, {step(0, 1)}), 0);
    CHECK_EQ(outcome(decreases), 0);
    CHECK_EQ(value(id), 0);
    CHECK_EQ(last_pid(id), decreases);
    set(id, 0, 2), set(id, 1, 1);
    pid_t zero = child(id, {step(0, 0)}), zeros = child(id, {step(0, 0), step(1, 0)});
    CHECK(waiting(id, 0, 2, GETZCNT));
    CHECK_EQ(semctl(id, 1, GETZCNT), 0); // it is blocked at the first
    CHECK_EQ(operate(id, {step(0, -2)}), 0);
    CHECK_EQ(outcome(zero), 0);
    CHECK(waiting(id, 1, 1, GETZCNT));
    set(id, 1, 0);
    CHECK_EQ(outcome(zeros), 0);
    // A waiter gets what somebody sets by force too.
    decreases = child(id, {step(0, -3), step(1, -1)});
    CHECK(waiting(id, 0, 1));
    const unsigned short values[2] = {4, 1};
    CHECK_EQ(semctl(id, 0, SETALL, values), 0);
    CHECK_EQ(outcome(decreases), 0);
    CHECK(value(id, 0) == 1 && value(id, 1) == 0);
    // An operation that could never be done fails while it waits.
    set(id, 0, 0), set(id, 1, 32767);
    decreases = child(id, {step(0, -1), step(1, 1)});
    CHECK(waiting(id, 0, 1));
    CHECK_EQ(operate(id, {step(0, 1)}), 0);
    CHECK_EQ(outcome(decreases), ERANGE);
    CHECK_EQ(value(id), 1);
    // Removal ends all waits.
    set(id, 0, 0);
    decreases = child(id, {step(0, -1)});
    pid_t both = child(id, {step(0, -1), step(1, -1)});
    CHECK(waiting(id, 0, 2));
    zero = child(id, {step(1, 0)}), zeros = child(id, {step(1, 0), step(0, 0)});
    CHECK(waiting(id, 1, 2, GETZCNT));
    remove(id);
    for (pid_t pid : {decreases, both, zero, zeros}) CHECK_EQ(outcome(pid), EIDRM);
}

/// In the order in which they came; who can't go on is passed over.
void test_order() {
    const int id = make(3);
    pid_t pids[4];
    const int wanted[4] = {3, 1, 2, 1};
    for (int i = 0; i < 4; i++) {
        pids[i] = child(id, {step(0, -wanted[i])});
        CHECK(waiting(id, 0, i + 1));
    }
    CHECK_EQ(operate(id, {step(0, 1)}), 0);
    CHECK_EQ(outcome(pids[1]), 0);
    CHECK_EQ(operate(id, {step(0, 2)}), 0);
    CHECK_EQ(outcome(pids[2]), 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 2);
    CHECK_EQ(operate(id, {step(0, 4)}), 0);
    CHECK_EQ(outcome(pids[0]), 0);
    CHECK_EQ(outcome(pids[3]), 0);
    CHECK_EQ(value(id), 0);
    // Between those who want one and those who want several too.
    pids[0] = child(id, {step(0, -1), step(1, 1)});
    CHECK(waiting(id, 0, 1));
    pids[1] = child(id, {step(0, -1)});
    CHECK(waiting(id, 0, 2));
    pids[2] = child(id, {step(0, -1), step(2, 1)});
    CHECK(waiting(id, 0, 3));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(operate(id, {step(0, 1)}), 0);
        CHECK_EQ(outcome(pids[i]), 0);
        CHECK_EQ(value(id), 0);
    }
    CHECK(value(id, 1) == 1 && value(id, 2) == 1);
    // One that goes on may let others go on, one after the other.
    set(id, 1, 0), set(id, 2, 0);
    pids[0] = child(id, {step(2, -1)});
    CHECK(waiting(id, 2, 1));
    pids[1] = child(id, {step(1, -1), step(2, 1)});
    CHECK(waiting(id, 1, 1));
    pids[2] = child(id, {step(0, -1), step(1, 1)});
    CHECK(waiting(id, 0, 1));
    CHECK_EQ(operate(id, {step(0, 1)}), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(outcome(pids[i]), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(value(id, i), 0);
    remove(id);
}

void on_signal(int) {}

void test_interruption() {
    const int id = make(1);
    check::handle(SIGUSR1, on_signal, SA_RESTART); // never restarted all the same
    pid_t pid = child(id, {step(0, -1)});
    CHECK(check::wait_asleep(pid) && waiting(id, 0, 1));
    kill(pid, SIGUSR1);
    CHECK_EQ(outcome(pid), EINTR);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    // Death leaves the queue too.
    pid = child(id, {step(0, -1), step(0, 0)});
    CHECK(waiting(id, 0, 1));
    kill(pid, SIGKILL);
    CHECK_EQ(outcome(pid), 1000 + SIGKILL);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    CHECK_EQ(operate(id, {step(0, 1)}), 0);
    CHECK_EQ(value(id), 1);
    // Time.
    set(id, 0, 0);
    Step down = step(0, -1);
    timespec timeout = {0, 20'000'000};
    const double before = memory::now();
    CHECK_ERRNO(semtimedop(id, &down, 1, &timeout), EAGAIN);
    CHECK_GE(memory::now() - before, 0.02);
    timeout = {0, 0};
    CHECK_ERRNO(semtimedop(id, &down, 1, &timeout), EAGAIN);
    timeout = {0, 1'000'000'000};
    CHECK_ERRNO(semtimedop(id, &down, 1, &timeout), EINVAL);
    timeout = {-1, 0};
    CHECK_ERRNO(semtimedop(id, &down, 1, &timeout), EINVAL);
    CHECK_ERRNO(semtimedop(id, &down, 501, &timeout), E2BIG);
    CHECK_ERRNO(syscall(SYS_semtimedop, id, &down, 1, bad), EFAULT);
    set(id, 0, 1);
    timeout = {1000, 0};
    CHECK_EQ(semtimedop(id, &down, 1, &timeout), 0);
    set(id, 0, 1);
    CHECK_EQ(semtimedop(id, &down, 1, nullptr), 0);
    remove(id);
}

void test_limits() {
    const char* const path = "/proc/sys/kernel/sem";
    CHECK_STREQ(proc_text::read_file(path), "32000\t1024000000\t500\t32000\n");
    seminfo now;
    semctl(0, 0, SEM_INFO, &now);
    char text[100];
    {
        snprintf(text, sizeof text, "10 %d 3 %d\n", now.semaem + 12, now.semusz + 2);
        proc_text::Setting setting(path, text);
        CHECK_ERRNO(semget(IPC_PRIVATE, 11, 0600), EINVAL);
        const int first = make(10);
        CHECK_ERRNO(semget(IPC_PRIVATE, 3, 0600), ENOSPC);
        const int second = make(2);
        CHECK_ERRNO(operate(first, {step(0, 0), step(0, 0), step(0, 0), step(0, 0)}), E2BIG);
        CHECK(proc_text::write_file(path, "10 1000000"));
        CHECK_ERRNO(semget(IPC_PRIVATE, 1, 0600), ENOSPC); // the number of sets
        remove(first);
        remove(second);
    }
    CHECK_STREQ(proc_text::read_file(path), "32000\t1024000000\t500\t32000\n");
    CHECK(!proc_text::write_file(path, "x"));
    CHECK(!proc_text::write_file(path, "32000 1024000000 500 40000"));
    CHECK_STREQ(proc_text::read_file(path), "32000\t1024000000\t500\t32000\n");
    // A large set works in all its parts.
    const int id = make(32000);
    set(id, 31999, 1);
    CHECK_EQ(operate(id, {step(31999, -1, undo), step(0, 1)}), 0);
    pid_t pid = child(id, {step(31999, -1), step(1, -1)});
    CHECK(waiting(id, 31999, 1));
    CHECK_EQ(operate(id, {step(31999, 1), step(1, 1)}), 0);
    CHECK_EQ(outcome(pid), 0);
    remove(id);
}

/// An id of a removed set is not soon another's.
void test_ids() {
    int last = -1;
    for (int i = 0; i < 300; i++) {
        const int id = make(1);
        CHECK_NE(id, last);
        CHECK(last < 0 || semctl(last, 0, GETVAL) == -1);
        remove(id);
        last = id;
    }
}

} // namespace

int main() {
    test_get();
    test_operations();
    test_values();
    test_information();
    test_permissions();
    test_waiting();
    test_order();
    test_interruption();
    test_limits();
    test_ids();
    return check::result();
}
