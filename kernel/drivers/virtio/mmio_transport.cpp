// Virtio over MMIO (section 4.2), register layout versions 1 (legacy, QEMU's default on its virt machines) and 2.
#include "mmio_transport.hpp"

#include <arch/page.hpp>
#include <drivers/mmio.hpp>
#include <lib/format.hpp>
#include <lib/own_ptr.hpp>
#include <mm/kernel_area.hpp>

#include "virtio.hpp"

namespace linnet::drivers {
namespace {

constexpr u32 magic_value = 0x74726976;
constexpr u32 reg_magic = 0x00, reg_version = 0x04, reg_device_id = 0x08, reg_device_features = 0x10,
              reg_device_features_sel = 0x14, reg_driver_features = 0x20, reg_driver_features_sel = 0x24,
              reg_guest_page_size = 0x28, reg_queue_sel = 0x30, reg_queue_num_max = 0x34, reg_queue_num = 0x38,
              reg_queue_align = 0x3c, reg_queue_pfn = 0x40, reg_queue_ready = 0x44, reg_queue_notify = 0x50,
              reg_interrupt_status = 0x60, reg_interrupt_ack = 0x64, reg_status = 0x70, reg_queue_desc = 0x80,
              reg_queue_driver = 0x90, reg_queue_device = 0xa0, reg_config = 0x100;
constexpr u32 legacy_page = 4096;

class MmioTransport final : public VirtioTransport {
public:
    MmioTransport(VirtAddr registers, PhysAddr base, Interrupt interrupt)
        : registers_(registers), base_(base), interrupt_(interrupt), version_(read(reg_version)) {}

    u32 device_type() const override { return mmio_read<u32>(registers_ + reg_device_id); }
    std::string_view carrier(std::span<char> room) const override {
        return format_into(room, "platform/{x}.virtio_mmio", base_.value);
    }
    const char* carrier_bus() const override { return "platform"; }
    u8 status() override { return static_cast<u8>(read(reg_status)); }
    void set_status(u8 value) override {
        write(reg_status, value);
        if (value == 0 && is_legacy()) write(reg_guest_page_size, legacy_page);
    }
    u64 device_features() override {
        write(reg_device_features_sel, 0);
        u64 features = read(reg_device_features);
        write(reg_device_features_sel, 1);
        return features | static_cast<u64>(read(reg_device_features)) << 32;
    }
    void set_driver_features(u64 features) override {
        for (u32 half = 0; half < (is_legacy() ? 1 : 2); ++half) {
            write(reg_driver_features_sel, half);
            write(reg_driver_features, static_cast<u32>(features >> (32 * half)));
        }
    }
    u16 queue_size(u16 queue) override {
        write(reg_queue_sel, queue);
        return static_cast<u16>(read(reg_queue_num_max));
    }
    Result<void> enable_queue(u16 queue, u16 size, PhysAddr descriptors, PhysAddr available, PhysAddr used) override {
        write(reg_queue_sel, queue);
        write(reg_queue_num, size);
        if (is_legacy()) {
            write(reg_queue_align, legacy_page);
            write(reg_queue_pfn, static_cast<u32>(descriptors.value / legacy_page));
            return {};
        }
        write64(reg_queue_desc, descriptors.value);
        write64(reg_queue_driver, available.value);
        write64(reg_queue_device, used.value);
        write(reg_queue_ready, 1);
        return {};
    }
    void notify(u16 queue) override { write(reg_queue_notify, queue); }
    u8 read_config8(u32 offset) override { return mmio_read<u8>(registers_ + reg_config + offset); }
    void write_config8(u32 offset, u8 value) override { mmio_write<u8>(registers_ + reg_config + offset, value); }
    Result<void> set_handler(void (*handler)(void*), void* context) override {
        handler_ = handler;
        context_ = context;
        return core::request_irq(interrupt_.irq, interrupt_.trigger, &on_interrupt, this, "virtio-mmio");
    }
    bool is_legacy() const override { return version_ == 1; }

private:
    static bool on_interrupt(void* context) {
        auto& self = *static_cast<MmioTransport*>(context);
        u32 reasons = self.read(reg_interrupt_status);
        if (!reasons) return false;
        self.write(reg_interrupt_ack, reasons);
        self.handler_(self.context_);
        return true;
    }
    u32 read(u32 offset) { return mmio_read<u32>(registers_ + offset); }
    void write(u32 offset, u32 value) { mmio_write<u32>(registers_ + offset, value); }
    void write64(u32 offset, u64 value) {
        write(offset, static_cast<u32>(value));
        write(offset + 4, static_cast<u32>(value >> 32));
    }

    VirtAddr registers_;
    PhysAddr base_;
    Interrupt interrupt_;
    u32 version_;
    void (*handler_)(void*) = nullptr;
    void* context_ = nullptr;
};

Result<void> add_device(VirtAddr registers, PhysAddr base, Interrupt interrupt) {
    u32 version = mmio_read<u32>(registers + reg_version);
    bool present = mmio_read<u32>(registers + reg_magic) == magic_value && (version == 1 || version == 2) &&
                   mmio_read<u32>(registers + reg_device_id) != 0;
    if (!present) return error(Errno::ENODEV);
    auto transport = TRY(try_make<MmioTransport>(registers, base, interrupt));
    return probe_virtio_device(*transport.release());
}

Result<void> probe(const Device& device) {
    return add_device(TRY(device.map_region()), TRY(device.region()).begin, TRY(device.interrupt()));
}

constexpr const char* names[] = {"virtio,mmio"};

} // namespace

Result<void> add_virtio_mmio(PhysAddr base, u64 size, Interrupt interrupt) {
    return add_device(TRY(mm::map_device(base, size)), base, interrupt);
}

extern const Driver virtio_mmio_driver;
constinit const Driver virtio_mmio_driver{
    .name = "virtio-mmio", .stage = Stage::Device, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
