// /dev/null, zero, full, random and urandom: files without state.
#include "memory_devices.hpp"

#include <algorithm>
#include <core/random.hpp>
#include <fs/devtmpfs.hpp>
#include <mm/usercopy.hpp>
#include <mm/vm_object.hpp>
#include <vfs/current.hpp>
#include <vfs/device_nodes.hpp>

namespace linnet::fs {

namespace {

using vfs::IoBuffer;
using vfs::Path;

class MemoryFile : public vfs::File {
public:
    MemoryFile(const Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}
    /// Any position is as good as another (null(4)).
    Result<u64> seek(u64, i64, u32) override { return 0; }
    Result<void> truncate(u64) override { return {}; }
    Result<usize> append(IoBuffer& from, u64& offset) override { return write(from, offset); }
};

usize swallow(IoBuffer& from) { return from.remaining(); }

class NullFile final : public MemoryFile {
public:
    using MemoryFile::MemoryFile;
    Result<usize> read(IoBuffer&, u64) override { return 0; }
    Result<usize> write(IoBuffer& from, u64) override { return swallow(from); }
};

class ZeroFile final : public MemoryFile {
public:
    using MemoryFile::MemoryFile;
    Result<usize> read(IoBuffer& to, u64) override { return to.zero_out(to.remaining()); }
    Result<usize> write(IoBuffer& from, u64) override { return swallow(from); }
    /// Shared: a new piece of anonymous memory; private mappings copy from it.
    Result<RefPtr<mm::VmObject>> mmap(const vfs::MapFileRequest& request) override {
        // A private mapping's own pages are promised to the mapping.
        const auto commitment = request.shared ? mm::VmObject::Commitment::Whole : mm::VmObject::Commitment::None;
        return RefPtr<mm::VmObject>(TRY(mm::AnonObject::create(request.offset + request.length, commitment)));
    }
};

class FullFile final : public MemoryFile {
public:
    using MemoryFile::MemoryFile;
    Result<usize> read(IoBuffer& to, u64) override { return to.zero_out(to.remaining()); }
    Result<usize> write(IoBuffer&, u64) override { return error(Errno::ENOSPC); }
    bool takes_from_pipes() const override { return false; }
};

class RandomFile final : public MemoryFile {
public:
    using MemoryFile::MemoryFile;
    Result<usize> read(IoBuffer& to, u64) override;
    Result<usize> write(IoBuffer& from, u64) override;
    Result<long> ioctl(u32 command, u64 argument) override;
};

Result<usize> RandomFile::read(IoBuffer& to, u64) {
    usize total = 0;
    u8 chunk[256];
    while (to.remaining() > 0) {
        const std::span<u8> part = std::span(chunk).first(std::min(sizeof(chunk), to.remaining()));
        core::random_bytes(part);
        Result<usize> moved = to.copy_out(part);
        if (!moved && total == 0) return moved;
        total += moved.value_or(0);
        if (!moved || *moved < part.size()) break;
    }
    return total;
}

/// What users write is mixed in, but not trusted.
Result<usize> RandomFile::write(IoBuffer& from, u64) {
    usize total = 0;
    u8 chunk[256];
    while (from.remaining() > 0) {
        Result<usize> moved = from.copy_in(std::span(chunk).first(std::min(sizeof(chunk), from.remaining())));
        if (!moved && total == 0) return moved;
        if (!moved) break;
        core::add_entropy(std::span<const u8>(chunk).first(*moved), 0);
        total += *moved;
    }
    return total;
}

Result<long> RandomFile::ioctl(u32 command, u64 argument) {
    constexpr u32 RNDGETENTCNT = 0x80045200, RNDADDTOENTCNT = 0x40045201, RNDADDENTROPY = 0x40085203,
                  RNDZAPENTCNT = 0x5204, RNDCLEARPOOL = 0x5206, RNDRESEEDCRNG = 0x5207;
    constexpr i32 pool_bits = 256;
    const auto is_admin = [] { return vfs::current_credentials().has(vfs::Capability::SysAdmin); };
    switch (command) {
    case RNDGETENTCNT: {
        const i32 bits = core::random_is_seeded() ? pool_bits : 0;
        TRY((mm::UserPtr<mm::Out, i32>(VirtAddr{argument}).copy_out(bits)));
        return 0;
    }
    case RNDADDENTROPY: {
        if (!is_admin()) return error(Errno::EPERM);
        struct Header {
            i32 bits;
            i32 size;
        };
        const Header header = TRY((mm::UserPtr<mm::In, Header>(VirtAddr{argument}).copy_in()));
        if (header.bits < 0 || header.size < 0) return error(Errno::EINVAL);
        u8 bytes[256];
        const usize size = std::min<usize>(static_cast<usize>(header.size), sizeof(bytes));
        TRY(mm::copy_from_user(bytes, VirtAddr{argument + sizeof(Header)}, size));
        core::add_entropy(std::span<const u8>(bytes).first(size),
                          std::min(static_cast<u32>(header.bits), static_cast<u32>(size * 8)));
        return 0;
    }
    case RNDADDTOENTCNT:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        // Credit without bytes is not believed; the pool has nothing to clear.
        return is_admin() ? Result<long>(0) : error(Errno::EPERM);
    default:
        return error(Errno::EINVAL);
    }
}

template <typename Kind>
Result<RefPtr<vfs::File>> make(const Path& path, u32 flags) {
    auto* file = new (std::nothrow) Kind(path, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<vfs::File>::adopt(*file);
}

constexpr u32 memory_major = 1;

struct MemoryDevice {
    const char* name;
    u32 minor;
    u32 permissions;
    Result<RefPtr<vfs::File>> (*open)(const Path& path, u32 flags);
};
constexpr MemoryDevice devices[] = {
    {"null", 3, 0666, make<NullFile>},     {"zero", 5, 0666, make<ZeroFile>},      {"full", 7, 0666, make<FullFile>},
    {"random", 8, 0666, make<RandomFile>}, {"urandom", 9, 0666, make<RandomFile>}, {"kmsg", 11, 0644, open_kernel_log},
};

class MemoryDriver final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "mem"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber number, const Path& path, u32 flags) override {
        for (const MemoryDevice& device : devices)
            if (device.minor == number.minor) return device.open(path, flags);
        return error(Errno::ENXIO);
    }
};
constinit MemoryDriver memory_driver;

} // namespace

Result<void> register_memory_devices() {
    for (const MemoryDevice& device : devices) {
        const vfs::DeviceNumber number{memory_major, device.minor};
        TRY(vfs::register_character_device(number.major, number.minor, 1, memory_driver));
        TRY(vfs::announce_device(device.name, abi::S_IFCHR | device.permissions, number, "mem"));
    }
    return {};
}

} // namespace linnet::fs
