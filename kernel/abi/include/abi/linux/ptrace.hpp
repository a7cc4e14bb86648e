// ptrace(2): requests, options and events (linux/ptrace.h).
#pragma once

#include <lib/types.hpp>

namespace linnet::abi {

inline constexpr long PTRACE_TRACEME = 0, PTRACE_PEEKTEXT = 1, PTRACE_PEEKDATA = 2, PTRACE_PEEKUSER = 3,
                      PTRACE_POKETEXT = 4, PTRACE_POKEDATA = 5, PTRACE_POKEUSER = 6, PTRACE_CONT = 7, PTRACE_KILL = 8,
                      PTRACE_SINGLESTEP = 9, PTRACE_ATTACH = 16, PTRACE_DETACH = 17, PTRACE_SYSCALL = 24,
                      PTRACE_SETOPTIONS = 0x4200, PTRACE_GETEVENTMSG = 0x4201, PTRACE_GETSIGINFO = 0x4202,
                      PTRACE_SETSIGINFO = 0x4203, PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205,
                      PTRACE_SEIZE = 0x4206, PTRACE_INTERRUPT = 0x4207, PTRACE_LISTEN = 0x4208,
                      PTRACE_PEEKSIGINFO = 0x4209, PTRACE_GETSIGMASK = 0x420a, PTRACE_SETSIGMASK = 0x420b,
                      PTRACE_GET_SYSCALL_INFO = 0x420e, PTRACE_GET_RSEQ_CONFIGURATION = 0x420f,
                      PTRACE_SET_SYSCALL_INFO = 0x4212;

inline constexpr u32 PTRACE_O_TRACESYSGOOD = 1, PTRACE_O_TRACEFORK = 2, PTRACE_O_TRACEVFORK = 4,
                     PTRACE_O_TRACECLONE = 8, PTRACE_O_TRACEEXEC = 16, PTRACE_O_TRACEVFORKDONE = 32,
                     PTRACE_O_TRACEEXIT = 64, PTRACE_O_TRACESECCOMP = 128, PTRACE_O_EXITKILL = 1 << 20;
inline constexpr int PTRACE_EVENT_FORK = 1, PTRACE_EVENT_VFORK = 2, PTRACE_EVENT_CLONE = 3, PTRACE_EVENT_EXEC = 4,
                     PTRACE_EVENT_VFORK_DONE = 5, PTRACE_EVENT_EXIT = 6, PTRACE_EVENT_STOP = 128;

inline constexpr u8 PTRACE_SYSCALL_INFO_NONE = 0, PTRACE_SYSCALL_INFO_ENTRY = 1, PTRACE_SYSCALL_INFO_EXIT = 2;
struct ptrace_syscall_info {
    u8 op;
    u8 reserved;
    u16 flags;
    u32 arch;
    u64 instruction_pointer, stack_pointer;
    union {
        struct {
            u64 nr;
            u64 args[6];
        } entry;
        struct {
            i64 rval;
            u8 is_error;
        } exit;
        u8 raw[64];
    };
};
static_assert(sizeof(ptrace_syscall_info) == 88);

struct ptrace_rseq_configuration {
    u64 rseq_abi_pointer;
    u32 rseq_abi_size, signature, flags, padding;
};
static_assert(sizeof(ptrace_rseq_configuration) == 24);

struct ptrace_peeksiginfo_args {
    u64 off;
    u32 flags;
    i32 nr;
};
static_assert(sizeof(ptrace_peeksiginfo_args) == 16);
inline constexpr u32 PTRACE_PEEKSIGINFO_SHARED = 1;

} // namespace linnet::abi
