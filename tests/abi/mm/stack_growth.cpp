// Stacks grow to RLIMIT_STACK and not a page beyond; any MAP_GROWSDOWN mapping grows; 256 pages stay between it and an
// accessible mapping below; the kernel's copies grow a stack as user code does, and fail with EFAULT beyond. (SEMANTICS
// P6, P7, P11.) Least Linux: 4.14.
#include "child.hpp"
#include "memory.hpp"
#include <csetjmp>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

using check::in_child;

namespace {

using memory::page;

sigjmp_buf back;
volatile int seen_code;
void* volatile seen_address;

void on_fault(int, siginfo_t* info, void*) {
    seen_code = info->si_code;
    seen_address = info->si_addr;
    siglongjmp(back, 1);
}

/// 0, or the code of the SIGSEGV that a store raises.
int store(char* place) {
    seen_code = 0;
    if (sigsetjmp(back, 1) == 0) *static_cast<volatile char*>(place) = 1;
    if (seen_code) CHECK(seen_address == place);
    return seen_code;
}

struct Range {
    char *start, *end;
};

/// The mapping that holds `place`, by /proc/self/maps.
Range mapping_of(const void* place) {
    FILE* maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps);
    char line[512];
    Range found{};
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) != 2) continue;
        if (reinterpret_cast<uintptr_t>(place) >= from && reinterpret_cast<uintptr_t>(place) < to)
            found = {reinterpret_cast<char*>(from), reinterpret_cast<char*>(to)};
    }
    fclose(maps);
    return found;
}

void test_limit() {
    const size_t size = size_t(1) << 20;
    rlimit limit{size, RLIM_INFINITY};
    CHECK_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
    limit.rlim_cur = size;
    CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
    char here;
    Range stack = mapping_of(&here);
    REQUIRE(stack.end);
    char* lowest = stack.end - size;
    CHECK_EQ(store(lowest + 3 * page), 0);
    CHECK_EQ(store(lowest - 1), SEGV_MAPERR);
    CHECK_EQ(store(lowest), 0);
    CHECK_EQ(store(lowest - 1), SEGV_MAPERR);
    CHECK_EQ(store(lowest - page), SEGV_MAPERR);
    CHECK(mapping_of(&here).start == lowest);
    CHECK(mapping_of(&here).end == stack.end);
    // The kernel's copies know the same limit.
    int zero = open("/dev/zero", O_RDONLY);
    REQUIRE(zero >= 0);
    CHECK_ERRNO(read(zero, lowest - page, 1), EFAULT);
    limit.rlim_cur = size + 4 * page;
    CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
    CHECK_EQ(read(zero, lowest - page, 1), 1);
    CHECK_EQ(store(lowest - 4 * page), 0);
    CHECK_EQ(store(lowest - 5 * page), SEGV_MAPERR);
    // A limit below what it is already takes nothing away.
    limit.rlim_cur = size / 2;
    CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
    CHECK_EQ(store(lowest), 0);
    CHECK_EQ(store(lowest - 5 * page), SEGV_MAPERR);
    close(zero);
}

void test_grows_down() {
    const size_t gap = 256 * page;
    char* place = memory::map(500 * page, MAP_PRIVATE, PROT_NONE);
    munmap(place, 500 * page);
    // An accessible mapping below, then a stack with one page above it.
    char* wall = memory::map_at(place, page);
    char* top = place + 480 * page; // with pages of 16 KiB it is still within the usual limit
    REQUIRE(mmap(top, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) ==
            top);
    CHECK_EQ(store(top), 0);
    CHECK_EQ(store(top - page), 0);
    CHECK_EQ(store(top - 150 * page + 8), 0);
    CHECK(mapping_of(top).start == top - 150 * page);
    char* lowest = wall + page + gap;
    CHECK_EQ(store(lowest - 1), SEGV_MAPERR);
    CHECK_EQ(store(lowest), 0);
    CHECK_EQ(store(lowest - page), SEGV_MAPERR);
    // One without rights keeps no distance.
    CHECK_EQ(mprotect(wall, page, PROT_NONE), 0);
    CHECK_EQ(store(lowest - page), 0);
    CHECK_EQ(store(wall + page), 0);
    CHECK_EQ(store(wall), SEGV_ACCERR);
    // It is not a stack upwards.
    CHECK_EQ(store(top + page), SEGV_MAPERR);
    munmap(place, 500 * page);
}

void test_over_fork() {
    // Both sides grow on, each its own.
    char* place = memory::map(600 * page, MAP_PRIVATE, PROT_NONE);
    munmap(place, 600 * page);
    char* top = place + 590 * page;
    REQUIRE(mmap(top, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) ==
            top);
    top[0] = 5;
    CHECK_EQ(in_child([&] {
                 CHECK_EQ(store(top - 40 * page), 0);
                 CHECK_EQ(top[0], 5);
                 CHECK(mapping_of(top).start == top - 40 * page);
             }),
             0);
    CHECK(mapping_of(top).start == top);
    CHECK_EQ(store(top - 20 * page), 0);
    CHECK_EQ(top[-40 * long(page) + 20 * long(page)], 1);
    munmap(place, 600 * page);
}

/// Uses `pages` of stack, by calls.
__attribute__((noinline)) int deep(size_t pages) {
    volatile char frame[16384];
    frame[0] = char(pages);
    asm volatile("" ::"r"(frame) : "memory");
    size_t used = std::max(sizeof frame / page, size_t(1));
    int below = pages <= used ? 0 : deep(pages - used);
    asm volatile("" ::"r"(frame) : "memory");
    return below + frame[0];
}

void test_overflow_dies() {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        // Without an alternate stack there is nowhere to run a handler: the program dies, blocked or not.
        stack_t none{};
        none.ss_flags = SS_DISABLE;
        sigaltstack(&none, nullptr);
        rlimit limit{size_t(1) << 20, size_t(1) << 20};
        setrlimit(RLIMIT_STACK, &limit);
        (void)deep((size_t(2) << 20) / page);
        _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

} // namespace

int main() {
    static char alternate[1 << 16];
    stack_t stack{};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    CHECK_EQ(sigaltstack(&stack, nullptr), 0);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    CHECK_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
    CHECK_EQ(in_child(test_limit), 0);
    test_grows_down();
    test_over_fork();
    test_overflow_dies();
    return check::result();
}
