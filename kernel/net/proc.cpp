// /proc/net/unix (proc_net(5)) and the limits under /proc/sys/net.
#include "netlink/socket.hpp"
#include "unix/socket.hpp"

#include <mm/statistics.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::net {

using namespace abi;

namespace {

/// What Linux shows of a socket that listens, and of its states (proc_net(5)): SO_ACCEPTCON, SS_UNCONNECTED,
/// SS_CONNECTED.
constexpr u32 flag_accepts = 0x10000, state_unconnected = 1, state_connected = 3;

void put_hex(TextSink sink, u64 value, usize width) {
    char digits[16];
    for (usize i = width; i-- > 0; value >>= 4) digits[i] = "0123456789ABCDEF"[value & 15];
    sink({digits, width});
}

Result<void> show_sockets(TextSink sink) {
    sink("Num       RefCount Protocol Flags    Type St Inode Path\n");
    for (usize position = 0;; ++position) {
        NullableRefPtr<UnixSocket> socket = UnixSocket::at(position);
        if (!socket) return {};
        socket->show(sink);
    }
}

Result<void> add_knobs(vfs::pseudo::Directory& root) {
    using vfs::pseudo::add_knob;
    vfs::pseudo::Directory& core = *TRY(root.add_path("sys/net/core"));
    TRY(add_knob(core, "somaxconn", {.value = limits.backlog_most}));
    TRY(add_knob(core, "wmem_max", {.value = limits.write_most, .least = 4608}));
    TRY(add_knob(core, "rmem_max", {.value = limits.read_most, .least = 2304}));
    TRY(add_knob(core, "wmem_default", {.value = limits.write_default, .least = 4608}));
    TRY(add_knob(core, "rmem_default", {.value = limits.read_default, .least = 2304}));
    TRY(add_knob(core, "optmem_max", {.value = limits.control_most}));
    vfs::pseudo::Directory& unix_limits = *TRY(root.add_path("sys/net/unix"));
    return add_knob(unix_limits, "max_dgram_qlen", {.value = limits.datagrams});
}

constinit const Family unix_family{AF_UNIX, UnixSocket::create, UnixSocket::connect_pair};
constinit const Family netlink_family{AF_NETLINK, NetlinkSocket::create, nullptr};

} // namespace

void UnixSocket::show(TextSink sink) {
    const State now = state();
    sink("0000000000000000: "); // addresses are nobody's business
    put_hex(sink, ref_count(), 8);
    sink(" ");
    put_hex(sink, 0, 8);
    sink(" ");
    put_hex(sink, now == State::Listening ? flag_accepts : 0, 8);
    sink(" ");
    put_hex(sink, type(), 4);
    sink(" ");
    put_hex(sink, now == State::Connected ? state_connected : state_unconnected, 2);
    format_to(sink, " {5}", inode_number_.load(std::memory_order_relaxed));
    if (const UnixName* bound = bound_name()) {
        sink(" ");
        std::string_view path = bound->path();
        if (bound->is_abstract()) {
            for (char byte : path) sink(byte == 0 ? "@" : std::string_view(&byte, 1));
        } else {
            sink(path.substr(0, path.size() - 1));
        }
    }
    sink("\n");
}

void UnixSocket::show_fdinfo(TextSink sink) const {
    u32 files = 0;
    const_cast<UnixSocket*>(this)->visit_rights(
        [&](FileRights& rights) { files += static_cast<u32>(rights.files().size()); });
    format_to(sink, "scm_fds: {}\n", files);
}

Result<void> initialise() {
    set_message_memory_limit(mm::total_memory_pages() * arch::page_size / 4);
    register_family(unix_family);
    register_family(netlink_family);
    vfs::pseudo::Directory& root = vfs::pseudo::proc().root();
    vfs::pseudo::Directory& net = *TRY(root.add_directory("net"));
    TRY(net.add_text("unix", show_sockets));
    return add_knobs(root);
}

} // namespace linnet::net
