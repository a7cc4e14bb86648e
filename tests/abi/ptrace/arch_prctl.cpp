// arch: x86_64
// ptrace(2), PTRACE_ARCH_PRCTL: the bases of a tracee's segments, by the codes of arch_prctl(2). gdbserver finds
// threads by them.
#include "tracee.hpp"

#include <asm/prctl.h>
#include <sys/user.h>

using namespace tracee;

static constexpr int arch_prctl_request = 30;

static long base(pid_t child, void* place, unsigned long code) {
    return call(arch_prctl_request, child, (unsigned long)place, code);
}

int main() {
    const pid_t child = start([] {
        for (;;) pause();
    });
    unsigned long found = 1;
    user_regs_struct registers = {};
    iovec io = {&registers, sizeof registers};
    CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), 0);
    CHECK_EQ(base(child, &found, ARCH_GET_FS), 0);
    CHECK_EQ(found, registers.fs_base);
    CHECK(found != 0);
    CHECK_EQ(base(child, &found, ARCH_GET_GS), 0);
    CHECK_EQ(found, registers.gs_base);

    // Set, and seen in the registers; the thread needs its own back.
    CHECK_EQ(base(child, (void*)0x12345000, ARCH_SET_GS), 0);
    CHECK_EQ(base(child, (void*)0x23456000, ARCH_SET_FS), 0);
    user_regs_struct changed = {};
    io.iov_base = &changed;
    CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRSTATUS, &io), 0);
    CHECK_EQ(changed.gs_base, 0x12345000u);
    CHECK_EQ(changed.fs_base, 0x23456000u);
    CHECK_EQ(base(child, (void*)registers.fs_base, ARCH_SET_FS), 0);

    // No address of user memory, no memory to answer to, no such code; and who does not trace asks for nothing.
    CHECK_ERRNO(base(child, (void*)~0ul, ARCH_SET_FS), EPERM);
    CHECK_ERRNO(base(child, (void*)(1ul << 63), ARCH_SET_GS), EPERM);
    CHECK_ERRNO(base(child, (void*)8, ARCH_GET_FS), EFAULT);
    CHECK_ERRNO(base(child, &found, 0), EINVAL);
    CHECK_ERRNO(base(child, &found, ~0ul), EINVAL);
    CHECK_ERRNO(base(getpid(), &found, ARCH_GET_FS), ESRCH);
    CHECK_EQ(base(child, &found, ARCH_GET_FS), 0);
    CHECK_EQ(found, registers.fs_base);
    kill(child, SIGKILL);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, __WALL), child);
    return check::result();
}
