// Publishing changed credentials. They are constant objects; an edited copy replaces the old one in one step.
#include <abi/linux/prctl.hpp>
#include <mm/address_space.hpp>
#include <process/credentials.hpp>
#include <process/process.hpp>
#include <process/user_account.hpp>

#include "core_dump.hpp"

namespace linnet::process {
namespace {

/// Capabilities that go with the file-system user id (capabilities(7)): CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH,
/// FOWNER, FSETID, LINUX_IMMUTABLE, MKNOD, MAC_OVERRIDE.
constexpr u64 filesystem_capabilities = 0x1f | u64{1} << 9 | u64{1} << 27 | u64{1} << 32;

void fix_capabilities(vfs::Credentials& fresh, const vfs::Credentials& old) {
    if (fresh.securebits & abi::SECBIT_NO_SETUID_FIXUP) return;
    bool had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
    bool has_root = fresh.uid == 0 || fresh.euid == 0 || fresh.suid == 0;
    if (had_root && !has_root) {
        if (!(fresh.securebits & abi::SECBIT_KEEP_CAPS)) fresh.permitted = fresh.effective = {};
        fresh.ambient = {};
    }
    if (old.euid == 0 && fresh.euid != 0) fresh.effective = {};
    if (old.euid != 0 && fresh.euid == 0) fresh.effective = fresh.permitted;
    if (old.fsuid == 0 && fresh.fsuid != 0) fresh.effective.bits &= ~filesystem_capabilities;
    if (old.fsuid != 0 && fresh.fsuid == 0) fresh.effective.bits |= fresh.permitted.bits & filesystem_capabilities;
}

} // namespace

bool are_rights_changed(const vfs::Credentials& fresh, const vfs::Credentials& old) {
    return fresh.euid != old.euid || fresh.egid != old.egid || fresh.fsuid != old.fsuid || fresh.fsgid != old.fsgid ||
           (fresh.permitted.bits & ~old.permitted.bits) != 0;
}

Result<void> commit_credentials(Thread& thread, RefPtr<vfs::Credentials> fresh) {
    const vfs::Credentials& old = thread.own_credentials();
    if (fresh->uid != old.uid) {
        NullableRefPtr<UserAccount> account = TRY(UserAccount::of(fresh->uid));
        account->tasks.fetch_add(1, std::memory_order_relaxed);
        thread.account->tasks.fetch_sub(1, std::memory_order_relaxed);
        core::InterruptSpinGuard guard(thread.process().signal_lock);
        std::swap(thread.account, account);
        guard.unlock();
    }
    bool user_changed =
        fresh->uid != old.uid || fresh->euid != old.euid || fresh->suid != old.suid || fresh->fsuid != old.fsuid;
    if (user_changed) fix_capabilities(*fresh, old);
    if (are_rights_changed(*fresh, old)) {
        thread.own_address_space().dumpable = dumpable_with_other_rights();
        core::InterruptSpinGuard guard(tree_lock);
        thread.parent_death_signal = 0;
    }
    thread.set_credentials(std::move(fresh));
    return {};
}

} // namespace linnet::process
