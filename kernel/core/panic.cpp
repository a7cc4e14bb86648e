// Panic and the failed checks that lead to it.
//
// The first CPU to panic prints; the others are stopped by an interrupt, or park when they panic themselves.
#include <arch/platform.hpp>
#include <arch/smp.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/power.hpp>
#include <core/thread.hpp>
#include <core/time.hpp>
#include <lib/assert.hpp>
#include <lib/hit_way.hpp>
#include <lib/result.hpp>

namespace linnet::core {
namespace {

constexpr u32 nobody = ~0u;
constexpr int max_frames = 32;

constinit std::atomic<u32> panicking_cpu{nobody};
constinit std::atomic<i64> panic_timeout{0};

void print_backtrace(uintptr_t frame) {
    log(LogLevel::Emergency, "Call trace:");
    for (int depth = 0; depth < max_frames && frame; ++depth) {
        arch::StackFrame saved;
        if (!arch::read_stack_frame(frame, saved) || !saved.return_address) return;
        Symbol symbol = find_symbol(saved.return_address - 1);
        log(LogLevel::Emergency, "  {#016x} {}+{#x}", saved.return_address,
            symbol.name.empty() ? std::string_view("?") : symbol.name, symbol.offset + 1);
        if (saved.previous <= frame) return;
        frame = saved.previous;
    }
}

void stop_other_cpus() {
    for (u32 i = 0; i < cpu_count(); ++i)
        if (i != this_cpu().number && cpu(i).online.load()) arch::send_ipi(cpu(i));
}

/// Gets the panic for this CPU; a second CPU stays here for ever, a panic inside a panic stops at once.
void claim_panic() {
    arch::disable_interrupts();
    u32 expected = nobody;
    if (panicking_cpu.compare_exchange_strong(expected, this_cpu().number)) return;
    if (expected == this_cpu().number) arch::early_print("panic: recursive panic, stopping\n");
    arch::halt_forever();
}

/// What has to be subtracted from a code address to find it in linnet.elf, in the words of Linux.
void print_image_offset() {
    if (u64 slide = arch::kernel_image_slide())
        log(LogLevel::Emergency, "Kernel Offset: {#x}", slide);
    else
        log(LogLevel::Emergency, "Kernel Offset: disabled");
}

[[noreturn]] void finish_panic(std::string_view reason) {
    print_image_offset();
    i64 timeout = panic_timeout.load();
    log(LogLevel::Emergency, "---[ end Kernel panic - not syncing: {} ]---", reason);
    if (timeout != 0) {
        u64 until = monotonic_ns() + static_cast<u64>(timeout > 0 ? timeout : 0) * ns_per_second;
        while (monotonic_ns() < until) arch::relax();
        reboot();
    }
    arch::halt_forever();
}

void print_thread() {
    Thread& thread = current_thread();
    log(LogLevel::Emergency, "CPU: {} Thread: {} Preemption count: {}", this_cpu().number, thread.name(),
        thread.preempt_count);
}

} // namespace

bool is_panicking() { return panicking_cpu.load(std::memory_order_relaxed) != nobody; }
void set_panic_timeout(i64 seconds) { panic_timeout.store(seconds); }

HIT_WAY_ENDS void panic_args(std::string_view format, std::span<const FormatArg> args) {
    claim_panic();
    stop_other_cpus();
    char reason[256];
    usize used = 0;
    format_args(
        [&](std::string_view piece) {
            for (char c : piece)
                if (used < sizeof(reason)) reason[used++] = c;
        },
        format, args);
    log(LogLevel::Emergency, "Kernel panic - not syncing: {}", std::string_view(reason, used));
    print_thread();
    print_backtrace(arch::current_frame_pointer());
    finish_panic(std::string_view(reason, used));
}

} // namespace linnet::core

namespace linnet::hooks {

HIT_WAY_ENDS void kernel_fault(std::string_view what, VirtAddr address, uintptr_t pc, uintptr_t frame_pointer,
                               std::string_view registers) {
    using namespace core;
    claim_panic();
    stop_other_cpus();
    Symbol symbol = find_symbol(pc);
    log(LogLevel::Emergency, "Kernel panic - not syncing: {} at address {#x}", what, address.value);
    log(LogLevel::Emergency, "pc {#x} {}+{#x}", pc, symbol.name, symbol.offset);
    print_thread();
    while (!registers.empty()) {
        usize line = registers.find('\n');
        log(LogLevel::Emergency, "{}", registers.substr(0, line));
        registers.remove_prefix(line == std::string_view::npos ? registers.size() : line + 1);
    }
    print_backtrace(frame_pointer);
    finish_panic(what);
}

} // namespace linnet::hooks

namespace linnet {

void must_failed(const char* expression, Errno code, const char* file, int line) {
    core::panic("{}:{}: {} failed with error {}", std::string_view(file), line, std::string_view(expression),
                static_cast<int>(code));
}

void assertion_failed(const char* expression, const char* file, int line) {
    core::panic("{}:{}: assertion '{}' failed", std::string_view(file), line, std::string_view(expression));
}

} // namespace linnet

// libc++'s hardened containers end here, and so do pure virtual calls.
namespace std {
inline namespace __1 {
void __libcpp_verbose_abort(const char* format, ...) {
    linnet::core::panic("library check failed: {}", std::string_view(format));
}
} // namespace __1
} // namespace std

extern "C" [[noreturn]] void __cxa_pure_virtual();
extern "C" void __cxa_pure_virtual() { linnet::core::panic("pure virtual function called"); }
extern "C" void abort() { linnet::core::panic("abort called"); }

namespace boost {
void assertion_failed(const char* expression, const char*, const char* file, long line) {
    linnet::assertion_failed(expression, file, static_cast<int>(line));
}
void assertion_failed_msg(const char* expression, const char*, const char*, const char* file, long line) {
    linnet::assertion_failed(expression, file, static_cast<int>(line));
}
} // namespace boost
