// MmapLock: the lock of an address space's mappings, and of each mapping by itself. The protocol is described at the
// head of address_space.hpp.
#pragma once

#include <core/mutex.hpp>
#include <mm/vma.hpp>

namespace linnet::mm {

class MmapLock : public core::RwMutex {
public:
    constexpr explicit MmapLock(core::LockClass& lock_class) : core::RwMutex(lock_class) {}

    /// Whoever holds the lock exclusively takes a mapping for itself, until unlock(): waits for the faults that have
    /// entered it, and lets no others in. Needed before anything about a mapping changes that faults look at. Not with
    /// locks held that a fault may wait for (VmObject::mappings_lock()).
    void claim(Vma& vma) {
        if (vma.users.load(std::memory_order_relaxed) & Vma::claimed) return;
        vma.next_claimed = claimed_;
        claimed_ = &vma;
        if (vma.users.fetch_or(Vma::claimed) != 0) wait_for_users(vma);
    }
    /// Ends the exclusive hold, and the claims with it.
    void unlock() {
        if (claimed_) return release_claims_and_unlock();
        core::RwMutex::unlock();
    }

    /// A fault enters a mapping; false when it is claimed. What the mapping is, is for the caller to see afterwards.
    bool try_enter(Vma& vma) {
        if (!(vma.users.fetch_add(1) & Vma::claimed)) return true;
        leave(vma);
        return false;
    }
    /// The mapping may be gone for good right after.
    void leave(Vma& vma) {
        if (vma.users.fetch_sub(1) == (Vma::claimed | 1)) leaving_.wake_all();
    }

private:
    void wait_for_users(Vma& vma);
    void release_claims_and_unlock();

    Vma* claimed_ = nullptr;
    core::WaitQueue leaving_;
};

/// Frees a mapping that faults may still come across on their way, when they can't any more.
void retire(Vma& vma);

} // namespace linnet::mm
