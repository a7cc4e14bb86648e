// Early output on COM1, frame pointers, halting and the reset that needs no driver.
#include "boot.hpp"
#include <arch/page.hpp>
#include <arch/platform.hpp>
#include <arch_impl/port_io.hpp>

namespace linnet::arch {

/// usercopy.S: reads two words that may not be mapped.
extern "C" bool arch_read_kernel_words(void* out, const void* from);

namespace {

constexpr u16 com1 = 0x3f8;
constexpr u16 line_status = com1 + 5;
constexpr u8 transmitter_empty = 0x20;

void put(char c) {
    // Bounded: a machine without the UART reads all ones or zeroes.
    for (int patience = 100000; patience > 0 && !(port_read8(line_status) & transmitter_empty); --patience) relax();
    port_write8(com1, static_cast<u8>(c));
}

} // namespace

void early_print(std::string_view text) {
    for (char c : text) {
        if (c == '\n') put('\r');
        put(c);
    }
}

void firmware_power_off() {} // ACPI's, in drivers/power

void firmware_reboot() {
    // The keyboard controller's reset line; drivers/power tries ACPI's reset register first.
    constexpr u16 controller = 0x64;
    for (int patience = 100000; patience > 0 && (port_read8(controller) & 2); --patience) relax();
    port_write8(controller, 0xfe);
    for (int patience = 1000000; patience > 0; --patience) relax();
    // A triple fault resets every PC.
    struct [[gnu::packed]] {
        u16 limit = 0;
        u64 base = 0;
    } empty;
    asm volatile("lidt %0\n\tint3" ::"m"(empty) : "memory");
}

bool read_stack_frame(uintptr_t frame, StackFrame& out) {
    if (frame % 8 != 0 || frame < direct_map_base.value || frame > ~uintptr_t{0} - sizeof(StackFrame)) return false;
    return arch_read_kernel_words(&out, reinterpret_cast<const void*>(frame));
}

uintptr_t current_frame_pointer() {
    // The caller's: our own frame's saved pointer.
    return *static_cast<const uintptr_t*>(__builtin_frame_address(0));
}

void halt_forever() {
    for (;;) asm volatile("cli\n\thlt" ::: "memory");
}

void wait_for_interrupt() {
    // sti takes effect after the next instruction, so no interrupt can slip in before hlt.
    asm volatile("sti\n\thlt" ::: "memory");
}

} // namespace linnet::arch
