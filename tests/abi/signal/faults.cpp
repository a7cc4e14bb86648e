// Synchronous faults: signal, si_code and si_addr of each, a fault that is blocked or ignored kills, and a handler may
// mend the fault and go on.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>

#include "asleep.hpp"
#include "machine.hpp"

using namespace check;

namespace {

sigjmp_buf back;
siginfo_t seen;
uint64_t seen_pc;
volatile sig_atomic_t taken;

void leave(int, siginfo_t* info, void* context) {
    seen = *info;
    seen_pc = machine::pc(*static_cast<ucontext_t*>(context));
    taken = taken + 1;
    siglongjmp(back, 1);
}

/// The siginfo of the one fault that `body` makes.
template <typename F>
siginfo_t fault_of(F body) {
    taken = 0;
    seen = {};
    if (sigsetjmp(back, 1) == 0) {
        body();
        CHECK(false); // no fault
    }
    CHECK_EQ(int(taken), 1);
    return seen;
}

void expect(const siginfo_t& info, int line, int signal, int code, const void* address) {
    if (info.si_signo == signal && info.si_code == code && info.si_addr == address && info.si_errno == 0) return;
    char text[200];
    snprintf(text, sizeof text, "line %d: signal %d code %d address %p, wanted %d %d %p", line, info.si_signo,
             info.si_code, info.si_addr, signal, code, address);
    failed(__FILE__, line, text);
}

size_t page;

char* map(int protection, size_t pages = 1) {
    void* memory = mmap(nullptr, pages * page, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return static_cast<char*>(memory);
}

void touch(volatile char* where) { *where = 1; }
char look(const volatile char* where) { return *where; }
void jump(const void* where) {
    asm volatile("" : "+r"(where)); // so that a call of null isn't optimized away
    reinterpret_cast<void (*)()>(uintptr_t(where))();
}

void segmentation() {
    char* hole = map(PROT_READ | PROT_WRITE);
    munmap(hole, page);
    expect(fault_of([&] { touch(hole + 5); }), __LINE__, SIGSEGV, SEGV_MAPERR, hole + 5);
    expect(fault_of([&] { look(hole + 7); }), __LINE__, SIGSEGV, SEGV_MAPERR, hole + 7);
    expect(fault_of([&] { jump(hole); }), __LINE__, SIGSEGV, SEGV_MAPERR, hole);
    CHECK_EQ(seen_pc, uint64_t(hole));
    expect(fault_of([] { touch(nullptr); }), __LINE__, SIGSEGV, SEGV_MAPERR, nullptr);
    expect(fault_of([] { jump(nullptr); }), __LINE__, SIGSEGV, SEGV_MAPERR, nullptr);
    char* constant = map(PROT_READ);
    expect(fault_of([&] { touch(constant + 9); }), __LINE__, SIGSEGV, SEGV_ACCERR, constant + 9);
    look(constant);
    expect(fault_of([&] { touch(constant + 9); }), __LINE__, SIGSEGV, SEGV_ACCERR, constant + 9);
    expect(fault_of([&] { jump(constant); }), __LINE__, SIGSEGV, SEGV_ACCERR, constant);
    char* closed = map(PROT_NONE);
    expect(fault_of([&] { look(closed + 3); }), __LINE__, SIGSEGV, SEGV_ACCERR, closed + 3);
    char* writable = map(PROT_READ | PROT_WRITE);
    touch(writable);
    expect(fault_of([&] { jump(writable); }), __LINE__, SIGSEGV, SEGV_ACCERR, writable);
    CHECK_OK(mprotect(writable, page, PROT_READ));
    expect(fault_of([&] { touch(writable); }), __LINE__, SIGSEGV, SEGV_ACCERR, writable);
    CHECK_OK(mprotect(writable, page, PROT_NONE));
    expect(fault_of([&] { look(writable); }), __LINE__, SIGSEGV, SEGV_ACCERR, writable);
    // The kernel's half is no more than a hole to a program.
    auto* kernel = reinterpret_cast<char*>(machine::kernel_address);
    CHECK_EQ(fault_of([kernel] { look(kernel); }).si_signo, machine::kernel_address_signal);
    CHECK_EQ(fault_of([kernel] { touch(kernel); }).si_signo, machine::kernel_address_signal);
    CHECK_EQ(fault_of([kernel] { jump(kernel); }).si_signo, machine::kernel_address_signal);
    // The stack isn't executable.
    char on_stack[64] = {};
    CHECK_EQ(fault_of([&] { jump(on_stack); }).si_code, SEGV_ACCERR);
}

void bus() {
    const int fd = open("faults.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && ftruncate(fd, off_t(page) + 10) == 0);
    for (int kind : {MAP_SHARED, MAP_PRIVATE}) {
        auto* file = static_cast<char*>(mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, kind, fd, 0));
        REQUIRE(file != MAP_FAILED);
        touch(file + page);
        CHECK_EQ(look(file + page + 11), 0); // the rest of the last page
        expect(fault_of([&] { look(file + 2 * page + 1); }), __LINE__, SIGBUS, BUS_ADRERR, file + 2 * page + 1);
        expect(fault_of([&] { touch(file + 3 * page); }), __LINE__, SIGBUS, BUS_ADRERR, file + 3 * page);
        // What was there goes with the file's end.
        CHECK_OK(ftruncate(fd, 10));
        expect(fault_of([&] { look(file + page); }), __LINE__, SIGBUS, BUS_ADRERR, file + page);
        CHECK_OK(ftruncate(fd, off_t(page) + 10));
        CHECK_EQ(look(file + page), 0);
        munmap(file, 4 * page);
    }
    close(fd);
    unlink("faults.file");
}

void instructions() {
    siginfo_t info = fault_of([] { machine::undefined(); });
    CHECK_EQ(info.si_signo, SIGILL);
    if (machine::undefined_has_details) {
        CHECK(info.si_code == ILL_ILLOPN || info.si_code == ILL_ILLOPC);
        CHECK_EQ(uint64_t(info.si_addr), seen_pc);
    } else {
        CHECK_EQ(info.si_code, SI_KERNEL);
    }
    info = fault_of([] { machine::breakpoint(); });
    CHECK_EQ(info.si_signo, SIGTRAP);
    CHECK_EQ(info.si_code, machine::breakpoint_code);
    if (machine::breakpoint_has_address) CHECK_EQ(uint64_t(info.si_addr), seen_pc);
    if (machine::integer_division_traps) {
        info = fault_of([] { machine::divide(7, 0); });
        CHECK_EQ(info.si_signo, SIGFPE);
        CHECK_EQ(info.si_code, FPE_INTDIV);
        CHECK_EQ(uint64_t(info.si_addr), seen_pc);
    }
}

void blocked_or_ignored() {
    for (int signal : {SIGSEGV, SIGILL, SIGTRAP, SIGBUS}) {
        auto fault = [signal] {
            if (signal == SIGSEGV) touch((char*)16);
            if (signal == SIGILL) machine::undefined();
            if (signal == SIGTRAP) machine::breakpoint();
            if (signal == SIGBUS) {
                const int fd = open("/tmp/faults.empty", O_RDWR | O_CREAT | O_TRUNC, 0600);
                touch((char*)mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
            }
        };
        int status = in_child([&] {
            handle(signal, leave);
            const sigset_t set = set_of(signal);
            sigprocmask(SIG_BLOCK, &set, nullptr);
            fault();
        });
        CHECK(died_of(status, signal));
        status = in_child([&] {
            handle(signal, SIG_IGN);
            fault();
        });
        CHECK(died_of(status, signal));
        // A signal of the same number from a program is ignored all the same.
        status = in_child([&] {
            handle(signal, SIG_IGN);
            kill(getpid(), signal);
        });
        CHECK_EQ(status, 0);
    }
    unlink("/tmp/faults.empty");
    // In the handler of the same fault the signal is blocked: the second fault kills.
    const int status = in_child([] {
        handle(SIGSEGV, [](int) { touch((char*)32); });
        touch((char*)16);
    });
    CHECK(died_of(status, SIGSEGV));
}

char* mended;
void mend(int, siginfo_t* info, void*) {
    taken = taken + 1;
    if (info->si_addr == mended) mprotect(mended, page, PROT_READ | PROT_WRITE);
}

void mended_and_repeated() {
    handle(SIGSEGV, mend);
    mended = map(PROT_NONE);
    taken = 0;
    touch(mended);
    CHECK_EQ(int(taken), 1);
    CHECK_EQ(look(mended), 1);
    handle(SIGSEGV, leave);
}

void skip_it(int, siginfo_t*, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    machine::set_pc(*uc, machine::pc(*uc) + (machine::breakpoint_has_address ? 4 : 0));
    taken = taken + 1;
}

void stepped_over() {
    handle(SIGTRAP, skip_it);
    taken = 0;
    machine::breakpoint();
    machine::breakpoint();
    CHECK_EQ(int(taken), 2);
    handle(SIGTRAP, leave);
}

std::atomic<pid_t> faulting, handling;

/// The thread that faults gets the signal.
void in_its_thread() {
    handle(SIGSEGV, [](int) {
        handling = gettid();
        mprotect(mended, page, PROT_READ | PROT_WRITE);
    });
    mended = map(PROT_NONE);
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
            faulting = gettid();
            touch(mended);
            return nullptr;
        },
        nullptr);
    pthread_join(thread, nullptr);
    CHECK_EQ(handling.load(), faulting.load());
    CHECK_NE(handling.load(), gettid());
}

} // namespace

int main() {
    page = size_t(sysconf(_SC_PAGESIZE));
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) handle(signal, leave);
    segmentation();
    bus();
    instructions();
    blocked_or_ignored();
    mended_and_repeated();
    stepped_over();
    in_its_thread();
    return result();
}
