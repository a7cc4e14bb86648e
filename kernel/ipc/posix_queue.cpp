// Sending, receiving and telling.
#include "posix_queue.hpp"

#include <abi/linux/sched.hpp>
#include <vfs/credentials.hpp>

namespace linnet::ipc {

namespace {

constexpr u32 readable = abi::POLLIN | abi::POLLRDNORM, writable = abi::POLLOUT | abi::POLLWRNORM;

/// Who goes first: deadline threads, real-time ones by priority, all others by nice.
i32 rank_of(const process::Thread& thread) {
    const core::SchedulingAttributes& has = thread.scheduling;
    switch (class_of(has.policy)) {
    case core::SchedulingClass::Deadline:
        return 200;
    case core::SchedulingClass::Realtime:
        return 100 + has.realtime_priority;
    case core::SchedulingClass::Fair:
        return 20 - has.nice;
    }
    __builtin_unreachable();
}

} // namespace

PosixQueue::~PosixQueue() {
    messages_.clear_and_dispose([](Message* message) { delete message; });
}

void PosixQueue::enqueue(Waiters& waiters, Waiter& waiter, process::Thread& self) {
    waiter.thread = NullableRefPtr<process::Thread>(&self);
    waiter.rank = rank_of(self);
    for (Waiter& other : waiters)
        if (other.rank < waiter.rank) return waiters.insert_before(other, waiter);
    waiters.push_back(waiter);
}

void PosixQueue::insert(std::unique_ptr<Message> message) {
    ++count_;
    bytes_ += message->size();
    messages_.insert(*message.release());
    events.notify(readable);
}

bool PosixQueue::hand_over(std::unique_ptr<Message>& message, Served& served) {
    Waiter* receiver = receivers_.pop_front();
    if (!receiver) return false;
    receiver->message = std::move(message);
    served.add(*receiver, Errno{});
    return true;
}

Result<void> PosixQueue::send(process::Thread& self, std::unique_ptr<Message> message, vfs::Blocking blocking,
                              core::Deadline deadline) {
    Waiter sender;
    {
        Served served;
        core::MutexGuard guard(lock_);
        message->sequence = ++last_sequence_;
        if (count_ < most_messages_) {
            if (hand_over(message, served)) return {};
            insert(std::move(message));
            if (count_ == 1) tell_owner();
            return {};
        }
        if (blocking == vfs::Blocking::Refuse) return error(Errno::EAGAIN);
        sender.message = std::move(message);
        enqueue(senders_, sender, self);
    }
    return wait_for_service(
        lock_, sender, deadline, Errno::RestartIfRequested, [&] { senders_.remove(sender); }, Errno::ETIMEDOUT);
}

std::unique_ptr<Message> PosixQueue::take(Served& served) {
    Message& first = *messages_.begin();
    messages_.erase(messages_.begin());
    --count_;
    bytes_ -= first.size();
    if (Waiter* sender = count_ < most_messages_ ? senders_.pop_front() : nullptr) {
        sender->message->sequence = ++last_sequence_;
        insert(std::move(sender->message));
        served.add(*sender, Errno{});
    } else {
        events.notify(writable);
    }
    return std::unique_ptr<Message>(&first);
}

Result<std::unique_ptr<Message>> PosixQueue::receive(process::Thread& self, vfs::Blocking blocking,
                                                     core::Deadline deadline) {
    Waiter receiver;
    {
        Served served;
        core::MutexGuard guard(lock_);
        if (count_ > 0) return take(served);
        if (blocking == vfs::Blocking::Refuse) return error(Errno::EAGAIN);
        enqueue(receivers_, receiver, self);
    }
    TRY(wait_for_service(
        lock_, receiver, deadline, Errno::RestartIfRequested, [&] { receivers_.remove(receiver); }, Errno::ETIMEDOUT));
    if (!self.has_fatal_signal()) return std::move(receiver.message);
    Served served;
    core::MutexGuard guard(lock_);
    if (!hand_over(receiver.message, served)) insert(std::move(receiver.message));
    return error(Errno::EINTR);
}

Result<void> PosixQueue::tell(process::Process& owner, const abi::sigevent& event, OwnPtr<Messenger> messenger) {
    core::MutexGuard guard(lock_);
    if (told_) return error(Errno::EBUSY);
    told_ = NullableRefPtr<process::PidRecord>(owner.record);
    told_execution_ = owner.executions.load(std::memory_order_relaxed);
    event_ = event;
    messenger_ = std::move(messenger);
    return {};
}

void PosixQueue::stop_telling(const process::PidRecord& owner) {
    core::MutexGuard guard(lock_);
    if (told_ != &owner) return;
    told_ = nullptr;
    if (OwnPtr<Messenger> messenger = std::move(messenger_)) messenger->tell(Messenger::News::NotToldAnyMore);
}

/// The one notification that was asked for; the sender is the current thread.
void PosixQueue::tell_owner() {
    if (!told_) return;
    const NullableRefPtr<process::PidRecord> owner = std::move(told_);
    if (OwnPtr<Messenger> messenger = std::move(messenger_)) return messenger->tell(Messenger::News::MessageCame);
    if (event_.sigev_notify != abi::SIGEV_SIGNAL || event_.sigev_signo == 0) return;
    NullableRefPtr<process::Process> target = owner->process();
    if (!target || target->executions.load(std::memory_order_relaxed) != told_execution_) return;
    const process::Thread& self = process::current();
    abi::siginfo_t info{};
    info.si_signo = event_.sigev_signo;
    info.si_code = abi::SI_MESGQ;
    info.kill.pid = self.process().pid();
    info.kill.uid = self.own_credentials().uid;
    info.kill.value.sival_ptr = event_.sigev_value;
    process::send_signal(*target, info);
}

u32 PosixQueue::ready() const {
    const u64 now = count();
    return (now > 0 ? readable : 0) | (now < most_messages_ ? writable : 0);
}

void PosixQueue::describe(TextSink sink) {
    core::MutexGuard guard(lock_);
    const bool is_signal = told_ && event_.sigev_notify == abi::SIGEV_SIGNAL;
    char fields[4][24];
    auto number = [](std::span<char> field, i64 value) { return format_into(field, "{}", value); };
    format_to(sink, "QSIZE:{-10} NOTIFY:{-5} SIGNO:{-5} NOTIFY_PID:{-6}\n", number(fields[0], static_cast<i64>(bytes_)),
              number(fields[1], told_ ? event_.sigev_notify : 0), number(fields[2], is_signal ? event_.sigev_signo : 0),
              number(fields[3], told_ ? told_->number() : 0));
}

} // namespace linnet::ipc
