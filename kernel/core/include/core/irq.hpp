// Interrupt numbers, handlers, and the interface of interrupt controllers (drivers/irqchip).
#pragma once

#include <lib/address.hpp>
#include <lib/function_ref.hpp>
#include <lib/result.hpp>

namespace linnet::core {

struct Cpu;

/// A platform interrupt number: GSI (x86_64), INTID (GIC), source (PLIC), PCH input or extended vector (LoongArch).
using Irq = u32;
inline constexpr Irq max_irqs = 1024;

enum class Trigger : u8 { Edge, Level };

/// Runs in interrupt context; returns whether the device had asked.
using IrqHandler = bool (*)(void* context);

/// What a device writes to raise a message-signalled interrupt.
struct MsiMessage {
    PhysAddr address{};
    u32 data = 0;
    Irq irq = 0;
};

class IrqController {
public:
    /// Finds out which interrupts are pending (by `cause`, see hooks::interrupt), calls handle_irq for each, and
    /// acknowledges.
    virtual void dispatch(u32 cause) = 0;
    virtual Result<void> enable(Irq irq, Trigger trigger) = 0;
    virtual void disable(Irq irq) = 0;
    /// Called on each further CPU.
    virtual void initialise_secondary() {}
    virtual Result<MsiMessage> allocate_msi() { return error(Errno::ENOSYS); }
    virtual const char* name() const = 0;

protected:
    ~IrqController() = default;
};

void set_root_controller(IrqController& controller);
IrqController* root_controller();

/// Registers a handler (several may share a line) and enables the interrupt.
Result<void> request_irq(Irq irq, Trigger trigger, IrqHandler handler, void* context, const char* name);
/// A message-signalled interrupt with its handler.
Result<MsiMessage> request_msi(IrqHandler handler, void* context, const char* name);
/// Boot CPU, once, after the CPUs have been counted: room to count in.
void initialise_irq_counts();
/// How often `irq` came to a CPU.
u64 irq_count(const Cpu& cpu, Irq irq);
/// All interrupts of a CPU: those of devices, its timer's and other CPUs'.
u64 interrupt_count(const Cpu& cpu);
/// One handler of an interrupt, for /proc/interrupts.
struct IrqUser {
    const char* name;       // of the device
    const char* controller; // that the interrupt comes through
    Trigger trigger;
};
/// Calls `visit` for each handler of `irq`.
void for_each_irq_user(Irq irq, FunctionRef<void(const IrqUser&)> visit);
/// Called by controllers: runs the handlers of `irq`.
void handle_irq(Irq irq);

} // namespace linnet::core
