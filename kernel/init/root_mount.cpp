// Mounting what root= names over the root in memory.
//
// The messages are Linux's, because people search for them.
#include "root_mount.hpp"

#include "root_device.hpp"

#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <block/disk.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/time.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>

namespace linnet::init {
namespace {

using vfs::DeviceNumber;

/// In the root in memory: the device's node, and where the root is mounted before it is moved.
constexpr std::string_view device_node = "/dev/root", place_of_root = "/root";

/// Number in hexadecimal, KiB, name and id of every device.
void log_partitions() {
    block::for_each_disk([](block::Disk& disk) {
        ArrayList<RefPtr<block::Device>> devices;
        if (!disk.devices(devices)) return;
        for (const RefPtr<block::Device>& device : devices.span()) {
            char name[24];
            const usize length = device->name(name);
            const DeviceNumber number = device->number();
            core::log_error("{}{02x}{02x}      {10} {} {}", device->index() == 0 ? "" : "  ", number.major,
                            number.minor, device->sectors() / 2, std::string_view(name, length),
                            std::string_view(device->partition_name().uuid));
        }
    });
}

[[noreturn]] void give_up(DeviceNumber number) {
    core::panic("VFS: Unable to mount root fs on unknown-block({},{})", number.major, number.minor);
}

[[noreturn]] void cannot_open(std::string_view name, DeviceNumber number, Errno code) {
    core::log_error("VFS: Cannot open root device \"{}\" or unknown-block({},{}): error -{}", name, number.major,
                    number.minor, static_cast<int>(code));
    core::log_error("Please append a correct \"root=\" boot option; here are the available partitions:");
    log_partitions();
    core::log_error("List of all bdev filesystems:");
    vfs::for_each_file_system([](vfs::FileSystemType& type) {
        if (type.needs_device()) core::log_error(" {}", type.name());
    });
    give_up(number);
}

/// The device's number; 0:0 when there is none.
DeviceNumber await_device(const RootOptions& options) {
    if (options.delay_seconds > 0) {
        core::log_info("Waiting {} sec before mounting root device...", options.delay_seconds);
        core::sleep_for(static_cast<u64>(options.delay_seconds) * core::ns_per_second);
    }
    const auto is_there = [&] {
        const std::optional<DeviceNumber> number = find_root_device(options.device);
        return number && has_device(*number);
    };
    if (options.waits && !options.device.empty() && !is_there()) {
        core::log_info("Waiting for root device {}...", options.device);
        const auto deadline = options.wait_seconds > 0
                                  ? core::Deadline::after(static_cast<u64>(options.wait_seconds) * core::ns_per_second)
                                  : core::Deadline::never();
        if (!block::wait_for_disk(is_there, deadline))
            core::log_error("Timeout waiting for root device {}", options.device);
    }
    return find_root_device(options.device).value_or(DeviceNumber{0, 0});
}

/// The first type of `types` (of all, where that is empty) that takes the device; EINVAL when none does.
Result<vfs::FileSystemType*> mount_some_type(const RootOptions& options, const vfs::Path& place, u64 flags) {
    Result<vfs::FileSystemType*> outcome = error(Errno::EINVAL);
    const auto is_final = [&] {
        return outcome || (outcome.error() != Errno::EINVAL && outcome.error() != Errno::EACCES);
    };
    const auto attempt = [&](std::string_view name, vfs::FileSystemType* type) {
        const Result<void> mounted = vfs::mount(device_node, place, name, flags, options.flags);
        outcome = mounted ? Result<vfs::FileSystemType*>(type) : error(mounted.error());
    };
    if (options.types.empty()) {
        vfs::FileSystemType* candidates[16];
        usize count = 0; // collected first, for mounting looks into the list, too
        vfs::for_each_file_system([&](vfs::FileSystemType& type) {
            if (type.needs_device() && count < std::size(candidates)) candidates[count++] = &type;
        });
        for (usize i = 0; i < count && !is_final(); ++i) attempt(candidates[i]->name(), candidates[i]);
        return outcome;
    }
    for (std::string_view rest = options.types; !rest.empty() && !is_final();) {
        const std::string_view name = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(name.size() + 1, rest.size()));
        attempt(name, vfs::find_file_system(name));
    }
    return outcome;
}

void log_tried_types(const RootOptions& options) {
    char names[128];
    usize length = 0;
    const auto add = [&](std::string_view name) {
        length += format_into(std::span(names).subspan(length), length == 0 ? "{}" : " {}", name).size();
    };
    if (!options.types.empty())
        add(options.types);
    else
        vfs::for_each_file_system([&](vfs::FileSystemType& type) {
            if (type.needs_device()) add(type.name());
        });
    core::log_error("No filesystem could mount root, tried: {}", std::string_view(names, length));
}

void mount_device(const RootOptions& options, DeviceNumber number) {
    if (Result<void> made = vfs::make_node(nullptr, device_node, abi::S_IFBLK | 0600, number); !made)
        cannot_open(options.device, number, made.error());
    Result<vfs::Path> place = vfs::lookup(place_of_root);
    if (!place) cannot_open(options.device, number, place.error());
    if (!has_device(number)) cannot_open(options.device, number, Errno::ENXIO);
    u64 flags = options.is_read_only ? abi::MS_RDONLY : 0;
    Result<vfs::FileSystemType*> type = mount_some_type(options, *place, flags);
    const auto cannot_write = [&] { return type.error() == Errno::EACCES || type.error() == Errno::EROFS; };
    if (!type && !options.is_read_only && cannot_write()) {
        flags |= abi::MS_RDONLY;
        type = mount_some_type(options, *place, flags);
    }
    if (!type && type.error() == Errno::EINVAL) {
        core::log_error("List of all partitions:");
        log_partitions();
        log_tried_types(options);
        give_up(number);
    }
    if (!type) cannot_open(options.device, number, type.error());
    core::log_info("VFS: Mounted root ({} filesystem){} on device {}:{}.", (*type)->name(),
                   flags & abi::MS_RDONLY ? " readonly" : "", number.major, number.minor);
}

/// So that a root whose init expects device files there has them (Linux: CONFIG_DEVTMPFS_MOUNT).
void mount_devices() {
    Result<vfs::Path> place = vfs::lookup("/root/dev");
    Result<void> mounted = place ? vfs::mount("devtmpfs", *place, "devtmpfs", 0, {}) : error(place.error());
    if (mounted)
        core::log_info("devtmpfs: mounted");
    else
        core::log_info("devtmpfs: error mounting -{}", static_cast<int>(mounted.error()));
}

/// What is mounted at place_of_root becomes the root of everybody, as switch_root(8) would make it.
Result<void> enter_root() {
    vfs::Path root = TRY(vfs::lookup(place_of_root));
    TRY(vfs::MountTable::move(root, TRY(vfs::lookup("/"))));
    RefPtr<vfs::FsContext> context = vfs::initial_fs();
    context->set_root(root);
    context->set_working_directory(root);
    return {};
}

} // namespace

void mount_root(const RootOptions& options) {
    mount_device(options, await_device(options));
    mount_devices();
    MUST(enter_root()); // it has just been mounted, over a root that nobody else uses
}

} // namespace linnet::init
