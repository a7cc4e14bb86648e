// arch: x86_64
// arch_prctl(2): the CPUID instruction, which this machine can't make fault; unknown codes.
#include <sys/syscall.h>
#include <unistd.h>

#include "check.hpp"

int main() {
    constexpr int get_cpuid = 0x1011, set_cpuid = 0x1012;
    CHECK_EQ(syscall(SYS_arch_prctl, get_cpuid, 0), 1);
    CHECK_ERRNO(syscall(SYS_arch_prctl, set_cpuid, 0), ENODEV);
    CHECK_ERRNO(syscall(SYS_arch_prctl, set_cpuid, 1), ENODEV);
    CHECK_EQ(syscall(SYS_arch_prctl, get_cpuid, 0), 1);
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1005, 0), EINVAL);
    return check::result();
}
