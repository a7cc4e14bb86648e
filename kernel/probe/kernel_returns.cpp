// Calls that are followed to their return: their return address is the trampoline's, and the real one is kept by the
// stack pointer, which no other call has at the time. Calls that never return (their thread has died, or has left them)
// are found when another call has the same stack, or when slots are wanted.
#include "kernel_probe.hpp"

#include <arch/page.hpp>
#include <new>

#pragma clang section text = ".text.noprobe"

namespace linnet::probe {

namespace {

struct Bucket {
    core::RawSpinLock lock;
    ReturnSlot* first = nullptr;
};
constexpr usize bucket_count = 64;
constinit Bucket buckets[bucket_count];

Bucket& bucket_of(u64 stack) { return buckets[(stack * 0x9e37'79b9'7f4a'7c15) >> 58]; }
static_assert(bucket_count == 64);

/// Takes the slot with this stack that came last out of its bucket.
ReturnSlot* pop(u64 stack) {
    Bucket& bucket = bucket_of(stack);
    bucket.lock.acquire();
    ReturnSlot** link = &bucket.first;
    while (*link && (*link)->stack != stack) link = &(*link)->next;
    ReturnSlot* found = *link;
    if (found) *link = found->next;
    bucket.lock.release();
    return found;
}

struct Call {
    u64 function, caller, stack;
};

/// False: no slot is free.
bool keep(ReturnSlots& slots, const Call& call) {
    Bucket& bucket = bucket_of(call.stack);
    bucket.lock.acquire();
    // What is still kept of this place in the stack has been left, unless it has jumped here.
    if (call.caller != kernel_trampoline())
        for (ReturnSlot** link = &bucket.first; *link;) {
            ReturnSlot& slot = **link;
            if (slot.stack == call.stack) {
                *link = slot.next;
                slot.owner->give_back(slot);
            } else {
                link = &slot.next;
            }
        }
    ReturnSlot* slot = slots.take();
    if (slot) {
        slot->function = call.function;
        slot->caller = call.caller;
        slot->stack = call.stack;
        slot->next = bucket.first;
        bucket.first = slot;
    }
    bucket.lock.release();
    return slot != nullptr;
}

/// Gives back the slots of calls that this thread has left: they lie deeper in its stack than it is now.
bool reclaim(ReturnSlots& slots, u64 stack) {
    const u64 top = core::current_thread().kernel_stack_top;
    if (stack > top || top - stack > arch::kernel_stack_size) return false;
    const u64 bottom = top - arch::kernel_stack_size;
    bool any = false;
    for (Bucket& bucket : buckets) {
        bucket.lock.acquire();
        for (ReturnSlot** link = &bucket.first; *link;) {
            ReturnSlot& slot = **link;
            if (slot.owner == &slots && slot.stack >= bottom && slot.stack < stack) {
                *link = slot.next;
                slots.give_back(slot);
                any = true;
            } else {
                link = &slot.next;
            }
        }
        bucket.lock.release();
    }
    return any;
}

} // namespace

ReturnSlot* ReturnSlots::take() {
    lock_.acquire();
    ReturnSlot* slot = free_;
    if (slot) {
        free_ = slot->next;
        in_use.fetch_add(1, std::memory_order_relaxed);
    }
    lock_.release();
    return slot;
}

void ReturnSlots::give_back(ReturnSlot& slot) {
    lock_.acquire();
    slot.next = free_;
    free_ = &slot;
    lock_.release();
    in_use.fetch_sub(1, std::memory_order_release); // then the owner may go
}

bool follow_kernel_return(ReturnSlots& slots, arch::ProbeRegisters registers) {
    u64& caller = registers.kernel_return_address();
    const Call call{.function = registers.pc(), .caller = caller, .stack = registers.sp()};
    if (!keep(slots, call) && !(reclaim(slots, call.stack) && keep(slots, call))) return false;
    caller = kernel_trampoline();
    return true;
}

bool take_kernel_return(arch::ProbeRegisters registers, bool tells) {
    const u64 stack = registers.sp() - arch::return_pops;
    u64 caller = kernel_trampoline();
    while (caller == kernel_trampoline()) {
        ReturnSlot* slot = pop(stack);
        if (!slot) return false;
        caller = slot->caller;
        registers.set_pc(caller);
        if (KernelProbeClient* client = slot->owner->client.load(std::memory_order_acquire))
            if (!tells || !client->on_return(registers, slot->function, caller))
                client->missed.fetch_add(1, std::memory_order_relaxed);
        slot->owner->give_back(*slot);
    }
    return true;
}

Result<ReturnSlots*> ReturnSlots::create(KernelProbeClient& client, u32 count) {
    auto* made = new (std::nothrow) ReturnSlots;
    if (!made) return error(Errno::ENOMEM);
    made->slots_ = new (std::nothrow) ReturnSlot[count];
    if (!made->slots_) {
        delete made;
        return error(Errno::ENOMEM);
    }
    made->client = &client;
    for (u32 i = 0; i < count; ++i) {
        made->slots_[i].next = made->free_;
        made->slots_[i].owner = made;
        made->free_ = &made->slots_[i];
    }
    return made;
}

} // namespace linnet::probe
