// Making messages.
#include "message.hpp"

namespace linnet::ipc {

Result<std::unique_ptr<Message>> Message::create(usize size) {
    usize block;
    if (__builtin_add_overflow(size, sizeof(Message), &block)) return error(Errno::ENOMEM);
    void* memory = ::operator new(block, std::nothrow);
    if (!memory) return error(Errno::ENOMEM);
    return std::unique_ptr<Message>(new (memory) Message(size));
}

Result<std::unique_ptr<Message>> Message::copy_in(mm::UserSpan from) {
    std::unique_ptr<Message> message = TRY(create(from.size()));
    TRY(from.copy_in(message->bytes()));
    return message;
}

} // namespace linnet::ipc
