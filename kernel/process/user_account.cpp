// The accounts of the users that own tasks, hashed by uid. The list holds no references: an account goes with
// the last thread that names it. Lock: one leaf lock for the table.
#include <new>
#include <process/user_account.hpp>

namespace linnet::process {
namespace {

constexpr usize bucket_count = 64;
constinit core::LockClass accounts_class{"user accounts"};
constinit core::InterruptSpinLock accounts_lock{accounts_class};
constinit IntrusiveList<UserAccount, &UserAccount::node> buckets[bucket_count];

NullableRefPtr<UserAccount> find_locked(u32 uid) {
    for (UserAccount& account : buckets[uid % bucket_count])
        if (account.uid() == uid && account.try_ref()) return NullableRefPtr<UserAccount>::adopt(&account);
    return {};
}

} // namespace

Result<RefPtr<UserAccount>> UserAccount::of(u32 uid) {
    {
        core::InterruptSpinGuard guard(accounts_lock);
        if (auto found = find_locked(uid)) return RefPtr<UserAccount>(std::move(found));
    }
    auto* fresh = new (std::nothrow) UserAccount(uid);
    if (!fresh) return error(Errno::ENOMEM);
    core::InterruptSpinGuard guard(accounts_lock);
    if (auto found = find_locked(uid)) { // somebody else was quicker
        guard.unlock();
        delete fresh;
        return RefPtr<UserAccount>(std::move(found));
    }
    buckets[uid % bucket_count].push_back(*fresh);
    return adopt_ref(*fresh);
}

void UserAccount::last_reference_dropped() {
    {
        core::InterruptSpinGuard guard(accounts_lock);
        node.unlink();
    }
    delete this;
}

} // namespace linnet::process
