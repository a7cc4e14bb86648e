// Exchange: a request with its answer, as the client keeps it.
#pragma once

#include <p9/client.hpp>

namespace linnet::p9 {

struct Exchange : Request {
    enum class State : u8 { New, Waiting, Sent, Answered };
    enum class Kind : u8 { Call, Clunk };

    explicit Exchange(Client& owner, Kind what) : client(owner), kind(what) {}

    Client& client;
    const Kind kind;
    u16 tag = no_tag;
    bool has_own_tag = false;  // Tversion is without one
    bool is_abandoned = false; // nobody waits any more; the client's lock
    std::atomic<State> state{State::New};
    core::WaitQueue answered_queue;

    [[nodiscard]] bool is_answered() const { return state.load(std::memory_order_acquire) == State::Answered; }
};

/// A number that fids have one after the other, and the request that gives it back, so that this never lacks memory.
struct FidSlot : Exchange {
    FidSlot(Client& owner, u32 fid) : Exchange(owner, Kind::Clunk), number(fid) { room = answer_bytes; }
    const u32 number;
    u8 message_bytes[header_size + sizeof(u32)];
    u8 answer_bytes[error_size];
};

} // namespace linnet::p9
