// One kernel thread that runs queued work in order.
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/work_queue.hpp>

namespace linnet::core {
namespace {

constinit LockClass work_class{"work queue"};
constinit InterruptSpinLock work_lock{work_class};
constinit IntrusiveList<Work, &Work::node> pending;
constinit WaitQueue work_waiters;

Work* take_work() {
    InterruptSpinGuard guard(work_lock);
    Work* work = pending.pop_front();
    if (work) work->queued.store(false, std::memory_order_release);
    return work;
}

void run_work(void*) {
    for (;;) {
        Work* work = nullptr;
        (void)wait_until(work_waiters, Sleep::Deep, Deadline::never(), [&] { return (work = take_work()) != nullptr; });
        work->function(*work);
    }
}

} // namespace

bool queue_work(Work& work) {
    if (work.queued.exchange(true, std::memory_order_acq_rel)) return false;
    {
        InterruptSpinGuard guard(work_lock);
        pending.push_back(work);
    }
    work_waiters.wake_one();
    return true;
}

void initialise_work_queues() {
    VERIFY(start_kernel_thread("kworker", run_work, nullptr).has_value()); // at boot, there is memory
}

} // namespace linnet::core
