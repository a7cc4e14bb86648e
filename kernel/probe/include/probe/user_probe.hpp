// Probes of programs (uprobes): whoever executes an instruction at a place in a file is noted, in every process that
// maps it for execution. docs/probes.md says how.
#pragma once

#include <arch/probe.hpp>
#include <core/mutex.hpp>
#include <lib/intrusive_list.hpp>
#include <mm/vm_object.hpp>
#include <process/thread.hpp>

namespace linnet::probe {

class UserProbe;

/// Who wants to know of a place. It is told by the thread that comes there; several may at once.
class UserProbeClient {
public:
    enum class Wants : u8 { Entries, Returns };
    /// Those that stay are told first, all of them on one CPU and without preemption: of several that count for a CPU
    /// each, exactly one counts.
    enum class Telling : u8 { Stays, MaySleep };
    UserProbeClient(Wants what, Telling how) : wants(what), telling(how) {}
    UserProbeClient(const UserProbeClient&) = delete;
    /// The current thread's program counter is there.
    virtual void on_entry(VirtAddr /*address*/) {}
    /// It has returned from the function that begins there; its program counter is where to.
    virtual void on_return(VirtAddr /*function*/) {}

    const Wants wants;
    const Telling telling;
    ListNode node;              // in UserProbe::clients
    UserProbe* probe = nullptr; // while it is added

protected:
    ~UserProbeClient() = default;
};

/// Begins to tell the client of the place. EINVAL: no instruction can begin there, or lies behind the end; ENOTSUPP,
/// ENOEXEC: it can't be probed (EINVAL on some architectures); EIO, ENOMEM. May sleep.
Result<void> add_user_probe(UserProbeClient& client, mm::VmObject& object, u64 offset);
/// When this returns, the client isn't being told anything any more. May sleep.
void remove_user_probe(UserProbeClient& client);

/// Once, at boot.
void initialise_user_probes();

} // namespace linnet::probe
