// What a fault says: SIGSEGV with MAPERR or ACCERR, SIGBUS past the end of a file, the address; and what it repairs:
// stacks grow, in user code and in the kernel's copies. Least Linux: 2.6.36.
#include "check.hpp"
#include <csetjmp>
#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));
sigjmp_buf back;
volatile int seen_signal, seen_code;
void* volatile seen_address;

void on_fault(int signal, siginfo_t* info, void*) {
    seen_signal = signal;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    siglongjmp(back, 1);
}

enum class Touch { Read, Write };

/// The signal that touching `place` raises, 0 for none.
int touch(volatile char* place, Touch how) {
    seen_signal = 0;
    if (sigsetjmp(back, 1) == 0) {
        if (how == Touch::Write)
            *place = 1;
        else
            (void)*place;
    }
    return seen_signal;
}

char* map(size_t pages, int prot) {
    void* place = mmap(nullptr, pages * page, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    return static_cast<char*>(place);
}

void test_codes() {
    char* place = map(3, PROT_READ);
    CHECK_EQ(touch(place + 10, Touch::Read), 0);
    CHECK_EQ(touch(place + 10, Touch::Write), SIGSEGV);
    CHECK_EQ(seen_code, SEGV_ACCERR);
    CHECK(seen_address == place + 10);
    CHECK_EQ(mprotect(place + page, page, PROT_NONE), 0);
    CHECK_EQ(touch(place + page, Touch::Read), SIGSEGV);
    CHECK_EQ(seen_code, SEGV_ACCERR);
    CHECK_EQ(mprotect(place, 3 * page, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(touch(place + page, Touch::Write), 0);
    CHECK_EQ(munmap(place, 3 * page), 0);
    CHECK_EQ(touch(place + 2 * page + 5, Touch::Write), SIGSEGV);
    CHECK_EQ(seen_code, SEGV_MAPERR);
    CHECK(seen_address == place + 2 * page + 5);
    CHECK_EQ(touch(reinterpret_cast<char*>(8), Touch::Read), SIGSEGV);
    CHECK_EQ(seen_code, SEGV_MAPERR);
}

void test_end_of_file() {
    char name[] = "/tmp/faults.XXXXXX";
    mkdir("/tmp", 01777);
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    unlink(name);
    CHECK_EQ(ftruncate(fd, off_t(3 * page + 10)), 0);
    for (int type : {MAP_SHARED, MAP_PRIVATE}) {
        char* place = static_cast<char*>(mmap(nullptr, 6 * page, PROT_READ | PROT_WRITE, type, fd, 0));
        CHECK(place != MAP_FAILED);
        CHECK_EQ(touch(place + 3 * page + 11, Touch::Write), 0);
        CHECK_EQ(touch(place + page, Touch::Write), 0);
        CHECK_EQ(touch(place + 4 * page, Touch::Read), SIGBUS);
        CHECK_EQ(seen_code, BUS_ADRERR);
        CHECK(seen_address == place + 4 * page);
        CHECK_EQ(ftruncate(fd, off_t(page)), 0);
        CHECK_EQ(touch(place + page, Touch::Read), SIGBUS);
        CHECK_EQ(touch(place, Touch::Read), 0);
        // The kernel's own access is an error, not a signal.
        int pipe_ends[2];
        CHECK_EQ(pipe(pipe_ends), 0);
        CHECK_ERRNO(write(pipe_ends[1], place + page, 10), EFAULT);
        close(pipe_ends[0]), close(pipe_ends[1]);
        CHECK_EQ(ftruncate(fd, off_t(3 * page + 10)), 0);
        CHECK_EQ(touch(place + page, Touch::Read), 0);
        CHECK_EQ(place[page], 0);
        munmap(place, 6 * page);
    }
    close(fd);
}

/// Uses `pages` of stack. The statements without code keep the frame in use over the call, so that it can't become a
/// loop.
__attribute__((noinline)) int deep(size_t pages) {
    volatile char frame[16384];
    frame[0] = char(pages);
    asm volatile("" ::"r"(frame) : "memory");
    size_t used = sizeof frame / page;
    if (used == 0) used = 1;
    int below = pages <= used ? 0 : deep(pages - used);
    asm volatile("" ::"r"(frame) : "memory");
    return below + frame[0];
}

void test_stack() {
    rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)deep((size_t(1) << 20) / page); // well within any limit
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    if (limit.rlim_cur == RLIM_INFINITY) return;
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        (void)deep(size_t(limit.rlim_cur) * 2 / page);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    // A copy by the kernel grows the stack too.
    int pipe_ends[2];
    CHECK_EQ(pipe(pipe_ends), 0);
    CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    char here;
    char* below = &here - (size_t(256) << 10);
    CHECK_EQ(read(pipe_ends[0], below, 1), 1);
    CHECK_EQ(*below, 'x');
    close(pipe_ends[0]), close(pipe_ends[1]);
}

} // namespace

int main() {
    // The handler needs a stack of its own, or an overflow could not be told.
    static char stack[1 << 16];
    stack_t alternate{};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    CHECK_EQ(sigaltstack(&alternate, nullptr), 0);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    CHECK_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
    CHECK_EQ(sigaction(SIGBUS, &action, nullptr), 0);
    test_codes();
    test_end_of_file();
    test_stack();
    return check::result();
}
