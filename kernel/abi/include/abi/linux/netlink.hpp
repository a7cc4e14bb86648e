// Netlink sockets (netlink(7), rtnetlink(7)). The numbers are those of all four architectures.
#pragma once

#include <abi/linux/socket.hpp>

namespace linnet::abi {

inline constexpr int NETLINK_ROUTE = 0, NETLINK_USERSOCK = 2;
inline constexpr int MAX_NETLINK_PROTOCOLS = 32;

inline constexpr int NETLINK_ADD_MEMBERSHIP = 1, NETLINK_DROP_MEMBERSHIP = 2, NETLINK_NO_ENOBUFS = 5,
                     NETLINK_LIST_MEMBERSHIPS = 9, NETLINK_CAP_ACK = 10, NETLINK_EXT_ACK = 11,
                     NETLINK_GET_STRICT_CHK = 12;

struct sockaddr_nl {
    u16 nl_family;
    u16 nl_pad;
    u32 nl_pid;
    u32 nl_groups;
};

struct nlmsghdr {
    u32 nlmsg_len;
    u16 nlmsg_type;
    u16 nlmsg_flags;
    u32 nlmsg_seq;
    u32 nlmsg_pid;
};
struct nlmsgerr {
    i32 error;
    nlmsghdr msg;
};
static_assert(sizeof(sockaddr_nl) == 12 && sizeof(nlmsghdr) == 16 && sizeof(nlmsgerr) == 20);

inline constexpr u16 NLMSG_ERROR = 2, NLMSG_MIN_TYPE = 0x10;
inline constexpr u16 NLM_F_REQUEST = 1, NLM_F_ACK = 4, NLM_F_CAPPED = 0x100;
constexpr usize nlmsg_align(usize size) { return (size + 3) & ~usize{3}; }

/// Requests come in fours: new, delete, get, set (rtnetlink(7)).
inline constexpr u16 RTM_BASE = 16, RTM_MAX = 123;
inline constexpr u16 rtm_kind_mask = 3, rtm_kind_get = 2;
struct rtgenmsg {
    u8 rtgen_family;
};

} // namespace linnet::abi
