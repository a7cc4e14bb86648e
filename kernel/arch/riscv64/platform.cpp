// What the SBI firmware does for us: early output, power-off, reboot.
#include <arch/page.hpp>
#include <arch/platform.hpp>

#include "sbi.hpp"
#include "start.hpp"

extern "C" int arch_load_kernel_u64(linnet::u64* value, const linnet::u64* address);

namespace linnet::arch {

void early_print(std::string_view text) {
    // Single characters: the newer call for whole strings wants physical addresses, which a stack has none of
    // that we could compute here.
    static constinit std::atomic<i8> has_console{-1};
    if (has_console.load(std::memory_order_relaxed) < 0)
        has_console.store(sbi::has_extension(sbi::console_extension), std::memory_order_relaxed);
    for (char c : text) {
        if (has_console.load(std::memory_order_relaxed) > 0)
            sbi::call(sbi::console_extension, sbi::console_write_byte, static_cast<u8>(c));
        else
            sbi::legacy_put_char(c);
    }
}

static void reset(u64 type) {
    if (sbi::has_extension(sbi::reset_extension)) sbi::call(sbi::reset_extension, 0, type, 0);
}

void firmware_power_off() { reset(sbi::reset_shutdown); }
void firmware_reboot() { reset(sbi::reset_cold_reboot); }

/// A frame pointer names the place behind the saved pair. The memory may be anything: the loads may fault.
bool read_stack_frame(uintptr_t frame, StackFrame& out) {
    if (frame % 16 != 0 || frame < direct_map_base.value + sizeof out) return false;
    auto* record = reinterpret_cast<const u64*>(frame - sizeof out);
    return arch_load_kernel_u64(&out.previous, record) == 0 &&
           arch_load_kernel_u64(&out.return_address, record + 1) == 0;
}

uintptr_t current_frame_pointer() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

} // namespace linnet::arch
