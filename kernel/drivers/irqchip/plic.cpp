// RISC-V Platform-Level Interrupt Controller (RISC-V PLIC Specification 1.0.0).
//
// A context is one privilege mode of one hart; interrupts-extended lists them. Every source goes to the boot
// CPU's supervisor context. A source is turned off by priority 0, never by its enable bit: the PLIC ignores
// the completion of a source that is not enabled, which would then never come again.
//
// Lock: lock_, a leaf, around read-modify-write of enable bits.
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/spinlock.hpp>
#include <core/thread.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

namespace linnet::drivers {

extern const Driver plic_driver;

namespace {

constexpr u64 priority_base = 0x0, enable_base = 0x2000, enable_stride = 0x80, context_base = 0x200000,
              context_stride = 0x1000, claim_offset = 4;
constexpr u32 most_sources = 1024;
constexpr u32 supervisor_external = 9; // cause of the hart's own interrupt controller
constexpr u32 most_contexts = 15872;

constinit core::LockClass plic_class{"plic"};

class Plic final : public core::IrqController {
public:
    Result<void> initialise(const Device& device);
    void dispatch(u32 cause) override;
    Result<void> enable(core::Irq irq, core::Trigger trigger) override;
    void disable(core::Irq irq) override;
    const char* name() const override { return "PLIC"; }

private:
    static Result<u32> find_context(const boot::FdtNode& node, u64 hart);
    VirtAddr context_registers() const { return registers_ + context_base + context_ * context_stride; }

    VirtAddr registers_{};
    u32 context_ = 0;
    u32 source_count_ = 0; // sources are 1 … source_count_
    core::InterruptSpinLock lock_{plic_class};
};

constinit Plic plic;
constinit bool is_present = false;

/// The context that interrupts `hart` in supervisor mode.
Result<u32> Plic::find_context(const boot::FdtNode& node, u64 hart) {
    for (u32 i = 0; i < most_contexts; ++i) {
        auto line = node.interrupt(i);
        if (!line) break;
        auto cpu = line->controller.parent();
        if (line->cells[0] == supervisor_external && cpu && cpu->number("reg") == hart) return i;
    }
    return error(Errno::ENODEV);
}

Result<void> Plic::initialise(const Device& device) {
    u32 count = device.node.cell("riscv,ndev", 0).value_or(0);
    if (count == 0 || count >= most_sources) return error(Errno::EINVAL);
    context_ = TRY(find_context(device.node, core::cpu(0).hardware_id));
    boot::FdtRegion region = TRY(device.region());
    if (region.size < context_base + (context_ + u64{1}) * context_stride) return error(Errno::EINVAL);
    registers_ = TRY(device.map_region());
    source_count_ = count;
    for (u32 source = 1; source <= count; ++source) disable(source);
    for (u32 word = 0; word <= count / 32; ++word)
        mmio_write<u32>(registers_ + enable_base + context_ * enable_stride + word * 4, 0);
    mmio_write<u32>(context_registers(), 0); // threshold: every priority above 0 passes
    return {};
}

void Plic::dispatch(u32) {
    VirtAddr claim = context_registers() + claim_offset;
    while (u32 source = mmio_read<u32>(claim)) {
        core::handle_irq(source);
        mmio_write<u32>(claim, source);
    }
}

Result<void> Plic::enable(core::Irq irq, core::Trigger) {
    if (irq == 0 || irq > source_count_) return error(Errno::EINVAL);
    VirtAddr word = registers_ + enable_base + context_ * enable_stride + irq / 32 * 4;
    core::InterruptSpinGuard guard(lock_);
    mmio_write<u32>(word, mmio_read<u32>(word) | u32{1} << (irq % 32));
    mmio_write<u32>(registers_ + priority_base + irq * 4, 1);
    return {};
}

void Plic::disable(core::Irq irq) {
    if (irq != 0 && irq <= source_count_) mmio_write<u32>(registers_ + priority_base + irq * 4, 0);
}

/// One cell: the source. The gateway tells edges from levels by itself.
Result<Interrupt> translate(std::span<const u32> cells) {
    if (cells.empty()) return error(Errno::EINVAL);
    return Interrupt{cells[0], core::Trigger::Level};
}

Result<void> probe(const Device& device) {
    if (is_present) return error(Errno::EBUSY); // a second controller would need a root of its own
    TRY(plic.initialise(device));
    TRY(register_interrupt_translator(device.node, translate));
    core::set_root_controller(plic);
    is_present = true;
    return {};
}

constexpr const char* names[] = {"riscv,plic0", "sifive,plic-1.0.0"};

} // namespace

constinit const Driver plic_driver{.name = "plic",
                                   .stage = Stage::InterruptController,
                                   .compatible = names,
                                   .probe = probe,
                                   .probe_platform = nullptr};

} // namespace linnet::drivers
