// uname(2) and sysinfo(2).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr usize utsname_length = 64; // without the NUL

struct new_utsname {
    char sysname[65];
    char nodename[65];
    char release[65];
    char version[65];
    char machine[65];
    char domainname[65];
};
static_assert(sizeof(new_utsname) == 390);

struct sysinfo {
    i64 uptime;
    u64 loads[3]; // scaled by 65536
    u64 totalram;
    u64 freeram;
    u64 sharedram;
    u64 bufferram;
    u64 totalswap;
    u64 freeswap;
    u16 procs;
    u16 padding;
    u32 padding2;
    u64 totalhigh;
    u64 freehigh;
    u32 mem_unit;
    u32 padding3;
};
static_assert(sizeof(sysinfo) == 112);

} // namespace linnet::abi
