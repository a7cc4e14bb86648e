// Loongson's extended I/O interrupt controller (3A5000 manual): 256 vectors, reached by I/O CSRs, every one
// routed to the boot CPU by one of its hardware interrupt lines.
//
// Lock: lock_, masks interrupts, a leaf: around the MSI vectors in use.
#include "eiointc.hpp"

#include <arch_impl/csr.hpp>
#include <core/log.hpp>
#include <core/spinlock.hpp>
#include <core/thread.hpp>
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver eiointc_driver;

namespace {

constexpr u64 node_map = 0x14a0, line_map = 0x14c0, enable_bits = 0x1600, bounce_bits = 0x1680, pending_bits = 0x1800,
              route_map = 0x1c00, misc_function = 0x420;
constexpr u64 misc_extended_interrupts = u64{1} << 48;
constexpr u32 vector_count = 256;
constexpr u8 line_bit = 1 << 1; // the second line: hardware interrupt 1 of the CPU

constinit core::LockClass eiointc_class{"eiointc"};

class Eiointc final : public core::IrqController {
public:
    void initialise();
    void dispatch(u32 cause) override;
    Result<void> enable(core::Irq irq, core::Trigger trigger) override;
    void disable(core::Irq irq) override;
    Result<core::MsiMessage> allocate_msi() override;
    const char* name() const override { return "EIOINTC"; }

    Result<void> claim(core::Irq first, u32 count, VectorRange& owner);
    Result<void> set_msi(core::Irq first, u32 count, PhysAddr address);

private:
    void handle(core::Irq vector) {
        if (VectorRange* owner = owners_[vector])
            owner->handle_vector(vector);
        else
            core::handle_irq(vector);
    }

    VectorRange* owners_[vector_count] = {};
    core::InterruptSpinLock lock_{eiointc_class};
    core::Irq next_msi_ = 0;
    core::Irq msi_end_ = 0;
    PhysAddr msi_address_{};
};

constinit Eiointc controller;
constinit bool is_present = false;

void Eiointc::initialise() {
    arch::iocsr_write64(misc_function, arch::iocsr_read64(misc_function) | misc_extended_interrupts);
    constexpr u64 every_byte = 0x0101'0101'0101'0101;
    auto cpu = static_cast<u32>(core::cpu(0).hardware_id);
    // A route is a node and a bit for each of its four CPUs.
    u8 route = static_cast<u8>((cpu / 4) << 4 | 1u << (cpu % 4));
    for (u32 i = 0; i < 8; ++i) arch::iocsr_write32(node_map + i * 4, (1u << (i * 2 + 1)) << 16 | 1u << (i * 2));
    arch::iocsr_write64(line_map, every_byte * line_bit);
    for (u32 i = 0; i < vector_count; i += 8) arch::iocsr_write64(route_map + i, every_byte * route);
    for (u32 i = 0; i < vector_count / 8; i += 8) {
        arch::iocsr_write64(bounce_bits + i, ~u64{0});
        arch::iocsr_write64(pending_bits + i, ~u64{0});
        arch::iocsr_write64(enable_bits + i, ~u64{0});
    }
}

void Eiointc::dispatch(u32) {
    for (u32 word = 0; word < vector_count / 64; ++word) {
        u64 pending = arch::iocsr_read64(pending_bits + word * 8);
        if (pending == 0) continue;
        arch::iocsr_write64(pending_bits + word * 8, pending); // first, so that a new edge is not lost
        for (; pending != 0; pending &= pending - 1) handle(word * 64 + static_cast<u32>(__builtin_ctzll(pending)));
    }
}

/// The vectors themselves are always on; who stands before them masks.
Result<void> Eiointc::enable(core::Irq irq, core::Trigger trigger) {
    if (irq >= vector_count) return error(Errno::EINVAL);
    return owners_[irq] ? owners_[irq]->enable_vector(irq, trigger) : Result<void>{};
}

void Eiointc::disable(core::Irq irq) {
    if (irq < vector_count && owners_[irq]) owners_[irq]->disable_vector(irq);
}

Result<core::MsiMessage> Eiointc::allocate_msi() {
    core::InterruptSpinGuard guard(lock_);
    if (next_msi_ == msi_end_) return error(Errno::ENOSPC);
    core::Irq vector = next_msi_++;
    return core::MsiMessage{msi_address_, vector, vector};
}

Result<void> Eiointc::claim(core::Irq first, u32 count, VectorRange& owner) {
    if (first >= vector_count || count > vector_count - first) return error(Errno::ENOSPC);
    for (u32 i = 0; i < count; ++i)
        if (owners_[first + i]) return error(Errno::EBUSY);
    for (u32 i = 0; i < count; ++i) owners_[first + i] = &owner;
    return {};
}

Result<void> Eiointc::set_msi(core::Irq first, u32 count, PhysAddr address) {
    if (first >= vector_count || count > vector_count - first) return error(Errno::EINVAL);
    for (u32 i = 0; i < count; ++i)
        if (owners_[first + i]) return error(Errno::EBUSY);
    core::InterruptSpinGuard guard(lock_);
    next_msi_ = first;
    msi_end_ = first + count;
    msi_address_ = address;
    return {};
}

Result<Interrupt> translate(std::span<const u32> cells) {
    if (cells.empty() || cells[0] >= vector_count) return error(Errno::EINVAL);
    return Interrupt{cells[0], core::Trigger::Edge};
}

Result<void> probe(const Device& device) {
    if (is_present) return error(Errno::EBUSY);
    controller.initialise();
    TRY(register_interrupt_translator(device.node, translate));
    core::set_root_controller(controller);
    is_present = true;
    return {};
}

constexpr const char* names[] = {"loongson,ls2k2000-eiointc", "loongson,ls2k0500-eiointc"};

} // namespace

Result<void> claim_vectors(core::Irq first, u32 count, VectorRange& owner) {
    return controller.claim(first, count, owner);
}

Result<void> set_msi_vectors(core::Irq first, u32 count, PhysAddr message_address) {
    return controller.set_msi(first, count, message_address);
}

constinit const Driver eiointc_driver{.name = "eiointc",
                                      .stage = Stage::InterruptController,
                                      .compatible = names,
                                      .probe = probe,
                                      .probe_platform = nullptr};

} // namespace linnet::drivers
