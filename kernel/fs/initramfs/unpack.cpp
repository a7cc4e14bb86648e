// Unpacking the initramfs. The archive may be hostile: names are resolved like any path, and a failure on one
// entry is reported and ends that entry only, as on Linux; only a broken archive ends the whole.
#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <core/log.hpp>
#include <cstring>
#include <fs/initramfs.hpp>
#include <lib/cpio.hpp>
#include <lib/gzip.hpp>
#include <lib/own_ptr.hpp>
#include <mm/kernel_area.hpp>
#include <mm/statistics.hpp>
#include <vfs/operations.hpp>

namespace linnet::fs {

namespace {

/// A file with several names, by where it came from.
struct LinkedFile {
    u32 archive, device_major, device_minor, inode;
    vfs::Path path;
    LinkedFile* next = nullptr;
    bool is_for(const CpioEntry& entry) const {
        return archive == entry.archive && inode == entry.inode && device_major == entry.device_major &&
               device_minor == entry.device_minor;
    }
};

class Unpacker {
public:
    Unpacker() = default;
    Unpacker(const Unpacker&) = delete;
    ~Unpacker() {
        for (LinkedFile* first : linked_)
            while (LinkedFile* file = first) {
                first = file->next;
                delete file;
            }
    }
    Result<void> unpack(const CpioEntry& entry);
    /// Directories get their times last: making files in them changes these.
    void finish_directories();

private:
    static constexpr usize bucket_count = 256;
    struct DirectoryTime {
        vfs::Path path;
        u32 modify_time;
    };
    Result<void> unpack_file(const CpioEntry& entry);
    Result<vfs::Path> make_object(const CpioEntry& entry);
    Result<void> remember(const CpioEntry& entry, const vfs::Path& path);
    LinkedFile* find_linked(const CpioEntry& entry);
    static Result<void> clear_the_way(const CpioEntry& entry);
    static Result<void> write_data(const vfs::Path& path, const CpioEntry& entry);
    static Result<void> set_attributes(const vfs::Path& path, const CpioEntry& entry);

    LinkedFile* linked_[bucket_count] = {};
    ArrayList<DirectoryTime> directories_;
};

vfs::TimeChange time_of(u32 seconds) { return {vfs::TimeChange::Kind::Set, {static_cast<i64>(seconds), 0}}; }

Result<void> Unpacker::set_attributes(const vfs::Path& path, const CpioEntry& entry) {
    TRY(vfs::change_owner(path, entry.uid, entry.gid));
    if (!abi::S_ISLNK(entry.mode)) TRY(vfs::change_mode(path, entry.mode & abi::S_IALLUGO));
    return vfs::change_times(path, time_of(entry.modify_time), time_of(entry.modify_time));
}

/// What has the name already and is of another kind gives way.
Result<void> Unpacker::clear_the_way(const CpioEntry& entry) {
    auto existing = vfs::lookup(entry.name, vfs::lookup_no_follow);
    if (!existing) return {};
    u32 type = existing->inode()->type();
    bool wanted_type = type == (entry.mode & abi::S_IFMT);
    if (wanted_type && (type == abi::S_IFDIR || type == abi::S_IFREG)) return {};
    if (type == abi::S_IFDIR) return vfs::remove_directory(nullptr, entry.name);
    return vfs::unlink(nullptr, entry.name);
}

LinkedFile* Unpacker::find_linked(const CpioEntry& entry) {
    for (LinkedFile* file = linked_[entry.inode % bucket_count]; file; file = file->next)
        if (file->is_for(entry)) return file;
    return nullptr;
}

Result<void> Unpacker::remember(const CpioEntry& entry, const vfs::Path& path) {
    auto file = TRY(try_make<LinkedFile>());
    file->archive = entry.archive;
    file->device_major = entry.device_major;
    file->device_minor = entry.device_minor;
    file->inode = entry.inode;
    file->path = path;
    LinkedFile*& bucket = linked_[entry.inode % bucket_count];
    file->next = bucket;
    bucket = file.release();
    return {};
}

Result<void> Unpacker::write_data(const vfs::Path& path, const CpioEntry& entry) {
    if (entry.data.empty()) return {};
    auto file = TRY(vfs::open_path(path, abi::O_WRONLY | abi::O_TRUNC));
    vfs::IoBuffer buffer = vfs::IoBuffer::kernel(entry.data);
    while (buffer.remaining() > 0)
        if (TRY(vfs::write(file, buffer)) == 0) return error(Errno::EIO);
    return {};
}

Result<vfs::Path> Unpacker::make_object(const CpioEntry& entry) {
    switch (entry.mode & abi::S_IFMT) {
    case abi::S_IFDIR: {
        auto made = vfs::make_directory(nullptr, entry.name, entry.mode & abi::S_IALLUGO);
        if (!made && made.error() != Errno::EEXIST) return error(made.error());
        break;
    }
    case abi::S_IFLNK:
        if (entry.data.size() >= abi::PATH_MAX) return error(Errno::ENAMETOOLONG);
        TRY(vfs::make_symlink({reinterpret_cast<const char*>(entry.data.data()), entry.data.size()}, nullptr,
                              entry.name));
        break;
    case abi::S_IFREG: {
        auto file = TRY(vfs::open(entry.name, abi::O_WRONLY | abi::O_CREAT | abi::O_NOFOLLOW, 0600));
        return file->path();
    }
    default:
        TRY(vfs::make_node(nullptr, entry.name, entry.mode, {entry.special_major, entry.special_minor}));
        break;
    }
    return vfs::lookup(entry.name, vfs::lookup_no_follow);
}

Result<void> Unpacker::unpack(const CpioEntry& entry) {
    TRY(clear_the_way(entry));
    bool may_be_linked = !abi::S_ISDIR(entry.mode) && entry.link_count > 1;
    if (may_be_linked) {
        if (LinkedFile* file = find_linked(entry)) {
            if (vfs::lookup(entry.name, vfs::lookup_no_follow)) TRY(vfs::unlink(nullptr, entry.name));
            TRY(vfs::link(file->path, nullptr, entry.name));
            // The data may come with any of the names.
            if (abi::S_ISREG(entry.mode) && !entry.data.empty()) {
                TRY(write_data(file->path, entry));
                TRY(set_attributes(file->path, entry));
            }
            return {};
        }
    }
    vfs::Path path = TRY(make_object(entry));
    if (abi::S_ISREG(entry.mode)) TRY(write_data(path, entry));
    TRY(set_attributes(path, entry));
    if (may_be_linked) TRY(remember(entry, path));
    if (abi::S_ISDIR(entry.mode)) TRY(directories_.try_push({path, entry.modify_time}));
    return {};
}

void Unpacker::finish_directories() {
    for (const DirectoryTime& directory : directories_)
        (void)vfs::change_times(directory.path, time_of(directory.modify_time), time_of(directory.modify_time));
}

} // namespace

namespace {

/// Memory for a decompressed archive.
struct Decompressed {
    void* memory = nullptr;
    usize size = 0;
    usize consumed = 0; // of the compressed bytes
    Decompressed() = default;
    Decompressed(Decompressed&& other) noexcept
        : memory(std::exchange(other.memory, nullptr)), size(other.size), consumed(other.consumed) {}
    ~Decompressed() {
        if (memory) mm::free_virtual(memory);
    }
    std::span<const u8> bytes() const { return {static_cast<const u8*>(memory), size}; }
};

/// Decompresses the gzip member at the beginning of `input`. Its size is counted first: the format tells it
/// only at the end, which is where the member's own data say.
Result<Decompressed> decompress(std::span<const u8> input) {
    Decompressed result;
    result.size = TRY(measure_gzip(input)).produced;
    if (result.size > mm::memory_statistics().free << arch::page_shift) return error(Errno::ENOMEM);
    result.memory = TRY(mm::allocate_virtual(result.size ? result.size : 1));
    result.consumed = TRY(gunzip(input, {static_cast<u8*>(result.memory), result.size})).consumed;
    return result;
}

/// Unpacks cpio archives up to the end or to something that is none; returns where that is.
Result<usize> unpack_archives(Unpacker& unpacker, std::span<const u8> bytes) {
    CpioReader reader(bytes);
    for (;;) {
        auto entry = reader.next();
        if (!entry) {
            // Between two archives something compressed may begin.
            usize begin = reader.entry_position();
            if (is_gzip(bytes.subspan(begin))) return begin;
            core::log_error("initramfs: broken archive at byte {}", begin);
            return error(entry.error());
        }
        if (!*entry) return bytes.size();
        auto unpacked = unpacker.unpack(**entry);
        if (!unpacked) core::log_warning("initramfs: {}: error {}", (*entry)->name, unpacked.error());
    }
}

Result<void> unpack_all(Unpacker& unpacker, std::span<const u8> bytes) {
    while (!bytes.empty()) {
        if (!is_gzip(bytes)) {
            bytes = bytes.subspan(TRY(unpack_archives(unpacker, bytes)));
            continue;
        }
        auto member = decompress(bytes);
        if (!member) {
            core::log_error("initramfs: damaged gzip data (error {})", member.error());
            return error(member.error());
        }
        if (TRY(unpack_archives(unpacker, member->bytes())) != member->size) return error(Errno::EINVAL);
        bytes = bytes.subspan(member->consumed);
    }
    return {};
}

} // namespace

Result<void> unpack_initramfs(std::span<const u8> archive) {
    auto unpacker = TRY(try_make<Unpacker>());
    auto result = unpack_all(*unpacker, archive);
    unpacker->finish_directories();
    return result;
}

} // namespace linnet::fs
