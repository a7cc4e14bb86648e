// The places that are probed, and what threads and address spaces keep for them.
//
// Locks, outermost first:
//
//     changes_lock (Mutex)         which places are probed, and where breakpoints stand
//       mmap locks                 of the address spaces that they are planted in
//     UserProbe::clients_lock      (RwMutex) shared while clients are told
//       a client's own
//     table_lock (SpinLock)        finding a place; a leaf
//     Area::lock_ (SpinLock)       slots of an address space; a leaf
#pragma once

#include <mm/code_probes.hpp>
#include <probe/user_probe.hpp>
#include <process/user_probes.hpp>

#include "slots.hpp"

namespace linnet::probe {

/// One place. In the table as long as it has clients, or breakpoints that could not be taken away for lack of memory.
class UserProbe final : public RefCounted<UserProbe> {
public:
    UserProbe(mm::VmObject& whose, u64 where, const arch::ProbedInstruction& what, std::span<const u8> text);

    const u64 id; // never used again
    const RefPtr<mm::VmObject> object;
    const u64 offset;
    const arch::ProbedInstruction instruction;
    u8 original[sizeof arch::probe_breakpoint]; // what the breakpoint stands in place of
    ListNode table_node;

    core::RwMutex clients_lock;
    IntrusiveList<UserProbeClient, &UserProbeClient::node> clients;
    bool wants_returns = false; // any of them

    /// Tells those who want that. Locks required: clients_lock, shared.
    template <typename Tell>
    void tell_clients(UserProbeClient::Wants what, Tell tell) {
        const auto tell_those = [&](UserProbeClient::Telling how) {
            for (UserProbeClient& client : clients)
                if (client.wants == what && client.telling == how) tell(client);
        };
        {
            core::PreemptionGuard stays;
            tell_those(UserProbeClient::Telling::Stays);
        }
        tell_those(UserProbeClient::Telling::MaySleep);
    }
};

/// The probe of a place, or null.
NullableRefPtr<UserProbe> find_user_probe(const mm::VmObject* object, u64 offset);
/// Changes whenever a probe has come, before its breakpoints do, and when one has gone.
u64 user_probe_generation();
/// From now on who maps and forks is told of.
void initialise_planting();

/// A call that is to be noticed when it returns.
struct PendingReturn {
    RefPtr<UserProbe> probe;
    u64 function;
    u64 caller;      // where it really returns to
    u64 stack;       // the stack pointer at its first instruction
    bool is_chained; // made by a jump from the function before: both return at once
    bool on_alternate_stack;
};

class ThreadState final : public process::ThreadProbes {
public:
    /// As many as Linux follows.
    static constexpr usize most_returns = 64;

    /// An instruction of the program at `address` is being executed in a slot.
    bool is_stepping = false;
    u64 address = 0;
    Area* area = nullptr;
    u32 slot = 0;
    arch::ProbedInstruction instruction{};
    arch::ProbedStep step{};
    u32 put_off = 0; // bits of pending_work
    ArrayList<PendingReturn> returns;

    static ThreadState* of(process::Thread& thread) { return static_cast<ThreadState*>(thread.probes); }
    /// ENOMEM.
    static Result<ThreadState*> make(process::Thread& thread);
};

/// Words of the current program's memory.
class ProgramMemory final : public arch::ProbeMemory {
public:
    bool load(u64 address, u64& value) override;
    bool store(u64 address, u64 value) override;
};

// returns.cpp
/// The current thread is at the first instruction of a function that clients want to see returning.
void follow_return(process::Thread& thread, UserProbe& probe, VirtAddr function);
/// It has returned to the trampoline. False: nobody has sent it there.
bool take_return(process::Thread& thread);

} // namespace linnet::probe
