// The table of actions, and what changing one does to pending signals (sigaction(2)).
#include <new>

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
        u64 handler = action.handler == abi::SIG_IGN ? abi::SIG_IGN : abi::SIG_DFL;
        action = {};
        action.handler = handler;
    }
}

SignalAction SignalActions::get(int signal) {
    if (!has_slot(signal)) return {};
    core::InterruptSpinGuard guard(lock_);
    return actions_[slot_of(signal)];
}

SignalAction SignalActions::set(int signal, const SignalAction& action) {
    VERIFY(has_slot(signal)); // sigaction(2) refuses, and nothing is delivered to a handler of theirs
    core::InterruptSpinGuard guard(lock_);
    return std::exchange(actions_[slot_of(signal)], action);
}

SignalAction change_action(Thread& thread, int signal, const SignalAction& action) {
    Process& process = thread.process();
    core::InterruptSpinGuard guard(process.signal_lock);
    SignalAction old = process.actions->set(signal, action);
    bool ignored = action.handler == abi::SIG_IGN ||
                   (action.handler == abi::SIG_DFL && default_action(signal) == DefaultAction::Ignore);
    if (ignored) drop_everywhere_locked(process, set_of(signal));
    return old;
}

} // namespace linnet::process
