// Virtio devices (OASIS Virtual I/O Device 1.2): the transport behind an interface, and the split virtqueue.
#pragma once

#include <core/spinlock.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <mm/page.hpp>
#include <span>
#include <string_view>

namespace linnet::drivers {

inline constexpr u64 virtio_version_1 = u64{1} << 32;

/// A virtio device as its transport (PCI, MMIO) presents it. Lives for ever.
class VirtioTransport {
public:
    virtual u32 device_type() const = 0;
    virtual u8 status() = 0;
    virtual void set_status(u8 status) = 0; // 0 resets; returns when the device has
    virtual u64 device_features() = 0;
    virtual void set_driver_features(u64 features) = 0;
    virtual u16 queue_size(u16 queue) = 0; // the most the device allows; 0: no such queue
    /// `ring` is laid out as legacy_layout says when is_legacy(), which suits newer devices too.
    virtual Result<void> enable_queue(u16 queue, u16 size, PhysAddr descriptors, PhysAddr available, PhysAddr used) = 0;
    virtual void notify(u16 queue) = 0;
    virtual u8 read_config8(u32 offset) = 0;
    virtual void write_config8(u32 offset, u8 value) = 0;
    /// `handler(context)` runs in interrupt context at every queue or configuration interrupt. Before enable_queue(): a
    /// queue sends its interrupts where they are to go when it is enabled.
    virtual Result<void> set_handler(void (*handler)(void*), void* context) = 0;
    /// Interrupts of one queue go to a handler of its own, and not to the other. After that one was set, before
    /// enable_queue(). EOPNOTSUPP, ENOSPC: there is but one for all.
    virtual Result<void> set_queue_handler(u16 /*queue*/, void (*)(void*), void* /*context*/) {
        return error(Errno::EOPNOTSUPP);
    }
    /// Devices before version 1.0: no feature bits above 31, ring placed by page number.
    virtual bool is_legacy() const { return false; }
    /// What carries it, as a directory in Linux's /sys/devices: "pci0000:00/0000:00:02.0".
    virtual std::string_view carrier(std::span<char> room) const = 0;
    /// In Linux's /sys/bus: "pci".
    virtual const char* carrier_bus() const = 0;
    u64 read_config64(u32 offset) { return read_config32(offset) | u64{read_config32(offset + 4)} << 32; }
    u32 read_config32(u32 offset);
    u16 read_config16(u32 offset);
    /// The how manieth virtio device it is, from 0 on.
    [[nodiscard]] u32 number() const { return number_; }
    void set_number(u32 number) { number_ = number; }

protected:
    ~VirtioTransport() = default;

private:
    u32 number_ = 0;
};

/// The device's directory in /sys/devices: "pci0000:00/0000:00:02.0/virtio1".
std::string_view device_directory(const VirtioTransport& transport, std::span<char> room);

inline constexpr u8 virtio_acknowledge = 1, virtio_driver = 2, virtio_driver_ok = 4, virtio_features_ok = 8,
                    virtio_failed = 128;

/// Reset, acknowledge, and agree on `wanted` features (those offered; VERSION_1 always asked for). Returns the agreed
/// set. ENODEV when the device refuses.
Result<u64> start_virtio_device(VirtioTransport& transport, u64 wanted);

/// A split virtqueue (section 2.7). The owner's lock orders all calls.
class VirtQueue {
public:
    /// At most `wanted_size` entries (a power of two). ENODEV: the device has no such queue.
    static Result<VirtQueue*> create(VirtioTransport& transport, u16 index, u16 wanted_size);

    [[nodiscard]] u16 size() const { return size_; }
    [[nodiscard]] u16 free_descriptors() const { return free_count_; }
    /// Which the next chain will begin with.
    [[nodiscard]] u16 next_descriptor() const { return free_head_; }
    enum class Direction : u8 { ToDevice, FromDevice };
    /// Offers one buffer; its descriptor's number, which comes back from take_used(). EAGAIN when the queue is full.
    Result<u16> add(PhysAddr address, u32 length, Direction direction);
    struct Piece {
        PhysAddr address;
        u32 length;
        Direction direction;
    };
    /// Offers one buffer of several pieces, those to the device first; the number of its first descriptor.
    Result<u16> add_chain(std::span<const Piece> pieces);
    /// Tells the device, if it wants to know, about what was added since the last time.
    void kick();
    struct Used {
        u16 descriptor;
        u32 length;
    };
    /// The next buffer that the device is done with. Descriptor numbers of a hostile device are checked: EIO.
    Result<std::optional<Used>> take_used();
    [[nodiscard]] bool has_used() const;

private:
    struct Descriptor {
        u64 address;
        u32 length;
        u16 flags;
        u16 next;
    };
    VirtQueue(VirtioTransport& transport, u16 index, u16 size) : transport_(transport), index_(index), size_(size) {}
    VirtioTransport& transport_;
    u16 index_;
    u16 size_;
    u16 free_head_ = 0;
    u16 free_count_ = 0;
    u16 next_available_ = 0;
    u16 last_used_ = 0;
    Descriptor* descriptors_ = nullptr;
    volatile u16* available_ = nullptr; // flags, index, ring[]
    volatile u16* used_ = nullptr;      // flags, index, {u32 id, u32 length}[]
};

/// Calls the driver of the device's type; ENODEV when there is none.
Result<void> probe_virtio_device(VirtioTransport& transport);

// The drivers by type.
Result<void> probe_virtio_block(VirtioTransport& transport);
Result<void> probe_virtio_console(VirtioTransport& transport);
Result<void> probe_virtio_rng(VirtioTransport& transport);
Result<void> probe_virtio_p9(VirtioTransport& transport);

} // namespace linnet::drivers
