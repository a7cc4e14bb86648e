// Interrupt handlers and the way from the trap to them.
//
// Lock order: irq_lock is a leaf; handlers run without it, on an array that only grows.
#include <arch/time.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <core/thread.hpp>
#include <core/tracepoints.hpp>
#include <lib/own_ptr.hpp>

namespace linnet::core {
namespace {

struct Action {
    IrqHandler handler;
    void* context;
    IrqUser user;
    std::atomic<Action*> next{nullptr};
};

constinit LockClass irq_class{"irq table"};
constinit InterruptSpinLock irq_lock{irq_class};
constinit std::atomic<Action*> actions[max_irqs] = {};
constinit IrqController* root = nullptr;

Result<void> add_action(Irq irq, IrqHandler handler, void* context, const IrqUser& user) {
    if (irq >= max_irqs) return error(Errno::EINVAL);
    auto* action = new (std::nothrow) Action{handler, context, user};
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
    TRY(add_action(irq, handler, context, {name, root->name(), trigger}));
    return root->enable(irq, trigger);
}

Result<MsiMessage> request_msi(IrqHandler handler, void* context, const char* name) {
    if (!root) return error(Errno::ENODEV);
    MsiMessage message = TRY(root->allocate_msi());
    TRY(add_action(message.irq, handler, context, {name, "PCI-MSI", Trigger::Edge}));
    TRY(root->enable(message.irq, Trigger::Edge));
    return message;
}

void handle_irq(Irq irq) {
    if (irq >= max_irqs) return;
    ++this_cpu().irq_counts[irq];
    for (Action* action = actions[irq].load(std::memory_order_acquire); action;
         action = action->next.load(std::memory_order_relaxed)) {
        tracepoints::irq_entry(irq, action->user.name);
        const bool handled = action->handler(action->context);
        tracepoints::irq_exit(irq, handled);
    }
}

void initialise_irq_counts() {
    for (u32 i = 0; i < cpu_count(); ++i) {
        cpu(i).irq_counts = new (std::nothrow) u64[max_irqs]{};
        VERIFY(cpu(i).irq_counts); // at boot, the heap has room
    }
}

u64 irq_count(const Cpu& cpu, Irq irq) { return cpu.irq_counts[irq]; }

u64 interrupt_count(const Cpu& cpu) {
    u64 total = cpu.interrupts.timer + cpu.interrupts.calls + cpu.interrupts.reschedules;
    for (Irq irq = 0; irq < max_irqs; ++irq) total += cpu.irq_counts[irq];
    return total;
}

void for_each_irq_user(Irq irq, FunctionRef<void(const IrqUser&)> visit) {
    for (Action* action = actions[irq].load(std::memory_order_acquire); action;
         action = action->next.load(std::memory_order_relaxed))
        visit(action->user);
}

} // namespace linnet::core

namespace linnet::hooks {

void interrupt(u32 cause) {
    using namespace core;
    Cpu& self = this_cpu();
    ++self.interrupt_depth;
    if (!random_is_seeded()) {
        // When it came is as good a source as a machine without a random-number instruction and a seed has.
        u64 now = arch::read_counter();
        add_entropy({reinterpret_cast<const u8*>(&now), sizeof now}, 1);
    }
    if (root) root->dispatch(cause);
    --self.interrupt_depth;
}

} // namespace linnet::hooks
