// Virtio over PCI, the version 1 interface (section 4.1): structures in memory BARs named by vendor capabilities.
#include <drivers/mmio.hpp>
#include <drivers/pci.hpp>
#include <lib/format.hpp>
#include <lib/own_ptr.hpp>

#include "virtio.hpp"

namespace linnet::drivers {
namespace {

constexpr u16 vendor_virtio = 0x1af4;
constexpr u8 capability_vendor = 0x09;
constexpr u8 cfg_common = 1, cfg_notify = 2, cfg_isr = 3, cfg_device = 4;

// Offsets in the common configuration structure (4.1.4.3).
constexpr u32 device_feature_select = 0, device_feature = 4, driver_feature_select = 8, driver_feature = 12,
              config_msix_vector = 16, device_status = 20, queue_select = 22, queue_size_reg = 24,
              queue_msix_vector = 26, queue_enable = 28, queue_notify_off = 30, queue_desc = 32, queue_driver = 40,
              queue_device = 48;

class PciTransport final : public VirtioTransport {
public:
    static Result<PciTransport*> create(PciFunction& function) {
        auto transport = TRY(try_make<PciTransport>(function));
        TRY(transport->find_structures());
        return transport.release();
    }
    explicit PciTransport(PciFunction& function) : function_(function) {}

    u32 device_type() const override {
        u16 device = function_.device();
        return device >= 0x1040 ? device - 0x1040u : function_.read16(0x2e); // transitional: subsystem id
    }
    std::string_view carrier(std::span<char> room) const override {
        const PciAddress at = function_.address();
        return format_into(room, "pci0000:00/0000:{02x}:{02x}.{}", at.bus, at.device, at.function);
    }
    const char* carrier_bus() const override { return "pci"; }
    u8 status() override { return mmio_read<u8>(common_ + device_status); }
    void set_status(u8 value) override {
        mmio_write<u8>(common_ + device_status, value);
        if (value == 0)
            while (status() != 0) arch::relax();
    }
    u64 device_features() override {
        u64 features = 0;
        for (u32 half = 0; half < 2; ++half) {
            mmio_write<u32>(common_ + device_feature_select, half);
            features |= static_cast<u64>(mmio_read<u32>(common_ + device_feature)) << (32 * half);
        }
        return features;
    }
    void set_driver_features(u64 features) override {
        for (u32 half = 0; half < 2; ++half) {
            mmio_write<u32>(common_ + driver_feature_select, half);
            mmio_write<u32>(common_ + driver_feature, static_cast<u32>(features >> (32 * half)));
        }
    }
    u16 queue_size(u16 queue) override {
        mmio_write<u16>(common_ + queue_select, queue);
        return mmio_read<u16>(common_ + queue_size_reg);
    }
    Result<void> enable_queue(u16 queue, u16 size, PhysAddr descriptors, PhysAddr available, PhysAddr used) override {
        if (queue >= max_queues) return error(Errno::ENOSPC);
        mmio_write<u16>(common_ + queue_select, queue);
        mmio_write<u16>(common_ + queue_size_reg, size);
        write64(queue_desc, descriptors.value);
        write64(queue_driver, available.value);
        write64(queue_device, used.value);
        if (function_.msix_vectors() > 0) mmio_write<u16>(common_ + queue_msix_vector, vectors_[queue]);
        u32 offset = mmio_read<u16>(common_ + queue_notify_off) * notify_multiplier_;
        notify_addresses_[queue] = notify_ + offset;
        mmio_write<u16>(common_ + queue_enable, 1);
        return {};
    }
    void notify(u16 queue) override { mmio_write<u16>(notify_addresses_[queue], queue); }
    u8 read_config8(u32 offset) override { return mmio_read<u8>(device_ + offset); }
    void write_config8(u32 offset, u8 value) override { mmio_write<u8>(device_ + offset, value); }
    Result<void> set_handler(void (*handler)(void*), void* context) override {
        handler_ = handler;
        context_ = context;
        TRY(function_.request_interrupt(&on_interrupt, this, "virtio-pci"));
        if (function_.msix_vectors() > 0) mmio_write<u16>(common_ + config_msix_vector, 0);
        return {};
    }
    Result<void> set_queue_handler(u16 queue, void (*handler)(void*), void* context) override {
        const auto entry = static_cast<u16>(queue + 1); // the first is for all others
        if (queue >= max_queues || entry >= function_.msix_vectors()) return error(Errno::EOPNOTSUPP);
        auto own = TRY(try_make<QueueHandler>(handler, context));
        TRY(function_.request_vector(entry, &on_queue_interrupt, own.get(), "virtio-pci"));
        (void)own.release(); // lives as long as the transport
        vectors_[queue] = entry;
        return {};
    }

private:
    static constexpr u16 max_queues = 72;
    struct QueueHandler {
        void (*handler)(void*);
        void* context;
    };

    static bool on_queue_interrupt(void* context) {
        auto& own = *static_cast<QueueHandler*>(context);
        own.handler(own.context);
        return true;
    }

    static bool on_interrupt(void* context) {
        auto& self = *static_cast<PciTransport*>(context);
        // Reading the ISR register lowers the pin; a message needs no such thing.
        if (self.function_.msix_vectors() == 0 && mmio_read<u8>(self.isr_) == 0) return false;
        self.handler_(self.context_);
        return true;
    }
    void write64(u32 offset, u64 value) {
        mmio_write<u32>(common_ + offset, static_cast<u32>(value));
        mmio_write<u32>(common_ + offset + 4, static_cast<u32>(value >> 32));
    }
    Result<VirtAddr> map(u8 bar) {
        if (bar > 5) return error(Errno::ENODEV);
        if (!bars_[bar].value) bars_[bar] = TRY(function_.map_bar(bar));
        return bars_[bar];
    }
    Result<void> find_structures() {
        for (std::optional<u16> at = function_.find_capability(capability_vendor); at;
             at = function_.find_capability(capability_vendor, *at)) {
            u8 kind = function_.read8(static_cast<u16>(*at + 3));
            if (kind < cfg_common || kind > cfg_device) continue;
            u8 bar = function_.read8(static_cast<u16>(*at + 4));
            VirtAddr base = TRY(map(bar)) + function_.read32(static_cast<u16>(*at + 8));
            if (kind == cfg_common) common_ = base;
            if (kind == cfg_isr) isr_ = base;
            if (kind == cfg_device) device_ = base;
            if (kind == cfg_notify) {
                notify_ = base;
                notify_multiplier_ = function_.read32(static_cast<u16>(*at + 16));
            }
        }
        return common_.value && notify_.value && isr_.value ? Result<void>{} : error(Errno::ENODEV);
    }

    PciFunction& function_;
    VirtAddr bars_[6]{};
    VirtAddr common_{}, notify_{}, isr_{}, device_{};
    u32 notify_multiplier_ = 0;
    VirtAddr notify_addresses_[max_queues]{};
    u16 vectors_[max_queues]{}; // entries of the MSI-X table
    void (*handler_)(void*) = nullptr;
    void* context_ = nullptr;
};

Result<void> probe(PciFunction& function) {
    function.enable();
    return probe_virtio_device(*TRY(PciTransport::create(function)));
}

} // namespace

extern const PciDriver virtio_pci_driver;
constinit const PciDriver virtio_pci_driver{
    .name = "virtio-pci",
    .matches = [](u16 vendor, u16 device) { return vendor == vendor_virtio && device >= 0x1000 && device <= 0x107f; },
    .probe = probe,
};

} // namespace linnet::drivers
