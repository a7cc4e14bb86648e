// The interrupt controller of Loongson's 7A bridge (7A1000 manual): 64 inputs, each turned into a vector of
// the extended I/O interrupt controller. That one takes edges, so a level-triggered input is masked while its
// handlers run: unmasking sends the vector again if the line is still up.
//
// Lock: lock_, masks interrupts, a leaf: around read-modify-write of registers.
#include <core/log.hpp>
#include <core/spinlock.hpp>
#include <drivers/driver.hpp>
#include <drivers/mmio.hpp>

#include "eiointc.hpp"

namespace linnet::drivers {

extern const Driver pch_pic_driver;

namespace {

constexpr u64 identity = 0x0, mask_bits = 0x20, message_bits = 0x40, edge_bits = 0x60, clear_bits = 0x80, auto0 = 0xc0,
              auto1 = 0xe0, route_map = 0x100, vector_map = 0x200, polarity_bits = 0x3e0;
constexpr u32 most_inputs = 64;
constexpr u8 to_extended_controller = 1;

constinit core::LockClass pch_pic_class{"pch_pic"};

class PchPic final : public VectorRange {
public:
    Result<void> initialise(const Device& device);
    Result<void> enable_vector(core::Irq vector, core::Trigger trigger) override;
    void disable_vector(core::Irq vector) override;
    void handle_vector(core::Irq vector) override;
    Result<Interrupt> translate(std::span<const u32> cells) const;

private:
    /// The registers are 64 bits wide; they take accesses of 32.
    void change(u64 place, u32 input, bool value) {
        VirtAddr word = registers_ + place + input / 32 * 4;
        u32 bit = 1u << (input % 32), old = mmio_read<u32>(word);
        mmio_write<u32>(word, value ? old | bit : old & ~bit);
    }
    void fill(u64 place, u32 value) {
        mmio_write<u32>(registers_ + place, value);
        mmio_write<u32>(registers_ + place + 4, value);
    }
    void clear(u32 input) { mmio_write<u32>(registers_ + clear_bits + input / 32 * 4, 1u << (input % 32)); }

    VirtAddr registers_{};
    u32 first_vector_ = 0;
    u64 edge_inputs_ = 0;
    core::InterruptSpinLock lock_{pch_pic_class};
};

constinit PchPic pic;
constinit bool is_present = false;

Result<void> PchPic::initialise(const Device& device) {
    first_vector_ = device.node.cell("loongson,pic-base-vec", 0).value_or(0);
    registers_ = TRY(device.map_region());
    u32 inputs = (mmio_read<u32>(registers_ + identity + 4) >> 16 & 0xff) + 1;
    if (inputs > most_inputs) inputs = most_inputs;
    TRY(claim_vectors(first_vector_, inputs, *this));
    fill(mask_bits, ~0u);
    fill(message_bits, ~0u);
    fill(edge_bits, 0);
    fill(polarity_bits, 0);
    fill(auto0, 0);
    fill(auto1, 0);
    for (u32 i = 0; i < inputs; ++i) {
        mmio_write<u8>(registers_ + route_map + i, to_extended_controller);
        mmio_write<u8>(registers_ + vector_map + i, static_cast<u8>(first_vector_ + i));
    }
    fill(clear_bits, ~0u);
    return {};
}

Result<void> PchPic::enable_vector(core::Irq vector, core::Trigger trigger) {
    u32 input = vector - first_vector_;
    core::InterruptSpinGuard guard(lock_);
    bool is_edge = trigger == core::Trigger::Edge;
    change(edge_bits, input, is_edge);
    edge_inputs_ = is_edge ? edge_inputs_ | u64{1} << input : edge_inputs_ & ~(u64{1} << input);
    clear(input);
    change(mask_bits, input, false);
    return {};
}

void PchPic::disable_vector(core::Irq vector) {
    core::InterruptSpinGuard guard(lock_);
    change(mask_bits, vector - first_vector_, true);
}

void PchPic::handle_vector(core::Irq vector) {
    u32 input = vector - first_vector_;
    bool is_edge;
    {
        core::InterruptSpinGuard guard(lock_);
        is_edge = edge_inputs_ >> input & 1;
        if (is_edge)
            clear(input);
        else
            change(mask_bits, input, true);
    }
    core::handle_irq(vector);
    if (is_edge) return;
    core::InterruptSpinGuard guard(lock_);
    change(mask_bits, input, false);
}

/// Two cells: the input, and the type (1 and 2: edges, 4 and 8: levels).
Result<Interrupt> PchPic::translate(std::span<const u32> cells) const {
    if (cells.empty() || cells[0] >= most_inputs) return error(Errno::EINVAL);
    bool is_edge = cells.size() > 1 && (cells[1] & 3) != 0;
    return Interrupt{first_vector_ + cells[0], is_edge ? core::Trigger::Edge : core::Trigger::Level};
}

Result<Interrupt> translate(std::span<const u32> cells) { return pic.translate(cells); }

Result<void> probe(const Device& device) {
    if (is_present) return error(Errno::EBUSY);
    TRY(pic.initialise(device));
    TRY(register_interrupt_translator(device.node, translate));
    is_present = true;
    return {};
}

constexpr const char* names[] = {"loongson,pch-pic-1.0"};

} // namespace

constinit const Driver pch_pic_driver{.name = "pch_pic",
                                      .stage = Stage::InterruptController,
                                      .compatible = names,
                                      .probe = probe,
                                      .probe_platform = nullptr};

} // namespace linnet::drivers
