// The table of actions, and what changing one does to pending signals (sigaction(2)).
#include <new>
#include <utility>

#include "queue.hpp"

namespace linnet::process {

using namespace signal_detail;

Result<RefPtr<SignalActions>> SignalActions::create() {
    auto* actions = new (std::nothrow) SignalActions;
    if (!actions) return error(Errno::ENOMEM);
    return adopt_ref(*actions);
}

Result<RefPtr<SignalActions>> SignalActions::copy() {
    RefPtr<SignalActions> fresh = TRY(create());
    core::InterruptSpinGuard guard(lock_);
    for (int i = 0; i < slot_count; ++i) fresh->actions_[i] = actions_[i];
    return fresh;
}

void SignalActions::reset_handlers() {
    core::InterruptSpinGuard guard(lock_);
    for (SignalAction& action : actions_) {
        if (action.handler != abi::SIG_IGN)
            std::atomic_ref(action.handler).store(abi::SIG_DFL, std::memory_order_relaxed);
        action.flags = action.restorer = 0;
        action.mask = {};
    }
}

SignalAction SignalActions::get(int signal) {
    if (!has_slot(signal)) return {};
    core::InterruptSpinGuard guard(lock_);
    return actions_[slot_of(signal)];
}

void SignalActions::exchange(int signal, SignalAction& action) {
    VERIFY(has_slot(signal)); // sigaction(2) refuses, and nothing is delivered to a handler of theirs
    SignalAction& slot = actions_[slot_of(signal)];
    core::InterruptSpinGuard guard(lock_);
    // handler_of() takes no lock.
    const std::atomic_ref handler(slot.handler);
    const u64 old_handler = handler.load(std::memory_order_relaxed);
    handler.store(std::exchange(action.handler, old_handler), std::memory_order_relaxed);
    std::swap(slot.flags, action.flags);
    std::swap(slot.restorer, action.restorer);
    std::swap(slot.mask, action.mask);
}

void change_action(Thread& thread, int signal, SignalAction& action) {
    Process& process = thread.process();
    const bool ignored = action.handler == abi::SIG_IGN ||
                         (action.handler == abi::SIG_DFL && default_action(signal) == DefaultAction::Ignore);
    if (!ignored) return process.actions->exchange(signal, action);
    // Whoever sends holds this lock: what came under the old action is dropped now, what comes later sees the new one,
    // or that of another thread that sets a handler meanwhile.
    core::InterruptSpinGuard guard(process.signal_lock);
    process.actions->exchange(signal, action);
    drop_everywhere_locked(process, set_of(signal));
}

} // namespace linnet::process
