// UserContext's operations, and how the state that stays in the CPU while the kernel runs (FP, vector, FS and GS bases)
// follows a thread.
//
// CpuState::live_context says whose such state a CPU holds; UserContext::live_cpu which CPU loaded it last. They agree
// until another CPU loads the state, or the memory image changes: then that side clears live_context, and the next
// enter_user() loads again. While registers_newer is set the owner is the thread that runs there; a context switch
// stores.
#include "debug_registers.hpp"
#include "extended_state.hpp"
#include "features.hpp"
#include <arch/cpu.hpp>
#include <arch/page.hpp>
#include <arch/user_context.hpp>
#include <arch_impl/registers.hpp>
#include <cstring>
#include <new>
#include <utility>

namespace linnet::arch {
namespace {

/// Flags that user code may set by a signal frame, ptrace or the like (as Linux: carry, parity, adjust, zero, sign,
/// trap, direction, overflow, nested task, resume, alignment check).
constexpr u64 user_flags = 0x5'4dd5;

u64 read_fs_base() {
    if (!cpu_features().fsgsbase) return read_msr(Msr::FsBase);
    u64 value;
    asm volatile("rdfsbase %0" : "=r"(value));
    return value;
}

void write_fs_base(u64 value) {
    if (!cpu_features().fsgsbase) return write_msr(Msr::FsBase, value);
    asm volatile("wrfsbase %0" ::"r"(value));
}

/// Any value becomes one that the base registers take without a fault.
u64 canonical(u64 address) { return static_cast<u64>(static_cast<i64>(address << 16) >> 16); }

/// Selectors are not part of a context: a program's own loads last until its registers leave the CPU.
void clear_data_selectors() {
    u32 ds, es, fs;
    asm volatile("movl %%ds, %0\n\tmovl %%es, %1\n\tmovl %%fs, %2" : "=r"(ds), "=r"(es), "=r"(fs));
    if ((ds | es | fs) == 0) return;
    asm volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs" ::"r"(0) : "memory");
}

/// Takes `context` away from the CPU that holds its state, if one does.
void forget_live_state(UserContext& context) {
    CpuHeader* holder = context.live_cpu.exchange(nullptr);
    UserContext* expected = &context;
    if (holder) holder->state.live_context.compare_exchange_strong(expected, nullptr);
}

void save_live_state(const UserContext& context);

} // namespace

/// enter_user() found another context's state in this CPU. Interrupts are off.
extern "C" void arch_load_user_state(UserContext& context) {
    CpuHeader& cpu = *current_thread()->cpu;
    if (context.live_cpu.load(std::memory_order_relaxed) != &cpu) {
        forget_live_state(context);
        context.live_cpu.store(&cpu);
    }
    cpu.state.live_context.store(&context);
    load_extended_state(context.image);
    clear_data_selectors();
    write_fs_base(canonical(context.fs_base));
    write_msr(Msr::KernelGsBase, canonical(context.gs_base));
    if (context.counter_is_denied != cpu.state.counter_is_denied) [[unlikely]] {
        cpu.state.counter_is_denied = context.counter_is_denied;
        write_cr4((read_cr4() & ~cr4_counter_denied) | (context.counter_is_denied ? cr4_counter_denied : 0));
    }
    if (context.debug || cpu.state.has_breakpoints) [[unlikely]]
        load_debug_registers(context, cpu.state);
}

/// Registers to memory; they stay valid in the CPU too. Interrupts are off, on the CPU that holds the state.
extern "C" void arch_save_user_state(UserContext& context) {
    store_extended_state(context.image);
    context.fs_base = read_fs_base();
    context.gs_base = read_msr(Msr::KernelGsBase);
    context.registers_newer = 0;
}

namespace {

/// Memory becomes the truth, or stays it. Only the thread itself calls this while registers are newer.
void save_live_state(const UserContext& context) {
    InterruptState state = save_and_disable_interrupts();
    if (context.registers_newer) arch_save_user_state(const_cast<UserContext&>(context));
    restore_interrupts(state);
}

} // namespace

UserContext::~UserContext() {
    forget_live_state();
    delete debug;
    ::operator delete(allocation);
}

Result<void> UserContext::create() {
    std::span<const u8> initial = initial_extended_state();
    constexpr usize alignment = 64; // XSAVE's
    allocation = ::operator new(initial.size() + alignment, std::nothrow);
    if (!allocation) return error(Errno::ENOMEM);
    image = reinterpret_cast<u8*>(align_up(reinterpret_cast<u64>(allocation), alignment));
    std::memcpy(image, initial.data(), initial.size());
    return {};
}

void UserContext::forget_live_state() { arch::forget_live_state(*this); }

/// Breakpoints in debug registers are nobody's heritage.
void UserContext::copy_from(const UserContext& other) {
    save_live_state(other);
    forget_live_state();
    registers = other.registers;
    original_rax = other.original_rax;
    registers_newer = 0;
    // A tracer's single step is not inherited.
    if (other.stepping) registers.rflags &= ~rflags_trap;
    stepping = false;
    fs_base = other.fs_base;
    gs_base = other.gs_base;
    counter_is_denied = other.counter_is_denied;
    fault_address = other.fault_address;
    fault_error = other.fault_error;
    fault_vector = other.fault_vector;
    std::memcpy(image, other.image, initial_extended_state().size());
}

void UserContext::reset_for_exec(VirtAddr entry, VirtAddr stack) {
    registers_newer = 0;
    forget_live_state();
    bool was_stepping = stepping;
    registers = {};
    registers.rip = entry.value;
    registers.rsp = stack.value;
    if (was_stepping) registers.rflags |= rflags_trap;
    original_rax = -1;
    fs_base = gs_base = 0;
    fault_address = fault_error = fault_vector = 0;
    delete std::exchange(debug, nullptr);
    debug_status = 0;
    std::span<const u8> initial = initial_extended_state();
    std::memcpy(image, initial.data(), initial.size());
}

VirtAddr UserContext::tls() const {
    save_live_state(*this);
    return {fs_base};
}

void UserContext::set_tls(VirtAddr address) {
    save_live_state(*this);
    fs_base = address.value;
    forget_live_state();
}

VirtAddr UserContext::gs() const {
    save_live_state(*this);
    return {gs_base};
}

void UserContext::set_gs(VirtAddr address) {
    save_live_state(*this);
    gs_base = address.value;
    forget_live_state();
}

void UserContext::set_single_step(bool on) {
    if (on) {
        // A program that steps itself keeps its flag when the tracer is done.
        if (!(registers.rflags & rflags_trap)) stepping = true;
        registers.rflags |= rflags_trap;
    } else if (stepping) {
        registers.rflags &= ~rflags_trap;
        stepping = false;
    }
}

abi::linux_user_regs UserContext::to_user_regs() const {
    save_live_state(*this);
    const UserRegisters& r = registers;
    abi::linux_user_regs out{};
    out.r15 = r.r15, out.r14 = r.r14, out.r13 = r.r13, out.r12 = r.r12, out.rbp = r.rbp, out.rbx = r.rbx;
    out.r11 = r.r11, out.r10 = r.r10, out.r9 = r.r9, out.r8 = r.r8, out.rax = r.rax, out.rcx = r.rcx;
    out.rdx = r.rdx, out.rsi = r.rsi, out.rdi = r.rdi, out.orig_rax = static_cast<u64>(original_rax);
    out.rip = r.rip, out.cs = r.cs, out.rsp = r.rsp, out.ss = r.ss;
    out.eflags = stepping ? r.rflags & ~rflags_trap : r.rflags;
    out.fs_base = fs_base, out.gs_base = gs_base;
    return out;
}

Result<void> UserContext::from_user_regs(const abi::linux_user_regs& in) {
    UserRegisters& r = registers;
    // The only selectors there are; Linux answers EIO to one that user code could not have either.
    if (in.cs != r.cs || in.ss != r.ss || (in.ds | in.es | in.fs | in.gs) != 0) return error(Errno::EIO);
    if (in.fs_base >= user_address_end.value || in.gs_base >= user_address_end.value) return error(Errno::EIO);
    save_live_state(*this);
    r.r15 = in.r15, r.r14 = in.r14, r.r13 = in.r13, r.r12 = in.r12, r.rbp = in.rbp, r.rbx = in.rbx;
    r.r11 = in.r11, r.r10 = in.r10, r.r9 = in.r9, r.r8 = in.r8, r.rax = in.rax, r.rcx = in.rcx;
    r.rdx = in.rdx, r.rsi = in.rsi, r.rdi = in.rdi, original_rax = static_cast<i64>(in.orig_rax);
    r.rip = in.rip, r.rsp = in.rsp;
    r.rflags = (r.rflags & ~user_flags) | (in.eflags & user_flags);
    if (stepping) r.rflags |= rflags_trap;
    fs_base = in.fs_base, gs_base = in.gs_base;
    forget_live_state();
    return {};
}

std::span<u8> UserContext::save_extended_state() {
    save_live_state(*this);
    std::span<u8> whole(image, initial_extended_state().size());
    complete_image(whole);
    return whole;
}

bool UserContext::save_extended_state_to(VirtAddr frame_image) {
    InterruptState state = save_and_disable_interrupts();
    if (current_thread()->cpu->state.live_context.load() != this) arch_load_user_state(*this);
    bool stored = store_extended_state_to_user(frame_image);
    restore_interrupts(state);
    return stored;
}

bool UserContext::load_extended_state_from(VirtAddr frame_image, u64 components) {
    InterruptState state = save_and_disable_interrupts();
    // The bases of FS and GS stay what they are: they must be here too before registers become the truth.
    if (current_thread()->cpu->state.live_context.load() != this) arch_load_user_state(*this);
    bool loaded = load_extended_state_from_user(frame_image, components);
    registers_newer = 1;
    restore_interrupts(state);
    return loaded;
}

void UserContext::make_extended_state_initial() {
    std::span<const u8> initial = initial_extended_state();
    InterruptState state = save_and_disable_interrupts();
    if (current_thread()->cpu->state.live_context.load() == this) {
        load_extended_state(initial.data());
        registers_newer = 1;
    } else {
        std::memcpy(image, initial.data(), initial.size());
    }
    restore_interrupts(state);
}

unsigned UserContext::protection_key_count() { return has_protection_keys() ? 16 : 1; }

void UserContext::set_protection_key_rights(unsigned key, u32 denied) {
    InterruptState state = save_and_disable_interrupts();
    if (current_thread()->cpu->state.live_context.load() != this) arch_load_user_state(*this);
    change_protection_key(key, denied);
    registers_newer = 1;
    restore_interrupts(state);
}

Result<void> UserContext::set_may_read_counter(bool may) {
    save_live_state(*this);
    counter_is_denied = !may;
    forget_live_state(); // so that it is loaded anew, and this with it
    return {};
}

void UserContext::extended_state_changed() {
    registers_newer = 0;
    sanitise_image({image, initial_extended_state().size()}, ~u64{0});
    forget_live_state();
}

} // namespace linnet::arch
