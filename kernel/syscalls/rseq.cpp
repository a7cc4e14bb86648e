// rseq(2): a thread names the area through which it and the kernel agree on restartable sequences. What keeps the area
// true is in process/notifications.cpp.
#include <abi/linux/prctl.hpp>
#include <process/process.hpp>
#include <syscalls/futex.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

Result<void> unregister_area(Thread& thread, VirtAddr area, u32 size, u32 signature) {
    process::RseqArea& current = thread.rseq;
    if (current.size == 0 || current.address != area || current.size != size) return error(Errno::EINVAL);
    if (current.signature != signature) return error(Errno::EPERM);
    mm::UserPtr<mm::Out, u32> words(area);
    TRY(words.element(__builtin_offsetof(abi::rseq, cpu_id_start) / sizeof(u32)).copy_out(0));
    TRY(words.element(__builtin_offsetof(abi::rseq, cpu_id) / sizeof(u32)).copy_out(abi::RSEQ_CPU_ID_UNINITIALIZED));
    TRY(words.element(__builtin_offsetof(abi::rseq, node_id) / sizeof(u32)).copy_out(0));
    TRY(words.element(__builtin_offsetof(abi::rseq, mm_cid) / sizeof(u32)).copy_out(0));
    current = {};
    return {};
}

} // namespace

Result<long> sys_rseq(Thread& thread, VirtAddr area, u32 size, u32 flags, u32 signature) {
    if (flags & abi::RSEQ_FLAG_UNREGISTER) {
        if (flags & ~u32{abi::RSEQ_FLAG_UNREGISTER}) return error(Errno::EINVAL);
        TRY(unregister_area(thread, area, size, signature));
        return 0;
    }
    if (flags != 0) return error(Errno::EINVAL);
    const process::RseqArea& current = thread.rseq;
    if (current.size != 0) {
        if (current.address != area || current.size != size) return error(Errno::EINVAL);
        return error(current.signature != signature ? Errno::EPERM : Errno::EBUSY);
    }
    // Later versions of the area are longer; their fields lie behind what is written here (Linux 6.3).
    if (size < sizeof(abi::rseq) || area.value % sizeof(abi::rseq) != 0) return error(Errno::EINVAL);
    if (!arch::is_user_range(area, size)) return error(Errno::EFAULT);
    thread.rseq = {.address = area, .size = size, .signature = signature};
    // The numbers are stored on the way out.
    thread.pending_work.fetch_or(core::work_notify, std::memory_order_relaxed);
    return 0;
}

} // namespace linnet::syscalls
