// membarrier(2): barriers on the CPUs that run other threads. What a process wants to use it registers for; what it has
// registered belongs to its memory.
#include <abi/linux/prctl.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <process/process.hpp>
#include <syscalls/futex.hpp>

namespace linnet::syscalls {

using process::Thread;
using namespace abi;

namespace {

constexpr int registrations = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |
                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ;
constexpr int supported_barriers = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                                   MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
                                   MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ | registrations |
                                   MEMBARRIER_CMD_GET_REGISTRATIONS;

/// A full barrier on each of the CPUs: the interrupt itself orders, the fence makes it plain.
void barrier_on(u64 cpus, void (*function)(void*), void* context) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    core::run_on_cpus(cpus, function, context);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}
void fence(void*) { std::atomic_thread_fence(std::memory_order_seq_cst); }

/// Who runs on the CPU with the same memory leaves its restartable sequence before its next instruction.
void restart_sequence(void* space) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    core::Thread& running = core::current_thread();
    if (running.user_context && core::this_cpu().address_space == space)
        running.pending_work.fetch_or(core::work_notify, std::memory_order_relaxed);
}

/// MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ: on all CPUs, or on one alone, which need not exist.
void restart_sequences(mm::AddressSpace& space, u32 flags, int cpu) {
    u64 cpus = space.active_cpus();
    if (flags & MEMBARRIER_CMD_FLAG_CPU) cpus = cpu >= 0 && cpu < 64 ? cpus & (u64{1} << cpu) : 0;
    barrier_on(cpus, restart_sequence, &space);
}

Result<void> check_flags(int command, u32 flags) {
    const bool takes_cpu = command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ;
    return flags & ~(takes_cpu ? u32{MEMBARRIER_CMD_FLAG_CPU} : 0) ? Result<void>(error(Errno::EINVAL))
                                                                   : Result<void>();
}

} // namespace

Result<long> sys_membarrier(Thread& thread, int command, u32 flags, int cpu) {
    TRY(check_flags(command, flags));
    mm::AddressSpace& space = thread.own_address_space();
    const u32 registered = space.membarrier_registrations.load();
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return supported_barriers;
    case MEMBARRIER_CMD_GET_REGISTRATIONS:
        return registered;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ:
        space.membarrier_registrations.fetch_or(static_cast<u32>(command));
        return 0;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED: // those who did not register may be reached too
        barrier_on(core::online_cpus(), fence, nullptr);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) return error(Errno::EPERM);
        barrier_on(space.active_cpus(), fence, nullptr);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)) return error(Errno::EPERM);
        core::synchronise_all_instruction_streams();
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ:
        if (!(registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)) return error(Errno::EPERM);
        restart_sequences(space, flags, cpu);
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
