// GICv3 (Arm IHI 0069): distributor, one redistributor a CPU, CPU interface in system registers; SGI 0 is the IPI.
// Message-signalled interrupts would need the ITS, which isn't driven: allocate_msi gives ENOSYS, and PCI devices use
// their interrupt lines.
#include "gic.hpp"

#include <arch/smp.hpp>
#include <arch_impl/interrupt_controller.hpp>
#include <arch_impl/registers.hpp>
#include <core/log.hpp>
#include <core/thread.hpp>

namespace linnet::drivers {

extern const Driver gic_v3_driver;

namespace {

using namespace gic;

// System registers of the CPU interface (IHI 0069, 12.2), by their encoding.
#define ICC_PMR_EL1 S3_0_C4_C6_0
#define ICC_IAR1_EL1 S3_0_C12_C12_0
#define ICC_EOIR1_EL1 S3_0_C12_C12_1
#define ICC_BPR1_EL1 S3_0_C12_C12_3
#define ICC_CTLR_EL1 S3_0_C12_C12_4
#define ICC_SRE_EL1 S3_0_C12_C12_5
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7
#define ICC_SGI1R_EL1 S3_0_C12_C11_5
// The macros above must be expanded before the register's name becomes a string.
#define READ_ICC(name) READ_SYSTEM_REGISTER(name)
#define WRITE_ICC(name, value) WRITE_SYSTEM_REGISTER(name, value)

constexpr u64 gicd_irouter = 0x6000;
constexpr u64 distributor_size = 0x10000;
constexpr u32 gicd_enable_group1 = 2, gicd_affinity_routing = 1 << 4, gicd_write_pending = u32{1} << 31;
// Redistributor: a frame of control, then a frame of SGIs and PPIs laid out as the distributor's first words.
constexpr u64 gicr_ctlr = 0x0, gicr_typer = 0x8, gicr_waker = 0x14, gicr_sgi_frame = 0x10000;
constexpr u64 gicr_stride = 0x20000, gicr_stride_with_virtual_lpis = 0x40000;
constexpr u64 typer_last = 1 << 4, typer_virtual_lpis = 1 << 1;
constexpr u32 waker_processor_sleep = 1 << 1, waker_children_asleep = 1 << 2;
constexpr u32 register_write_pending = 1 << 3;

class GicV3 final : public core::IrqController {
public:
    Result<void> initialise(const Device& device);
    void dispatch(u32) override;
    Result<void> enable(core::Irq irq, core::Trigger trigger) override;
    void disable(core::Irq irq) override;
    void initialise_secondary() override;
    const char* name() const override { return "GICv3"; }
    u32 count() const { return count_; }

private:
    static constexpr usize max_regions = 8;
    struct Region {
        VirtAddr base{};
        u64 size = 0;
    };
    Result<VirtAddr> find_redistributor(u64 mpidr) const;
    Result<void> initialise_cpu();
    Result<void> enable_everywhere(core::Irq irq);
    void wait_for_distributor() const;
    static void send_ipi(arch::CpuHeader& cpu);

    VirtAddr distributor_{};
    Region redistributors_[max_regions];
    usize region_count_ = 0;
    u32 timer_ = 0;
    u32 count_ = 0;
    core::InterruptSpinLock lock_; // the read-modify-write of shared registers; a leaf
};

constinit GicV3 controller;
constinit bool is_present = false;

/// Affinity fields as GICR_TYPER has them, in 32 bits.
constexpr u32 packed_affinity(u64 mpidr) { return static_cast<u32>((mpidr & 0xffffff) | (mpidr >> 8 & 0xff000000)); }

Result<void> GicV3::initialise(const Device& device) {
    timer_ = TRY(virtual_timer_intid());
    distributor_ = TRY(device.map_region(0, distributor_size));
    u64 regions = device.node.cell("#redistributor-regions", 0).value_or(1);
    for (usize i = 0; i < regions && i < max_regions; ++i) {
        boot::FdtRegion region = TRY(device.region(1 + i));
        redistributors_[i] = {TRY(device.map_region(1 + i)), region.size};
        region_count_ = i + 1;
    }
    mmio_write<u32>(distributor_ + gicd_ctlr, 0);
    wait_for_distributor();
    count_ = interrupt_count(distributor_);
    reset_shared(distributor_);
    for (u32 i = first_shared; i < count_; i += 32) mmio_write<u32>(distributor_ + gicd_igroupr + i / 8, ~0u);
    mmio_write<u32>(distributor_ + gicd_ctlr, gicd_affinity_routing | gicd_enable_group1);
    wait_for_distributor();
    u64 here = READ_SYSTEM_REGISTER(mpidr_el1) & arch::mpidr_affinity_mask;
    for (u32 i = first_shared; i < count_; ++i) mmio_write<u64>(distributor_ + gicd_irouter + u64{i} * 8, here);
    TRY(initialise_cpu());
    arch::set_ipi_sender(send_ipi);
    core::set_root_controller(*this);
    return {};
}

void GicV3::wait_for_distributor() const {
    while (mmio_read<u32>(distributor_ + gicd_ctlr) & gicd_write_pending) arch::relax();
}

Result<VirtAddr> GicV3::find_redistributor(u64 mpidr) const {
    for (usize i = 0; i < region_count_; ++i) {
        for (u64 at = 0; at + gicr_stride <= redistributors_[i].size;) {
            VirtAddr frame = redistributors_[i].base + at;
            u64 type = mmio_read<u64>(frame + gicr_typer);
            if (static_cast<u32>(type >> 32) == packed_affinity(mpidr)) return frame;
            if (type & typer_last) break;
            at += type & typer_virtual_lpis ? gicr_stride_with_virtual_lpis : gicr_stride;
        }
    }
    return error(Errno::ENODEV);
}

/// The calling CPU's redistributor and CPU interface.
Result<void> GicV3::initialise_cpu() {
    VirtAddr frame = TRY(find_redistributor(READ_SYSTEM_REGISTER(mpidr_el1)));
    u32 waker = mmio_read<u32>(frame + gicr_waker);
    mmio_write<u32>(frame + gicr_waker, waker & ~waker_processor_sleep);
    while (mmio_read<u32>(frame + gicr_waker) & waker_children_asleep) arch::relax();

    VirtAddr sgi = frame + gicr_sgi_frame;
    mmio_write<u32>(sgi + gicd_icenabler, 0xffff0000);
    mmio_write<u32>(sgi + gicd_igroupr, ~0u);
    for (u32 i = 0; i < first_shared; i += 4)
        mmio_write<u32>(sgi + gicd_ipriorityr + i, default_priority * 0x01010101u);
    mmio_write<u32>(sgi + gicd_isenabler, u32{1} << ipi_intid | u32{1} << timer_);
    while (mmio_read<u32>(frame + gicr_ctlr) & register_write_pending) arch::relax();

    WRITE_ICC(ICC_SRE_EL1, 1);
    asm volatile("isb" : : : "memory");
    WRITE_ICC(ICC_PMR_EL1, 0xf0);
    WRITE_ICC(ICC_BPR1_EL1, 0);
    WRITE_ICC(ICC_CTLR_EL1, 0); // EOI also deactivates
    WRITE_ICC(ICC_IGRPEN1_EL1, 1);
    asm volatile("isb" : : : "memory");
    return {};
}

void GicV3::initialise_secondary() {
    if (auto result = initialise_cpu(); !result) core::log_error("GICv3: a CPU has no redistributor");
}

void GicV3::dispatch(u32) {
    for (;;) {
        u32 intid = static_cast<u32>(READ_ICC(ICC_IAR1_EL1)) & 0xffffff;
        // The acknowledge must have happened before the device is looked at.
        asm volatile("dsb sy" : : : "memory");
        if (intid >= first_special) return;
        deliver(intid, timer_);
        WRITE_ICC(ICC_EOIR1_EL1, intid);
        asm volatile("isb" : : : "memory");
    }
}

Result<void> GicV3::enable(core::Irq irq, core::Trigger trigger) {
    if (irq < first_private || irq >= count_) return error(Errno::EINVAL);
    if (irq < first_shared) return enable_everywhere(irq);
    core::InterruptSpinGuard guard(lock_);
    set_trigger(distributor_, irq, trigger);
    set_enabled(distributor_, irq);
    return {};
}

/// Each CPU has its own of a private interrupt; its level or edge is fixed.
Result<void> GicV3::enable_everywhere(core::Irq irq) {
    for (u32 i = 0; i < core::cpu_count(); ++i)
        set_enabled(TRY(find_redistributor(core::cpu(i).hardware_id)) + gicr_sgi_frame, irq);
    return {};
}

void GicV3::disable(core::Irq irq) {
    if (irq >= first_shared && irq < count_) set_disabled(distributor_, irq);
}

void GicV3::send_ipi(arch::CpuHeader& cpu) {
    // Affinity 3, 2 and 1 name the cluster; the target list is of 16 CPUs from the range selector on.
    u64 id = cpu.hardware_id, affinity0 = id & 0xff;
    u64 value = (id >> 32 & 0xff) << 48 | (affinity0 >> 4) << 44 | (id >> 16 & 0xff) << 32 | u64{ipi_intid} << 24 |
                (id >> 8 & 0xff) << 16 | u64{1} << (affinity0 & 15);
    WRITE_ICC(ICC_SGI1R_EL1, value);
    asm volatile("isb" : : : "memory");
}

Result<void> probe(const Device& device) {
    if (is_present) return error(Errno::EBUSY);
    TRY(controller.initialise(device));
    is_present = true;
    TRY(register_interrupt_translator(device.node, translate));
    core::log_info("GICv3: {} interrupts", controller.count());
    return {};
}

constexpr const char* names[] = {"arm,gic-v3"};

} // namespace

constinit const Driver gic_v3_driver{.name = "gic-v3",
                                     .stage = Stage::InterruptController,
                                     .compatible = names,
                                     .probe = probe,
                                     .probe_platform = nullptr};

} // namespace linnet::drivers
