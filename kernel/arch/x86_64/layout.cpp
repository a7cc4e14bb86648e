// Checks offsets.h, the numbers that assembly uses, against the structs.
#include "offsets.h"
#include <arch/page.hpp>
#include <arch/user_context.hpp>

namespace linnet::arch {

static_assert(offsetof(CpuHeader, current) == CPU_CURRENT);
static_assert(offsetof(CpuHeader, state.user_stack_pointer) == CPU_USER_SP);
static_assert(offsetof(CpuHeader, state.kernel_stack_pointer) == CPU_KERNEL_SP);
static_assert(offsetof(CpuHeader, state.entered) == CPU_ENTERED);
static_assert(offsetof(CpuHeader, state.live_context) == CPU_LIVE_CONTEXT);
static_assert(offsetof(CpuHeader, state.tss) + offsetof(TaskState, rsp) == CPU_TSS_RSP0);

static_assert(offsetof(ThreadHeader, cpu) == THREAD_CPU);
static_assert(offsetof(ThreadHeader, user_context) == THREAD_USER_CONTEXT);
static_assert(offsetof(ThreadHeader, context.stack_pointer) == THREAD_STACK_POINTER);

static_assert(offsetof(UserRegisters, r15) == REG_R15);
static_assert(offsetof(UserRegisters, rbx) == REG_RBX);
static_assert(offsetof(UserRegisters, rax) == REG_RAX);
static_assert(offsetof(UserRegisters, rdi) == REG_RDI);
static_assert(offsetof(UserRegisters, vector) == REG_VECTOR);
static_assert(offsetof(UserRegisters, rip) == REG_RIP);
static_assert(offsetof(UserRegisters, ss) == REG_SS);
static_assert(sizeof(UserRegisters) == REGS_SIZE);
static_assert(offsetof(UserContext, registers) == 0);
static_assert(offsetof(UserContext, original_rax) == CONTEXT_ORIGINAL_RAX);
static_assert(offsetof(UserContext, registers_newer) == CONTEXT_NEWER);
static_assert(alignof(UserContext) == 16);

static_assert(direct_map_base.value == DIRECT_MAP_BASE);
static_assert(kernel_link_offset == 0xffff'ffff'8000'0000); // kernel.ld's KERNEL_OFFSET

} // namespace linnet::arch
