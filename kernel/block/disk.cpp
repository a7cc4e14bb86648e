// Disks: their list, their devices, and /proc/partitions.
#include "device_file.hpp"
#include "loop.hpp"
#include "partition_table.hpp"
#include "sysfs.hpp"

#include <abi/linux/stat.hpp>
#include <algorithm>
#include <block/disk.hpp>
#include <core/log.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::block {

namespace {

/// In the order in which they were found. It only grows, so whoever reads it takes no lock; drivers find disks one
/// after the other.
constinit std::atomic<Disk*> first_disk{nullptr};
constinit core::WaitQueue disk_waiters; // of wait_for_disk()

/// Calls `show` for each device of each disk.
void for_each_device(FunctionRef<void(Device& device, std::string_view name)> show) {
    for_each_disk([&](Disk& disk) {
        ArrayList<RefPtr<Device>> devices;
        if (!disk.devices(devices)) return;
        for (const RefPtr<Device>& device : devices.span()) {
            char name[24];
            const usize length = device->name(name);
            show(*device, {name, length});
        }
    });
}

/// proc(5). No header where there is nothing under it, as on Linux.
Result<void> show_partitions(TextSink sink) {
    bool is_first = true;
    for_each_device([&](Device& device, std::string_view name) {
        if (is_first && device.sectors() != 0) sink("major minor  #blocks  name\n\n");
        if (device.sectors() == 0) return;
        is_first = false;
        format_to(sink, "{4}  {7} {10} {}\n", device.number().major, device.number().minor, device.sectors() / 2, name);
    });
    return {};
}

Result<void> show_statistics(TextSink sink) {
    for_each_device([&](Device& device, std::string_view name) {
        format_to(sink, "{4} {7} {}", device.number().major, device.number().minor, name);
        u64 counts[statistics_count];
        get_statistics(device, counts);
        for (u64 count : counts) format_to(sink, " {}", count);
        sink("\n");
    });
    return {};
}

constinit std::atomic<u32> disks_made{0};

} // namespace

Disk::Disk(const Place& place, Driver& driver, u64 sectors, const Limits& limits)
    : carrier_bus_(place.carrier_bus), sequence_number_(disks_made.fetch_add(1) + 1), driver_(driver),
      major_(place.major), first_minor_(place.first_minor), partition_major_(place.partition_major),
      first_partition_minor_(place.first_partition_minor), sectors_(sectors), limits_(limits) {
    std::ranges::copy(place.name.substr(0, sizeof name_ - 1), name_);
    std::ranges::copy(place.parent.substr(0, sizeof parent_ - 1), parent_);
}

vfs::DeviceNumber Disk::number_of(u32 index) const {
    if (index > 0 && has_own_partition_numbers()) return {partition_major_, first_partition_minor_ + index - 1};
    return {major_, first_minor_ + index};
}

std::optional<u32> Disk::index_of(vfs::DeviceNumber number) const {
    const u32 own = has_own_partition_numbers() ? 1 : minors;
    if (number.major == major_ && number.minor - first_minor_ < own) return number.minor - first_minor_;
    if (has_own_partition_numbers() && number.major == partition_major_ &&
        number.minor - first_partition_minor_ < minors - 1)
        return number.minor - first_partition_minor_ + 1;
    return {};
}

Result<void> Disk::register_numbers() {
    if (!has_own_partition_numbers()) return vfs::register_block_device(major_, first_minor_, minors, device_driver());
    TRY(vfs::register_block_device(major_, first_minor_, 1, device_driver()));
    return vfs::register_block_device(partition_major_, first_partition_minor_, minors - 1, device_driver());
}

void Disk::opener_gone() {
    if (openers_.fetch_sub(1) != 1) return;
    core::MutexGuard guard(devices_lock_);
    if (openers() == 0) driver_.all_closed();
}

void Disk::set_read_ahead(u64 kilobytes) {
    constexpr u64 most = u64{1} << 30;
    read_ahead_kb.store(static_cast<u32>(align_down(std::min(kilobytes, most), arch::page_size / 1024)));
}

void Disk::resize(u64 sectors) {
    sectors_.store(sectors, std::memory_order_relaxed);
    if (devices_[0]) devices_[0]->set_sectors(sectors);
}

Result<void> Disk::forget_pages() {
    for (NullableRefPtr<Device>& device : devices_)
        if (device) TRY(device->forget_pages());
    return {};
}

void Disk::withdraw() {
    remove_partitions();
    if (!devices_[0]) return;
    is_there_.store(false);
    vfs::withdraw_device(name());
    remove_directory(*devices_[0]);
    devices_[0] = nullptr;
}

Result<RefPtr<Device>> Disk::open(u32 index, bool is_exclusive) {
    // Looked up and opened as one, for a partition that is not open may go.
    core::MutexGuard guard(devices_lock_);
    if (!devices_[index]) return error(Errno::ENXIO);
    RefPtr<Device> device(*devices_[index]);
    TRY(device->opened(is_exclusive));
    return device;
}

Result<void> Disk::devices(ArrayList<RefPtr<Device>>& found) {
    core::MutexGuard guard(devices_lock_);
    for (const NullableRefPtr<Device>& device : devices_)
        if (device) TRY(found.try_push(RefPtr<Device>(*device)));
    return {};
}

Result<void> Disk::add_device(u32 index, u64 first_sector, u64 sectors, const PartitionName& partition_name) {
    RefPtr<Device> device =
        adopt_ref(*TRY(try_make<Device>(*this, index, first_sector, sectors, partition_name)).release());
    char name[24];
    const usize length = device->name(name);
    TRY(add_directory(*device)); // first, for who hears of the device may look
    char directory[128];
    TRY(vfs::announce_device({name, length}, abi::S_IFBLK | 0660, device->number(), "block",
                             directory_of(*device, directory)));
    devices_[index] = NullableRefPtr<Device>(std::move(device));
    return {};
}

/// The lock of the devices is held, but for the start.
Result<void> Disk::add_partitions() {
    Device& whole = *devices_[0];
    auto page = TRY(mm::allocate_page(mm::PageZeroing::Zeroed, mm::PageKind::Kernel));
    auto read = [&](u64 offset, std::span<u8> bytes) -> Result<void> {
        while (!bytes.empty()) {
            const usize size = std::min(bytes.size(), arch::page_size);
            const Segment segment{page.address(), static_cast<u32>(size)};
            TRY(whole.transfer(Operation::Read, offset >> sector_shift, {&segment, 1}));
            std::ranges::copy(std::span(page.data<u8>(), size), bytes.begin());
            offset += size;
            bytes = bytes.subspan(size);
        }
        return {};
    };
    ArrayList<Partition> found = TRY(read_partition_table(read, sectors(), limits_.logical_block));
    for (const Partition& partition : found.span())
        if (!devices_[partition.index])
            TRY(add_device(partition.index, partition.first_sector, partition.sectors, partition.name));
    return {};
}

Result<void> Disk::start() {
    core::MutexGuard guard(devices_lock_);
    TRY(add_device(0, 0, sectors(), {}));
    is_there_.store(true);
    if (sectors() == 0) return {};
    if (Result<void> result = add_partitions(); !result)
        core::log_warning("{}: its partition table can't be read ({})", name(), result.error());
    return {};
}

Result<void> Disk::rescan() {
    core::MutexGuard guard(devices_lock_);
    return rescan_locked();
}

Result<void> Disk::rescan_locked() {
    for (u32 index = 1; index < minors; ++index)
        if (devices_[index] && devices_[index]->is_open()) return error(Errno::EBUSY);
    remove_partitions();
    return add_partitions();
}

void Disk::remove_partitions() {
    for (u32 index = 1; index < minors; ++index) {
        if (!devices_[index]) continue;
        char name[24];
        const usize length = devices_[index]->name(name);
        vfs::withdraw_device({name, length});
        remove_directory(*devices_[index]);
        devices_[index] = nullptr;
    }
}

Result<void> add_disk(Disk& disk) {
    TRY(disk.register_numbers());
    TRY(disk.start());
    std::atomic<Disk*>* end = &first_disk;
    while (Disk* before = end->load(std::memory_order_relaxed)) end = &before->next;
    end->store(&disk, std::memory_order_release);
    disk_waiters.wake_all();
    if (disk.sectors() == 0) return {};
    core::log_info("{}: {} MiB, blocks of {} bytes{}", disk.name(), disk.sectors() >> (20 - sector_shift),
                   disk.limits().logical_block, disk.limits().is_read_only ? ", read-only" : "");
    return {};
}

bool wait_for_disk(FunctionRef<bool()> is_there, core::Deadline deadline) {
    return core::wait_until(disk_waiters, core::Sleep::Deep, deadline, is_there) == core::WaitResult::Ready;
}

void for_each_disk(FunctionRef<void(Disk&)> visit) {
    for (Disk* disk = first_disk.load(std::memory_order_acquire); disk;
         disk = disk->next.load(std::memory_order_acquire))
        visit(*disk);
}

void sync_devices() {
    for_each_device([](Device& device, std::string_view) { device.sync_if_open(); });
}

Disk* find_disk(vfs::DeviceNumber number) {
    Disk* found = nullptr;
    for_each_disk([&](Disk& disk) {
        if (disk.index_of(number)) found = &disk;
    });
    return found;
}

Result<RefPtr<Device>> open_device(vfs::DeviceNumber number, bool is_exclusive) {
    Disk* const found = find_disk(number);
    if (!found) return error(Errno::ENXIO);
    return found->open(*found->index_of(number), is_exclusive);
}

Result<void> initialise() {
    vfs::pseudo::Directory& proc = vfs::pseudo::proc().root();
    TRY(proc.add_text("partitions", show_partitions));
    TRY(proc.add_text("diskstats", show_statistics));
    return start_loop_control();
}

} // namespace linnet::block
