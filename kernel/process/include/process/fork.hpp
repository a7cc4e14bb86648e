// fork(2), vfork(2), clone(2), clone3(2): a new task that shares or copies each part of its maker.
#pragma once

#include <abi/linux/sched.hpp>
#include <process/process.hpp>

namespace linnet::process {

struct CloneRequest {
    u64 flags = 0; // abi::CLONE_*, without an exit signal in the low byte
    int exit_signal = 0;
    VirtAddr stack{};      // the child's stack pointer; 0: the maker's
    VirtAddr tls{};        // with CLONE_SETTLS
    VirtAddr parent_tid{}; // with CLONE_PARENT_SETTID
    VirtAddr child_tid{};  // with CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID
    VirtAddr pidfd{};      // with CLONE_PIDFD: where its number goes
    Pid wanted_tid = 0;    // clone3's set_tid; 0: any
};

/// The child's tid. EINVAL for combinations that make no sense, EAGAIN at RLIMIT_NPROC, ENOMEM.
Result<Pid> clone(Thread& maker, const CloneRequest& request);

} // namespace linnet::process
