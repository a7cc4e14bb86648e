// riscv_hwprobe(2) without a call of the kernel: its answers never change. Runs in user space, as clock.cpp does.
#include <abi_arch/vdso_machine.hpp>
#include <core/vdso_hardware.hpp>

using namespace linnet;

extern "C" {
[[gnu::visibility("hidden")]] extern const core::VdsoHardware vdso_hardware; // placed by the linker script
}

extern "C" {

/// Which CPUs are asked about makes no difference here: they are all alike. Who asks the other way round (any flag)
/// asks the kernel.
int VDSO_NAME(riscv_hwprobe)(core::VdsoHardware::Property* pairs, u64 count, u64 set_size, unsigned long* cpus,
                             unsigned flags) {
    if (flags != 0) {
        return static_cast<int>(abi::vdso_syscall5(abi::vdso_nr_riscv_hwprobe, reinterpret_cast<long>(pairs),
                                                   static_cast<long>(count), static_cast<long>(set_size),
                                                   reinterpret_cast<long>(cpus), flags));
    }
    for (u64 i = 0; i < count; ++i) {
        const i64 key = pairs[i].key;
        core::VdsoHardware::Property answer = {-1, 0};
        for (u64 at = 0; at < vdso_hardware.count; ++at)
            if (vdso_hardware.properties[at].key == key) answer = vdso_hardware.properties[at];
        pairs[i] = answer;
    }
    return 0;
}
}
