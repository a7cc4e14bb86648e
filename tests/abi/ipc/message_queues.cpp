// System V message queues: msgget, msgsnd, msgrcv, msgctl. Least Linux: 4.17 (MSG_STAT_ANY).
// timeout: 150
#include "message_queues.hpp"
#include "proc_text.hpp"
#include <climits>
#include <sys/syscall.h>

using namespace message_queues;

namespace {

const key_t some_key = 0x6c696e6e;
char* const bad = reinterpret_cast<char*>(-4096);
Text text;

void test_get() {
    CHECK_ERRNO(msgget(some_key, 0600), ENOENT);
    const int id = make(IPC_EXCL | 0640, some_key);
    CHECK_EQ(msgget(some_key, 0), id);
    CHECK_EQ(msgget(some_key, IPC_CREAT | 0600), id);
    CHECK_ERRNO(msgget(some_key, IPC_CREAT | IPC_EXCL), EEXIST);
    msqid_ds data = status(id);
    CHECK_EQ(data.msg_perm.__key, some_key);
    CHECK_EQ(data.msg_perm.mode, 0640);
    CHECK(data.msg_qnum == 0 && data.__msg_cbytes == 0 && data.msg_qbytes == 16384);
    CHECK(data.msg_stime == 0 && data.msg_rtime == 0 && data.msg_lspid == 0 && data.msg_lrpid == 0);
    CHECK(llabs(data.msg_ctime - time(nullptr)) <= 2);
    CHECK_EQ(send(id, 1, 5, 100), 0);
    data = status(id);
    CHECK(data.msg_qnum == 1 && data.__msg_cbytes == 100 && data.msg_lspid == getpid() && data.msg_lrpid == 0);
    CHECK(llabs(data.msg_stime - time(nullptr)) <= 2);
    CHECK_EQ(receive(id), 5);
    data = status(id);
    CHECK(data.msg_qnum == 0 && data.__msg_cbytes == 0 && data.msg_lrpid == getpid() && data.msg_rtime != 0);
    remove(id);
    CHECK_ERRNO(msgget(some_key, 0), ENOENT);
    CHECK_ERRNO(send(id, 1, 1), EINVAL);
    CHECK_ERRNO(receive(id), EINVAL);
    CHECK_ERRNO(msgctl(id, IPC_RMID, nullptr), EINVAL);
}

void fill(int id) {
    const long types[] = {3, 1, 2, 1, 5, 2};
    for (int i = 0; i < 6; i++) CHECK_EQ(send(id, types[i], i), 0);
}

void test_types() {
    const int id = make();
    long type = 0;
    fill(id);
    for (int i = 0; i < 6; i++) CHECK_EQ(receive(id, 0), i);
    CHECK_ERRNO(receive(id, 0), ENOMSG);
    fill(id);
    CHECK_EQ(receive(id, 2), 2);
    CHECK_EQ(receive(id, 2), 5);
    CHECK_ERRNO(receive(id, 2), ENOMSG);
    CHECK_EQ(receive(id, 1, IPC_NOWAIT | MSG_EXCEPT), 0);
    CHECK_EQ(receive(id, 1, IPC_NOWAIT | MSG_EXCEPT), 4);
    CHECK_ERRNO(receive(id, 1, IPC_NOWAIT | MSG_EXCEPT), ENOMSG);
    CHECK(receive(id) == 1 && receive(id) == 3);
    fill(id);
    // The lowest type up to that, the oldest first.
    CHECK_EQ(receive(id, -2), 1);
    CHECK_EQ(receive(id, -3, IPC_NOWAIT, 100, &type), 3);
    CHECK_EQ(type, 1);
    CHECK_EQ(receive(id, -3), 2);
    CHECK_EQ(receive(id, LONG_MIN), 5);
    CHECK_EQ(receive(id, -3), 0);
    CHECK_ERRNO(receive(id, -4), ENOMSG);
    CHECK_EQ(receive(id, -5), 4);
    CHECK_EQ(send(id, LONG_MAX, 9), 0);
    CHECK_EQ(receive(id, LONG_MIN, IPC_NOWAIT, 100, &type), 9);
    CHECK_EQ(type, LONG_MAX);
    remove(id);
}

void test_sizes() {
    const int id = make();
    memset(text.bytes, 'x', sizeof text.bytes);
    text.type = 1;
    for (size_t size : {0ul, 1ul, 100ul, 4096ul, 8191ul, 8192ul}) {
        CHECK_EQ(msgsnd(id, &text, size, 0), 0);
        static Text got;
        got.type = 0, got.bytes[size] = '.';
        CHECK_EQ(msgrcv(id, &got, sizeof got.bytes, 0, 0), ssize_t(size));
        CHECK(got.type == 1 && memcmp(got.bytes, text.bytes, size) == 0 && got.bytes[size] == '.');
    }
    CHECK_ERRNO(msgsnd(id, &text, 8193, 0), EINVAL);
    CHECK_ERRNO(msgsnd(id, &text, size_t(-1), 0), EINVAL);
    CHECK_ERRNO(msgsnd(-1, &text, 1, 0), EINVAL);
    CHECK_ERRNO(msgrcv(-1, &text, 1, 0, 0), EINVAL);
    CHECK_ERRNO(msgrcv(id, &text, size_t(-1), 0, 0), EINVAL);
    for (long type : {0l, -1l, LONG_MIN}) {
        text.type = type;
        CHECK_ERRNO(msgsnd(id, &text, 1, 0), EINVAL);
    }
    text.type = 1;
    CHECK_ERRNO(syscall(SYS_msgsnd, id, bad, 10, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_msgsnd, id, nullptr, 10, 0), EFAULT);
    // Too long is refused and stays, or is cut.
    CHECK_EQ(send(id, 1, 77, 100), 0);
    CHECK_ERRNO(msgrcv(id, &text, 99, 0, 0), E2BIG);
    CHECK_EQ(status(id).msg_qnum, 1u);
    CHECK_EQ(msgrcv(id, &text, 50, 0, MSG_NOERROR), 50);
    CHECK_EQ(status(id).msg_qnum, 0u);
    CHECK_EQ(send(id, 1, 78, 100), 0);
    CHECK_EQ(msgrcv(id, &text, 0, 0, MSG_NOERROR), 0);
    // Limits of the queue: bytes, and messages without any.
    CHECK_EQ(send(id, 1, 1, 8192), 0);
    CHECK_EQ(send(id, 1, 2, 8192), 0);
    CHECK_ERRNO(send(id, 1, 3, 1), EAGAIN);
    CHECK_EQ(send(id, 1, 3, 0), 0);
    CHECK(receive(id) == 1 && receive(id) == 2);
    CHECK_EQ(msgrcv(id, &text, 0, 0, 0), 0);
    int count = 0;
    while (send(id, 1, 0, 0) == 0) count++;
    CHECK_ERRNO(send(id, 1, 0, 0), EAGAIN);
    CHECK_EQ(count, 16384);
    remove(id);
}

void test_copy() {
    const int id = make();
    fill(id);
    long type;
    if (receive(id, 0, IPC_NOWAIT | MSG_COPY) < 0 && errno == ENOSYS) return remove(id); // an option of Linux
    for (int i = 0; i < 6; i++) CHECK_EQ(receive(id, i, IPC_NOWAIT | MSG_COPY), i);
    CHECK_EQ(receive(id, 4, IPC_NOWAIT | MSG_COPY, 100, &type), 4);
    CHECK_EQ(type, 5);
    CHECK_ERRNO(receive(id, 6, IPC_NOWAIT | MSG_COPY), ENOMSG);
    CHECK_ERRNO(receive(id, 0, MSG_COPY), EINVAL);
    CHECK_ERRNO(receive(id, 0, IPC_NOWAIT | MSG_COPY | MSG_EXCEPT), EINVAL);
    CHECK_ERRNO(msgrcv(id, &text, 3, 0, IPC_NOWAIT | MSG_COPY), E2BIG);
    CHECK_EQ(status(id).msg_qnum, 6u);
    CHECK_EQ(receive(id), 0);
    remove(id);
}

void test_control() {
    const int id = make(0600, some_key);
    msqid_ds data = status(id);
    data.msg_perm.mode = 0644, data.msg_perm.uid = 12, data.msg_qbytes = 10;
    CHECK_EQ(msgctl(id, IPC_SET, &data), 0);
    CHECK_EQ(status(id).msg_perm.mode, 0644);
    CHECK_EQ(status(id).msg_perm.uid, 12u);
    CHECK_ERRNO(send(id, 1, 1, 11), EAGAIN);
    CHECK_EQ(send(id, 1, 1, 10), 0);
    data.msg_qbytes = 100000; // root may
    CHECK_EQ(msgctl(id, IPC_SET, &data), 0);
    data.msg_perm.uid = uid_t(-1);
    CHECK_ERRNO(msgctl(id, IPC_SET, &data), EINVAL);
    CHECK_ERRNO(syscall(SYS_msgctl, id, IPC_SET, bad), EFAULT);
    CHECK_ERRNO(syscall(SYS_msgctl, id, IPC_STAT, bad), EFAULT);
    CHECK_ERRNO(msgctl(id, 99, &data), EINVAL);
    CHECK_ERRNO(msgctl(id, -1, &data), EINVAL);
    CHECK_ERRNO(msgctl(-1, IPC_STAT, &data), EINVAL);
    msginfo info{};
    CHECK_GE(msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&info)), 0);
    CHECK(info.msgmax == 8192 && info.msgmnb == 16384 && info.msgmni == 32000 && info.msgssz == 16);
    const int highest = msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&info));
    CHECK_GE(info.msgpool, 1);
    CHECK_GE(info.msgmap, 1);
    CHECK_GE(info.msgtql, 10);
    bool found = false;
    for (int index = 0; index <= highest; index++) {
        const int got = msgctl(index, MSG_STAT, &data);
        CHECK_EQ(got, msgctl(index, MSG_STAT_ANY, &data));
        if (got == id) found = data.msg_qnum == 1;
    }
    CHECK(found);
    CHECK_ERRNO(msgctl(highest + 1, MSG_STAT, &data), EINVAL);
    data = status(id);
    char line[300];
    snprintf(line, sizeof line, "%10d %10d  %4o  %10u %10u %5d %5u %5u %5u %5u %5u %10ld %10u %10ld\n", some_key, id,
             0644u, 10u, 1u, getpid(), 0u, 12u, 0u, 0u, 0u, long(data.msg_stime), 0u, long(data.msg_ctime));
    const char* heading = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
                          "      stime      rtime      ctime\n";
    const char* table = proc_text::read_file("/proc/sysvipc/msg");
    REQUIRE(table);
    CHECK_EQ(strncmp(table, heading, strlen(heading)), 0);
    CHECK(strstr(table, line));
    remove(id);
}

void test_permissions() {
    const int id = make(0640, some_key), write_only = make(0602), read_only = make(0604);
    CHECK_EQ(send(read_only, 1, 1), 0);
    check::run_in_child([&] {
        CHECK_OK(setgid(1000));
        CHECK_OK(setuid(1000));
        msqid_ds data{};
        CHECK_ERRNO(msgget(some_key, 0400), EACCES);
        CHECK_EQ(msgget(some_key, 0), id);
        CHECK_ERRNO(send(id, 1, 1), EACCES);
        CHECK_ERRNO(receive(id), EACCES);
        CHECK_ERRNO(msgctl(id, IPC_STAT, &data), EACCES);
        CHECK_ERRNO(msgctl(id, IPC_RMID, nullptr), EPERM);
        CHECK_ERRNO(msgctl(write_only, IPC_SET, &data), EPERM);
        CHECK_EQ(send(write_only, 1, 1), 0);
        CHECK_ERRNO(receive(write_only), EACCES);
        CHECK_EQ(receive(read_only), 1);
        CHECK_ERRNO(send(read_only, 1, 1), EACCES);
        // One's own queue isn't to be made larger than the limit.
        const int own = make(0600);
        data = status(own);
        data.msg_qbytes = 16385;
        CHECK_ERRNO(msgctl(own, IPC_SET, &data), EPERM);
        data.msg_qbytes = 16384;
        CHECK_EQ(msgctl(own, IPC_SET, &data), 0);
        remove(own);
    });
    for (int each : {id, write_only, read_only}) remove(each);
}

void on_signal(int) {}

void test_waiting() {
    const int id = make();
    // A receiver gets its own message, whatever else comes.
    pid_t second = child([&] { return receive(id, 2, 0); });
    CHECK(check::wait_asleep(second));
    pid_t any = child([&] { return receive(id, 0, 0); });
    CHECK(check::wait_asleep(any));
    CHECK_EQ(send(id, 1, 11), 0);
    CHECK_EQ(outcome(any), 11);
    CHECK_EQ(send(id, 2, 12), 0);
    CHECK_EQ(outcome(second), 12);
    CHECK_EQ(status(id).msg_lrpid, second);
    CHECK_EQ(status(id).msg_qnum, 0u);
    // In the order in which they came.
    pid_t pids[3];
    for (auto& pid : pids) {
        pid = child([&] { return receive(id, 1, 0); });
        CHECK(check::wait_asleep(pid));
    }
    for (int i = 0; i < 3; i++) CHECK_EQ(send(id, 1, 20 + i), 0);
    for (int i = 0; i < 3; i++) CHECK_EQ(outcome(pids[i]), 20 + i);
    // Who has too little room for it gets an error, the next one the message.
    pids[0] = child([&] { return receive(id, 0, 0, 50); });
    CHECK(check::wait_asleep(pids[0]));
    pids[1] = child([&] { return receive(id, 0, 0, 100); });
    CHECK(check::wait_asleep(pids[1]));
    CHECK_EQ(send(id, 1, 30, 80), 0);
    CHECK_EQ(outcome(pids[0]), 100 + E2BIG);
    CHECK_EQ(outcome(pids[1]), 30);
    // Senders wait for room; who fits passes by those who don't.
    CHECK_EQ(send(id, 1, 0, 8192), 0);
    CHECK_EQ(send(id, 1, 1, 6000), 0);
    CHECK_EQ(send(id, 2, 2, 2000), 0);
    pids[0] = child([&] { return send(id, 1, 3, 8192, 0); });
    CHECK(check::wait_asleep(pids[0]));
    pids[1] = child([&] { return send(id, 1, 4, 193, 0); });
    CHECK(check::wait_asleep(pids[1]));
    CHECK_EQ(receive(id, 2), 2);
    CHECK_EQ(outcome(pids[1]), 0);
    CHECK_EQ(receive(id), 0);
    CHECK_EQ(outcome(pids[0]), 0);
    CHECK(receive(id) == 1 && receive(id) == 4 && receive(id) == 3);
    CHECK_ERRNO(receive(id), ENOMSG);
    // Larger limits let senders in.
    msqid_ds data = status(id);
    data.msg_qbytes = 10;
    CHECK_EQ(msgctl(id, IPC_SET, &data), 0);
    pids[0] = child([&] { return send(id, 1, 5, 20, 0); });
    CHECK(check::wait_asleep(pids[0]));
    data.msg_qbytes = 20;
    CHECK_EQ(msgctl(id, IPC_SET, &data), 0);
    CHECK_EQ(outcome(pids[0]), 0);
    CHECK_EQ(receive(id), 5);
    // Removal ends all waits.
    pids[0] = child([&] { return send(id, 1, 5, 21, 0); });
    pids[1] = child([&] { return receive(id, 7, 0); });
    CHECK(check::wait_asleep(pids[0]) && check::wait_asleep(pids[1]));
    remove(id);
    CHECK_EQ(outcome(pids[0]), 100 + EIDRM);
    CHECK_EQ(outcome(pids[1]), 100 + EIDRM);
}

void test_interruption() {
    const int id = make();
    check::handle(SIGUSR1, on_signal, SA_RESTART);
    pid_t pid = child([&] { return receive(id, 1, 0); });
    CHECK(check::wait_asleep(pid));
    kill(pid, SIGUSR1);
    CHECK_EQ(outcome(pid), 100 + EINTR);
    CHECK_EQ(send(id, 1, 1, 8192), 0);
    CHECK_EQ(send(id, 1, 2, 8192), 0);
    pid = child([&] { return send(id, 1, 3, 1, 0); });
    CHECK(check::wait_asleep(pid));
    kill(pid, SIGUSR1);
    CHECK_EQ(outcome(pid), 100 + EINTR);
    // A stop without a handler isn't noticed.
    pid = child([&] { return receive(id, 2, 0); });
    CHECK(check::wait_asleep(pid));
    kill(pid, SIGSTOP);
    CHECK(check::eventually([&] { return check::thread_state(pid) == 'T'; }));
    kill(pid, SIGCONT);
    CHECK(check::wait_asleep(pid));
    CHECK(receive(id) == 1 && receive(id) == 2);
    CHECK_EQ(send(id, 2, 40), 0);
    CHECK_EQ(outcome(pid), 40);
    CHECK_EQ(status(id).msg_qnum, 0u);
    remove(id);
}

void test_limits() {
    msginfo now;
    msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&now));
    {
        char most[20];
        snprintf(most, sizeof most, "%d", now.msgpool + 1);
        proc_text::Setting queues("/proc/sys/kernel/msgmni", most), one("/proc/sys/kernel/msgmax", "100"),
            all("/proc/sys/kernel/msgmnb", "150");
        const int id = make();
        CHECK_ERRNO(msgget(IPC_PRIVATE, 0600), ENOSPC);
        CHECK_EQ(status(id).msg_qbytes, 150u);
        CHECK_ERRNO(send(id, 1, 1, 101), EINVAL);
        CHECK_EQ(send(id, 1, 1, 100), 0);
        CHECK_ERRNO(send(id, 1, 1, 51), EAGAIN);
        CHECK(proc_text::write_file("/proc/sys/kernel/msgmax", "1000000"));
        msqid_ds data = status(id);
        data.msg_qbytes = 1000000;
        CHECK_EQ(msgctl(id, IPC_SET, &data), 0);
        static char large[sizeof(long) + 500000];
        *reinterpret_cast<long*>(large) = 9;
        large[sizeof large - 1] = 'e';
        CHECK_EQ(msgsnd(id, large, 500000, 0), 0);
        large[sizeof large - 1] = 0;
        CHECK_EQ(msgrcv(id, large, 500000, 9, 0), 500000);
        CHECK_EQ(large[sizeof large - 1], 'e');
        remove(id);
    }
    CHECK_STREQ(proc_text::read_file("/proc/sys/kernel/msgmax"), "8192\n");
    CHECK_STREQ(proc_text::read_file("/proc/sys/kernel/msgmnb"), "16384\n");
    CHECK_STREQ(proc_text::read_file("/proc/sys/kernel/msgmni"), "32000\n");
    CHECK(!proc_text::write_file("/proc/sys/kernel/msgmni", "40000"));
    CHECK(!proc_text::write_file("/proc/sys/kernel/msgmax", "-1"));
}

} // namespace

int main() {
    test_get();
    test_types();
    test_sizes();
    test_copy();
    test_control();
    test_permissions();
    test_waiting();
    test_interruption();
    test_limits();
    return check::result();
}
