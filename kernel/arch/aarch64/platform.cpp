// Firmware services (PSCI 1.1, Arm DEN0022), the early console on a PL011, and frame-pointer backtraces.
#include "early_info.hpp"

#include <arch/page.hpp>
#include <arch/platform.hpp>
#include <arch/smp.hpp>
#include <arch_impl/interrupt_controller.hpp>
#include <arch_impl/registers.hpp>

extern "C" char secondary_entry[], kernel_image_begin[];

namespace linnet::arch {

namespace {

constexpr u64 psci_system_off = 0x8400'0008, psci_system_reset = 0x8400'0009, psci_cpu_on = 0xc400'0003;
constexpr i64 psci_already_on = -4, psci_not_supported = -1;

/// SMC calling convention: number and arguments in x0–x3, result in x0; x4–x17 may be lost.
i64 call_psci(u64 function, u64 first = 0, u64 second = 0, u64 third = 0) {
    register u64 x0 asm("x0") = function;
    register u64 x1 asm("x1") = first;
    register u64 x2 asm("x2") = second;
    register u64 x3 asm("x3") = third;
#define PSCI_CALL(instruction)                                                                                         \
    asm volatile(instruction " #0"                                                                                     \
                 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)                                                              \
                 :                                                                                                     \
                 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",         \
                   "memory")
    if (early_info.psci_conduit == PsciConduit::Hvc)
        PSCI_CALL("hvc");
    else if (early_info.psci_conduit == PsciConduit::Smc)
        PSCI_CALL("smc");
    else
        return psci_not_supported;
#undef PSCI_CALL
    return static_cast<i64>(x0);
}

constinit IpiSender ipi_sender = nullptr;

constexpr u64 uart_data = 0x00, uart_flags = 0x18;
constexpr u32 uart_transmit_full = 1 << 5;

} // namespace

void firmware_power_off() { call_psci(psci_system_off); }
void firmware_reboot() { call_psci(psci_system_reset); }

Result<void> start_cpu(CpuHeader& cpu) {
    u64 entry = reinterpret_cast<u64>(secondary_entry) - kernel_image_offset;
    // The other CPU reads what we wrote with its caches on; the barrier orders our stores before the call.
    asm volatile("dsb ish" : : : "memory");
    i64 status = call_psci(psci_cpu_on, cpu.hardware_id, entry, reinterpret_cast<u64>(&cpu));
    if (status == psci_not_supported) return error(Errno::ENOSYS);
    if (status == psci_already_on) return error(Errno::EBUSY);
    if (status != 0) return error(Errno::EINVAL);
    return {};
}

void set_ipi_sender(IpiSender sender) { ipi_sender = sender; }

void send_ipi(CpuHeader& cpu) {
    // What the other CPU will look at must be visible before it is interrupted.
    asm volatile("dsb ishst" : : : "memory");
    if (ipi_sender) ipi_sender(cpu);
}

void early_print(std::string_view text) {
    if (early_info.pl011 == 0) return;
    u64 registers = early_device_window.value + (early_info.pl011 & (page_size - 1));
    auto put = [registers](char c) {
        while (*reinterpret_cast<volatile u32*>(registers + uart_flags) & uart_transmit_full) relax();
        *reinterpret_cast<volatile u32*>(registers + uart_data) = static_cast<u8>(c);
    };
    for (char c : text) {
        if (c == '\n') put('\r');
        put(c);
    }
}

bool read_stack_frame(uintptr_t frame, StackFrame& out) {
    // Kernel stacks lie in the image or in the kernel area; anything else isn't followed.
    bool in_image = frame >= kernel_image_base.value && frame < early_device_window.value;
    bool in_area = frame >= kernel_area_begin.value && frame < kernel_area_end.value;
    bool in_direct_map = frame >= direct_map_base.value && frame < direct_map_base.value + direct_map_size;
    if (!is_aligned(frame, 8) || !(in_image || in_area || in_direct_map)) return false;
    u64 parts;
    asm volatile("at s1e1r, %1\n\tisb\n\tmrs %0, par_el1" : "=r"(parts) : "r"(frame) : "memory");
    if (parts & 1) return false; // not mapped: a guard page, for one
    out.previous = reinterpret_cast<const u64*>(frame)[0];
    out.return_address = reinterpret_cast<const u64*>(frame)[1];
    return true;
}

/// The record of this function is gone when it has returned; it says where the caller's lies.
[[gnu::noinline]] uintptr_t current_frame_pointer() {
    return *static_cast<const uintptr_t*>(__builtin_frame_address(0));
}

u64 kernel_image_slide() { return reinterpret_cast<u64>(kernel_image_begin) - kernel_image_base.value; }

} // namespace linnet::arch
