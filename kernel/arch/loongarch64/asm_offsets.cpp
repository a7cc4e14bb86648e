// Asserts that asm_offsets.hpp says what the compiler says.
#include "asm_offsets.hpp"

#include <arch/page.hpp>
#include <arch/user_context.hpp>

#include "trap_frame.hpp"

namespace linnet::arch {

#define SAME(type, field, place) static_assert(__builtin_offsetof(type, field) == (place))

SAME(ThreadHeader, cpu, THREAD_CPU);
SAME(ThreadHeader, kernel_stack_top, THREAD_KERNEL_STACK_TOP);
SAME(ThreadHeader, user_context, THREAD_USER_CONTEXT);
SAME(ThreadHeader, context.stack_pointer, THREAD_STACK_POINTER);
SAME(ThreadHeader, context.user_entry_stack, THREAD_USER_ENTRY_STACK);

SAME(CpuHeader, current, CPU_CURRENT);
SAME(CpuHeader, number, CPU_NUMBER);
SAME(CpuHeader, state.extended_owner, CPU_EXTENDED_OWNER);

SAME(UserContext, regs, USER_REGISTER(0));
SAME(UserContext, units, USER_UNITS);
SAME(UserContext, original_a0, USER_ORIGINAL_A0);
SAME(UserContext, came_by_syscall, USER_IN_SYSCALL);
SAME(UserContext, extended_cpu, USER_EXTENDED_CPU);
SAME(UserContext, live, USER_LIVE);
SAME(ExtendedState, fcc, EXTENDED_FCC);
SAME(ExtendedState, fcsr, EXTENDED_FCSR);

SAME(TrapFrame, regs, FRAME_REGISTER(0));
SAME(TrapFrame, previous_mode, FRAME_MODE);
SAME(TrapFrame, status, FRAME_STATUS);
SAME(TrapFrame, address, FRAME_ADDRESS);
SAME(TrapFrame, record, FRAME_RECORD);
static_assert(sizeof(TrapFrame) == FRAME_SIZE && FRAME_SIZE % 16 == 0);

static_assert(MODE_USER == (csr::prmd_user | csr::prmd_pie) && CRMD_IE == csr::crmd_ie);
static_assert(kernel_stack_size == usize{1} << KERNEL_STACK_SHIFT);
static_assert(page_shift == 14 && page_table_levels == 3 && entries_per_table_shift == 11); // the walks in trap.S
static_assert(static_cast<int>(TrapReason::Kind::Syscall) == 0);

} // namespace linnet::arch
