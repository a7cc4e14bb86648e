// /proc/uptime, cmdline, cpuinfo, filesystems, locks, devices, partitions, modules, sys/fs and sys/kernel/random.
#include "procfs.hpp"

#include <algorithm>
#include <boot/boot_info.hpp>
#include <core/random.hpp>
#include <core/thread.hpp>
#include <core/time.hpp>
#include <fs/system_nodes.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/directory_notices.hpp>
#include <vfs/inotify.hpp>
#include <vfs/leases.hpp>
#include <vfs/lock_list.hpp>
#include <vfs/mount.hpp>
#include <vfs/pipe.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::fs {

namespace {

using vfs::pseudo::Directory;

void put_seconds(TextSink sink, u64 ns) {
    format_to(sink, "{}.{02}", ns / core::ns_per_second, ns % core::ns_per_second / 10'000'000);
}

Result<void> show_uptime(TextSink sink) {
    u64 idle_ticks = 0;
    for (u32 i = 0; i < core::cpu_count(); ++i) idle_ticks += core::cpu(i).idle_ticks;
    put_seconds(sink, core::monotonic_ns());
    sink(" ");
    put_seconds(sink, core::ticks_to_ns(idle_ticks));
    sink("\n");
    return {};
}

Result<void> show_cmdline(TextSink sink) {
    sink(boot::boot_info().command_line);
    sink("\n");
    return {};
}

/// What is the same on every architecture.
Result<void> show_cpuinfo(TextSink sink) {
    const arch::HardwareCapabilities& hardware = arch::hardware_capabilities();
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        if (!core::cpu(i).online.load()) continue;
        format_to(sink, "processor\t: {}\nmodel name\t: {}\nhwcap\t\t: {#x}\n", i,
                  std::string_view(hardware.machine ? hardware.machine : "unknown"), hardware.hwcap);
        for (const arch::HardwareProperty& property : hardware.properties) {
            if (!property.name) continue;
            const std::string_view name = property.name;
            format_to(sink, "{}{}: {#x}\n", name, std::string_view(name.size() < 8 ? "\t\t" : "\t"), property.value);
        }
        sink("\n");
    }
    return {};
}

Result<void> show_filesystems(TextSink sink) {
    vfs::for_each_file_system([&](vfs::FileSystemType& type) {
        format_to(sink, "{}\t{}\n", std::string_view(type.needs_device() ? "" : "nodev"),
                  std::string_view(type.name()));
    });
    return {};
}

void list_majors(TextSink sink, u32 type) {
    for (u32 major = 1; major < 512; ++major) {
        const char* name = nullptr;
        vfs::for_each_device([&](const vfs::DeviceNode& node) {
            if (!name && node.number.major == major && (node.mode & abi::S_IFMT) == type) name = node.class_name;
        });
        if (name) format_to(sink, "{3} {}\n", major, std::string_view(name));
    }
}

Result<void> show_devices(TextSink sink) {
    sink("Character devices:\n");
    list_majors(sink, abi::S_IFCHR);
    sink("\nBlock devices:\n");
    list_majors(sink, abi::S_IFBLK);
    return {};
}

Result<void> show_nothing(TextSink) { return {}; }

// ---- sys/kernel/random (random(4)) ----

/// A random UUID of version 4 in text.
void put_uuid(TextSink sink, std::span<const u8, 16> random) {
    u8 bytes[16];
    std::copy(random.begin(), random.end(), bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    for (usize i = 0; i < sizeof(bytes); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) sink("-");
        format_to(sink, "{02x}", u32{bytes[i]});
    }
    sink("\n");
}

constinit u8 boot_id[16] = {};

Result<void> show_uuid(TextSink sink) {
    u8 random[16];
    core::random_bytes(random);
    put_uuid(sink, random);
    return {};
}
Result<void> show_boot_id(TextSink sink) { return put_uuid(sink, boot_id), Result<void>{}; }
Result<void> show_pool_size(TextSink sink) { return sink("256\n"), Result<void>{}; }
Result<void> show_entropy(TextSink sink) { return sink(core::random_is_seeded() ? "256\n" : "0\n"), Result<void>{}; }

template <u64 Value>
Result<void> show_constant(TextSink sink) {
    format_to(sink, "{}\n", Value);
    return {};
}

} // namespace

Result<void> add_device_files(Directory& root) {
    TRY(root.add_text("filesystems", show_filesystems));
    TRY(root.add_text("locks", vfs::show_locks));
    TRY(root.add_text("devices", show_devices));
    return root.add_text("modules", show_nothing);
}

Result<void> add_inotify_limits(Directory& root) {
    Directory& knobs = *TRY(root.add_path("sys/fs/inotify"));
    vfs::InotifyLimits& most = vfs::inotify_limits();
    TRY(vfs::pseudo::add_knob(knobs, "max_queued_events", {most.queued_events}));
    TRY(vfs::pseudo::add_knob(knobs, "max_user_instances", {most.instances}));
    return vfs::pseudo::add_knob(knobs, "max_user_watches", {most.watches});
}

Result<void> register_proc_files() {
    Directory& root = vfs::pseudo::proc().root();
    core::random_bytes(boot_id);
    TRY(root.add_text("uptime", show_uptime));
    TRY(root.add_text("cmdline", show_cmdline));
    TRY(root.add_text("cpuinfo", show_cpuinfo));
    TRY(add_device_files(root));
    TRY(add_memory_files(root));
    TRY(add_scheduling_files(root));
    TRY(add_interrupt_files(root));
    TRY(add_sysrq(root));
    TRY(add_symbol_files(root));
    Directory& random = *TRY(root.add_path("sys/kernel/random"));
    TRY(random.add_text("uuid", show_uuid));
    TRY(random.add_text("boot_id", show_boot_id));
    TRY(random.add_text("poolsize", show_pool_size));
    TRY(random.add_text("entropy_avail", show_entropy));
    Directory& limits = *TRY(root.add_path("sys/fs"));
    TRY(limits.add_text("pipe-max-size", show_constant<vfs::pipe_max_size>));
    TRY(limits.add_text("nr_open", show_constant<1048576>));
    TRY(vfs::pseudo::add_knob(limits, "mount-max", {.value = vfs::MountTable::most_mounts, .least = 1}));
    TRY(vfs::pseudo::add_knob(limits, "dir-notify-enable", {.value = vfs::are_directory_notices_enabled}));
    TRY(vfs::pseudo::add_knob(limits, "leases-enable", {.value = vfs::Leases::is_enabled}));
    TRY(vfs::pseudo::add_knob(limits, "lease-break-time", {.value = vfs::Leases::break_time}));
    return add_inotify_limits(root);
}

} // namespace linnet::fs
