// Disks and partitions in /sys.
#pragma once

#include <block/disk.hpp>
#include <lib/format.hpp>

namespace linnet::block {

/// The counts of /sys's `stat` and of /proc/diskstats (Linux, Documentation/admin-guide/iostats).
inline constexpr usize statistics_count = 17;
void get_statistics(const Device& device, std::span<u64, statistics_count> counts);

/// Where the device's own directory is, from the root of /sys on: "devices/…/block/vda/vda1".
std::string_view directory_of(const Device& device, std::span<char> room);
/// Makes that directory with all that is said of the device in it; links to it are made when the device is announced.
/// ENOMEM.
Result<void> add_directory(Device& device);
/// A device's, which is gone.
void remove_directory(const Device& device);

class Loop;
/// What is said of a loop device as long as it has a file. ENOMEM.
Result<void> add_loop_directory(Loop& loop);
void remove_loop_directory(const Disk& disk);

} // namespace linnet::block
