// Device numbers and the table of device drivers: a node of type character or block device is opened by the factory
// that registered its number.
#pragma once

#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <optional>

namespace linnet::vfs {

class File;
class Inode;
struct Path;

/// A device number (dev_t): 12 bits of major, 20 of minor.
struct DeviceNumber {
    u32 major = 0;
    u32 minor = 0;
    [[nodiscard]] u64 encoded() const;
    static DeviceNumber decode(u64 encoded);
    constexpr bool operator==(const DeviceNumber&) const = default;
};

/// What reads and writes with O_DIRECT have to be multiples of, in bytes; 0 where anything goes, through pages.
struct DirectAlignment {
    u32 memory = 0; // addresses
    u32 offset = 0; // places in the file, and lengths
};

/// What a driver registers; the object must live for ever (or until unregistered).
class DeviceDriver {
public:
    virtual const char* name() const = 0;
    /// Makes the open file of device `number`. `path` names the node, `flags` are those of open(2) (the file must pass
    /// them to File's constructor). ENXIO when there is no such device.
    virtual Result<RefPtr<File>> open(DeviceNumber number, const Path& path, u32 flags) = 0;
    /// Of O_DIRECT, for statx(2); nothing where there is no such device, or it knows no O_DIRECT.
    virtual std::optional<DirectAlignment> direct_alignment(DeviceNumber) { return {}; }

protected:
    ~DeviceDriver() = default;
};

/// Registers minors [first_minor, first_minor + count) of `major`. EBUSY when one is taken, ENOMEM.
Result<void> register_character_device(u32 major, u32 first_minor, u32 count, DeviceDriver& driver);
Result<void> register_block_device(u32 major, u32 first_minor, u32 count, DeviceDriver& driver);
/// A free minor of major 0 for a file system without a device (st_dev).
DeviceNumber allocate_anonymous_device();

/// Opens the device behind a node; ENXIO without a driver.
Result<RefPtr<File>> open_device(const Path& path, u32 flags);

/// What the driver of a block device answers.
std::optional<DirectAlignment> direct_alignment_of_block_device(DeviceNumber number);

/// Opens a FIFO's pipe, waiting for the other end as fifo(7) says. Defined by pipe.cpp.
Result<RefPtr<File>> open_fifo(const Path& path, u32 flags);

} // namespace linnet::vfs
