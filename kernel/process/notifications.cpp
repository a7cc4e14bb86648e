// Work that waits for a thread at its loop's edge (core::work_notify): keeping the area of rseq(2) true.
//
// A thread that was switched away, or is about to run a signal handler, must not go on inside a restartable
// sequence: its pc is moved to the sequence's abort handler. The area is user memory and may hold anything;
// what can't be right kills the program with SIGSEGV, as on Linux.
#include <abi/linux/prctl.hpp>
#include <mm/usercopy.hpp>
#include <process/run_loop.hpp>

namespace linnet::process {
namespace {

using abi::rseq_cs;

/// Moves the pc out of a restartable sequence. EFAULT and EINVAL: the area is not what it should be.
Result<void> leave_critical_section(Thread& thread) {
    mm::UserPtr<mm::InOut, u64> pointer(thread.rseq.address + __builtin_offsetof(abi::rseq, rseq_cs));
    u64 address = TRY(pointer.copy_in());
    if (address == 0) return {};
    rseq_cs section = TRY((mm::UserPtr<mm::In, rseq_cs>(VirtAddr{address}).copy_in()));
    u64 end;
    if (section.version != 0 || __builtin_add_overflow(section.start_ip, section.post_commit_offset, &end) ||
        end > arch::user_address_end.value || section.abort_ip >= arch::user_address_end.value)
        return error(Errno::EINVAL);
    u64 pc = thread.registers.pc().value;
    bool inside = pc >= section.start_ip && pc < end;
    // Left already, or about to be: the pointer goes either way, so that the next look is short.
    TRY(pointer.copy_out(0));
    if (!inside) return {};
    if (section.abort_ip >= section.start_ip && section.abort_ip < end) return error(Errno::EINVAL);
    // The word before the handler must be the one named at registration: nobody else's code is jumped into.
    u32 signature = TRY((mm::UserPtr<mm::In, u32>(VirtAddr{section.abort_ip - sizeof(u32)}).copy_in()));
    if (signature != thread.rseq.signature) return error(Errno::EINVAL);
    thread.registers.set_pc({section.abort_ip});
    return {};
}

/// Stores where the thread runs now. It may be moved right after: then on_switched_in() asks for another
/// round.
Result<void> store_cpu(Thread& thread) {
    u32 cpu;
    {
        core::PreemptionGuard guard;
        cpu = core::this_cpu().number;
    }
    mm::UserPtr<mm::Out, u32> words(thread.rseq.address);
    TRY(words.element(__builtin_offsetof(abi::rseq, cpu_id_start) / sizeof(u32)).copy_out(cpu));
    TRY(words.element(__builtin_offsetof(abi::rseq, cpu_id) / sizeof(u32)).copy_out(cpu));
    TRY(words.element(__builtin_offsetof(abi::rseq, node_id) / sizeof(u32)).copy_out(0));
    // Unique among the threads that run at one time, and below the number of CPUs: the CPU's number is both.
    return words.element(__builtin_offsetof(abi::rseq, mm_cid) / sizeof(u32)).copy_out(cpu);
}

} // namespace

void update_rseq(Thread& thread) {
    if (thread.rseq.size == 0) return;
    Result<void> done = leave_critical_section(thread);
    if (done) done = store_cpu(thread);
    if (done) return;
    VirtAddr address = thread.rseq.address;
    thread.rseq = {};
    force_signal(thread, abi::SIGSEGV, abi::SI_KERNEL, address);
}

void handle_notifications(Thread& thread) {
    thread.pending_work.fetch_and(~u32{core::work_notify}, std::memory_order_acq_rel);
    update_rseq(thread);
}

} // namespace linnet::process
