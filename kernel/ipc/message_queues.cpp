// System V message queues: messages, who waits for one, and who waits for room.
//
// A message goes to the receiver that has waited longest for one of its kind, else into the queue. Who takes a message
// puts those of waiting senders in, as far as there is room. Both by request.hpp: the others sleep on. A receiver that
// is killed before it could take its message puts it back where it was.
//
// Locks: IdTable::lock, then MessageQueue::lock, which guards all of a queue. User memory is copied with neither.
#include <ipc/message_queues.hpp>
#include <limits>
#include <process/process.hpp>

#include "id_table.hpp"
#include "message.hpp"
#include "request.hpp"

namespace linnet::ipc {

namespace {

/// Which message a receiver wants (msgop(2)).
struct Wish {
    enum class Kind : u8 { Any, AtMost, Equal, Other, AtPosition } kind = Kind::Any;
    i64 type = 0;

    static Wish of(i64 type, u32 flags) {
        if (flags & abi::MSG_COPY) return {Kind::AtPosition, type};
        if (type == 0) return {Kind::Any, 0};
        constexpr i64 least = std::numeric_limits<i64>::min();
        if (type < 0) return {Kind::AtMost, type == least ? std::numeric_limits<i64>::max() : -type};
        return {flags & abi::MSG_EXCEPT ? Kind::Other : Kind::Equal, type};
    }
    [[nodiscard]] bool matches(const Message& message) const {
        switch (kind) {
        case Kind::AtMost:
            return message.type <= type;
        case Kind::Equal:
            return message.type == type;
        case Kind::Other:
            return message.type != type;
        case Kind::Any:
        case Kind::AtPosition:
            return true;
        }
        __builtin_unreachable();
    }
};

struct Receiver : Request {
    ListNode node;
    Wish wish;
    usize most = 0; // a longer message is E2BIG
    i32 pid = 0;
    std::unique_ptr<Message> message;
};

struct Sender : Request {
    ListNode node;
    std::unique_ptr<Message> message;
    i32 pid = 0;
};

constinit MessageLimits the_limits;
constinit std::atomic<u64> total_messages{0}, total_bytes{0};

/// A request that has to look at the queue anew: its permissions have changed.
constexpr Errno look_again = Errno::EAGAIN;

class MessageQueue final : public KeyedObject, public RefCounted<MessageQueue> {
public:
    MessageQueue(i32 queue_key, u32 queue_mode, const vfs::Credentials& creator)
        : KeyedObject(queue_key, queue_mode, creator), most_bytes(the_limits.most_in_queue.load()) {}
    ~MessageQueue() { discard_messages(); }

    core::Mutex lock;

    // ---- lock held ----
    [[nodiscard]] bool has_room(const Message& message) const {
        return message.size() + bytes_ <= most_bytes && count_ + 1 <= most_bytes;
    }
    void send(std::unique_ptr<Message> message, i32 pid, Served& served);
    /// The first message that fits the wish; null when there is none.
    [[nodiscard]] Message* find(const Wish& wish);
    std::unique_ptr<Message> take(Message& message, i32 pid, Served& served);
    void put_back(std::unique_ptr<Message> message, Served& served);
    /// Ends all waits with `failure`.
    void dismiss_all(Errno failure, Served& served);
    void tear_down(Served& served);
    [[nodiscard]] abi::msqid_ds status() const;

    bool is_removed = false;
    u64 most_bytes; // msg_qbytes
    IntrusiveList<Receiver, &Receiver::node> receivers;
    IntrusiveList<Sender, &Sender::node> senders;

private:
    bool hand_over(std::unique_ptr<Message>& message, Served& served);
    void insert(std::unique_ptr<Message> message);
    std::unique_ptr<Message> unlink(Message& message);
    void admit_senders(Served& served);
    void discard_messages() {
        while (Message* message = messages_.first()) unlink(*message).reset();
    }

    Messages messages_; // in the order of their sequence
    u64 bytes_ = 0, count_ = 0;
    u64 last_sequence_ = 0;
    i64 send_time_ = 0, receive_time_ = 0;
    i32 last_sender_ = 0, last_receiver_ = 0;
};

/// To the first receiver that wants it; those who want it and have too little room get E2BIG.
bool MessageQueue::hand_over(std::unique_ptr<Message>& message, Served& served) {
    for (Receiver *receiver = receivers.first(), *next; receiver; receiver = next) {
        next = receivers.next(*receiver);
        if (!receiver->wish.matches(*message)) continue;
        receivers.remove(*receiver);
        if (message->size() > receiver->most) {
            served.add(*receiver, Errno::E2BIG);
            continue;
        }
        last_receiver_ = receiver->pid;
        receive_time_ = now();
        receiver->message = std::move(message);
        served.add(*receiver, Errno{});
        return true;
    }
    return false;
}

void MessageQueue::insert(std::unique_ptr<Message> message) {
    bytes_ += message->size();
    ++count_;
    total_bytes.fetch_add(message->size(), std::memory_order_relaxed);
    total_messages.fetch_add(1, std::memory_order_relaxed);
    Message* behind = messages_.last();
    if (!behind || behind->sequence < message->sequence) return messages_.push_back(*message.release());
    Message* before = messages_.first();
    while (before->sequence < message->sequence) before = messages_.next(*before);
    messages_.insert_before(*before, *message.release());
}

std::unique_ptr<Message> MessageQueue::unlink(Message& message) {
    messages_.remove(message);
    bytes_ -= message.size();
    --count_;
    total_bytes.fetch_sub(message.size(), std::memory_order_relaxed);
    total_messages.fetch_sub(1, std::memory_order_relaxed);
    return std::unique_ptr<Message>(&message);
}

void MessageQueue::send(std::unique_ptr<Message> message, i32 pid, Served& served) {
    message->sequence = ++last_sequence_;
    last_sender_ = pid;
    send_time_ = now();
    if (!hand_over(message, served)) insert(std::move(message));
}

void MessageQueue::put_back(std::unique_ptr<Message> message, Served& served) {
    if (!hand_over(message, served)) insert(std::move(message));
}

Message* MessageQueue::find(const Wish& wish) {
    Message* best = nullptr;
    i64 position = 0;
    for (Message& message : messages_) {
        if (wish.kind == Wish::Kind::AtPosition) {
            if (position++ == wish.type) return &message;
        } else if (wish.matches(message)) {
            if (wish.kind != Wish::Kind::AtMost) return &message;
            if (!best || message.type < best->type) best = &message;
        }
    }
    return best;
}

void MessageQueue::admit_senders(Served& served) {
    for (Sender *sender = senders.first(), *next; sender; sender = next) {
        next = senders.next(*sender);
        if (!has_room(*sender->message)) continue;
        senders.remove(*sender);
        send(std::move(sender->message), sender->pid, served);
        served.add(*sender, Errno{});
    }
}

std::unique_ptr<Message> MessageQueue::take(Message& message, i32 pid, Served& served) {
    std::unique_ptr<Message> taken = unlink(message);
    last_receiver_ = pid;
    receive_time_ = now();
    admit_senders(served);
    return taken;
}

void MessageQueue::dismiss_all(Errno failure, Served& served) {
    while (Receiver* receiver = receivers.pop_front()) served.add(*receiver, failure);
    while (Sender* sender = senders.pop_front()) served.add(*sender, failure);
}

void MessageQueue::tear_down(Served& served) {
    is_removed = true;
    dismiss_all(Errno::EIDRM, served);
    discard_messages();
}

abi::msqid_ds MessageQueue::status() const {
    abi::msqid_ds data{};
    data.msg_perm = permissions();
    data.msg_stime = send_time_;
    data.msg_rtime = receive_time_;
    data.msg_ctime = change_time;
    data.msg_cbytes = bytes_;
    data.msg_qnum = count_;
    data.msg_qbytes = most_bytes;
    data.msg_lspid = last_sender_;
    data.msg_lrpid = last_receiver_;
    return data;
}

[[clang::no_destroy]] constinit IdTable<MessageQueue> the_table;

} // namespace

MessageLimits& message_limits() { return the_limits; }

Result<i32> get_queue(i32 key, u32 flags, const vfs::Credentials& who) {
    auto check = [&](MessageQueue& queue) -> Result<void> {
        core::MutexGuard guard(queue.lock);
        if (!queue.permits(who, flags & permission_bits)) return error(Errno::EACCES);
        return {};
    };
    auto make = [&]() -> Result<RefPtr<MessageQueue>> {
        auto* made = new (std::nothrow) MessageQueue(key, flags, who);
        if (!made) return error(Errno::ENOMEM);
        return adopt_ref(*made);
    };
    return find_or_make(the_table, key, flags, the_limits.most_queues.load(), check, make);
}

// ---- msgsnd ----

namespace {

/// Puts the message in, or the request into the queue of those who wait: false.
Result<bool> try_send(MessageQueue& queue, Sender& sender, process::Thread& self, u32 flags) {
    Served served;
    core::MutexGuard guard(queue.lock);
    if (queue.is_removed) return error(Errno::EIDRM);
    if (!queue.permits(self.own_credentials(), 0222)) return error(Errno::EACCES);
    if (queue.has_room(*sender.message)) {
        queue.send(std::move(sender.message), sender.pid, served);
        return true;
    }
    if (flags & abi::IPC_NOWAIT) return error(Errno::EAGAIN);
    sender.thread = NullableRefPtr<process::Thread>(&self);
    queue.senders.push_back(sender);
    return false;
}

} // namespace

Result<void> send_message(process::Thread& self, i32 id, i64 type, mm::UserSpan text, u32 flags) {
    if (text.size() > the_limits.most_in_message.load() || id < 0 || type < 1) return error(Errno::EINVAL);
    std::unique_ptr<Message> message = TRY(Message::copy_in(text));
    message->type = type;
    RefPtr<MessageQueue> queue = TRY(the_table.get(id));
    for (;;) {
        Sender sender;
        sender.message = std::move(message);
        sender.pid = self.process().pid();
        if (TRY(try_send(*queue, sender, self, flags))) return {};
        const Result<void> sent = wait_for_service(queue->lock, sender, core::Deadline::never(),
                                                   Errno::RestartNoHandler, [&] { queue->senders.remove(sender); });
        if (sent || sent.error() != look_again) return sent;
        message = std::move(sender.message);
    }
}

// ---- msgrcv ----

namespace {

struct ReceiveRequest {
    Wish wish;
    usize size;
    u32 flags;
};

/// A message for the caller: the one it wants, or a copy of it (MSG_COPY). Null: `receiver` waits for it.
Result<std::unique_ptr<Message>> try_receive(MessageQueue& queue, Receiver& receiver, process::Thread& self,
                                             const ReceiveRequest& request, std::unique_ptr<Message> copy) {
    Served served;
    core::MutexGuard guard(queue.lock);
    if (queue.is_removed) return error(Errno::EIDRM);
    if (!queue.permits(self.own_credentials(), 0444)) return error(Errno::EACCES);
    if (Message* message = queue.find(request.wish)) {
        if (message->size() > request.size && !(request.flags & abi::MSG_NOERROR)) return error(Errno::E2BIG);
        if (!(request.flags & abi::MSG_COPY)) return queue.take(*message, receiver.pid, served);
        if (message->size() > copy->size()) return error(Errno::EINVAL);
        copy->type = message->type;
        copy->shorten(message->size());
        std::ranges::copy(message->bytes(), copy->bytes().begin());
        return copy;
    }
    if (request.flags & abi::IPC_NOWAIT) return error(Errno::ENOMSG);
    receiver.thread = NullableRefPtr<process::Thread>(&self);
    queue.receivers.push_back(receiver);
    return nullptr;
}

/// Waits for what try_receive() began. A thread that dies gives its message back: nobody would ever see it.
Result<std::unique_ptr<Message>> await_message(MessageQueue& queue, Receiver& receiver, process::Thread& self) {
    TRY(wait_for_service(queue.lock, receiver, core::Deadline::never(), Errno::RestartNoHandler,
                         [&] { queue.receivers.remove(receiver); }));
    if (!self.has_fatal_signal()) return std::move(receiver.message);
    Served served;
    core::MutexGuard guard(queue.lock);
    if (!queue.is_removed) queue.put_back(std::move(receiver.message), served);
    return error(Errno::EINTR);
}

Result<usize> copy_out(Message& message, VirtAddr place, usize size) {
    TRY((mm::UserPtr<mm::Out, i64>(place).copy_out(message.type)));
    const usize count = std::min(message.size(), size);
    TRY(mm::UserSpan(place + sizeof(i64), count).copy_out(message.bytes().first(count)));
    return count;
}

} // namespace

Result<usize> receive_message(process::Thread& self, i32 id, VirtAddr place, usize size, i64 type, u32 flags) {
    if (id < 0 || static_cast<i64>(size) < 0) return error(Errno::EINVAL);
    const bool only_copies = flags & abi::MSG_COPY;
    if (only_copies && ((flags & abi::MSG_EXCEPT) || !(flags & abi::IPC_NOWAIT))) return error(Errno::EINVAL);
    std::unique_ptr<Message> copy;
    if (only_copies) copy = TRY(Message::create(std::min<usize>(size, the_limits.most_in_message.load())));
    const ReceiveRequest request{.wish = Wish::of(type, flags), .size = size, .flags = flags};
    RefPtr<MessageQueue> queue = TRY(the_table.get(id));
    for (;;) {
        Receiver receiver;
        receiver.wish = request.wish;
        receiver.most = flags & abi::MSG_NOERROR ? ~usize{0} : size;
        receiver.pid = self.process().pid();
        std::unique_ptr<Message> message = TRY(try_receive(*queue, receiver, self, request, std::move(copy)));
        if (!message) {
            Result<std::unique_ptr<Message>> awaited = await_message(*queue, receiver, self);
            if (!awaited && awaited.error() == look_again) continue;
            message = TRY(std::move(awaited));
        }
        return copy_out(*message, place, size);
    }
}

// ---- msgctl ----

Result<QueueStatus> queue_status(i32 id, Lookup lookup, const vfs::Credentials& who) {
    RefPtr<MessageQueue> queue = TRY(the_table.get(id, lookup));
    core::MutexGuard guard(queue->lock);
    if (lookup != Lookup::ByIndexUnchecked && !queue->permits(who, 0444)) return error(Errno::EACCES);
    if (queue->is_removed) return error(Errno::EIDRM);
    return QueueStatus{queue->id, queue->status()};
}

Result<void> change_queue(i32 id, const abi::msqid_ds& wanted, const vfs::Credentials& who) {
    RefPtr<MessageQueue> queue = TRY(the_table.get(id));
    Served served;
    core::MutexGuard guard(queue->lock);
    if (queue->is_removed) return error(Errno::EIDRM);
    if (!queue->may_be_changed_by(who)) return error(Errno::EPERM);
    if (wanted.msg_qbytes > the_limits.most_in_queue.load() && !who.has(vfs::Capability::SysResource))
        return error(Errno::EPERM);
    TRY(queue->change(wanted.msg_perm, who));
    queue->most_bytes = wanted.msg_qbytes;
    queue->dismiss_all(look_again, served);
    return {};
}

Result<void> remove_queue(i32 id, const vfs::Credentials& who) {
    NullableRefPtr<MessageQueue> gone;
    Served served;
    core::MutexGuard table_guard(the_table.lock);
    MessageQueue* queue = TRY(the_table.find(id));
    core::MutexGuard guard(queue->lock);
    if (!queue->may_be_changed_by(who)) return error(Errno::EPERM);
    gone = the_table.remove(*queue);
    queue->tear_down(served);
    return {};
}

QueueTotals queue_totals() {
    core::MutexGuard guard(the_table.lock);
    return {.highest_index = std::max(the_table.highest_index(), 0),
            .queues = the_table.count(),
            .messages = total_messages.load(),
            .bytes = total_bytes.load()};
}

} // namespace linnet::ipc
