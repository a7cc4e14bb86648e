// Sleeping until another thread has done what one wants, and being that other thread.
#include "request.hpp"

#include <core/sched.hpp>

namespace linnet::ipc {

void Served::add(Request& request, Errno failure) {
    request.is_served = true;
    request.failure = failure;
    requests_.push_back(request);
}

Served::~Served() {
    while (Request* request = requests_.pop_front()) {
        const NullableRefPtr<process::Thread> thread = request->thread;
        request->is_done.store(true); // it may be gone behind this line
        std::atomic_thread_fence(std::memory_order_seq_cst);
        core::wake_thread(*thread);
    }
}

Result<void> wait_for_service(core::Mutex& lock, Request& request, core::Deadline deadline, Errno interrupted,
                              FunctionRef<void()> abandon, Errno too_late) {
    auto is_done = [&] { return request.is_done.load(); };
    core::WaitQueue nobody; // who serves it wakes the thread itself
    const core::WaitResult end = core::wait_until(nobody, core::Sleep::Interruptible, deadline, is_done);
    if (end != core::WaitResult::Ready) {
        core::MutexGuard guard(lock);
        if (!request.is_served) {
            abandon();
            return error(end == core::WaitResult::TimedOut ? too_late : interrupted);
        }
        guard.unlock();
        // Served in the same moment; whoever did that still holds it.
        (void)core::wait_until(nobody, core::Sleep::Deep, core::Deadline::never(), is_done);
    }
    if (request.failure != Errno{}) return error(request.failure);
    return {};
}

} // namespace linnet::ipc
