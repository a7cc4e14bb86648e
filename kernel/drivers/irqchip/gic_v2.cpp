// GICv2 (Arm IHI 0048): memory-mapped distributor and CPU interfaces; SGI 0 is the IPI. Message-signalled interrupts by
// the GICv2m frame (arm,gic-v2m-frame), where there is one.
#include "gic.hpp"

#include <arch/smp.hpp>
#include <arch_impl/interrupt_controller.hpp>
#include <core/log.hpp>
#include <core/sched.hpp>
#include <core/thread.hpp>
#include <mm/kernel_area.hpp>

namespace linnet::drivers {

extern const Driver gic_v2_driver;

namespace {

using namespace gic;

// CPU interface (IHI 0048, 4.4)
constexpr u64 gicc_ctlr = 0x0, gicc_pmr = 0x4, gicc_bpr = 0x8, gicc_iar = 0xc, gicc_eoir = 0x10;
constexpr u64 block_size = 0x1000; // of the distributor, and of what is used of a CPU interface
constexpr u8 all_priorities = 0xf0;
constexpr u32 enable_bit = 1;

class GicV2 final : public core::IrqController {
public:
    Result<void> initialise(const Device& device);
    void dispatch(u32) override;
    Result<void> enable(core::Irq irq, core::Trigger trigger) override;
    void disable(core::Irq irq) override { set_disabled(distributor_, irq); }
    void initialise_secondary() override { initialise_cpu_interface(); }
    Result<core::MsiMessage> allocate_msi() override;
    const char* name() const override { return "GICv2"; }
    u32 count() const { return count_; }

private:
    void initialise_cpu_interface();
    void find_message_frame(const boot::FdtNode& node);
    static void send_ipi(arch::CpuHeader& cpu);

    VirtAddr distributor_{};
    VirtAddr cpu_interface_{};
    u32 timer_ = 0;
    u32 count_ = 0;
    PhysAddr message_register_{};
    u32 message_first_ = 0;
    std::atomic<u32> messages_left_{0};
    core::InterruptSpinLock lock_; // the read-modify-write of shared registers; a leaf
};

constinit GicV2 controller;
constinit bool is_present = false;

Result<void> GicV2::initialise(const Device& device) {
    timer_ = TRY(virtual_timer_intid());
    distributor_ = TRY(device.map_region(0, block_size));
    cpu_interface_ = TRY(device.map_region(1, block_size));
    mmio_write<u32>(distributor_ + gicd_ctlr, 0);
    count_ = interrupt_count(distributor_);
    reset_shared(distributor_);
    initialise_cpu_interface();
    // Each byte of ITARGETSR holds a mask of CPU interfaces: all SPIs go to this CPU.
    u32 targets = arch::current_thread()->cpu->state.interrupt_target * 0x01010101u;
    for (u32 i = first_shared; i < count_; i += 4) mmio_write<u32>(distributor_ + gicd_itargetsr + i, targets);
    mmio_write<u32>(distributor_ + gicd_ctlr, enable_bit);
    find_message_frame(device.node);
    arch::set_ipi_sender(send_ipi);
    core::set_root_controller(*this);
    return {};
}

/// The calling CPU's banked registers and interface.
void GicV2::initialise_cpu_interface() {
    // The first 8 target registers read as the mask of the CPU that reads them.
    u32 mask = mmio_read<u32>(distributor_ + gicd_itargetsr);
    mask |= mask >> 16;
    mask |= mask >> 8;
    arch::current_thread()->cpu->state.interrupt_target = mask & 0xff;
    for (u32 i = 0; i < first_shared; i += 4)
        mmio_write<u32>(distributor_ + gicd_ipriorityr + i, default_priority * 0x01010101u);
    mmio_write<u32>(distributor_ + gicd_icenabler, 0xffff0000); // PPIs; SGIs may be fixed on
    mmio_write<u32>(distributor_ + gicd_isenabler, 0xffff | u32{1} << timer_);
    mmio_write<u32>(cpu_interface_ + gicc_pmr, all_priorities);
    mmio_write<u32>(cpu_interface_ + gicc_bpr, 0);
    mmio_write<u32>(cpu_interface_ + gicc_ctlr, enable_bit);
}

void GicV2::dispatch(u32) {
    for (;;) {
        u32 acknowledged = mmio_read<u32>(cpu_interface_ + gicc_iar);
        u32 intid = acknowledged & 0x3ff;
        if (intid >= first_special) return;
        deliver(intid, timer_);
        // For an SGI the value names the sender too, and must be given back whole.
        mmio_write<u32>(cpu_interface_ + gicc_eoir, acknowledged);
    }
}

Result<void> GicV2::enable(core::Irq irq, core::Trigger trigger) {
    if (irq < first_private || irq >= count_) return error(Errno::EINVAL);
    if (irq < first_shared) {
        // Each CPU sees its own of a private interrupt under the same address.
        const auto enable_here = [](void* which) {
            set_enabled(controller.distributor_, *static_cast<core::Irq*>(which));
        };
        core::PreemptionGuard stay;
        enable_here(&irq);
        core::run_on_cpus(~u64{0}, enable_here, &irq); // the others
        return {};
    }
    core::InterruptSpinGuard guard(lock_);
    set_trigger(distributor_, irq, trigger);
    set_enabled(distributor_, irq);
    return {};
}

void GicV2::send_ipi(arch::CpuHeader& cpu) {
    // A CPU that is the only one reads no mask of itself, and is named by the filter "who asks".
    constexpr u32 to_itself = 2 << 24;
    const u32 mask = cpu.state.interrupt_target;
    mmio_write<u32>(controller.distributor_ + gicd_sgir, (mask ? mask << 16 : to_itself) | ipi_intid);
}

void GicV2::find_message_frame(const boot::FdtNode& node) {
    constexpr u64 v2m_typer = 0x8, v2m_setspi = 0x40;
    const boot::Fdt& tree = boot::device_tree();
    for (auto child = tree.next_child(node); child; child = tree.next_child(node, &*child)) {
        if (!child->is_compatible("arm,gic-v2m-frame")) continue;
        auto region = child->region(0);
        if (!region) continue;
        auto frame = mm::map_device(region->begin, region->size);
        if (!frame) continue;
        u32 type = mmio_read<u32>(*frame + v2m_typer);
        u32 first = type >> 16 & 0x3ff, number = type & 0x3ff;
        if (first < first_shared || first + number > count_) continue;
        message_register_ = region->begin + v2m_setspi;
        message_first_ = first;
        messages_left_.store(number);
        return;
    }
}

Result<core::MsiMessage> GicV2::allocate_msi() {
    core::InterruptSpinGuard guard(lock_);
    u32 left = messages_left_.load(std::memory_order_relaxed);
    if (message_first_ == 0) return error(Errno::ENOSYS);
    if (left == 0) return error(Errno::ENOSPC);
    messages_left_.store(left - 1, std::memory_order_relaxed);
    u32 intid = message_first_++;
    return core::MsiMessage{message_register_, intid, intid};
}

Result<void> probe(const Device& device) {
    if (is_present) return error(Errno::EBUSY); // a second one would be cascaded, which no machine of ours has
    TRY(controller.initialise(device));
    is_present = true;
    TRY(register_interrupt_translator(device.node, translate));
    core::log_info("GICv2: {} interrupts", controller.count());
    return {};
}

constexpr const char* names[] = {"arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a7-gic", "arm,cortex-a9-gic"};

} // namespace

constinit const Driver gic_v2_driver{.name = "gic-v2",
                                     .stage = Stage::InterruptController,
                                     .compatible = names,
                                     .probe = probe,
                                     .probe_platform = nullptr};

} // namespace linnet::drivers
