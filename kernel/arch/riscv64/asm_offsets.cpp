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
SAME(ThreadHeader, context.scratch, THREAD_SCRATCH);

SAME(CpuHeader, current, CPU_CURRENT);
SAME(CpuHeader, number, CPU_NUMBER);
SAME(CpuHeader, state.extended_owner, CPU_EXTENDED_OWNER);

SAME(UserContext, regs, USER_REGISTER(0));
SAME(UserContext, status, USER_STATUS);
SAME(UserContext, original_a0, USER_ORIGINAL_A0);
SAME(UserContext, came_by_syscall, USER_IN_SYSCALL);
SAME(UserContext, extended_cpu, USER_EXTENDED_CPU);
SAME(UserContext, fp, USER_FP);

SAME(TrapFrame, regs, FRAME_REGISTER(0));
SAME(TrapFrame, status, FRAME_STATUS);
SAME(TrapFrame, cause, FRAME_CAUSE);
SAME(TrapFrame, value, FRAME_VALUE);
SAME(TrapFrame, record, FRAME_RECORD);
static_assert(sizeof(TrapFrame) == FRAME_SIZE && FRAME_SIZE % 16 == 0);

static_assert(STATUS_SIE == csr::sstatus_sie && STATUS_SUM == csr::sstatus_sum);
static_assert(STATUS_UNITS == (csr::sstatus_fs | csr::sstatus_vs));
static_assert(STATUS_SUM_UNITS == (STATUS_SUM | STATUS_UNITS));
static_assert(kernel_stack_size == usize{1} << KERNEL_STACK_SHIFT);
static_assert(static_cast<int>(TrapReason::Kind::Syscall) == 0);

} // namespace linnet::arch
