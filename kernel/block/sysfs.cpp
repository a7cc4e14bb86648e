// Disks and partitions in /sys (Linux, Documentation/ABI/stable/sysfs-block): one file a fact. What this kernel has no
// answer to has no file.
#include "sysfs.hpp"

#include "loop.hpp"

#include <abi/linux/stat.hpp>
#include <algorithm>
#include <core/thread.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::block {

namespace {

using vfs::pseudo::Directory;
using vfs::pseudo::Node;
using vfs::pseudo::TextNode;

/// A fact as text, without the end of the line.
struct Attribute {
    const char* name;
    void (*show)(const Device& device, TextSink sink);
    /// Where it can be set: to a number.
    void (*set)(Device& device, u64 value) = nullptr;
};

class AttributeText final : public TextNode {
public:
    AttributeText(Device& device, const Attribute& attribute)
        : TextNode(vfs::pseudo::sys().superblock(), vfs::pseudo::sys().next_inode_number(),
                   abi::S_IFREG | (attribute.set ? 0644 : 0444)),
          device_(device), attribute_(attribute) {}
    Result<void> show(TextSink sink) override {
        attribute_.show(*device_, sink);
        return {};
    }
    Result<void> store(std::string_view text) override {
        if (!attribute_.set) return error(Errno::EIO);
        attribute_.set(*device_, TRY(vfs::pseudo::parse_number(text)));
        return {};
    }

private:
    const RefPtr<Device> device_;
    const Attribute& attribute_;
};

template <u64 Value>
void put_constant(const Device&, TextSink sink) {
    format_to(sink, "{}\n", Value);
}
void put_nothing(const Device&, TextSink) {}

// ---- of disks and partitions ----

void put_number(const Device& device, TextSink sink) {
    format_to(sink, "{}:{}\n", device.number().major, device.number().minor);
}
void put_size(const Device& device, TextSink sink) { format_to(sink, "{}\n", device.sectors()); }
void put_read_only(const Device& device, TextSink sink) { sink(device.is_read_only() ? "1\n" : "0\n"); }
void put_in_flight(const Device& device, TextSink sink) {
    format_to(sink, "{8} {8}\n", device.in_flight(Operation::Read), device.in_flight(Operation::Write));
}
void put_statistics(const Device& device, TextSink sink) {
    u64 counts[statistics_count];
    get_statistics(device, counts);
    std::string_view gap;
    for (u64 count : counts) {
        sink(gap);
        format_to(sink, "{8}", count);
        gap = " ";
    }
    sink("\n");
}
void put_event(const Device& device, TextSink sink) {
    char name[24];
    const usize length = device.name(name);
    format_to(sink, "MAJOR={}\nMINOR={}\nDEVNAME={}\nDEVTYPE={}\nDISKSEQ={}\n", device.number().major,
              device.number().minor, std::string_view(name, length), device.index() == 0 ? "disk" : "partition",
              device.disk().sequence_number());
    if (device.index() == 0) return;
    format_to(sink, "PARTN={}\n", device.index());
    const std::string_view label(device.partition_name().label);
    if (!label.empty()) format_to(sink, "PARTNAME={}\n", label);
}

constexpr Attribute common[] = {
    {"alignment_offset", put_constant<0>},
    {"dev", put_number},
    {"discard_alignment", put_constant<0>},
    {"inflight", put_in_flight},
    {"ro", put_read_only},
    {"size", put_size},
    {"stat", put_statistics},
    {"uevent", put_event},
};

// ---- of partitions ----

constexpr Attribute of_partition[] = {
    {"partition", [](const Device& device, TextSink sink) { format_to(sink, "{}\n", device.index()); }},
    {"start", [](const Device& device, TextSink sink) { format_to(sink, "{}\n", device.first_sector()); }},
};

// ---- of disks ----

void put_cache(const Device& device, TextSink sink) {
    sink(device.disk().limits().has_write_cache ? "write back\n" : "write through\n");
}

constexpr Attribute of_disk[] = {
    {"cache_type", put_cache},
    {"capability", put_constant<0>},
    {"diskseq", [](const Device& device, TextSink sink) { format_to(sink, "{}\n", device.disk().sequence_number()); }},
    {"events", put_nothing}, // it never tells of a change of the medium
    {"events_async", put_nothing},
    {"events_poll_msecs", [](const Device&, TextSink sink) { sink("-1\n"); }},
    {"ext_range", put_constant<Disk::minors>},
    {"hidden", put_constant<0>},
    {"partscan", put_constant<1>},
    {"range",
     [](const Device& device, TextSink sink) {
         format_to(sink, "{}\n", device.disk().has_own_partition_numbers() ? 1 : Disk::minors);
     }},
    {"removable", put_constant<0>},
};

// ---- of a disk's queue ----

template <auto Limits::* Limit, u64 Factor = 1, u64 Divisor = 1>
void put_limit(const Device& device, TextSink sink) {
    format_to(sink, "{}\n", u64{device.disk().limits().*Limit} * Factor / Divisor);
}
void put_discard_granularity(const Device& device, TextSink sink) {
    const Limits& limits = device.disk().limits();
    format_to(sink, "{}\n", limits.discard_sectors ? limits.logical_block : 0);
}

constexpr u64 kilobyte = 1024;
constexpr Attribute of_queue[] = {
    {"add_random", put_constant<0>},
    {"chunk_sectors", put_constant<0>},
    {"dax", put_constant<0>},
    {"discard_granularity", put_discard_granularity},
    {"discard_max_bytes", put_limit<&Limits::discard_sectors, sector_size>},
    {"discard_max_hw_bytes", put_limit<&Limits::discard_sectors, sector_size>},
    {"discard_zeroes_data", put_constant<0>},
    {"fua", put_constant<0>},
    {"hw_sector_size", put_limit<&Limits::logical_block>},
    {"iostats", put_constant<1>},
    {"logical_block_size", put_limit<&Limits::logical_block>},
    {"max_discard_segments", put_constant<1>},
    {"max_hw_sectors_kb", put_limit<&Limits::sectors, sector_size, kilobyte>},
    {"max_sectors_kb", put_limit<&Limits::sectors, sector_size, kilobyte>},
    {"max_segments", put_limit<&Limits::segments>},
    {"minimum_io_size", put_limit<&Limits::physical_block>},
    {"nr_zones", put_constant<0>},
    {"optimal_io_size", put_constant<0>},
    {"physical_block_size", put_limit<&Limits::physical_block>},
    {"read_ahead_kb",
     [](const Device& device, TextSink sink) { format_to(sink, "{}\n", device.disk().read_ahead_kb.load()); },
     [](Device& device, u64 value) { device.disk().set_read_ahead(value); }},
    {"rotational", put_constant<1>}, // as Linux says of a disk that doesn't tell
    {"scheduler", [](const Device&, TextSink sink) { sink("[none] \n"); }},
    {"write_cache", put_cache},
    {"write_same_max_bytes", put_constant<0>},
    {"write_zeroes_max_bytes", put_limit<&Limits::zero_sectors, sector_size>},
    {"zoned", [](const Device&, TextSink sink) { sink("none\n"); }},
};

constexpr Attribute of_queue_with_entries[] = {
    {"nr_requests", put_limit<&Limits::queue_entries>},
};

Result<void> add_all(Directory& directory, Device& device, std::span<const Attribute> attributes) {
    for (const Attribute& attribute : attributes) {
        auto* text = new (std::nothrow) AttributeText(device, attribute);
        if (!text) return error(Errno::ENOMEM);
        TRY(directory.add(attribute.name, RefPtr<Node>::adopt(*text)));
    }
    return {};
}

/// A link to `target`, a path from the root of /sys on, in the directory of that depth.
Result<void> add_link(Directory& directory, std::string_view name, usize depth, std::string_view target) {
    char text[128];
    usize length = 0;
    for (; depth > 0; --depth) length += format_into(std::span(text).subspan(length), "../").size();
    length += format_into(std::span(text).subspan(length), "{}", target).size();
    Result<void> result = directory.add_symlink(name, {text, length});
    if (!result && result.error() == Errno::EEXIST) return {}; // of another disk of the same device
    return result;
}

usize depth_of(std::string_view path) { return 1 + static_cast<usize>(std::ranges::count(path, '/')); }

/// Says of which bus the device is whose directory is `path`, and shows it there.
Result<void> add_to_bus(std::string_view path, std::string_view bus) {
    Directory& root = vfs::pseudo::sys().root();
    char place[32];
    const std::string_view directory = format_into(place, "bus/{}", bus);
    TRY(add_link(*TRY(root.add_path(path)), "subsystem", depth_of(path), directory));
    RefPtr<Directory> devices = TRY(TRY(root.add_path(directory))->add_directory("devices"));
    return add_link(*devices, path.substr(path.rfind('/') + 1), 3, path);
}

/// What the disk hangs on, and what carries that.
Result<void> add_parent(Directory& directory, const Disk& disk) {
    char room[128];
    const std::string_view path = format_into(room, "devices/{}", disk.parent());
    const usize slash = path.rfind('/');
    TRY(add_to_bus(path, "virtio"));
    TRY(add_to_bus(path.substr(0, slash), disk.carrier_bus()));
    char target[64];
    return directory.add_symlink("device", format_into(target, "../../../{}", path.substr(slash + 1)));
}

// ---- of the queues of the disk itself ----

/// Which CPUs use a queue: "0, 4".
class CpuListText final : public TextNode {
public:
    CpuListText(u32 queue, u32 queues)
        : TextNode(vfs::pseudo::sys().superblock(), vfs::pseudo::sys().next_inode_number(), abi::S_IFREG | 0444),
          queue_(queue), queues_(queues) {}
    Result<void> show(TextSink sink) override {
        for (u32 cpu = queue_; cpu < core::cpu_count(); cpu += queues_)
            format_to(sink, "{}{}", cpu == queue_ ? "" : ", ", cpu);
        sink("\n");
        return {};
    }

private:
    const u32 queue_, queues_;
};

constexpr Attribute of_hardware_queue[] = {
    {"nr_reserved_tags", put_constant<0>},
    {"nr_tags", put_limit<&Limits::queue_entries>},
};

Result<void> add_queues(Directory& directory, Device& whole) {
    const Limits& limits = whole.disk().limits();
    RefPtr<Directory> queues = TRY(directory.add_directory("mq"));
    for (u32 i = 0; i < limits.queues; ++i) {
        char name[12];
        RefPtr<Directory> queue = TRY(queues->add_directory(format_into(name, "{}", i)));
        TRY(add_all(*queue, whole, of_hardware_queue));
        auto* cpus = new (std::nothrow) CpuListText(i, limits.queues);
        if (!cpus) return error(Errno::ENOMEM);
        TRY(queue->add("cpu_list", RefPtr<Node>::adopt(*cpus)));
    }
    return {};
}

Result<void> add_disk_parts(Directory& directory, Device& whole) {
    TRY(add_all(directory, whole, of_disk));
    RefPtr<Directory> queue = TRY(directory.add_directory("queue"));
    TRY(add_all(*queue, whole, of_queue));
    if (whole.disk().limits().queue_entries != 0) {
        TRY(add_all(*queue, whole, of_queue_with_entries));
        TRY(add_queues(directory, whole));
    }
    TRY(directory.add_directory("slaves"));
    if (!whole.disk().carrier_bus().empty()) TRY(add_parent(directory, whole.disk()));
    char room[128];
    RefPtr<Directory> disks = TRY(vfs::pseudo::sys().root().add_path("block"));
    return add_link(*disks, whole.disk().name(), 1, directory_of(whole, room));
}

} // namespace

void get_statistics(const Device& device, std::span<u64, statistics_count> counts) {
    usize at = 0;
    u64 total_ms = 0;
    auto put = [&](Operation operation) {
        const RequestCounts& of = device.counts(operation);
        const u64 ms = of.nanoseconds.load(std::memory_order_relaxed) / 1'000'000;
        total_ms += ms;
        for (u64 count : {of.requests.load(std::memory_order_relaxed), of.merged.load(std::memory_order_relaxed),
                          of.sectors.load(std::memory_order_relaxed), ms})
            counts[at++] = count;
    };
    put(Operation::Read);
    put(Operation::Write);
    const usize busy = at + 1;
    at += 3;
    put(Operation::Discard);
    const RequestCounts& flushes = device.counts(Operation::Flush);
    counts[at++] = flushes.requests.load(std::memory_order_relaxed);
    const u64 flush_ms = flushes.nanoseconds.load(std::memory_order_relaxed) / 1'000'000;
    counts[at++] = flush_ms;
    counts[busy - 1] = device.in_flight();
    counts[busy] = device.busy_ns() / 1'000'000;
    counts[busy + 1] = total_ms + flush_ms;
}

std::string_view directory_of(const Device& device, std::span<char> room) {
    const Disk& disk = device.disk();
    if (device.index() == 0) return format_into(room, "devices/{}/block/{}", disk.parent(), disk.name());
    char name[24];
    const usize length = device.name(name);
    return format_into(room, "devices/{}/block/{}/{}", disk.parent(), disk.name(), std::string_view(name, length));
}

Result<void> add_directory(Device& device) {
    char room[128];
    const std::string_view path = directory_of(device, room);
    RefPtr<Directory> directory = TRY(vfs::pseudo::sys().root().add_path(path));
    TRY(add_all(*directory, device, common));
    TRY(directory->add_directory("holders"));
    TRY(add_link(*directory, "subsystem", depth_of(path), "class/block"));
    if (device.index() == 0) return add_disk_parts(*directory, device);
    return add_all(*directory, device, of_partition);
}

void remove_directory(const Device& device) {
    char room[128];
    const std::string_view path = directory_of(device, room);
    const usize slash = path.rfind('/');
    Result<RefPtr<Directory>> disk = vfs::pseudo::sys().root().add_path(path.substr(0, slash));
    if (disk) (void)(*disk)->remove(path.substr(slash + 1)); // it isn't there when there was no memory for it
    if (device.index() > 0) return;
    Result<RefPtr<Directory>> disks = vfs::pseudo::sys().root().add_path("block");
    if (disks) (void)(*disks)->remove(device.disk().name());
}

// ---- of loop devices that have a file ----

namespace {

void put_file(Loop& loop, TextSink sink) {
    NullableRefPtr<vfs::File> file = loop.file();
    if (!file) return;
    file->format_name(sink);
    sink("\n");
}
template <u32 Flag>
void put_flag(Loop& loop, TextSink sink) {
    sink(loop.has_flag(Flag) ? "1\n" : "0\n");
}

struct LoopAttribute {
    const char* name;
    void (*show)(Loop& loop, TextSink sink);
};
constexpr LoopAttribute of_loop[] = {
    {"autoclear", put_flag<abi::LO_FLAGS_AUTOCLEAR>},
    {"backing_file", put_file},
    {"dio", put_flag<abi::LO_FLAGS_DIRECT_IO>},
    {"offset", [](Loop& loop, TextSink sink) { format_to(sink, "{}\n", loop.offset()); }},
    {"partscan", put_flag<abi::LO_FLAGS_PARTSCAN>},
    {"sizelimit", [](Loop& loop, TextSink sink) { format_to(sink, "{}\n", loop.size_limit()); }},
};

class LoopText final : public TextNode {
public:
    LoopText(Loop& loop, const LoopAttribute& attribute)
        : TextNode(vfs::pseudo::sys().superblock(), vfs::pseudo::sys().next_inode_number(), abi::S_IFREG | 0444),
          loop_(loop), attribute_(attribute) {}
    Result<void> show(TextSink sink) override {
        attribute_.show(loop_, sink);
        return {};
    }

private:
    Loop& loop_; // lives for ever
    const LoopAttribute& attribute_;
};

Result<RefPtr<Directory>> directory_of_loop(const Disk& disk) {
    char room[64];
    return vfs::pseudo::sys().root().add_path(format_into(room, "devices/{}/block/{}", disk.parent(), disk.name()));
}

} // namespace

Result<void> add_loop_directory(Loop& loop) {
    RefPtr<Directory> directory = TRY(TRY(directory_of_loop(loop.disk()))->add_directory("loop"));
    for (const LoopAttribute& attribute : of_loop) {
        auto* text = new (std::nothrow) LoopText(loop, attribute);
        if (!text) return error(Errno::ENOMEM);
        TRY(directory->add(attribute.name, RefPtr<Node>::adopt(*text)));
    }
    return {};
}

void remove_loop_directory(const Disk& disk) {
    Result<RefPtr<Directory>> directory = directory_of_loop(disk);
    if (directory) (void)(*directory)->remove("loop"); // it isn't there when there was no memory for it
}

} // namespace linnet::block
