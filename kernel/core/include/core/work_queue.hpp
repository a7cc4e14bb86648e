// Deferred work: functions run soon by a kernel thread, where they may sleep.
#pragma once

#include <core/thread.hpp>

namespace linnet::core {

/// Embedded in what needs deferred work; queued at most once at a time.
struct Work {
    using Function = void (*)(Work&);
    explicit constexpr Work(Function work) : function(work) {}
    Function function;
    ListNode node;
    std::atomic<bool> queued{false};
};

/// Queues the work; false when it was queued already. Any context.
bool queue_work(Work& work);
void initialise_work_queues();

} // namespace linnet::core
