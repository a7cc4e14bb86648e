// Returns from functions (uretprobes). At the first instruction of one its return address is replaced by that of the
// trampoline, and kept here; what comes to the trampoline is sent there.
//
// Functions that are left by longjmp(3) never return: their entries are found by the stack pointer, when the next is
// made or returns. A function that ends in a jump to another leaves it its return address, the trampoline's: such a
// chain returns at once.
#include "user_probe.hpp"

namespace linnet::probe {

using process::Thread;

namespace {

bool is_on_alternate_stack(const Thread& thread, u64 stack) {
    const abi::stack_t& alternate = thread.signals.alternate_stack;
    if (alternate.ss_flags & abi::SS_DISABLE) return false;
    return stack > alternate.ss_sp && stack - alternate.ss_sp <= alternate.ss_size;
}

/// Whether its function may still return, seen from deeper in. Stacks of signal handlers lie anywhere.
bool is_alive(const PendingReturn& entry, u64 stack, bool on_alternate_stack, bool may_be_equal) {
    if (entry.on_alternate_stack != on_alternate_stack) return on_alternate_stack;
    return may_be_equal ? entry.stack >= stack : entry.stack > stack;
}

void tell(const PendingReturn& entry) {
    core::ReadGuard guard(entry.probe->clients_lock);
    entry.probe->tell_clients(UserProbeClient::Wants::Returns,
                              [&entry](UserProbeClient& client) { client.on_return({entry.function}); });
}

} // namespace

void follow_return(Thread& thread, UserProbe& probe, VirtAddr function) {
    ProgramMemory memory;
    const arch::ProbeRegisters registers = arch::probe_registers(thread.registers);
    const auto area = Area::of(thread.own_address_space());
    const auto state = ThreadState::make(thread);
    const std::optional<u64> caller = arch::return_address(registers, memory);
    if (!area || !state || !caller) return; // as on Linux, that one is missed
    ArrayList<PendingReturn>& returns = (*state)->returns;
    const u64 trampoline = (*area)->trampoline().value, stack = registers.sp();
    const bool is_chained = *caller == trampoline, on_alternate = is_on_alternate_stack(thread, stack);
    while (!returns.is_empty() && !is_alive(returns.back(), stack, on_alternate, is_chained)) (void)returns.pop();
    if (is_chained && returns.is_empty()) return; // the program has put it there
    if (returns.size() == ThreadState::most_returns) return;
    if (!returns.try_push({.probe = RefPtr<UserProbe>(probe),
                           .function = function.value,
                           .caller = is_chained ? returns.back().caller : *caller,
                           .stack = stack,
                           .is_chained = is_chained,
                           .on_alternate_stack = on_alternate}))
        return;
    if (!is_chained && !arch::set_return_address(registers, memory, trampoline)) (void)returns.pop();
}

bool take_return(Thread& thread) {
    ThreadState* state = ThreadState::of(thread);
    if (!state) return false;
    arch::ProbeRegisters registers = arch::probe_registers(thread.registers);
    const u64 stack = registers.sp();
    const bool on_alternate = is_on_alternate_stack(thread, stack);
    ArrayList<PendingReturn>& returns = state->returns;
    while (!returns.is_empty()) {
        usize first = returns.size() - 1;
        while (first > 0 && returns[first].is_chained) --first;
        // The innermost that can have returned: the one outside of it is still being executed.
        const bool has_returned = first == 0 || is_alive(returns[first - 1], stack, on_alternate, true);
        if (has_returned) registers.set_pc(returns[first].caller);
        while (returns.size() > first) {
            const PendingReturn entry = returns.pop();
            if (has_returned) tell(entry);
        }
        if (has_returned) return true;
    }
    return false;
}

} // namespace linnet::probe
