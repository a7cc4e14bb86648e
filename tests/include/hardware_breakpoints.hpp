// A tracee's breakpoints and watchpoints by hardware, as ptrace(2) sets them on each architecture that has them: by
// the debug registers of struct user on x86_64, by register sets on AArch64.
#pragma once

#include <cstddef>
#include <cstring>

#include "tracee.hpp"

namespace tracee {

enum class Watch : unsigned { execute, write, read_write };

#if defined(__x86_64__)

constexpr unsigned breakpoint_slots = 4; // for any kind
constexpr bool stops_behind_access = true;

namespace detail {
inline unsigned long debug_register(unsigned number) { return offsetof(struct user, u_debugreg) + number * 8; }
inline unsigned long read_control(pid_t pid) {
    unsigned long value = 0;
    CHECK_EQ(call(PTRACE_PEEKUSER, pid, debug_register(7), &value), 0);
    return value;
}
constexpr unsigned long control_bits(unsigned slot) { return 3ul << (2 * slot) | 15ul << (16 + 4 * slot); }
} // namespace detail

/// One instruction, or an aligned double word.
inline void set_breakpoint(pid_t pid, unsigned slot, const volatile void* address, Watch watch) {
    constexpr unsigned long kinds[] = {0, 1, 3};
    const unsigned long length = watch == Watch::execute ? 0 : 2; // 1 byte, 8 bytes
    const unsigned long kind = kinds[unsigned(watch)] | length << 2;
    const unsigned long others = detail::read_control(pid) & ~detail::control_bits(slot);
    CHECK_EQ(call(PTRACE_POKEUSER, pid, detail::debug_register(7), others), 0);
    CHECK_EQ(call(PTRACE_POKEUSER, pid, detail::debug_register(slot), (unsigned long)address), 0);
    CHECK_EQ(
        call(PTRACE_POKEUSER, pid, detail::debug_register(7), others | 1ul << (2 * slot) | kind << (16 + 4 * slot)), 0);
}
inline void clear_breakpoint(pid_t pid, unsigned slot, Watch) {
    CHECK_EQ(
        call(PTRACE_POKEUSER, pid, detail::debug_register(7), detail::read_control(pid) & ~detail::control_bits(slot)),
        0);
}
inline bool has_breakpoint(pid_t pid, unsigned slot, Watch) { return detail::read_control(pid) & 3ul << (2 * slot); }

#elif defined(__aarch64__)

constexpr unsigned breakpoint_slots = 4; // each, of at least six and four
constexpr bool stops_behind_access = false;

/// struct user_hwdebug_state of asm/ptrace.h, which does not go together with sys/ptrace.h.
struct DebugSet {
    unsigned info, padding;
    struct {
        unsigned long address;
        unsigned control, padding;
    } slots[16];
};
static_assert(sizeof(DebugSet) == 264);
constexpr size_t debug_set_size(unsigned slots) { return 8 + 16 * slots; }

namespace detail {
inline int set_type(Watch watch) { return watch == Watch::execute ? 0x402 : 0x403; } // NT_ARM_HW_BREAK, NT_ARM_HW_WATCH
inline DebugSet read_set(pid_t pid, int type) {
    DebugSet set;
    memset(&set, 0x5a, sizeof set);
    iovec io = {&set, sizeof set};
    CHECK_EQ(call(PTRACE_GETREGSET, pid, (unsigned long)type, &io), 0);
    CHECK_EQ(io.iov_len, sizeof set);
    return set;
}
inline void write_slot(pid_t pid, unsigned slot, Watch watch, unsigned long address, unsigned control) {
    DebugSet set = read_set(pid, set_type(watch));
    set.slots[slot] = {address, control, 0};
    iovec io = {&set, debug_set_size(slot + 1)};
    CHECK_EQ(call(PTRACE_SETREGSET, pid, (unsigned long)set_type(watch), &io), 0);
}
} // namespace detail

inline void set_breakpoint(pid_t pid, unsigned slot, const volatile void* address, Watch watch) {
    constexpr unsigned kinds[] = {0, 2, 3};
    const unsigned mask = watch == Watch::execute ? 0xf : 0xff;
    detail::write_slot(pid, slot, watch, (unsigned long)address, mask << 5 | kinds[unsigned(watch)] << 3 | 1);
}
inline void clear_breakpoint(pid_t pid, unsigned slot, Watch watch) { detail::write_slot(pid, slot, watch, 0, 0); }
inline bool has_breakpoint(pid_t pid, unsigned slot, Watch watch) {
    return detail::read_set(pid, detail::set_type(watch)).slots[slot].control & 1;
}

#endif

/// The tracee's next stop is that of a breakpoint: before the instruction at `place`, or for what it does to `place`.
inline void expect_breakpoint(pid_t pid, const volatile void* place, Watch watch) {
    CHECK_EQ(wait_status(pid), stopped(SIGTRAP));
    siginfo_t info = {};
    CHECK_EQ(call(PTRACE_GETSIGINFO, pid, 0, &info), 0);
    CHECK_EQ(info.si_code, 4); // TRAP_HWBKPT
    Registers registers = registers_of(pid);
    const bool is_instruction = watch == Watch::execute || stops_behind_access;
    CHECK_EQ((unsigned long)info.si_addr, is_instruction ? (unsigned long)pc(registers) : (unsigned long)place);
    if (watch == Watch::execute) CHECK_EQ((unsigned long)pc(registers), (unsigned long)place);
}

/// Takes it behind the access or instruction that stopped it, with the breakpoint set again.
inline void pass_breakpoint(pid_t pid, unsigned slot, const volatile void* place, Watch watch) {
    if (stops_behind_access) return;
    clear_breakpoint(pid, slot, watch);
    resume(pid, 0, PTRACE_SINGLESTEP);
    CHECK_EQ(wait_status(pid), stopped(SIGTRAP));
    set_breakpoint(pid, slot, place, watch);
}

} // namespace tracee
