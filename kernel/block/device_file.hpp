// The open file of a block device: a sequence of bytes of a fixed length, seen through the device's page cache.
#pragma once

#include <block/disk.hpp>
#include <vfs/file.hpp>

namespace linnet::block {

class DeviceFile final : public vfs::File {
public:
    DeviceFile(const vfs::Path& path, u32 flags, RefPtr<Device> device, bool is_exclusive)
        : File(path, flags, Positioning::Seekable), device_(std::move(device)), is_exclusive_(is_exclusive) {}
    ~DeviceFile() override { device_->closed(is_exclusive_); }

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<usize> write(vfs::IoBuffer& from, u64 offset) override;
    Result<usize> append(vfs::IoBuffer& from, u64& offset) override;
    Result<u64> seek(u64 position, i64 offset, u32 whence) override;
    Result<long> ioctl(u32 command, u64 argument) override;
    Result<void> sync(SyncKind kind) override;
    bool accepts_direct() override { return true; }
    mm::VmObject* page_cache() override { return &device_->pages(); }
    mm::ReadAhead* read_ahead() override { return &read_ahead_; }
    Result<RefPtr<mm::VmObject>> mmap(const vfs::MapFileRequest& request) override;

private:
    [[nodiscard]] bool is_direct(const vfs::IoBuffer& buffer) const {
        return (status_flags() & abi::O_DIRECT) && buffer.is_user(); // the kernel's own goes through pages
    }
    Result<usize> transfer_directly(Operation operation, vfs::IoBuffer& buffer, u64 offset, usize wanted);
    Result<void> flush_buffers();
    Result<void> change_range(Operation operation, u64 argument);

    RefPtr<Device> device_;
    const bool is_exclusive_;
    mm::ReadAhead read_ahead_;
};

/// What opens the nodes of all disks.
vfs::DeviceDriver& device_driver();

} // namespace linnet::block
