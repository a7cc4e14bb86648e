// UserContext: its extended state (FP and vector registers) and the views of it that ptrace and exec need.
// When the registers are where is told in <arch_impl/user_context.hpp>.
#include <arch/cpu.hpp>
#include <arch/user_context.hpp>
#include <cstring>

extern "C" {
void arch_store_fp(linnet::arch::ExtendedState*);
void arch_load_fp(const linnet::arch::ExtendedState*);
void arch_store_lsx(linnet::arch::ExtendedState*);
void arch_load_lsx(const linnet::arch::ExtendedState*);
void arch_store_lasx(linnet::arch::ExtendedState*);
void arch_load_lasx(const linnet::arch::ExtendedState*);
bool arch_store_fp_to_user(void* to);
bool arch_load_fp_from_user(const void* from, linnet::u64 conditions, linnet::u64 fcsr);
bool arch_store_lsx_to_user(void* to);
bool arch_load_lsx_from_user(const void* from, linnet::u64 conditions, linnet::u64 fcsr);
bool arch_store_lasx_to_user(void* to);
bool arch_load_lasx_from_user(const void* from, linnet::u64 conditions, linnet::u64 fcsr);
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

u64 units_of_cpu() {
    u32 features = cpucfg(2);
    u64 units = 0;
    if (features & 1) units |= euen_fp;
    if (features & 1u << 6) units |= euen_lsx;
    if (features & 1u << 7) units |= euen_lasx;
    return units;
}

/// Stores the live registers of `from`, the running thread's context, into the memory image of `to`.
void store_units(const UserContext& from, UserContext& to) {
    if (!from.live) return;
    LINNET_WRITE_CSR(LINNET_CSR_EUEN, from.units);
    if (from.units & euen_lasx)
        arch_store_lasx(&to.extended);
    else if (from.units & euen_lsx)
        arch_store_lsx(&to.extended);
    else
        arch_store_fp(&to.extended);
}

} // namespace

void UserContext::copy_from(const UserContext& view) {
    std::memcpy(regs, view.regs, sizeof regs);
    original_a0 = view.original_a0;
    came_by_syscall = view.came_by_syscall;
    bad_address = view.bad_address;
    translation = view.translation;
    InterruptsOff guard; // the registers stay this thread's until they are copied
    units = view.units;
    extended = view.extended;
    store_units(view, *this);
    live = 0;
    extended_cpu = no_cpu;
}

void UserContext::reset_for_exec(VirtAddr entry, VirtAddr stack) {
    InterruptsOff guard;
    std::memset(regs, 0, sizeof regs);
    regs[0] = entry.value;
    regs[3] = stack.value;
    units = 0;
    live = 0;
    original_a0 = 0;
    came_by_syscall = 0;
    bad_address = 0;
    translation = {};
    extended = {};
    extended_cpu = no_cpu;
}

abi::linux_user_regs UserContext::to_user_regs() const {
    abi::linux_user_regs values{};
    for (unsigned i = 1; i < 32; ++i) values.regs[i] = regs[i];
    values.orig_a0 = original_a0;
    values.csr_era = regs[0];
    values.csr_badv = bad_address;
    return values;
}

/// All of them belong to user code: the kernel's own state is elsewhere.
Result<void> UserContext::from_user_regs(const abi::linux_user_regs& values) {
    for (unsigned i = 1; i < 32; ++i) regs[i] = values.regs[i];
    original_a0 = values.orig_a0;
    regs[0] = values.csr_era;
    bad_address = values.csr_badv;
    return {};
}

bool UserContext::turn_on_unit(u64 unit) {
    u64 wanted = unit | (unit - 1); // the wider units contain the narrower ones
    if ((units_of_cpu() & wanted) != wanted || (units & wanted) == wanted) return false;
    InterruptsOff guard;
    store_live_units();
    units |= wanted;
    extended_cpu = no_cpu;
    return true;
}

void UserContext::store_live_units() {
    store_units(*this, *this);
    live = 0;
}

std::span<u8> UserContext::save_extended_state() {
    InterruptsOff guard;
    store_live_units();
    return {reinterpret_cast<u8*>(&extended), sizeof extended};
}

bool UserContext::store_live_to_user(u64 to) const {
    InterruptsOff guard; // a missing page is no reason to sleep then, but ends the try
    if (!live) return false;
    LINNET_WRITE_CSR(LINNET_CSR_EUEN, units);
    void* place = reinterpret_cast<void*>(to);
    if (units & euen_lasx) return arch_store_lasx_to_user(place);
    if (units & euen_lsx) return arch_store_lsx_to_user(place);
    return arch_store_fp_to_user(place);
}

bool UserContext::load_live_from_user(u64 from, u64 fcc, u32 fcsr) {
    InterruptsOff guard;
    if (!live) return false;
    LINNET_WRITE_CSR(LINNET_CSR_EUEN, units);
    const void* place = reinterpret_cast<const void*>(from);
    if (units & euen_lasx) return arch_load_lasx_from_user(place, fcc, fcsr);
    if (units & euen_lsx) return arch_load_lsx_from_user(place, fcc, fcsr);
    return arch_load_fp_from_user(place, fcc, fcsr);
}

void UserContext::extended_state_changed() {
    InterruptsOff guard;
    units |= units_of_cpu() & euen_fp;
    live = 0;
    extended_cpu = no_cpu;
}

} // namespace linnet::arch

using namespace linnet;
using namespace linnet::arch;

/// From enter_user(), interrupts off: this CPU's registers are another thread's or stale.
extern "C" void arch_load_extended_state(UserContext* context) {
    LINNET_WRITE_CSR(LINNET_CSR_EUEN, context->units);
    if (context->units & euen_lasx)
        arch_load_lasx(&context->extended);
    else if (context->units & euen_lsx)
        arch_load_lsx(&context->extended);
    else
        arch_load_fp(&context->extended);
    CpuHeader* cpu = current_thread()->cpu;
    cpu->state.extended_owner = context;
    context->extended_cpu = cpu->number;
}

/// From the context switch, interrupts off. The registers stay loaded: if this thread runs here next, they
/// still hold.
extern "C" void arch_save_extended_state(UserContext* context) { context->store_live_units(); }
