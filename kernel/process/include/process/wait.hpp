// Waiting for children (wait4(2), waitid(2)).
#pragma once

#include <process/process.hpp>

namespace linnet::process {

struct WaitRequest {
    int id_type = 0; // abi::P_*
    Pid id = 0;
    NullableRefPtr<PidRecord> record{}; // in place of the id for P_PIDFD
    u32 options = 0;                    // abi::WEXITED and so on; wait4 sets WEXITED
    bool wants_details = true;          // the outcome's uid and usage, which take a while to find out
};

struct WaitOutcome {
    Pid pid = 0;         // 0: nothing yet (WNOHANG)
    u32 uid = 0;         // real uid of the child
    int wait_status = 0; // wait4's
    int code = 0;        // waitid's si_code and si_status
    int status = 0;
    ResourceUsage usage; // of the child and its own reaped children
};

/// ECHILD: nobody to wait for; RestartIfRequested: interrupted.
Result<WaitOutcome> wait_for_child(Thread& waiter, const WaitRequest& request);

/// wait4's status word split into si_code (CLD_*) and si_status.
struct WaitStatus {
    int code;
    int value;
};
WaitStatus decode_wait_status(int status);

/// Status words as wait4 gives them.
constexpr int exited_status(int code) { return (code & 0xff) << 8; }
constexpr int killed_status(int signal) { return signal; }

} // namespace linnet::process
