// The tables of character and block drivers by device number.
#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <core/mutex.hpp>
#include <lib/array_list.hpp>
#include <vfs/device.hpp>
#include <vfs/file.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

namespace {

struct DriverRange {
    u32 major;
    u32 first_minor;
    u32 count;
    DeviceDriver* driver;
};

class DriverTable {
public:
    Result<void> add(const DriverRange& range) {
        core::MutexGuard guard(lock_);
        for (const DriverRange& other : ranges_)
            if (other.major == range.major && range.first_minor < other.first_minor + other.count &&
                other.first_minor < range.first_minor + range.count)
                return error(Errno::EBUSY);
        return ranges_.try_push(range);
    }
    DeviceDriver* find(DeviceNumber number) {
        core::MutexGuard guard(lock_);
        for (const DriverRange& range : ranges_)
            if (range.major == number.major && number.minor - range.first_minor < range.count) return range.driver;
        return nullptr;
    }

private:
    core::Mutex lock_;
    ArrayList<DriverRange> ranges_;
};

[[clang::no_destroy]] constinit DriverTable character_drivers;
[[clang::no_destroy]] constinit DriverTable block_drivers;
constinit std::atomic<u32> last_anonymous_minor{0};

} // namespace

u64 DeviceNumber::encoded() const { return abi::encode_device(major, minor); }
DeviceNumber DeviceNumber::decode(u64 encoded) { return {abi::device_major(encoded), abi::device_minor(encoded)}; }

Result<void> register_character_device(u32 major, u32 first_minor, u32 count, DeviceDriver& driver) {
    return character_drivers.add({major, first_minor, count, &driver});
}
Result<void> register_block_device(u32 major, u32 first_minor, u32 count, DeviceDriver& driver) {
    return block_drivers.add({major, first_minor, count, &driver});
}

DeviceNumber allocate_anonymous_device() {
    return {0, last_anonymous_minor.fetch_add(1, std::memory_order_relaxed) + 1};
}

Result<RefPtr<File>> open_device(const Path& path, u32 flags) {
    if (path.mount && (path.mount->flags() & abi::MS_NODEV)) return error(Errno::EACCES);
    Inode& inode = *path.inode();
    DeviceNumber number = inode.special_device();
    DeviceDriver* driver = (abi::S_ISCHR(inode.mode()) ? character_drivers : block_drivers).find(number);
    if (!driver) return error(Errno::ENXIO);
    return driver->open(number, path, flags);
}

std::optional<DirectAlignment> direct_alignment_of_block_device(DeviceNumber number) {
    DeviceDriver* driver = block_drivers.find(number);
    return driver ? driver->direct_alignment(number) : std::nullopt;
}

} // namespace linnet::vfs
