// POSIX message queues (mq_overview(7)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 MQ_PRIO_MAX = 32768;
inline constexpr usize mq_notify_cookie_size = 32; // what SIGEV_THREAD's value points at

struct mq_attr {
    i64 mq_flags; // O_NONBLOCK
    i64 mq_maxmsg;
    i64 mq_msgsize;
    i64 mq_curmsgs;
    i64 reserved[4];
};
static_assert(sizeof(mq_attr) == 64);

} // namespace linnet::abi
