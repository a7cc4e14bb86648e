// Transfers that are under way together: the way to plug a disk's queue, and to merge what lies side by side.
#pragma once

#include <block/disk.hpp>
#include <lib/own_ptr.hpp>

namespace linnet::block {

/// Reads, or writes, of one device. They are gathered first, what begins where the one added before ends becomes part
/// of the same request, and all are given to the disk in one go: when there is no room for more, or at finish(). For
/// one thread at a time.
class Batch {
public:
    /// Whether the device's own pages are to show what is written (Device::write_beside_pages()).
    enum class Pages : u8 { Leave, Update };
    Batch(Device& device, Operation operation, Pages pages = Pages::Leave);
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    /// What was not begun is forgotten.
    ~Batch();

    /// Moves whole blocks from `sector` of the device on, some time before finish() returns. The memory stays until
    /// then; the segments themselves are copied. May sleep. EPERM, ENXIO, and EIO of what was added before.
    Result<void> add(u64 sector, std::span<const Segment> segments);
    /// Returns when all is done. May sleep. EIO.
    Result<void> finish();

private:
    struct Work;
    Result<void> do_all();
    Result<void> transfer_now(u64 sector, std::span<const Segment> segments);

    Device& device_;
    const Operation operation_;
    const Pages pages_;
    OwnPtr<Work> work_;
};

} // namespace linnet::block
