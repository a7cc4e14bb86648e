// /dev/vportNpM: the files of virtio-console ports.
#include <lib/own_ptr.hpp>
#include <vfs/device.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/pseudo/node.hpp>

#include "console.hpp"

namespace linnet::drivers {
namespace {

constexpr u32 port_major = 247; // of the range for local use (devices.txt)
constexpr u32 file_type_character = 0020000;

class PortFile final : public vfs::File {
public:
    PortFile(VirtioPort& port, const vfs::Path& path, u32 flags)
        : File(path, flags, Positioning::Stream), port_(port) {}
    ~PortFile() override { port_.close(); }

    Result<usize> read(vfs::IoBuffer& to, u64) override {
        return vfs::try_then_wait(port_.events(), abi::POLLIN, blocking(), [&] { return port_.read(to); });
    }
    Result<usize> write(vfs::IoBuffer& from, u64) override {
        usize total = 0;
        while (from.remaining() > 0) {
            Result<usize> written =
                vfs::try_then_wait(port_.events(), abi::POLLOUT, blocking(), [&] { return port_.write(from); });
            if (!written) return total ? Result<usize>(total) : written;
            total += *written;
        }
        return total;
    }
    u32 poll() override { return port_.poll(); }
    vfs::EventSource* event_source() override { return &port_.events(); }

private:
    vfs::Blocking blocking() const { return is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait; }
    VirtioPort& port_;
};

class PortDriver final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "virtio-ports"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber number, const vfs::Path& path, u32 flags) override {
        VirtioPort* port = find_port(number.minor / VirtioConsole::max_ports, number.minor % VirtioConsole::max_ports);
        if (!port) return error(Errno::ENXIO);
        TRY(port->open());
        auto* file = new (std::nothrow) PortFile(*port, path, flags);
        if (!file) {
            port->close();
            return error(Errno::ENOMEM);
        }
        return RefPtr<vfs::File>(adopt_ref(*file));
    }
};

constinit PortDriver port_driver;

/// /sys/class/virtio-ports/vportNpM/name: what the host calls the port.
class PortName final : public vfs::pseudo::TextNode {
public:
    explicit PortName(VirtioPort& port)
        : TextNode(vfs::pseudo::sys().superblock(), vfs::pseudo::sys().next_inode_number(), abi::S_IFREG | 0444),
          port_(port) {}
    Result<void> show(TextSink sink) override {
        format_to(sink, "{}\n", port_.host_name());
        return {};
    }

private:
    VirtioPort& port_;
};

Result<void> show_name(VirtioPort& port, std::string_view device) {
    auto* node = new (std::nothrow) PortName(port);
    if (!node) return error(Errno::ENOMEM);
    RefPtr<vfs::pseudo::Node> name = RefPtr<vfs::pseudo::Node>::adopt(*node);
    RefPtr<vfs::pseudo::Directory> ports = TRY(vfs::pseudo::sys().root().add_path("class/virtio-ports"));
    return TRY(ports->add_directory(device))->add("name", std::move(name));
}

} // namespace

Result<void> announce_port(VirtioConsole& console, VirtioPort& port) {
    u32 minor = console.number() * VirtioConsole::max_ports + port.id();
    TRY(vfs::register_character_device(port_major, minor, 1, port_driver));
    char name[vfs::DeviceNode::max_name];
    std::string_view text = format_into(name, "vport{}p{}", console.number(), port.id());
    TRY(vfs::announce_device(text, file_type_character | 0600, {port_major, minor}, "virtio-ports"));
    return show_name(port, text);
}

} // namespace linnet::drivers
