// Interrupt handlers and the way from the trap to them.
//
// Lock order: irq_lock is a leaf; handlers run without it, on an array that only grows.
#include <arch/time.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <core/thread.hpp>
#include <lib/own_ptr.hpp>

namespace linnet::core {
namespace {

struct Action {
    IrqHandler handler;
    void* context;
    const char* name;
    std::atomic<Action*> next{nullptr};
};

constinit LockClass irq_class{"irq table"};
constinit InterruptSpinLock irq_lock{irq_class};
constinit std::atomic<Action*> actions[max_irqs] = {};
constinit std::atomic<u64> counts[max_irqs] = {};
constinit IrqController* root = nullptr;

Result<void> add_action(Irq irq, IrqHandler handler, void* context, const char* name) {
    if (irq >= max_irqs) return error(Errno::EINVAL);
    auto* action = new (std::nothrow) Action{handler, context, name};
    if (!action) return error(Errno::ENOMEM);
    InterruptSpinGuard guard(irq_lock);
    action->next.store(actions[irq].load(std::memory_order_relaxed), std::memory_order_relaxed);
    actions[irq].store(action, std::memory_order_release);
    return {};
}

} // namespace

void set_root_controller(IrqController& controller) { root = &controller; }
IrqController* root_controller() { return root; }

Result<void> request_irq(Irq irq, Trigger trigger, IrqHandler handler, void* context, const char* name) {
    if (!root) return error(Errno::ENODEV);
    TRY(add_action(irq, handler, context, name));
    return root->enable(irq, trigger);
}

Result<MsiMessage> request_msi(IrqHandler handler, void* context, const char* name) {
    if (!root) return error(Errno::ENODEV);
    MsiMessage message = TRY(root->allocate_msi());
    TRY(add_action(message.irq, handler, context, name));
    TRY(root->enable(message.irq, Trigger::Edge));
    return message;
}

void handle_irq(Irq irq) {
    if (irq >= max_irqs) return;
    counts[irq].fetch_add(1, std::memory_order_relaxed);
    for (Action* action = actions[irq].load(std::memory_order_acquire); action;
         action = action->next.load(std::memory_order_relaxed))
        action->handler(action->context);
}

u64 irq_count(Irq irq) { return irq < max_irqs ? counts[irq].load(std::memory_order_relaxed) : 0; }

const char* irq_name(Irq irq) {
    Action* action = irq < max_irqs ? actions[irq].load(std::memory_order_acquire) : nullptr;
    return action ? action->name : nullptr;
}

} // namespace linnet::core

namespace linnet::hooks {

void interrupt(u32 cause) {
    using namespace core;
    Cpu& self = this_cpu();
    ++self.interrupt_depth;
    ++self.interrupts;
    if (!random_is_seeded()) {
        // When it came is as good a source as a machine without a random-number instruction and a seed has.
        u64 now = arch::read_counter();
        add_entropy({reinterpret_cast<const u8*>(&now), sizeof now}, 1);
    }
    if (root) root->dispatch(cause);
    --self.interrupt_depth;
}

} // namespace linnet::hooks
