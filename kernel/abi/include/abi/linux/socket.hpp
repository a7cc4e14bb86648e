// Sockets (socket(7), unix(7), sendmsg(2), cmsg(3)). The numbers are those of all four architectures.
#pragma once

#include <abi/linux/fcntl.hpp>

namespace linnet::abi {

inline constexpr int AF_UNSPEC = 0, AF_UNIX = 1, AF_NETLINK = 16, AF_MAX = 46;

inline constexpr u32 SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_SEQPACKET = 5, SOCK_MAX = 11;
inline constexpr u32 SOCK_TYPE_MASK = 0xf, SOCK_CLOEXEC = O_CLOEXEC, SOCK_NONBLOCK = O_NONBLOCK;

inline constexpr int SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2;
inline constexpr int SOMAXCONN = 4096;

inline constexpr u32 MSG_OOB = 1, MSG_PEEK = 2, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_EOR = 0x80,
                     MSG_WAITALL = 0x100, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_WAITFORONE = 0x10000,
                     MSG_CMSG_CLOEXEC = 0x40000000, MSG_CMSG_COMPAT = 0x80000000;

inline constexpr int SOL_SOCKET = 1, SOL_NETLINK = 270;
inline constexpr int SO_DEBUG = 1, SO_REUSEADDR = 2, SO_TYPE = 3, SO_ERROR = 4, SO_DONTROUTE = 5, SO_BROADCAST = 6,
                     SO_SNDBUF = 7, SO_RCVBUF = 8, SO_KEEPALIVE = 9, SO_OOBINLINE = 10, SO_PRIORITY = 12,
                     SO_LINGER = 13, SO_PASSCRED = 16, SO_PEERCRED = 17, SO_RCVLOWAT = 18, SO_SNDLOWAT = 19,
                     SO_RCVTIMEO = 20, SO_SNDTIMEO = 21, SO_PEERNAME = 28, SO_ACCEPTCONN = 30, SO_PEERSEC = 31,
                     SO_SNDBUFFORCE = 32, SO_RCVBUFFORCE = 33, SO_PASSSEC = 34, SO_PROTOCOL = 38, SO_DOMAIN = 39,
                     SO_PEEK_OFF = 42, SO_PEERGROUPS = 59, SO_RCVTIMEO_NEW = 66, SO_SNDTIMEO_NEW = 67,
                     SO_PASSPIDFD = 76, SO_PEERPIDFD = 77;

inline constexpr int SCM_RIGHTS = 1, SCM_CREDENTIALS = 2, SCM_PIDFD = 4;
/// The most descriptors that one message may carry (unix(7)).
inline constexpr u32 SCM_MAX_FD = 253;

/// Socket ioctls (socket(7), unix(7)). SIOCINQ is FIONREAD, SIOCOUTQ is TIOCOUTQ.
inline constexpr u32 SIOCINQ = 0x541b, SIOCOUTQ = 0x5411, FIOSETOWN = 0x8901, SIOCSPGRP = 0x8902, FIOGETOWN = 0x8903,
                     SIOCGPGRP = 0x8904;

struct sockaddr_storage {
    u16 ss_family;
    u8 padding[126];
};
struct sockaddr_un {
    u16 sun_family;
    char sun_path[108];
};
struct msghdr {
    u64 msg_name;
    i32 msg_namelen;
    u32 padding;
    u64 msg_iov;
    u64 msg_iovlen;
    u64 msg_control;
    u64 msg_controllen;
    u32 msg_flags;
    u32 padding_behind;
};
struct mmsghdr {
    msghdr msg_hdr;
    u32 msg_len;
    u32 padding;
};
struct cmsghdr {
    u64 cmsg_len;
    i32 cmsg_level;
    i32 cmsg_type;
};
struct ucred {
    i32 pid;
    u32 uid;
    u32 gid;
};
struct linger {
    i32 l_onoff;
    i32 l_linger;
};
static_assert(sizeof(sockaddr_storage) == 128 && sizeof(sockaddr_un) == 110);
static_assert(sizeof(msghdr) == 56 && sizeof(mmsghdr) == 64 && sizeof(cmsghdr) == 16 && sizeof(ucred) == 12);

} // namespace linnet::abi
