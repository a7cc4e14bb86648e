// What core files tell of threads and processes (elf(5) notes; <sys/procfs.h>).
#pragma once

#include <abi/linux/time.hpp>

namespace linnet::abi {

/// struct elf_prstatus up to pr_reg. Behind the registers: an int, whether there is a floating-point set, and padding
/// to a multiple of 8.
struct elf_prstatus_head {
    i32 si_signo, si_code, si_errno;
    i16 pr_cursig;
    u64 pr_sigpend, pr_sighold;
    i32 pr_pid, pr_ppid, pr_pgrp, pr_sid;
    timeval pr_utime, pr_stime, pr_cutime, pr_cstime;
};
static_assert(sizeof(elf_prstatus_head) == 112);

inline constexpr unsigned ELF_PRARGSZ = 80;

struct elf_prpsinfo {
    i8 pr_state;
    char pr_sname;
    i8 pr_zomb;
    i8 pr_nice;
    u64 pr_flag;
    u32 pr_uid, pr_gid;
    i32 pr_pid, pr_ppid, pr_pgrp, pr_sid;
    char pr_fname[16];
    char pr_psargs[ELF_PRARGSZ];
};
static_assert(sizeof(elf_prpsinfo) == 136);

} // namespace linnet::abi
