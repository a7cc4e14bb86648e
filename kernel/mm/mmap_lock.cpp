// Claims of mappings, and the end of those that have been taken out.
//
// A fault looks for its mapping with interrupts off and without a lock, so it may come across one that is no longer
// part of the address space. It finds that claimed for ever, and its memory is kept until every CPU has been seen with
// interrupts on. That takes a call to all of them, so many mappings wait for it together.
//
// Lock order: retired_lock is a leaf.
#include <core/sched.hpp>
#include <mm/mmap_lock.hpp>
#include <utility>

namespace linnet::mm {

namespace {

constexpr usize retired_at_once = 256;
constinit core::LockClass retired_lock_class("retired mappings");
constinit core::SpinLock retired_lock(retired_lock_class);
constinit Vma* retired = nullptr;
constinit usize retired_count = 0;

} // namespace

void MmapLock::wait_for_users(Vma& vma) {
    auto is_alone = [&] { return vma.users.load() == Vma::claimed; };
    (void)core::wait_until(leaving_, core::Sleep::Deep, core::Deadline::never(), is_alone);
}

void MmapLock::release_claims_and_unlock() {
    Vma* absorbed = nullptr;
    while (Vma* vma = claimed_) {
        claimed_ = vma->next_claimed;
        if (vma->is_mapped) {
            vma->users.fetch_and(~Vma::claimed);
        } else if (vma->is_absorbed) {
            vma->next_doomed = absorbed;
            absorbed = vma;
        }
    }
    core::RwMutex::unlock();
    while (Vma* vma = absorbed) {
        absorbed = vma->next_doomed;
        retire(*vma);
    }
}

void retire(Vma& vma) {
    Vma* free_now = nullptr;
    {
        core::SpinGuard guard(retired_lock);
        vma.next_doomed = retired;
        retired = &vma;
        if (++retired_count == retired_at_once) {
            free_now = std::exchange(retired, nullptr);
            retired_count = 0;
        }
    }
    if (!free_now) return;
    core::run_on_cpus(~u64{0}, [](void*) {}, nullptr);
    while (Vma* one = free_now) {
        free_now = one->next_doomed;
        delete one;
    }
}

} // namespace linnet::mm
