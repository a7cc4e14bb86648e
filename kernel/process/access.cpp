// Who may look into another task.
#include <mm/address_space.hpp>
#include <process/access.hpp>
#include <process/process.hpp>
#include <vfs/credentials.hpp>

namespace linnet::process {

bool may_access(Thread& caller, Thread& target, AccessBy by) {
    if (&caller.process() == &target.process()) return true;
    const vfs::Credentials& own = caller.own_credentials();
    if (own.has(vfs::Capability::SysPtrace)) return true;
    const bool by_real_ids = by == AccessBy::RealIds;
    const u32 uid = by_real_ids ? own.uid : own.fsuid, gid = by_real_ids ? own.gid : own.fsgid;
    RefPtr<const vfs::Credentials> theirs = target.credentials();
    if (theirs->uid != uid || theirs->euid != uid || theirs->suid != uid) return false;
    if (theirs->gid != gid || theirs->egid != gid || theirs->sgid != gid) return false;
    const vfs::CapabilitySet& mine = by_real_ids ? own.permitted : own.effective;
    if (theirs->permitted.bits & ~mine.bits) return false;
    NullableRefPtr<mm::AddressSpace> space = target.address_space();
    return !space || space->dumpable.load() == 1;
}

} // namespace linnet::process
