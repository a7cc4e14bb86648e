// Sending requests, waiting for their answers, and what becomes of those that nobody waits for.
#include "exchange.hpp"

#include <core/log.hpp>
#include <new>

namespace linnet::p9 {

namespace {

FidSlot& slot_of(Request& request) { return static_cast<FidSlot&>(static_cast<Exchange&>(request)); }

/// Those of calls are one block with the bytes that they own.
void free_call(Exchange& exchange) {
    exchange.~Exchange();
    ::operator delete(&exchange, std::nothrow);
}

} // namespace

Client::~Client() {
    free_garbage();
    while (Request* slot = free_slots_.pop_front()) delete &slot_of(*slot);
}

void Client::disconnect(OwnPtr<Client> client) {
    constexpr u64 patience_ns = 10 * core::ns_per_second;
    const auto is_idle = [&] {
        core::InterruptSpinGuard guard(client->lock_);
        return client->under_way_ == 0;
    };
    if (core::wait_until(client->idle_, core::Sleep::Deep, core::Deadline::after(patience_ns), is_idle) ==
        core::WaitResult::Ready) {
        Channel& channel = client->channel_;
        client.reset();
        release_channel(channel);
        return;
    }
    // The device may still write there.
    core::log_warning("9p: the server of {} does not answer; its requests stay", client->channel_.tag());
    (void)client.release();
}

Result<Exchange*> Client::make_exchange(usize message_size, usize room) {
    free_garbage();
    void* const block = ::operator new(sizeof(Exchange) + message_size + room, std::nothrow);
    if (!block) return error(Errno::ENOMEM);
    auto* exchange = new (block) Exchange(*this, Exchange::Kind::Call);
    u8* const bytes = static_cast<u8*>(block) + sizeof(Exchange);
    exchange->message = {bytes, message_size};
    exchange->room = {bytes + message_size, room};
    return exchange;
}

void Client::free_garbage() {
    for (;;) {
        Request* request;
        {
            core::InterruptSpinGuard guard(lock_);
            request = garbage_.pop_front();
        }
        if (!request) return;
        free_call(static_cast<Exchange&>(*request));
    }
}

void Client::send(Exchange& exchange) {
    exchange.completed = &on_completed;
    core::InterruptSpinGuard guard(lock_);
    exchange.state.store(Exchange::State::Waiting, std::memory_order_relaxed);
    exchange.answered = 0;
    ++under_way_;
    waiting_.push_back(exchange);
    send_waiting_locked();
}

void Client::send_waiting_locked() {
    while (Request* request = waiting_.first()) {
        auto& exchange = static_cast<Exchange&>(*request);
        if (!exchange.has_own_tag) {
            u16 tag = 0;
            while (tag < most_tags && (used_tags_[tag / 64] >> (tag % 64) & 1)) ++tag;
            if (tag == most_tags) return;
            exchange.tag = tag;
        }
        set_tag(exchange.message, exchange.tag);
        waiting_.remove(exchange);
        exchange.state.store(Exchange::State::Sent, std::memory_order_relaxed);
        if (!channel_.try_send(exchange)) {
            exchange.state.store(Exchange::State::Waiting, std::memory_order_relaxed);
            waiting_.push_front(exchange);
            return;
        }
        if (!exchange.has_own_tag) used_tags_[exchange.tag / 64] |= u64{1} << (exchange.tag % 64);
    }
}

void Client::on_completed(Request& request) {
    auto& exchange = static_cast<Exchange&>(request);
    exchange.client.complete(exchange);
}

void Client::complete(Exchange& exchange) {
    core::InterruptSpinGuard guard(lock_);
    if (!exchange.has_own_tag) used_tags_[exchange.tag / 64] &= ~(u64{1} << (exchange.tag % 64));
    exchange.state.store(Exchange::State::Answered, std::memory_order_release);
    if (exchange.kind == Exchange::Kind::Clunk)
        free_slots_.push_back(exchange);
    else if (exchange.is_abandoned)
        garbage_.push_back(exchange);
    else
        exchange.answered_queue.wake_all(); // under the lock: who waits frees it
    send_waiting_locked();
    if (--under_way_ == 0) idle_.wake_all();
}

/// Takes back what the channel has not got yet.
bool Client::take_back(Exchange& exchange) {
    core::InterruptSpinGuard guard(lock_);
    if (exchange.state.load(std::memory_order_relaxed) != Exchange::State::Waiting) return false;
    waiting_.remove(exchange);
    exchange.state.store(Exchange::State::Answered, std::memory_order_relaxed);
    if (--under_way_ == 0) idle_.wake_all();
    return true;
}

/// Frees the exchange, or leaves it to complete().
void Client::dispose(Exchange& exchange) {
    {
        core::InterruptSpinGuard guard(lock_);
        const auto state = exchange.state.load(std::memory_order_relaxed);
        exchange.is_abandoned = state == Exchange::State::Sent || state == Exchange::State::Waiting;
        if (exchange.is_abandoned) return;
    }
    free_call(exchange);
}

/// EINTR: a fatal signal has come, and there may be an answer some day.
Result<void> Client::wait(Exchange& exchange, core::Sleep sleep) {
    const auto is_answered = [&] { return exchange.is_answered(); };
    const auto never = core::Deadline::never();
    if (core::wait_until(exchange.answered_queue, sleep, never, is_answered) == core::WaitResult::Ready) return {};
    if (take_back(exchange)) return error(Errno::RestartIfRequested);
    TRY(flush(exchange));
    if (core::wait_until(exchange.answered_queue, core::Sleep::Killable, never, is_answered) == core::WaitResult::Ready)
        return {};
    return error(Errno::EINTR);
}

/// Tells the server that nobody wants the answer, and waits until it knows. It gives the request back, then: with an
/// answer when it was too late. Nothing happens without memory.
Result<void> Client::flush(Exchange& exchange) {
    const auto made = make_exchange(header_size + sizeof(u16), error_size);
    if (!made) return {};
    Exchange& request = **made;
    Writer writer(request.message, Type::Flush);
    writer.put(exchange.tag);
    MUST(writer.finish()); // it was made for that
    send(request);
    const auto result = core::wait_until(request.answered_queue, core::Sleep::Killable, core::Deadline::never(),
                                         [&] { return request.is_answered(); });
    dispose(request);
    return result == core::WaitResult::Ready ? Result<void>{} : error(Errno::EINTR);
}

// ---- fids ----

Result<FidSlot*> Client::take_slot() {
    u32 number;
    {
        core::InterruptSpinGuard guard(lock_);
        if (Request* slot = free_slots_.pop_front()) return &slot_of(*slot);
        number = last_fid_++;
    }
    if (number == no_fid) return error(Errno::ENFILE);
    auto* slot = new (std::nothrow) FidSlot(*this, number);
    if (!slot) return error(Errno::ENOMEM);
    return slot;
}

void Client::put_slot(FidSlot& slot) {
    core::InterruptSpinGuard guard(lock_);
    free_slots_.push_back(slot);
}

void Client::clunk(FidSlot& slot) {
    Writer writer(slot.message_bytes, Type::Clunk);
    writer.put(slot.number);
    slot.message = MUST(writer.finish()); // it was made for that
    send(slot);
}

Result<RefPtr<Fid>> Fid::create(Client& client) {
    FidSlot* const slot = TRY(client.take_slot());
    auto* fid = new (std::nothrow) Fid(client, *slot);
    if (fid) return adopt_ref(*fid);
    client.put_slot(*slot);
    return error(Errno::ENOMEM);
}

u32 Fid::number() const { return slot_.number; }

Fid::~Fid() {
    switch (state_) {
    case State::Free:
        client_.put_slot(slot_);
        break;
    case State::Established:
        client_.clunk(slot_);
        break;
    case State::Unknown:
        delete &slot_;
        break;
    }
}

} // namespace linnet::p9
