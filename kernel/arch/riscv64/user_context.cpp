// UserContext: its extended state (FP and vector registers) and the views of it that ptrace and exec need.
// When the registers are where is told in <arch_impl/user_context.hpp>.
#include <arch/cpu.hpp>
#include <arch/user_context.hpp>
#include <cstring>
#include <new>

#include "isa.hpp"

extern "C" {
void arch_store_fp(linnet::arch::FloatingPointState*);
void arch_load_fp(const linnet::arch::FloatingPointState*);
void arch_store_vector(linnet::arch::VectorState*);
void arch_load_vector(const linnet::arch::VectorState*);
void arch_load_extended_state(linnet::arch::UserContext* context);
void arch_save_extended_state(linnet::arch::UserContext* context);
}

namespace linnet::arch {

using namespace csr;

namespace {

class InterruptsOff {
public:
    InterruptsOff() : state_(save_and_disable_interrupts()) {}
    ~InterruptsOff() { restore_interrupts(state_); }
    InterruptsOff(const InterruptsOff&) = delete;

private:
    InterruptState state_;
};

/// Lets the kernel touch the units for a moment.
class UnitsOn {
public:
    UnitsOn() { LINNET_SET_CSR(sstatus, sstatus_fs | sstatus_vs); }
    ~UnitsOn() { LINNET_CLEAR_CSR(sstatus, sstatus_fs | sstatus_vs); }
    UnitsOn(const UnitsOn&) = delete;
};

usize vector_state_bytes() { return sizeof(VectorState) + 32 * vector_register_bytes(); }

/// Stores the dirty registers of `from`, the running thread's context, into the memory image of `to`.
void store_units(const UserContext& from, UserContext& to) {
    UnitsOn on;
    if (from.unit_state(sstatus_fs_shift) == unit_dirty) arch_store_fp(&to.fp);
    if (from.unit_state(sstatus_vs_shift) == unit_dirty && to.vector) arch_store_vector(to.vector);
}

void mark_clean(UserContext& context) {
    constexpr u64 summary = u64{1} << 63; // sstatus.SD
    for (unsigned shift : {sstatus_fs_shift, sstatus_vs_shift})
        if (context.unit_state(shift) != unit_off) context.set_unit_state(shift, unit_clean);
    context.status &= ~summary;
}

} // namespace

UserContext::~UserContext() { ::operator delete(vector); }

Result<void> UserContext::create() {
    if (vector_register_bytes() == 0 || vector) return {};
    void* memory = ::operator new(vector_state_bytes(), std::nothrow);
    if (!memory) return error(Errno::ENOMEM);
    std::memset(memory, 0, vector_state_bytes());
    vector = static_cast<VectorState*>(memory);
    return {};
}

void UserContext::copy_from(const UserContext& view) {
    std::memcpy(regs, view.regs, sizeof regs);
    original_a0 = view.original_a0;
    came_by_syscall = view.came_by_syscall;
    InterruptsOff guard; // the registers stay this thread's until they are copied
    status = view.status;
    fp = view.fp;
    if (vector && view.vector) std::memcpy(vector, view.vector, vector_state_bytes());
    store_units(view, *this);
    mark_clean(*this);
    extended_cpu = no_cpu;
}

void UserContext::reset_for_exec(VirtAddr entry, VirtAddr stack) {
    InterruptsOff guard;
    std::memset(regs, 0, sizeof regs);
    regs[0] = entry.value;
    regs[2] = stack.value;
    status = initial_status;
    original_a0 = 0;
    came_by_syscall = 0;
    fp = {};
    if (vector) std::memset(static_cast<void*>(vector), 0, vector_state_bytes());
    extended_cpu = no_cpu;
}

abi::linux_user_regs UserContext::to_user_regs() const {
    abi::linux_user_regs values;
    static_assert(sizeof values == sizeof regs);
    std::memcpy(&values, regs, sizeof values);
    return values;
}

/// All of them belong to user code: the kernel's own state is elsewhere.
Result<void> UserContext::from_user_regs(const abi::linux_user_regs& values) {
    std::memcpy(regs, &values, sizeof values);
    return {};
}

bool UserContext::turn_on_next_unit() {
    if (isa().has_floating_point && unit_state(sstatus_fs_shift) == unit_off) {
        set_unit_state(sstatus_fs_shift, unit_clean);
    } else if (vector && unit_state(sstatus_vs_shift) == unit_off) {
        set_unit_state(sstatus_vs_shift, unit_clean);
    } else {
        return false;
    }
    // The other unit's registers may be dirty; loading memory over them needs them stored first.
    store_dirty_units();
    extended_cpu = no_cpu;
    return true;
}

void UserContext::store_dirty_units() {
    store_units(*this, *this);
    mark_clean(*this);
}

std::span<u8> UserContext::save_extended_state() {
    InterruptsOff guard;
    store_dirty_units();
    return {reinterpret_cast<u8*>(&fp), sizeof fp};
}

void UserContext::extended_state_changed() {
    InterruptsOff guard;
    if (isa().has_floating_point && unit_state(sstatus_fs_shift) == unit_off)
        set_unit_state(sstatus_fs_shift, unit_clean);
    extended_cpu = no_cpu;
}

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

/// From enter_user(), interrupts off: this CPU's registers are another thread's or stale.
extern "C" void arch_load_extended_state(UserContext* context) {
    UnitsOn on;
    if (context->unit_state(sstatus_fs_shift) != unit_off) arch_load_fp(&context->fp);
    if (context->unit_state(sstatus_vs_shift) != unit_off && context->vector) arch_load_vector(context->vector);
    CpuHeader* cpu = current_thread()->cpu;
    cpu->state.extended_owner = context;
    context->extended_cpu = cpu->number;
}

/// From the context switch, interrupts off. The registers stay loaded: if this thread runs here next, they
/// still hold.
extern "C" void arch_save_extended_state(UserContext* context) { context->store_dirty_units(); }
