// needs-linux: 6.12
//
// Options of prctl(2) that a task carries: what to do about broken memory, that it writes out for others, no memory
// that is both written and executed (PR_SET_MDWE). What is kept by fork, threads and execve.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "child.hpp"

using namespace check;

namespace {

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
constexpr unsigned long refuse_gain = 1, no_inherit = 2;

long option(int which, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0, unsigned long d = 0) {
    return syscall(SYS_prctl, which, a, b, c, d);
}

const char* program;

/// What the option reads as in a program that the process executes.
int after_exec(int which) {
    return code_of(in_child([&] {
        char text[16];
        snprintf(text, sizeof text, "%d", which);
        execl(program, program, "tell", text, nullptr);
        return 99;
    }));
}
int after_fork(int which) {
    return code_of(in_child([&] { return int(option(which)); }));
}
int in_thread(int which) {
    pthread_t thread;
    void* found = nullptr;
    CHECK_EQ(pthread_create(
                 &thread, nullptr,
                 [](void* what) -> void* { return reinterpret_cast<void*>(option(int(reinterpret_cast<long>(what)))); },
                 reinterpret_cast<void*>(long(which))),
             0);
    pthread_join(thread, &found);
    return int(reinterpret_cast<long>(found));
}

void broken_memory() {
    CHECK_EQ(option(PR_MCE_KILL_GET), PR_MCE_KILL_DEFAULT);
    for (int argument = 0; argument < 4; ++argument) {
        const unsigned long set = 1;
        CHECK_ERRNO(option(PR_MCE_KILL_GET, argument == 0 ? set : 0, argument == 1 ? set : 0, argument == 2 ? set : 0,
                           argument == 3 ? set : 0),
                    EINVAL);
    }
    CHECK_ERRNO(option(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 1), EINVAL);
    CHECK_ERRNO(option(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 1), EINVAL);
    CHECK_ERRNO(option(PR_MCE_KILL, PR_MCE_KILL_SET, 3), EINVAL);
    CHECK_ERRNO(option(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1), EINVAL);
    CHECK_ERRNO(option(PR_MCE_KILL, 2), EINVAL);
    for (int policy : {PR_MCE_KILL_EARLY, PR_MCE_KILL_LATE, PR_MCE_KILL_DEFAULT, PR_MCE_KILL_EARLY}) {
        CHECK_EQ(option(PR_MCE_KILL, PR_MCE_KILL_SET, unsigned(policy)), 0);
        CHECK_EQ(option(PR_MCE_KILL_GET), policy);
        CHECK_EQ(after_fork(PR_MCE_KILL_GET), policy);
        CHECK_EQ(in_thread(PR_MCE_KILL_GET), policy);
        CHECK_EQ(after_exec(PR_MCE_KILL_GET), policy);
    }
    CHECK_EQ(option(PR_MCE_KILL, PR_MCE_KILL_CLEAR), 0);
    CHECK_EQ(option(PR_MCE_KILL_GET), PR_MCE_KILL_DEFAULT);
}

void io_flusher() {
    CHECK_EQ(option(PR_GET_IO_FLUSHER), 0);
    CHECK_ERRNO(option(PR_GET_IO_FLUSHER, 1), EINVAL);
    CHECK_ERRNO(option(PR_GET_IO_FLUSHER, 0, 0, 0, 1), EINVAL);
    CHECK_ERRNO(option(PR_SET_IO_FLUSHER, 2), EINVAL);
    CHECK_ERRNO(option(PR_SET_IO_FLUSHER, 1, 1), EINVAL);
    CHECK_EQ(option(PR_SET_IO_FLUSHER, 1), 0);
    CHECK_EQ(option(PR_GET_IO_FLUSHER), 1);
    CHECK_EQ(after_fork(PR_GET_IO_FLUSHER), 1);
    CHECK_EQ(in_thread(PR_GET_IO_FLUSHER), 1);
    CHECK_EQ(after_exec(PR_GET_IO_FLUSHER), 1);
    CHECK_EQ(option(PR_SET_IO_FLUSHER, 0), 0);
    CHECK_EQ(option(PR_GET_IO_FLUSHER), 0);
    run_in_child([] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(option(PR_SET_IO_FLUSHER, 1), EPERM);
        CHECK_ERRNO(option(PR_SET_IO_FLUSHER, 2), EPERM);
        CHECK_ERRNO(option(PR_GET_IO_FLUSHER), EPERM);
        CHECK_ERRNO(option(PR_GET_IO_FLUSHER, 1), EPERM);
    });
}

constexpr int RX = PROT_READ | PROT_EXEC, RW = PROT_READ | PROT_WRITE, RWX = RW | PROT_EXEC;

void* map(int rights) { return mmap(nullptr, 65536, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

void write_and_execute() {
    CHECK_EQ(option(PR_GET_MDWE), 0);
    CHECK_ERRNO(option(PR_GET_MDWE, 1), EINVAL);
    CHECK_ERRNO(option(PR_SET_MDWE, 4), EINVAL);
    CHECK_ERRNO(option(PR_SET_MDWE, no_inherit), EINVAL);
    CHECK_ERRNO(option(PR_SET_MDWE, refuse_gain, 1), EINVAL);
    CHECK_EQ(option(PR_SET_MDWE, 0), 0);
    run_in_child([] {
        void* const all = map(RWX);
        void* const code = map(RX);
        void* const data = map(RW);
        CHECK_EQ(option(PR_SET_MDWE, refuse_gain), 0);
        CHECK_EQ(option(PR_GET_MDWE), 1);
        CHECK_ERRNO(option(PR_SET_MDWE, 0), EPERM);
        CHECK_ERRNO(option(PR_SET_MDWE, refuse_gain | no_inherit), EPERM);
        CHECK_EQ(option(PR_SET_MDWE, refuse_gain), 0);
        CHECK_ERRNO(map(RWX), EACCES);
        CHECK_ERRNO(map(PROT_WRITE | PROT_EXEC), EACCES);
        CHECK_OK(map(RX));
        CHECK_OK(map(RW));
        CHECK_ERRNO(mprotect(data, 65536, RX), EACCES);
        CHECK_ERRNO(mprotect(data, 65536, RWX), EACCES);
        CHECK_ERRNO(mprotect(code, 65536, RWX), EACCES);
        CHECK_OK(mprotect(code, 65536, RX));
        CHECK_OK(mprotect(data, 65536, PROT_READ));
        CHECK_OK(mprotect(data, 65536, RW));
        // What can be executed may lose the right, and doesn't get it back.
        CHECK_OK(mprotect(code, 65536, RW));
        CHECK_ERRNO(mprotect(code, 65536, RX), EACCES);
        // What had both before.
        CHECK_OK(mprotect(all, 4096, RX));
        CHECK_ERRNO(mprotect(all, 4096, RWX), EACCES);
        *static_cast<volatile char*>(all);
        const int segment = shmget(IPC_PRIVATE, 65536, 0700 | IPC_CREAT);
        CHECK_ERRNO(shmat(segment, nullptr, SHM_EXEC), EACCES);
        shmctl(segment, IPC_RMID, nullptr);
        CHECK_EQ(after_fork(PR_GET_MDWE), 1);
        CHECK_EQ(in_thread(PR_GET_MDWE), 1);
        CHECK_EQ(after_exec(PR_GET_MDWE), 1);
    });
    run_in_child([] {
        CHECK_EQ(option(PR_SET_MDWE, refuse_gain | no_inherit), 0);
        CHECK_EQ(option(PR_GET_MDWE), 3);
        CHECK_ERRNO(map(RWX), EACCES);
        CHECK_ERRNO(option(PR_SET_MDWE, refuse_gain), EPERM);
        CHECK_EQ(in_thread(PR_GET_MDWE), 3);
        CHECK_EQ(after_fork(PR_GET_MDWE), 0);
        CHECK_EQ(after_exec(PR_GET_MDWE), 0);
        execl(program, program, "tell", "66", nullptr);
    });
    CHECK_EQ(option(PR_GET_MDWE), 0);
    CHECK_OK(map(RWX));
}

} // namespace

int main(int count, char** arguments) {
    if (count == 3 && !strcmp(arguments[1], "tell")) return int(option(atoi(arguments[2])));
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    program = self;
    broken_memory();
    io_flusher();
    write_and_execute();
    return result();
}
