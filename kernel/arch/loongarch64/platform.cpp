// Early output through the 16550 UART that LoongArch machines have at a fixed address. Power-off is a
// driver's.
#include <arch/page.hpp>
#include <arch/platform.hpp>

extern "C" int arch_load_kernel_u64(linnet::u64* value, const linnet::u64* address);

namespace linnet::arch {

void early_print(std::string_view text) {
    constexpr u64 uart = uncached_window.value + 0x1fe0'01e0, line_status = uart + 5;
    constexpr u8 transmitter_empty = 0x20;
    constexpr unsigned most_tries = 100'000; // without a UART there we only lose the text
    for (char c : text) {
        for (unsigned tries = 0; tries < most_tries; ++tries)
            if (*reinterpret_cast<const volatile u8*>(line_status) & transmitter_empty) break;
        *reinterpret_cast<volatile u8*>(uart) = static_cast<u8>(c);
    }
}

void firmware_power_off() {}
void firmware_reboot() {}

/// A frame pointer names the place behind the saved pair. The memory may be anything: the loads may fault.
bool read_stack_frame(uintptr_t frame, StackFrame& out) {
    if (frame % 16 != 0 || frame < direct_map_base.value + sizeof out) return false;
    auto* record = reinterpret_cast<const u64*>(frame - sizeof out);
    return arch_load_kernel_u64(&out.previous, record) == 0 &&
           arch_load_kernel_u64(&out.return_address, record + 1) == 0;
}

uintptr_t current_frame_pointer() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

} // namespace linnet::arch
