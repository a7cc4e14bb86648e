// ptrace(2), PTRACE_PEEKDATA and PTRACE_POKEDATA: words of a tracee's memory, also where it may not write itself.
#include <sys/mman.h>

#include "tracee.hpp"

using namespace tracee;

static long word = 42;
static const volatile long constant = 99;
[[gnu::noinline]] static int answer() { return 1; }

int main() {
    long* shared = check::shared<long>();
    void* hidden = mmap(nullptr, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char* edge = (char*)mmap(nullptr, 131072, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 65536, 65536);
    const pid_t child = start([&] {
        CHECK_EQ(word, 43);
        CHECK_EQ(constant, 100);
        CHECK_EQ(*shared, 17);
        return answer();
    });
    CHECK_EQ(peek(child, &word), 42);
    CHECK_EQ(call(PTRACE_POKEDATA, child, (unsigned long)&word, 43), 0);
    CHECK_EQ(word, 42); // copied on write
    CHECK_EQ(peek(child, &word), 43);
    CHECK_EQ(peek(child, (const void*)&constant), 99);
    CHECK_EQ(call(PTRACE_POKEDATA, child, (unsigned long)&constant, 100), 0);
    CHECK_EQ(constant, 99);
    CHECK_EQ(call(PTRACE_POKETEXT, child, (unsigned long)shared, 17), 0);
    CHECK_EQ(*shared, 17);
    // Its code: the same word again, which makes the page its own.
    long code = 0;
    CHECK_EQ(call(PTRACE_PEEKTEXT, child, (unsigned long)&answer, &code), 0);
    CHECK_EQ(code, *(long*)&answer);
    CHECK_EQ(call(PTRACE_POKETEXT, child, (unsigned long)&answer, (unsigned long)~code), 0);
    CHECK_EQ(peek(child, (void*)&answer), ~code);
    CHECK_EQ(call(PTRACE_POKETEXT, child, (unsigned long)&answer, (unsigned long)code), 0);
    CHECK_EQ(*(long*)&answer, code);

    CHECK_EQ(peek(child, edge + 65536 - sizeof(long)), 0);
    CHECK_ERRNO(call(PTRACE_PEEKDATA, child, (unsigned long)edge + 65536 - 4, &code), EIO);
    CHECK_ERRNO(call(PTRACE_POKEDATA, child, (unsigned long)edge + 65536 - 4, 1), EIO);
    CHECK_ERRNO(call(PTRACE_PEEKDATA, child, 8, &code), EIO);
    CHECK_ERRNO(call(PTRACE_POKEDATA, child, 8, 1), EIO);
    CHECK_ERRNO(call(PTRACE_PEEKDATA, child, ~7ul, &code), EIO);
    CHECK_ERRNO(call(PTRACE_POKEDATA, child, ~7ul, 1), EIO);
    CHECK_EQ(call(PTRACE_PEEKDATA, child, (unsigned long)hidden, &code), 0); // not even what it may not read
    CHECK_ERRNO(call(PTRACE_PEEKDATA, child, (unsigned long)&word, (long*)8), EFAULT);
    finish(child, 1);
    return check::result();
}
