// /sys as far as tools look: CPUs, the kernel, and the classes of devices.
#include "sysfs.hpp"

#include <core/thread.hpp>
#include <fs/system_nodes.hpp>
#include <mm/statistics.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::fs {

namespace {

using vfs::pseudo::Directory;
using vfs::pseudo::Node;
using vfs::pseudo::TextNode;

/// "0-3" for a set of CPU numbers.
Result<void> put_cpu_list(TextSink sink, u64 bits) {
    bool first = true;
    for (u32 cpu = 0; cpu < core::CpuMask::max_cpus;) {
        if (!(bits >> cpu & 1)) {
            ++cpu;
            continue;
        }
        u32 last = cpu;
        while (last + 1 < core::CpuMask::max_cpus && (bits >> (last + 1) & 1)) ++last;
        if (!first) sink(",");
        first = false;
        if (last > cpu)
            format_to(sink, "{}-{}", cpu, last);
        else
            format_to(sink, "{}", cpu);
        cpu = last + 1;
    }
    sink("\n");
    return {};
}

u64 all_cpus() {
    const u32 count = core::cpu_count();
    return count >= core::CpuMask::max_cpus ? ~u64{0} : (u64{1} << count) - 1;
}
Result<void> show_online(TextSink sink) { return put_cpu_list(sink, core::online_cpus()); }
Result<void> show_present(TextSink sink) { return put_cpu_list(sink, all_cpus()); }
Result<void> show_offline(TextSink sink) { return put_cpu_list(sink, all_cpus() & ~core::online_cpus()); }
Result<void> show_kernel_max(TextSink sink) {
    format_to(sink, "{}\n", core::CpuMask::max_cpus - 1);
    return {};
}

// ---- /sys/devices/system/node: one node, which has all CPUs and all memory ----

Result<void> show_the_node(TextSink sink) {
    sink("0\n");
    return {};
}
/// Words of 32 bits, the highest first.
Result<void> show_cpus_of_node(TextSink sink) {
    const u64 cpus = core::online_cpus();
    if (core::cpu_count() > 32) format_to(sink, "{08x},", cpus >> 32);
    if (core::cpu_count() > 32)
        format_to(sink, "{08x}\n", cpus & 0xffff'ffff);
    else
        format_to(sink, "{x}\n", cpus);
    return {};
}
/// To itself, in tenths of that.
Result<void> show_distance(TextSink sink) {
    sink("10\n");
    return {};
}
Result<void> show_memory_of_node(TextSink sink) {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    const auto line = [&](std::string_view name, u64 pages) {
        format_to(sink, "Node 0 {} {} kB\n", name, pages * arch::page_size / 1024);
    };
    line("MemTotal:", memory.total);
    line("MemFree:", memory.free);
    line("MemUsed:", memory.total - memory.free);
    return {};
}

Result<void> register_nodes(Directory& root) {
    Directory& nodes = *TRY(root.add_path("devices/system/node"));
    for (std::string_view name : {"online", "possible", "has_cpu", "has_memory", "has_normal_memory"})
        TRY(nodes.add_text(name, show_the_node));
    Directory& node = *TRY(nodes.add_directory("node0"));
    TRY(node.add_text("cpulist", show_online));
    TRY(node.add_text("cpumap", show_cpus_of_node));
    TRY(node.add_text("distance", show_distance));
    return node.add_text("meminfo", show_memory_of_node);
}

/// /sys/class/CLASS/NAME/{dev,uevent}.
class DeviceText final : public TextNode {
public:
    enum class Kind : u8 { Number, Event };
    DeviceText(const vfs::DeviceNode& node, Kind kind)
        : TextNode(vfs::pseudo::sys().superblock(), vfs::pseudo::sys().next_inode_number(), abi::S_IFREG | 0444),
          node_(node), kind_(kind) {}
    Result<void> show(TextSink sink) override {
        if (kind_ == Kind::Number)
            format_to(sink, "{}:{}\n", node_.number.major, node_.number.minor);
        else
            format_to(sink, "MAJOR={}\nMINOR={}\nDEVNAME={}\n", node_.number.major, node_.number.minor,
                      std::string_view(node_.name));
        return {};
    }

private:
    const vfs::DeviceNode node_;
    const Kind kind_;
};

Result<void> add_device_text(Directory& directory, std::string_view name, const vfs::DeviceNode& node,
                             DeviceText::Kind kind) {
    auto* text = new (std::nothrow) DeviceText(node, kind);
    if (!text) return error(Errno::ENOMEM);
    return directory.add(name, RefPtr<Node>::adopt(*text));
}

} // namespace

Result<void> register_sys_files() {
    Directory& root = vfs::pseudo::sys().root();
    Directory& cpus = *TRY(root.add_path("devices/system/cpu"));
    TRY(cpus.add_text("online", show_online));
    TRY(cpus.add_text("possible", show_present));
    TRY(cpus.add_text("present", show_present));
    TRY(cpus.add_text("offline", show_offline));
    TRY(cpus.add_text("kernel_max", show_kernel_max));
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        char name[12];
        TRY(cpus.add_directory(format_into(name, "cpu{}", i)));
    }
    TRY(register_nodes(root));
    TRY(register_huge_page_knobs());
    TRY(root.add_path("fs/cgroup"));
    TRY(root.add_path("class"));
    return {};
}

namespace {

/// Names of several levels ("input/event0") have only their last part in /sys.
std::string_view name_in_class(const vfs::DeviceNode& node) {
    const std::string_view name(node.name);
    return name.substr(name.rfind('/') + 1);
}

Result<RefPtr<Directory>> class_of(const vfs::DeviceNode& node) {
    return TRY(vfs::pseudo::sys().root().add_path("class"))->add_directory(node.class_name);
}

/// Where links by number are.
Result<RefPtr<Directory>> numbers_of(const vfs::DeviceNode& node) {
    const bool is_block = (node.mode & abi::S_IFMT) == abi::S_IFBLK;
    return vfs::pseudo::sys().root().add_path(is_block ? "dev/block" : "dev/char");
}
std::string_view number_of(const vfs::DeviceNode& node, std::span<char> room) {
    return format_into(room, "{}:{}", node.number.major, node.number.minor);
}

/// Its directory in its class, made here; the device's room says no more of it.
Result<void> add_class_directory(Directory& parent, const vfs::DeviceNode& node) {
    RefPtr<Directory> directory = TRY(parent.add_directory(name_in_class(node)));
    TRY(add_device_text(*directory, "dev", node, DeviceText::Kind::Number));
    return add_device_text(*directory, "uevent", node, DeviceText::Kind::Event);
}

} // namespace

Result<void> show_device_in_class(const vfs::DeviceNode& node) {
    const std::string_view name = name_in_class(node), own(node.directory);
    RefPtr<Directory> parent = TRY(class_of(node));
    char target[160], number[24];
    std::string_view link;
    if (own.empty()) {
        TRY(add_class_directory(*parent, node));
        link = format_into(target, "../../class/{}/{}", std::string_view(node.class_name), name);
    } else {
        link = format_into(target, "../../{}", own);
        TRY(parent->add_symlink(name, link));
    }
    Result<void> linked = TRY(numbers_of(node))->add_symlink(number_of(node, number), link);
    if (!linked && linked.error() != Errno::EEXIST) return linked; // the first name of a device has it
    return {};
}

void hide_device_from_class(const vfs::DeviceNode& node) {
    char number[24];
    // What there was no memory for isn't there.
    if (Result<RefPtr<Directory>> parent = class_of(node)) (void)(*parent)->remove(name_in_class(node));
    if (Result<RefPtr<Directory>> numbers = numbers_of(node)) (void)(*numbers)->remove(number_of(node, number));
}

} // namespace linnet::fs
