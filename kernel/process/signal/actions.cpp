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

SignalAction SignalActions::set(int signal, const SignalAction& action) {
    VERIFY(has_slot(signal)); // sigaction(2) refuses, and nothing is delivered to a handler of theirs
    core::InterruptSpinGuard guard(lock_);
    SignalAction& slot = actions_[slot_of(signal)];
    const SignalAction old = slot;
    std::atomic_ref(slot.handler).store(action.handler, std::memory_order_relaxed); // handler_of() takes no lock
    slot.flags = action.flags;
    slot.restorer = action.restorer;
    slot.mask = action.mask;
    return old;
}

SignalAction change_action(Thread& thread, int signal, const SignalAction& action) {
    Process& process = thread.process();
    const bool ignored = action.handler == abi::SIG_IGN ||
                         (action.handler == abi::SIG_DFL && default_action(signal) == DefaultAction::Ignore);
    if (!ignored) return process.actions->set(signal, action);
    // Whoever sends holds this lock: what came under the old action is dropped now, what comes later sees the new one,
    // or that of another thread that sets a handler meanwhile.
    core::InterruptSpinGuard guard(process.signal_lock);
    const SignalAction old = process.actions->set(signal, action);
    drop_everywhere_locked(process, set_of(signal));
    return old;
}

} // namespace linnet::process
