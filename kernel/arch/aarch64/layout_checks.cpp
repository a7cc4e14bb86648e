// Asserts that asm_offsets.hpp, which the assembly files use, tells the truth about the C++ structs.
#include <arch/cpu.hpp>
#include <arch/page.hpp>
#include <arch/user_context.hpp>

namespace linnet::arch {

#define CHECK_OFFSET(type, member, offset) static_assert(__builtin_offsetof(type, member) == (offset))

CHECK_OFFSET(ThreadHeader, cpu, THREAD_CPU);
CHECK_OFFSET(ThreadHeader, kernel_stack_top, THREAD_KERNEL_STACK_TOP);
CHECK_OFFSET(ThreadHeader, user_context, THREAD_USER_CONTEXT);
CHECK_OFFSET(ThreadHeader, context.sp, THREAD_SAVED_SP);
CHECK_OFFSET(CpuHeader, current, CPU_CURRENT);

struct UserContextLayout {
    CHECK_OFFSET(UserContext, regs_.regs[0], USER_X0);
    CHECK_OFFSET(UserContext, regs_.regs[30], USER_X30);
    CHECK_OFFSET(UserContext, regs_.sp, USER_SP);
    CHECK_OFFSET(UserContext, regs_.pc, USER_PC);
    CHECK_OFFSET(UserContext, regs_.pstate, USER_PSTATE);
    CHECK_OFFSET(UserContext, original_x0_, USER_ORIGINAL_X0);
    CHECK_OFFSET(UserContext, syscall_number_, USER_SYSCALL_NUMBER);
    CHECK_OFFSET(UserContext, tls_, USER_TLS);
    CHECK_OFFSET(UserContext, in_syscall_, USER_SYSCALL_FLAGS);
    CHECK_OFFSET(UserContext, result_set_, USER_SYSCALL_FLAGS + 1);
    CHECK_OFFSET(UserContext, sve_on_, USER_SVE_ON);
    CHECK_OFFSET(UserContext, fp_live_, USER_FP_LIVE);
    CHECK_OFFSET(UserContext, fp_state_, USER_FP_STATE);
};

CHECK_OFFSET(abi::user_fpsimd_state, fpsr, FP_FPSR);
CHECK_OFFSET(abi::user_fpsimd_state, fpcr, FP_FPCR);
CHECK_OFFSET(TrapFrame, x[30], FRAME_X30);
CHECK_OFFSET(TrapFrame, sp, FRAME_SP);
CHECK_OFFSET(TrapFrame, pc, FRAME_PC);
CHECK_OFFSET(TrapFrame, pstate, FRAME_PSTATE);
CHECK_OFFSET(TrapFrame, record, FRAME_RECORD);
static_assert(sizeof(TrapFrame) == FRAME_SIZE);
static_assert(kernel_stack_size == KERNEL_STACK_SIZE);
static_assert(static_cast<int>(TrapReason::Kind::Syscall) == 0); // vectors.S returns two zero registers for it

} // namespace linnet::arch
