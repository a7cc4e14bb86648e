// adjtimex(2).
#pragma once

#include <abi/linux/time.hpp>

namespace linnet::abi {

struct timex {
    u32 modes;
    u32 padding1;
    i64 offset;
    i64 freq;
    i64 maxerror;
    i64 esterror;
    i32 status;
    u32 padding2;
    i64 constant;
    i64 precision;
    i64 tolerance;
    timeval time;
    i64 tick;
    i64 ppsfreq;
    i64 jitter;
    i32 shift;
    u32 padding3;
    i64 stabil;
    i64 jitcnt;
    i64 calcnt;
    i64 errcnt;
    i64 stbcnt;
    i32 tai;
    u32 padding4[11];
};
static_assert(sizeof(timex) == 208 && __builtin_offsetof(timex, tai) == 160);

inline constexpr u32 ADJ_OFFSET = 0x0001, ADJ_FREQUENCY = 0x0002, ADJ_MAXERROR = 0x0004, ADJ_ESTERROR = 0x0008,
                     ADJ_STATUS = 0x0010, ADJ_TIMECONST = 0x0020, ADJ_TAI = 0x0080, ADJ_SETOFFSET = 0x0100,
                     ADJ_MICRO = 0x1000, ADJ_NANO = 0x2000, ADJ_TICK = 0x4000, ADJ_ADJTIME = 0x8000,
                     ADJ_OFFSET_READONLY = 0x2000; // beside ADJ_ADJTIME
inline constexpr i32 STA_PLL = 0x0001, STA_PPSFREQ = 0x0002, STA_PPSTIME = 0x0004, STA_FLL = 0x0008, STA_INS = 0x0010,
                     STA_DEL = 0x0020, STA_UNSYNC = 0x0040, STA_FREQHOLD = 0x0080, STA_PPSSIGNAL = 0x0100,
                     STA_PPSJITTER = 0x0200, STA_PPSWANDER = 0x0400, STA_PPSERROR = 0x0800, STA_CLOCKERR = 0x1000,
                     STA_NANO = 0x2000, STA_MODE = 0x4000, STA_CLK = 0x8000;
inline constexpr i32 STA_RONLY =
    STA_PPSSIGNAL | STA_PPSJITTER | STA_PPSWANDER | STA_PPSERROR | STA_CLOCKERR | STA_NANO | STA_MODE | STA_CLK;
inline constexpr int TIME_OK = 0, TIME_INS = 1, TIME_DEL = 2, TIME_OOP = 3, TIME_WAIT = 4, TIME_ERROR = 5;

} // namespace linnet::abi
