// msgget(2), msgop(2), msgctl(2): arguments and structures; the queues are ipc's.
#include <ipc/message_queues.hpp>
#include <syscalls/message_queues.hpp>

namespace linnet::syscalls {

using process::Thread;

Result<long> sys_msgget(Thread& thread, i32 key, u32 flags) {
    return TRY(ipc::get_queue(key, flags, thread.own_credentials()));
}

Result<long> sys_msgsnd(Thread& thread, i32 id, VirtAddr message, u64 size, u32 flags) {
    const i64 type = TRY((mm::UserPtr<mm::In, i64>(message).copy_in()));
    TRY(ipc::send_message(thread, id, type, mm::UserSpan(message + sizeof(type), size), flags));
    return 0;
}

Result<long> sys_msgrcv(Thread& thread, i32 id, VirtAddr message, u64 size, i64 type, u32 flags) {
    return static_cast<long>(TRY(ipc::receive_message(thread, id, message, size, type, flags)));
}

namespace {

template <typename T>
Result<long> copy_out(VirtAddr buffer, const T& value, long result) {
    TRY((mm::UserPtr<mm::Out, T>(buffer).copy_out(value)));
    return result;
}

Result<long> show_limits(i32 command, VirtAddr buffer) {
    const ipc::MessageLimits& limits = ipc::message_limits();
    const ipc::QueueTotals totals = ipc::queue_totals();
    const bool wants_use = command == abi::MSG_INFO;
    abi::msginfo info{};
    info.msgmni = static_cast<i32>(limits.most_queues.load());
    info.msgmax = static_cast<i32>(limits.most_in_message.load());
    info.msgmnb = static_cast<i32>(limits.most_in_queue.load());
    info.msgssz = abi::MSGSSZ;
    info.msgseg = abi::MSGSEG;
    // Without a meaning, said as Linux says them; or what there is.
    info.msgpool = wants_use ? totals.queues : 32000 * 16384 / 1024;
    info.msgmap = wants_use ? static_cast<i32>(totals.messages) : 16384;
    info.msgtql = wants_use ? static_cast<i32>(totals.bytes) : 16384;
    return copy_out(buffer, info, totals.highest_index);
}

Result<long> show_status(i32 id, i32 command, VirtAddr buffer, const vfs::Credentials& who) {
    using ipc::Lookup;
    const Lookup lookup = command == abi::IPC_STAT   ? Lookup::ById
                          : command == abi::MSG_STAT ? Lookup::ByIndex
                                                     : Lookup::ByIndexUnchecked;
    const ipc::QueueStatus status = TRY(ipc::queue_status(id, lookup, who));
    return copy_out(buffer, status.data, command == abi::IPC_STAT ? 0 : status.id);
}

} // namespace

Result<long> sys_msgctl(Thread& thread, i32 id, i32 command, VirtAddr buffer) {
    if (id < 0 || command < 0) return error(Errno::EINVAL);
    const vfs::Credentials& who = thread.own_credentials();
    switch (command) {
    case abi::IPC_INFO:
    case abi::MSG_INFO:
        return show_limits(command, buffer);
    case abi::IPC_STAT:
    case abi::MSG_STAT:
    case abi::MSG_STAT_ANY:
        return show_status(id, command, buffer, who);
    case abi::IPC_SET: {
        const auto wanted = TRY((mm::UserPtr<mm::In, abi::msqid_ds>(buffer).copy_in()));
        TRY(ipc::change_queue(id, wanted, who));
        return 0;
    }
    case abi::IPC_RMID:
        TRY(ipc::remove_queue(id, who));
        return 0;
    default:
        return error(Errno::EINVAL);
    }
}

} // namespace linnet::syscalls
