// What is behind the file of a POSIX message queue: messages by priority, who waits for one and who waits for room, and
// who wants to be told.
//
// A message goes straight to who has waited longest for it among those of the highest priority, and room to who waits
// with a message (request.hpp). Who is killed before it took its message puts it back.
//
// Lock: PosixQueue::lock guards all of it. Signals are sent and events announced with it held.
#pragma once

#include <abi/linux/mqueue.hpp>
#include <abi/linux/time.hpp>
#include <lib/format.hpp>
#include <process/process.hpp>
#include <vfs/event_source.hpp>

#include <ipc/posix_queues.hpp>

#include "message.hpp"
#include "request.hpp"

namespace linnet::ipc {

class PosixQueue {
public:
    PosixQueue(u64 most_messages, u64 most_bytes) : most_messages_(most_messages), most_bytes_(most_bytes) {}
    ~PosixQueue();

    /// `message->type` is its priority. EAGAIN, ETIMEDOUT, RestartIfRequested.
    Result<void> send(process::Thread& self, std::unique_ptr<Message> message, vfs::Blocking blocking,
                      core::Deadline deadline);
    Result<std::unique_ptr<Message>> receive(process::Thread& self, vfs::Blocking blocking, core::Deadline deadline);
    /// Tells `owner` once when a message comes into the empty queue and nobody waits for it. EBUSY.
    /// Not after an execve of it (mq_notify(2)).
    Result<void> tell(process::Process& owner, const abi::sigevent& event, OwnPtr<Messenger> messenger);
    void stop_telling(const process::PidRecord& owner);

    [[nodiscard]] u64 most_messages() const { return most_messages_; }
    [[nodiscard]] u64 most_bytes() const { return most_bytes_; }
    [[nodiscard]] u64 count() const { return count_.load(std::memory_order_relaxed); }
    /// The events of poll(2) that hold.
    [[nodiscard]] u32 ready() const;
    /// What reading the file gives.
    void describe(TextSink sink);

    vfs::EventSource events;

private:
    struct Waiter : Request {
        ListNode node;
        i32 rank = 0;
        std::unique_ptr<Message> message; // a sender's; what a receiver gets
    };
    using Waiters = IntrusiveList<Waiter, &Waiter::node>;
    struct Itself {
        using type = Message;
        const Message& operator()(const Message& message) const { return message; }
    };

    static void enqueue(Waiters& waiters, Waiter& waiter, process::Thread& self);
    void insert(std::unique_ptr<Message> message);
    bool hand_over(std::unique_ptr<Message>& message, Served& served);
    std::unique_ptr<Message> take(Served& served);
    void tell_owner();

    core::Mutex lock_;
    const u64 most_messages_, most_bytes_;
    IntrusiveMultiTree<Message, &Message::tree_node, Itself> messages_;
    std::atomic<u64> count_{0}; // read without the lock
    u64 bytes_ = 0, last_sequence_ = 0;
    Waiters senders_, receivers_; // in the order in which they are served
    NullableRefPtr<process::PidRecord> told_;
    u32 told_execution_ = 0; // Process::executions then
    abi::sigevent event_{};
    OwnPtr<Messenger> messenger_; // of SIGEV_THREAD
};

} // namespace linnet::ipc
