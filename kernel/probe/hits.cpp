// What happens to a thread that comes to a probe: clients are told, and the instruction is executed out of line or
// emulated. All of it is done by the thread itself, in its loop (process/run_loop.cpp).
#include "user_probe.hpp"

#include <abi/linux/signal.hpp>
#include <core/sched.hpp>
#include <cstring>
#include <mm/usercopy.hpp>
#include <new>

namespace linnet::probe {

using process::Thread;
using process::UserProbes;
using Verdict = UserProbes::Verdict;

bool ProgramMemory::load(u64 address, u64& value) {
    return arch::is_user_range({address}, sizeof value) &&
           mm::copy_from_user(&value, {address}, sizeof value).has_value();
}
bool ProgramMemory::store(u64 address, u64 value) {
    return arch::is_user_range({address}, sizeof value) &&
           mm::copy_to_user({address}, &value, sizeof value).has_value();
}

Result<ThreadState*> ThreadState::make(Thread& thread) {
    if (!thread.probes) thread.probes = new (std::nothrow) ThreadState;
    if (!thread.probes) return error(Errno::ENOMEM);
    return of(thread);
}

namespace {

constexpr u32 signal_work = core::work_signal | core::work_stop;

/// Where the copy's breakpoint stands.
u64 end_of_copy(const ThreadState& state) {
    return state.area->address_of(state.slot).value + state.instruction.slot_length - sizeof arch::probe_breakpoint;
}

void leave_slot(Thread& thread, ThreadState& state) {
    state.is_stepping = false;
    state.area->give_back(state.slot);
    if (state.put_off) thread.pending_work.fetch_or(std::exchange(state.put_off, 0));
}

/// The copy has not been executed, or not to its end.
void abandon(Thread& thread, ThreadState& state) {
    arch::ProbeRegisters registers = arch::probe_registers(thread.registers);
    arch::abandon_probed(state.instruction, registers, state.step);
    registers.set_pc(state.address);
    leave_slot(thread, state);
}

/// An emulated instruction could not get at memory: the signal is the one for that.
Verdict fault(Thread& thread, arch::TrapReason& reason, const arch::ProbedStep& step) {
    const auto access = step.bad_write ? arch::Access::Write : arch::Access::Read;
    const mm::FaultResult result = thread.own_address_space().handle_fault({step.bad_address}, access);
    reason.signal = result == mm::FaultResult::BusAdrErr ? abi::SIGBUS : abi::SIGSEGV;
    reason.code = result == mm::FaultResult::BusAdrErr    ? abi::BUS_ADRERR
                  : result == mm::FaultResult::SegvAccErr ? abi::SEGV_ACCERR
                                                          : abi::SEGV_MAPERR;
    reason.address = {step.bad_address};
    return Verdict::NotMine;
}

/// The copy has been executed.
bool finish(Thread& thread, ThreadState& state) {
    ProgramMemory memory;
    const arch::ProbeRegisters registers = arch::probe_registers(thread.registers);
    const bool is_done = arch::finish_probed(state.instruction, registers, state.address, memory, state.step);
    if (!is_done) arch::ProbeRegisters(registers).set_pc(state.address);
    leave_slot(thread, state);
    return is_done;
}

Verdict on_trap_in_slot(Thread& thread, ThreadState& state, arch::TrapReason& reason) {
    const u64 pc = thread.registers.pc().value, end = end_of_copy(state);
    const u64 begin = state.area->address_of(state.slot).value;
    const bool is_breakpoint = arch::is_breakpoint_trap(reason);
    if (pc - (is_breakpoint ? arch::breakpoint_trap_distance : 0) == end) {
        if (!finish(thread, state)) return fault(thread, reason, state.step);
        if (is_breakpoint) return Verdict::Handled;
        reason.address = thread.registers.pc(); // the tracer's single step
        return Verdict::NotMine;
    }
    abandon(thread, state);
    if (reason.address.value >= begin && reason.address.value <= end) reason.address = {state.address};
    return Verdict::NotMine;
}

void tell_of_entry(Thread& thread, UserProbe& probe, VirtAddr address) {
    bool wants_returns;
    {
        core::ReadGuard guard(probe.clients_lock);
        wants_returns = probe.wants_returns;
        probe.tell_clients(UserProbeClient::Wants::Entries,
                           [address](UserProbeClient& client) { client.on_entry(address); });
    }
    if (wants_returns) follow_return(thread, probe, address);
}

Verdict no_memory(arch::TrapReason& reason) {
    reason.signal = abi::SIGSEGV;
    reason.code = abi::SI_KERNEL;
    reason.address = {};
    return Verdict::NotMine;
}

Verdict begin_copy(Thread& thread, const UserProbe& probe, u64 address, const arch::ProbedStep& step,
                   arch::TrapReason& reason) {
    const auto state = ThreadState::make(thread);
    const auto area = Area::of(thread.own_address_space());
    const auto slot = state && area ? (*area)->take(probe.id, probe.instruction) : Result<u32>(error(Errno::ENOMEM));
    if (!slot) {
        arch::abandon_probed(probe.instruction, arch::probe_registers(thread.registers), step);
        // Who dies needs no signal.
        return slot.error() == Errno::EINTR ? Verdict::Handled : no_memory(reason);
    }
    ThreadState& own = **state;
    own.is_stepping = true;
    own.address = address;
    own.area = *area;
    own.slot = *slot;
    own.instruction = probe.instruction;
    own.step = step;
    thread.registers.set_pc(own.area->address_of(own.slot));
    return Verdict::Handled;
}

Verdict execute(Thread& thread, const UserProbe& probe, u64 address, arch::TrapReason& reason) {
    ProgramMemory memory;
    arch::ProbedStep step;
    switch (arch::begin_probed(probe.instruction, arch::probe_registers(thread.registers), address, memory, step)) {
    case arch::ProbeAction::OutOfLine:
        return begin_copy(thread, probe, address, step, reason);
    case arch::ProbeAction::Emulated:
        if (!arch::note_emulated_step(thread.registers)) return Verdict::Handled;
        reason.code = abi::TRAP_TRACE;
        reason.address = thread.registers.pc();
        return Verdict::NotMine;
    case arch::ProbeAction::SystemCall:
        arch::enter_emulated_syscall(thread.registers, address + probe.instruction.length);
        return Verdict::SystemCall;
    case arch::ProbeAction::BadMemory:
        return fault(thread, reason, step);
    }
    return Verdict::NotMine;
}

bool is_breakpoint_at(u64 address) {
    u8 bytes[arch::breakpoint_prefix + sizeof(u32)] = {};
    if (arch::breakpoint_prefix != 0)
        (void)mm::copy_from_user(bytes, {address - arch::breakpoint_prefix}, arch::breakpoint_prefix);
    const auto read = mm::copy_from_user_partial(bytes + arch::breakpoint_prefix, {address}, sizeof(u32));
    return !read || arch::is_any_breakpoint(bytes);
}

/// The probe of a place where somebody has trapped; null: the breakpoint is the program's own or its tracer's, or, if
/// `is_gone`, there was one that has just been taken away.
NullableRefPtr<UserProbe> find_at(Thread& thread, u64 address, bool& is_gone) {
    is_gone = false;
    for (;;) {
        const u64 generation = user_probe_generation();
        const auto place = thread.own_address_space().object_place({address});
        NullableRefPtr<UserProbe> probe = find_user_probe(place.object, place.offset);
        if (probe) return probe;
        is_gone = !is_breakpoint_at(address);
        if (is_gone || generation == user_probe_generation()) return {};
    }
}

class Hits final : public UserProbes {
public:
    Verdict on_trap(Thread& thread, arch::TrapReason& reason) override {
        ThreadState* state = ThreadState::of(thread);
        if (state && state->is_stepping) return on_trap_in_slot(thread, *state, reason);
        if (!arch::is_breakpoint_trap(reason)) return Verdict::NotMine;
        const u64 address = thread.registers.pc().value - arch::breakpoint_trap_distance;
        const Area* area = Area::find(thread.own_address_space());
        if (area && address == area->trampoline().value) {
            if (take_return(thread)) return Verdict::Handled;
            reason.signal = abi::SIGILL; // as on Linux
            reason.code = abi::SI_KERNEL;
            reason.address = {};
            return Verdict::NotMine;
        }
        bool is_gone;
        NullableRefPtr<UserProbe> probe = find_at(thread, address, is_gone);
        if (!probe && !is_gone) return Verdict::NotMine;
        thread.registers.set_pc({address});
        if (!probe) return Verdict::Handled;
        tell_of_entry(thread, *probe, {address});
        return execute(thread, *probe, address, reason);
    }

    void on_fault(Thread& thread) override {
        ThreadState* state = ThreadState::of(thread);
        if (state->is_stepping) abandon(thread, *state);
    }

    bool puts_off(Thread& thread, u32 work) override {
        ThreadState* state = ThreadState::of(thread);
        if (!state->is_stepping) return false;
        const u64 pc = thread.registers.pc().value;
        if (pc == state->area->address_of(state->slot).value) {
            state->put_off |= work & signal_work;
            thread.pending_work.fetch_and(~(work & signal_work));
            return true;
        }
        // Executed but for the breakpoint behind it. Anywhere else the program has mapped something of its own there.
        if (pc != end_of_copy(*state))
            leave_slot(thread, *state);
        else if (!finish(thread, *state))
            process::force_signal(thread, abi::SIGSEGV, abi::SEGV_MAPERR, {state->step.bad_address});
        return false;
    }

    Result<void> on_fork(Thread& parent, Thread& child, bool shares_memory) override {
        ThreadState* state = ThreadState::of(parent);
        if (shares_memory || state->returns.is_empty()) return {};
        ThreadState* made = TRY(ThreadState::make(child));
        TRY(made->returns.try_reserve(state->returns.size()));
        for (const PendingReturn& entry : state->returns) TRY(made->returns.try_push(entry));
        mm::AddressSpace& space = *child.address_space();
        if (!Area::find(space)) TRY(Area::copy(*Area::find(parent.own_address_space()), space));
        return {};
    }

    void on_exit(Thread& thread) override {
        on_fault(thread);
        on_exec(thread);
    }

    void on_exec(Thread& thread) override { ThreadState::of(thread)->returns.clear(); }
};

constinit Hits hits;

} // namespace

void initialise_user_probes() {
    process::user_probes = &hits;
    initialise_planting();
}

} // namespace linnet::probe
