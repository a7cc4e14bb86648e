// Other CPUs: woken by a mailbox and interrupted through the I/O CSRs (Loongson 3A5000 manual,
// inter-processor interrupts).
#include <arch/page.hpp>
#include <arch/smp.hpp>
#include <arch/time.hpp>

#include "start.hpp"

namespace linnet::arch {

constexpr usize most_cpu_ids = 512; // CSR CPUID has nine bits

} // namespace linnet::arch

extern "C" {
void arch_secondary_entry();
/// By CPU number: the header of a CPU that has been asked to start; the CPU takes it away when it comes.
constinit linnet::arch::CpuHeader* arch_starting_cpus[linnet::arch::most_cpu_ids] = {};
}

namespace linnet::arch {

namespace {

constexpr u64 wait_until_sent = u64{1} << 31;
constexpr unsigned cpu_shift = 16;

void send_half(u64 cpu, u64 box_half, u64 bits) {
    iocsr_write64(csr::iocsr_mailbox_send, wait_until_sent | box_half << 2 | cpu << cpu_shift | bits << 32);
}

void send_interrupt(u64 cpu) {
    asm volatile("dbar 0" : : : "memory");
    iocsr_write32(csr::iocsr_ipi_send, static_cast<u32>(wait_until_sent | cpu << cpu_shift));
}

bool has_come(u64 id) { return __atomic_load_n(&arch_starting_cpus[id], __ATOMIC_ACQUIRE) == nullptr; }

} // namespace

/// The firmware's waiting loop may miss what is sent before it looks, so it is sent again until the CPU has
/// come.
Result<void> start_cpu(CpuHeader& cpu) {
    u64 id = cpu.hardware_id;
    if (id >= most_cpu_ids) return error(Errno::EINVAL);
    cpu.current->cpu = &cpu;
    __atomic_store_n(&arch_starting_cpus[id], &cpu, __ATOMIC_RELEASE);
    u64 entry = image_virt_to_phys(reinterpret_cast<const void*>(&arch_secondary_entry)).value;
    constexpr unsigned most_tries = 100;
    for (unsigned i = 0; i < most_tries; ++i) {
        send_half(id, 1, entry >> 32);
        send_half(id, 0, entry & 0xffff'ffff);
        send_interrupt(id);
        u64 begin = read_counter(), patience = counter_frequency() / 100;
        while (read_counter() - begin < patience) {
            if (has_come(id)) return {};
            relax();
        }
    }
    return error(Errno::ETIMEDOUT);
}

void send_ipi(CpuHeader& cpu) { send_interrupt(cpu.hardware_id); }

} // namespace linnet::arch
