// The counters' unit in /sys/bus/event_source/devices: where programs find its type and the names of its events.
#include <core/thread.hpp>
#include <lib/format.hpp>
#include <new>
#include <vfs/pseudo/node.hpp>

#include "hardware_counters.hpp"

namespace linnet::trace {

namespace {

using vfs::pseudo::Directory;

/// A file of a short text that never changes.
class FixedText final : public vfs::pseudo::TextNode {
public:
    explicit FixedText(vfs::pseudo::FileSystem& file_system)
        : TextNode(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | 0444) {}
    template <typename... Args>
    static Result<void> add(Directory& to, std::string_view name, const char* format, const Args&... args) {
        auto* made = new (std::nothrow) FixedText(to.file_system());
        if (!made) return error(Errno::ENOMEM);
        RefPtr<vfs::pseudo::Node> node = RefPtr<vfs::pseudo::Node>::adopt(*made);
        made->text_ = format_into(made->room_, format, args...);
        return to.add(name, std::move(node));
    }
    Result<void> show(TextSink sink) override { return sink(text_), Result<void>{}; }

private:
    char room_[40] = {};
    std::string_view text_;
};

/// Of equal CPUs: the unit is that of all.
Result<void> add_cpus(Directory& device) {
    const u32 count = core::cpu_count();
    return count > 1 ? FixedText::add(device, "cpus", "0-{}\n", count - 1) : FixedText::add(device, "cpus", "0\n");
}

/// Of equal CPUs, too.
Result<void> add_identity(Directory& sys, const arch::HardwareCounters& unit) {
    if (unit.identity_file.empty()) return {};
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        char name[64];
        RefPtr<Directory> cpu = TRY(sys.add_path(format_into(name, "devices/system/cpu/cpu{}", i)));
        RefPtr<Directory> directory = TRY(cpu->add_path(unit.identity_directory));
        TRY(FixedText::add(*directory, unit.identity_file, "0x{016x}\n", unit.identity));
    }
    return {};
}

} // namespace

Result<void> register_hardware_counters(Directory& sys) {
    const arch::HardwareCounters& unit = arch::hardware_counters();
    if (unit.counters == 0) return {};
    TRY(CpuCounters::make_all());
    RefPtr<Directory> parent = TRY(TRY(sys.add_path("devices"))->add_path(unit.parent));
    RefPtr<Directory> device = TRY(parent->add_directory(unit.device));
    TRY(FixedText::add(*device, "type", "{}\n", unit.is_raw_unit ? abi::PERF_TYPE_RAW : hardware_unit_type));
    TRY(FixedText::add(*device, "perf_event_mux_interval_ms", "{}\n", rotation_ns / 1'000'000));
    TRY(device->add_symlink("subsystem", "../../../../bus/event_source"));
    if (!unit.is_raw_unit) TRY(add_cpus(*device));
    TRY(add_identity(sys, unit));
    RefPtr<Directory> formats = TRY(device->add_directory("format"));
    for (std::string_view format : unit.formats) {
        const usize colon = format.find(':');
        TRY(FixedText::add(*formats, format.substr(0, colon), "{}\n", format.substr(colon + 1)));
    }
    Result<void> added{};
    NullableRefPtr<Directory> events;
    arch::for_each_named_event([&](std::string_view name, u64 config) {
        if (added && !events) {
            auto made = device->add_directory("events");
            if (!made) return void(added = error(made.error()));
            events = std::move(*made);
        }
        if (added) added = FixedText::add(*events, name, "event=0x{04x}\n", config);
    });
    TRY(std::move(added));
    char target[96];
    RefPtr<Directory> bus = TRY(sys.add_path("bus/event_source/devices"));
    return bus->add_symlink(unit.device, format_into(target, "../../../devices/{}/{}", unit.parent, unit.device));
}

} // namespace linnet::trace
