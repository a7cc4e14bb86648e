// New threads: what the first context switch finds on their stacks.
#include <arch/hooks.hpp>

extern "C" void arch_first_switch();

namespace linnet::arch {

/// What arch_switch_context takes from the stack of the thread it continues.
struct SwitchFrame {
    void (*return_address)() = nullptr;
    u64 saved[11] = {};
};
static_assert(sizeof(SwitchFrame) == 96);

void prepare_context(ThreadHeader& thread) {
    auto* frame = reinterpret_cast<SwitchFrame*>(thread.kernel_stack_top) - 1;
    *frame = SwitchFrame{.return_address = arch_first_switch};
    thread.context = {};
    thread.context.stack_pointer = reinterpret_cast<u64>(frame);
}

} // namespace linnet::arch

extern "C" [[noreturn]] void arch_enter_thread(linnet::arch::ThreadHeader* previous) {
    linnet::hooks::thread_entry(previous);
}
