// What a thread sleeps for until another one has carried it out: the waiter hands over all that is needed, and whoever
// makes it possible does it and wakes that one thread. Nobody wakes up only to find that there is nothing for him.
//
// A request lies on the stack of its thread. It is in a queue of an object until it is served, under the object's lock;
// then in the list of who served it; once `is_done` is set its owner may go.
#pragma once

#include <core/mutex.hpp>
#include <lib/function_ref.hpp>
#include <process/thread.hpp>

namespace linnet::ipc {

struct Request {
    ListNode served_node;
    NullableRefPtr<process::Thread> thread; // set before it is queued
    bool is_served = false;                 // the object's lock
    Errno failure{};                        // once it is done; 0: it went well
    std::atomic<bool> is_done{false};
};

/// Requests that were carried out or refused. Their threads are woken at its end, which has to come after the object's
/// lock was given up: so it is declared before the guard.
class Served {
public:
    Served() = default;
    Served(const Served&) = delete;
    ~Served();
    /// The object's lock is held, and the request in no queue any more.
    void add(Request& request, Errno failure);

private:
    IntrusiveList<Request, &Request::served_node> requests_;
};

/// Sleeps until the request, which is queued, is done: its failure is the result. A signal or the deadline calls
/// `abandon` under `lock`, unless it has been served already: `interrupted`, `too_late`.
Result<void> wait_for_service(core::Mutex& lock, Request& request, core::Deadline deadline, Errno interrupted,
                              FunctionRef<void()> abandon, Errno too_late = Errno::EAGAIN);

} // namespace linnet::ipc
