// ptrace(2), PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13): where a tracee's area of rseq(2) is.
//
// needs-linux: 5.13
#include <sys/rseq.h>

#include "tracee.hpp"

using namespace tracee;

struct Configuration { // struct ptrace_rseq_configuration of linux/ptrace.h
    unsigned long address;
    unsigned size, signature, flags, padding;
};

static long ask(pid_t child, unsigned long room, Configuration* to) {
    return syscall(SYS_ptrace, 0x420f, child, room, to);
}

int main() {
    // Whatever the C library did is undone, so that the area is this test's. How much it registered is its own matter.
    alignas(32) static char area[32];
    if (__rseq_size != 0) {
        void* own = (char*)__builtin_thread_pointer() + __rseq_offset;
        long size = 32;
        while (size < 4096 && syscall(SYS_rseq, own, size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) != 0) ++size;
        CHECK(size < 4096);
    }
    const pid_t child = start([] {
        CHECK_OK(syscall(SYS_rseq, &area, sizeof area, 0, 0x12345678));
        raise(SIGSTOP);
    });
    Configuration seen = {1, 2, 3, 4, 5};
    CHECK_EQ(ask(child, sizeof seen, &seen), long(sizeof seen));
    CHECK_EQ(seen.address, 0ul);
    CHECK_EQ(seen.size, 0u);
    CHECK_EQ(seen.flags, 0u);

    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGSTOP));
    CHECK_EQ(ask(child, sizeof seen, &seen), long(sizeof seen));
    CHECK_EQ(seen.address, (unsigned long)&area);
    CHECK_EQ(seen.size, unsigned(sizeof area));
    CHECK_EQ(seen.signature, 0x12345678u);
    CHECK_EQ(seen.flags, 0u);
    CHECK_EQ(seen.padding, 0u);

    // A short buffer gets what it has room for; a bad one is an error, an empty one is not.
    seen = {0, 7, 0, 0, 0};
    CHECK_EQ(ask(child, 8, &seen), long(sizeof seen));
    CHECK_EQ(seen.address, (unsigned long)&area);
    CHECK_EQ(seen.size, 7u);
    CHECK_EQ(ask(child, 0, nullptr), long(sizeof seen));
    CHECK_ERRNO(ask(child, 8, (Configuration*)8), EFAULT);
    finish(child);
    return check::result();
}
