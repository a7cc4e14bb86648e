// Work that others leave for a thread to do at its loop's edge (core::work_notify), and restartable sequences (rseq(2)).
#include <process/run_loop.hpp>

namespace linnet::process {

void handle_notifications(Thread& thread) {
    thread.pending_work.fetch_and(~u32{core::work_notify}, std::memory_order_relaxed);
}

} // namespace linnet::process
