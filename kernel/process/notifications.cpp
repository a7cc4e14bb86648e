// Work that waits for a thread at its loop's edge (core::work_notify): keeping the area of rseq(2) true.
//
// A thread that was switched away, or is about to run a signal handler, must not go on inside a restartable
// sequence: its pc is moved to the sequence's abort handler. The area is user memory and may hold anything;
// what can't be right kills the program with SIGSEGV, as on Linux.
#include <abi/linux/prctl.hpp>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>
#include <process/process.hpp>
#include <process/realtime_limit.hpp>
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
    // Left already: the pointer goes, so that the next look is short.
    if (!inside) return pointer.copy_out(0);
    if (section.flags & abi::RSEQ_CS_FLAG_NO_RESTART) return error(Errno::EINVAL);
    if (section.abort_ip >= section.start_ip && section.abort_ip < end) return error(Errno::EINVAL);
    // The word before the handler must be the one named at registration: nobody else's code is jumped into.
    u32 signature = TRY((mm::UserPtr<mm::In, u32>(VirtAddr{section.abort_ip - sizeof(u32)}).copy_in()));
    if (signature != thread.rseq.signature) return error(Errno::EINVAL);
    TRY(pointer.copy_out(0));
    thread.registers.set_pc({section.abort_ip});
    return {};
}

/// Stores where the thread runs now. It may be moved right after: then on_switched_in() asks for another
/// round.
Result<void> store_numbers(Thread& thread) {
    const arch::InterruptState state = arch::save_and_disable_interrupts();
    core::Cpu& self = core::this_cpu();
    const u32 cpu = self.number;
    const u32 id = core::take_concurrency_id(self, thread.own_address_space().concurrency_ids);
    arch::restore_interrupts(state);
    RseqArea& area = thread.rseq;
    if (area.says(cpu, id)) return {};
    area.stored_cpu = RseqArea::nothing; // should only a part of them be stored
    mm::UserPtr<mm::Out, u32> words(area.address);
    TRY(words.element(__builtin_offsetof(abi::rseq, cpu_id_start) / sizeof(u32)).copy_out(cpu));
    TRY(words.element(__builtin_offsetof(abi::rseq, cpu_id) / sizeof(u32)).copy_out(cpu));
    TRY(words.element(__builtin_offsetof(abi::rseq, node_id) / sizeof(u32)).copy_out(0));
    TRY(words.element(__builtin_offsetof(abi::rseq, mm_cid) / sizeof(u32)).copy_out(id));
    area.stored_cpu = cpu, area.stored_id = id;
    return {};
}

} // namespace

bool try_update_rseq(Thread& thread) {
    if (thread.rseq.size == 0) return true;
    Result<void> done = leave_critical_section(thread);
    if (done) done = store_numbers(thread);
    if (done) return true;
    // What can't be right is not looked at again before a handler is entered.
    mm::UserPtr<mm::Out, u64> pointer(thread.rseq.address + __builtin_offsetof(abi::rseq, rseq_cs));
    if (!pointer.copy_out(0)) thread.rseq = {};
    return false;
}

void update_rseq(Thread& thread) {
    if (!try_update_rseq(thread)) force_signal(thread, abi::SIGSEGV, abi::SI_KERNEL, VirtAddr{0});
}

void handle_notifications(Thread& thread) {
    thread.pending_work.fetch_and(~u32{core::work_notify}, std::memory_order_acq_rel);
    update_rseq(thread);
    if (class_of(thread.scheduling.policy) == core::SchedulingClass::Fair) return;
    if (thread.has_overrun.exchange(false, std::memory_order_relaxed)) send_kernel_signal(thread, abi::SIGXCPU);
    enforce_realtime_limit(thread);
}

} // namespace linnet::process
