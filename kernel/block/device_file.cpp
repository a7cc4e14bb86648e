// Block device files: reading and writing through the page cache, positions, ioctls (ioctl_list(2)).
#include "device_file.hpp"

#include <abi/linux/block.hpp>
#include <abi/linux/fs.hpp>
#include <algorithm>
#include <block/direct.hpp>
#include <mm/usercopy.hpp>
#include <vfs/current.hpp>
#include <vfs/page_io.hpp>

namespace linnet::block {

using namespace abi;

namespace {

class BlockDriver final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "block"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber number, const vfs::Path& path, u32 flags) override {
        const bool is_exclusive = (flags & O_EXCL) != 0;
        RefPtr<Device> device = TRY(open_device(number, is_exclusive));
        auto* file = new (std::nothrow) DeviceFile(path, flags, device, is_exclusive);
        if (file) return RefPtr<vfs::File>(adopt_ref(*file));
        device->closed(is_exclusive);
        return error(Errno::ENOMEM);
    }
    std::optional<vfs::DirectAlignment> direct_alignment(vfs::DeviceNumber number) override {
        Disk* const disk = find_disk(number);
        if (!disk) return {};
        return vfs::DirectAlignment{direct_memory_alignment, disk->limits().logical_block};
    }
};
constinit BlockDriver the_driver;

template <typename T>
Result<long> put(u64 argument, T value) {
    TRY((mm::UserPtr<mm::Out, T>(VirtAddr{argument}).copy_out(value)));
    return 0;
}

bool is_manager() { return vfs::current_credentials().has(vfs::Capability::SysAdmin); }

} // namespace

vfs::DeviceDriver& device_driver() { return the_driver; }

/// O_DIRECT. What was moved before something failed counts.
Result<usize> DeviceFile::transfer_directly(Operation operation, vfs::IoBuffer& buffer, u64 offset, usize wanted) {
    const usize block = device_->disk().limits().logical_block;
    if (!is_aligned(offset | wanted, block) || !buffer.is_aligned(direct_memory_alignment, block))
        return error(Errno::EINVAL);
    TRY(device_->pages().write_back(offset, offset + wanted));
    const bool reads = operation == Operation::Read;
    for (usize done = 0; done < wanted;) {
        const auto move = [&](std::span<const Segment> segments) -> Result<void> {
            TRY(device_->transfer(operation, (offset + done) >> sector_shift, segments));
            if (!reads) note_stored(device_->pages(), offset + done, segments);
            return {};
        };
        const auto moved =
            move_directly(buffer, wanted - done, block, reads ? DirectMove::ToMemory : DirectMove::FromMemory, move);
        if (!moved) return done > 0 ? Result<usize>{done} : error(moved.error());
        done += *moved;
    }
    return wanted;
}

Result<usize> DeviceFile::read(vfs::IoBuffer& to, u64 offset) {
    if (is_direct(to)) {
        if (offset >= device_->bytes()) return usize{0};
        const usize wanted = std::min<u64>(to.remaining(), device_->bytes() - offset);
        return transfer_directly(Operation::Read, to, offset, wanted);
    }
    return vfs::read_pages(device_->pages(), device_->bytes(), to, offset, &read_ahead_);
}

Result<usize> DeviceFile::write(vfs::IoBuffer& from, u64 offset) {
    if (device_->is_read_only()) return error(Errno::EPERM);
    if (from.remaining() == 0) return usize{0};
    if (offset >= device_->bytes()) return error(Errno::ENOSPC);
    const usize wanted = std::min<u64>(from.remaining(), device_->bytes() - offset);
    if (is_direct(from)) return transfer_directly(Operation::Write, from, offset, wanted);
    const usize done = TRY(vfs::write_pages(device_->pages(), from, offset, wanted));
    device_->note_written(done);
    return done;
}

/// O_APPEND means nothing to a device, as on Linux.
Result<usize> DeviceFile::append(vfs::IoBuffer& from, u64& offset) { return write(from, offset); }

Result<u64> DeviceFile::seek(u64 position, i64 offset, u32 whence) {
    i64 base = 0;
    if (whence == SEEK_CUR)
        base = static_cast<i64>(position);
    else if (whence == SEEK_END)
        base = static_cast<i64>(device_->bytes());
    else if (whence != SEEK_SET)
        return error(Errno::EINVAL);
    i64 result;
    if (__builtin_add_overflow(base, offset, &result) || result < 0) return error(Errno::EINVAL);
    if (static_cast<u64>(result) > device_->bytes()) return error(Errno::EINVAL);
    return static_cast<u64>(result);
}

Result<void> DeviceFile::sync(SyncKind) { return device_->sync(0, device_->bytes()); }

Result<RefPtr<mm::VmObject>> DeviceFile::mmap(const vfs::MapFileRequest& request) {
    if (request.shared && request.writable && device_->is_read_only()) return error(Errno::EPERM);
    return RefPtr<mm::VmObject>(device_->pages());
}

/// BLKDISCARD and BLKZEROOUT: {offset, length} in bytes, whole blocks.
Result<void> DeviceFile::change_range(Operation operation, u64 argument) {
    if (!is_writable()) return error(Errno::EBADF);
    if (operation == Operation::Discard && device_->disk().limits().discard_sectors == 0)
        return error(Errno::EOPNOTSUPP);
    u64 range[2];
    TRY(mm::copy_from_user(range, VirtAddr{argument}, sizeof range));
    const u64 block = device_->disk().limits().logical_block - 1;
    u64 end;
    if ((range[0] & block) || (range[1] & block) || range[1] == 0) return error(Errno::EINVAL);
    if (__builtin_add_overflow(range[0], range[1], &end) || end > device_->bytes()) return error(Errno::EINVAL);
    if (device_->is_read_only()) return error(Errno::EPERM);
    // What the cache has there is told to the disk first, and then not known any more.
    TRY(device_->pages().write_back(range[0], end));
    device_->pages().punch_hole(range[0], end);
    return device_->command(operation, range[0] >> sector_shift, range[1] >> sector_shift);
}

Result<void> DeviceFile::flush_buffers() {
    if (!is_manager()) return error(Errno::EACCES);
    TRY(device_->sync(0, device_->bytes()));
    device_->pages().drop_clean();
    return {};
}

Result<long> DeviceFile::ioctl(u32 command, u64 argument) {
    const Limits& limits = device_->disk().limits();
    switch (command) {
    case BLKGETSIZE64:
        return put<u64>(argument, device_->bytes());
    case BLKGETSIZE:
        return put<u64>(argument, device_->sectors());
    case BLKSSZGET:
        return put<i32>(argument, static_cast<i32>(limits.logical_block));
    case BLKPBSZGET:
    case BLKIOMIN:
        return put<u32>(argument, limits.physical_block);
    case BLKIOOPT:
    case BLKALIGNOFF:
    case BLKDISCARDZEROES:
        return put<u32>(argument, 0);
    case BLKSECTGET:
        return put<u16>(argument, static_cast<u16>(std::min<u32>(limits.sectors, 0xffff)));
    case BLKRAGET:
    case BLKFRAGET:
        if (argument == 0) return error(Errno::EINVAL);
        return put<long>(argument, long{device_->disk().read_ahead_kb.load()} * (1024 / sector_size));
    case BLKRASET:
    case BLKFRASET:
        if (!is_manager()) return error(Errno::EACCES);
        device_->disk().set_read_ahead(argument / (1024 / sector_size));
        return 0;
    case BLKROTATIONAL:
        return put<u16>(argument, 1);
    case BLKBSZGET:
        return put<i32>(argument, 4096);
    case BLKROGET:
        return put<i32>(argument, device_->is_read_only());
    case BLKROSET: {
        if (!is_manager()) return error(Errno::EACCES);
        device_->set_read_only(TRY((mm::UserPtr<mm::In, i32>(VirtAddr{argument}).copy_in())) != 0);
        return 0;
    }
    case BLKFLSBUF:
        TRY(flush_buffers());
        return 0;
    case BLKRRPART:
        if (device_->index() != 0) return error(Errno::EINVAL);
        if (!is_manager()) return error(Errno::EACCES);
        TRY(device_->sync(0, device_->bytes()));
        TRY(device_->disk().rescan());
        return 0;
    case BLKDISCARD:
        TRY(change_range(Operation::Discard, argument));
        return 0;
    case BLKZEROOUT:
        TRY(change_range(Operation::WriteZeroes, argument));
        return 0;
    default:
        return device_->disk().driver().ioctl(command, argument, is_writable() ? Access::Write : Access::Read);
    }
}

} // namespace linnet::block
