// Records of process accounting (acct(5)).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

/// A number of 16 bits: three bits of an exponent of 8, thirteen of a mantissa.
using comp_t = u16;

struct acct_v3 {
    u8 ac_flag;
    u8 ac_version;
    u16 ac_tty;
    u32 ac_exitcode;
    u32 ac_uid;
    u32 ac_gid;
    u32 ac_pid;
    u32 ac_ppid;
    u32 ac_btime;
    u32 ac_etime; // the bits of a float
    comp_t ac_utime;
    comp_t ac_stime;
    comp_t ac_mem;
    comp_t ac_io;
    comp_t ac_rw;
    comp_t ac_minflt;
    comp_t ac_majflt;
    comp_t ac_swaps;
    char ac_comm[16];
};
static_assert(sizeof(acct_v3) == 64);

inline constexpr u8 AFORK = 0x01; // forked, but did not execute
inline constexpr u8 ASU = 0x02;   // used capabilities
inline constexpr u8 ACORE = 0x08; // dumped core
inline constexpr u8 AXSIG = 0x10; // killed by a signal
inline constexpr u8 acct_version_3 = 3;
inline constexpr u64 acct_hz = 100;

} // namespace linnet::abi
