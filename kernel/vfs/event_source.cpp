// The sleep behind EventSource.
#include <vfs/event_source.hpp>

namespace linnet::vfs {

core::WaitResult EventWait::sleep(core::Sleep kind, core::Deadline deadline) {
    MIGHT_SLEEP();
    for (;;) {
        core::prepare_to_sleep(kind);
        if (triggered_.load(std::memory_order_seq_cst)) {
            core::cancel_sleep();
            return core::WaitResult::Ready;
        }
        core::WaitResult result = core::sleep_until(kind, deadline);
        if (triggered_.load(std::memory_order_seq_cst)) return core::WaitResult::Ready;
        if (result != core::WaitResult::Ready) return result;
    }
}

} // namespace linnet::vfs
