// The options of SOL_SOCKET that mean the same for every family (socket(7)).
#include "limits.hpp"

#include <abi/linux/time.hpp>
#include <algorithm>
#include <cstring>
#include <net/socket.hpp>
#include <vfs/current.hpp>

namespace linnet::net {

using namespace abi;

namespace {

/// What Linux keeps of a buffer at least (socket(7), SO_SNDBUF, SO_RCVBUF).
constexpr u32 least_send_buffer = 4608, least_receive_buffer = 2304;
/// Buffers are given in bytes of the caller's and kept doubled, for what messages cost beside their bytes.
constexpr u64 most_kept = 0x7fff'ffff;

Result<i32> int_of(mm::UserSpan value) {
    if (value.size() < sizeof(i32)) return error(Errno::EINVAL);
    return mm::UserPtr<mm::In, i32>(value.address()).copy_in();
}

u32 doubled(u64 wanted, u32 least) { return static_cast<u32>(std::clamp<u64>(wanted * 2, least, most_kept)); }

/// SO_RCVTIMEO and SO_SNDTIMEO: 0 is no end, a negative time has passed already.
Result<u64> timeout_of(mm::UserSpan value, u64 none) {
    if (value.size() < sizeof(timeval)) return error(Errno::EINVAL);
    const timeval time = TRY((mm::UserPtr<mm::In, timeval>(value.address()).copy_in()));
    if (time.tv_usec < 0 || time.tv_usec >= 1'000'000) return error(Errno::EDOM);
    if (time.tv_sec < 0) return 0;
    if (time.tv_sec == 0 && time.tv_usec == 0) return none;
    u64 ns;
    if (__builtin_mul_overflow(static_cast<u64>(time.tv_sec), core::ns_per_second, &ns)) return none;
    if (__builtin_add_overflow(ns, static_cast<u64>(time.tv_usec) * 1000, &ns)) return none;
    return ns;
}

timeval shown_timeout(u64 ns, u64 none) {
    if (ns == none) return {0, 0};
    return {static_cast<i64>(ns / core::ns_per_second), static_cast<i64>(ns % core::ns_per_second / 1000)};
}

/// Switches that are kept and shown; what they ask for concerns networks.
constexpr int kept_switches[] = {SO_DEBUG, SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE};

bool is_kept_switch(int name) { return std::ranges::find(kept_switches, name) != std::end(kept_switches); }

} // namespace

Result<void> OptionRoom::put(std::span<const u8> value) {
    used = std::min(room.size(), value.size());
    return mm::copy_to_user(room.address(), value.data(), used);
}

Result<void> Socket::set_option(int level, int name, mm::UserSpan value) {
    if (level != SOL_SOCKET) return error(Errno::EOPNOTSUPP);
    switch (name) {
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        receive_timeout_ns_.store(TRY(timeout_of(value, no_timeout)), std::memory_order_relaxed);
        return {};
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        send_timeout_ns_.store(TRY(timeout_of(value, no_timeout)), std::memory_order_relaxed);
        return {};
    case SO_LINGER: {
        if (value.size() < sizeof(linger)) return error(Errno::EINVAL);
        const linger wanted = TRY((mm::UserPtr<mm::In, linger>(value.address()).copy_in()));
        linger_.store(u64{wanted.l_onoff != 0} << 32 | static_cast<u32>(wanted.l_onoff ? wanted.l_linger : 0));
        return {};
    }
    default:
        return set_socket_option(name, value);
    }
}

Result<void> Socket::set_socket_option(int name, mm::UserSpan value) {
    const i32 number = TRY(int_of(value));
    const bool may_force = vfs::current_credentials().has(vfs::Capability::NetAdmin);
    const u64 wanted = static_cast<u32>(number);
    switch (name) {
    case SO_SNDBUF:
        send_buffer_.store(doubled(std::min(wanted, limits.write_most.load()), least_send_buffer));
        events.notify(POLLOUT | POLLWRNORM | POLLWRBAND);
        return {};
    case SO_RCVBUF:
        receive_buffer_.store(doubled(std::min(wanted, limits.read_most.load()), least_receive_buffer));
        return {};
    case SO_SNDBUFFORCE:
        if (!may_force) return error(Errno::EPERM);
        send_buffer_.store(doubled(static_cast<u64>(std::max(number, 0)), least_send_buffer));
        events.notify(POLLOUT | POLLWRNORM | POLLWRBAND);
        return {};
    case SO_RCVBUFFORCE:
        if (!may_force) return error(Errno::EPERM);
        receive_buffer_.store(doubled(static_cast<u64>(std::max(number, 0)), least_receive_buffer));
        return {};
    case SO_RCVLOWAT:
        receive_low_.store(number < 0 ? 0x7fff'ffff : std::max(number, 1));
        return {};
    case SO_PRIORITY:
        if ((number < 0 || number > 6) && !may_force) return error(Errno::EPERM);
        priority_.store(number);
        return {};
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
        return error(Errno::ENOPROTOOPT);
    default:
        break;
    }
    if (!is_kept_switch(name)) return error(Errno::ENOPROTOOPT);
    if (name == SO_DEBUG && number && !may_force) return error(Errno::EACCES);
    const u32 bit = 1u << name;
    if (number)
        switches_.fetch_or(bit);
    else
        switches_.fetch_and(~bit);
    return {};
}

Result<void> Socket::get_option(int level, int name, OptionRoom& room) {
    if (level != SOL_SOCKET) return error(Errno::EOPNOTSUPP);
    switch (name) {
    case SO_TYPE:
        return room.put_int(static_cast<i32>(type_));
    case SO_DOMAIN:
        return room.put_int(family_);
    case SO_PROTOCOL:
        return room.put_int(protocol_);
    case SO_ERROR:
        return room.put_int(static_cast<i32>(take_error()));
    case SO_SNDBUF:
        return room.put_int(static_cast<i32>(send_buffer_.load()));
    case SO_RCVBUF:
        return room.put_int(static_cast<i32>(receive_buffer_.load()));
    case SO_RCVLOWAT:
        return room.put_int(receive_low_.load());
    case SO_SNDLOWAT:
        return room.put_int(1);
    case SO_PRIORITY:
        return room.put_int(priority_.load());
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return room.put_object(shown_timeout(receive_timeout_ns_.load(), no_timeout));
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return room.put_object(shown_timeout(send_timeout_ns_.load(), no_timeout));
    case SO_LINGER: {
        const u64 kept = linger_.load();
        return room.put_object(linger{static_cast<i32>(kept >> 32), static_cast<i32>(kept)});
    }
    default:
        if (!is_kept_switch(name)) return error(Errno::ENOPROTOOPT);
        return room.put_int((switches_.load() >> name) & 1);
    }
}

} // namespace linnet::net
