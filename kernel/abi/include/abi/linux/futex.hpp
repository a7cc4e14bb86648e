// Futexes and robust lists (futex(2), get_robust_list(2)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr u32 FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_FD = 2, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4,
                     FUTEX_WAKE_OP = 5, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8,
                     FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10, FUTEX_WAIT_REQUEUE_PI = 11,
                     FUTEX_CMP_REQUEUE_PI = 12, FUTEX_LOCK_PI2 = 13;
inline constexpr u32 FUTEX_PRIVATE_FLAG = 128, FUTEX_CLOCK_REALTIME = 256;
inline constexpr u32 FUTEX_BITSET_MATCH_ANY = 0xffffffff;

inline constexpr u32 FUTEX_WAITERS = 0x80000000, FUTEX_OWNER_DIED = 0x40000000, FUTEX_TID_MASK = 0x3fffffff;

// futex_waitv(2) and its relatives (linux/futex.h): flags of each word.
inline constexpr u32 FUTEX2_SIZE_U32 = 2, FUTEX2_PRIVATE = FUTEX_PRIVATE_FLAG;
inline constexpr u32 FUTEX_WAITV_MAX = 128;
struct futex_waitv {
    u64 val;
    u64 uaddr;
    u32 flags;
    u32 __reserved;
};
static_assert(sizeof(futex_waitv) == 24);

// FUTEX_WAKE_OP's packed operation
inline constexpr u32 FUTEX_OP_SET = 0, FUTEX_OP_ADD = 1, FUTEX_OP_OR = 2, FUTEX_OP_ANDN = 3, FUTEX_OP_XOR = 4,
                     FUTEX_OP_OPARG_SHIFT = 8;
inline constexpr u32 FUTEX_OP_CMP_EQ = 0, FUTEX_OP_CMP_NE = 1, FUTEX_OP_CMP_LT = 2, FUTEX_OP_CMP_LE = 3,
                     FUTEX_OP_CMP_GT = 4, FUTEX_OP_CMP_GE = 5;

struct robust_list_head {
    u64 list;            // first entry, or this head's own address
    i64 futex_offset;    // from an entry to its futex word
    u64 list_op_pending; // an entry being taken or released just now
};
static_assert(sizeof(robust_list_head) == 24);
inline constexpr u32 ROBUST_LIST_LIMIT = 2048;

} // namespace linnet::abi
