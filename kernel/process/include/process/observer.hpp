// What has been put on a thread to watch it. The room that watches (trace) lies above this one; a thread that nobody
// watches pays for a look at a null pointer when it forks, executes a program and dies.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>

namespace linnet::process {

class Thread;

/// Made for a thread at most once, and gone with it. The calls come from the thread itself and may sleep.
class ThreadObserver {
public:
    virtual ~ThreadObserver() = default;
    /// A child has been made and does not run yet. ENOMEM.
    virtual Result<void> on_fork(Thread& child, bool is_same_process) = 0;
    /// It executes another program from now on.
    virtual void on_exec() = 0;
    /// It will run no more user code.
    virtual void on_exit() = 0;
};

} // namespace linnet::process
