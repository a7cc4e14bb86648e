// The lock-order checker of debug builds, and the anonymous class.
//
// Each lock class gets a small number at first use. Two things are remembered of it, and a contradiction is a panic at
// its first occasion, whether or not it deadlocks:
//   order:      "b was taken while a was held", directly or through others; taking a while b is held contradicts.
//   interrupts: whether a handler takes it, and whether it was held while interrupts were on. A class may not be both,
//   and
//               nothing that was held with interrupts on may come after a class that handlers take: the handler may
//               interrupt the holder and wait for somebody who waits for the holder.
#include <core/panic.hpp>
#include <core/spinlock.hpp>
#include <core/thread.hpp>

namespace linnet::core {

constinit LockClass anonymous_lock_class{"anonymous"};

#ifdef LINNET_DEBUG
namespace {

constexpr u32 max_classes = 128;
constexpr u32 max_held = 24;

struct Held {
    LockClass* classes[max_held];
    u32 count;
};

enum Usage : u32 { in_handlers = 1, with_interrupts_on = 2 };

constinit Held held_by_cpu[64] = {};
constinit std::atomic<u32> next_id{1};
constinit std::atomic<LockClass*> known[max_classes] = {};
constinit std::atomic<u32> usages[max_classes] = {};
constinit std::atomic<u64> taken_after[max_classes][max_classes / 64] = {}; // transitively closed
constinit std::atomic<bool> closing{false};                                 // who adds to taken_after

u32 id_of(LockClass& lock_class) {
    u32 id = lock_class.id.load(std::memory_order_acquire);
    if (id != 0) return id;
    u32 fresh = next_id.fetch_add(1);
    if (fresh >= max_classes) panic("more than {} lock classes", max_classes);
    known[fresh].store(&lock_class);
    u32 expected = 0;
    return lock_class.id.compare_exchange_strong(expected, fresh) ? fresh : expected;
}

std::string_view name_of(u32 id) {
    LockClass* lock_class = known[id].load();
    return lock_class ? lock_class->name : "?";
}

bool is_after(u32 first, u32 second) { return (taken_after[first][second / 64].load() >> (second % 64)) & 1; }

void check_handlers_order(u32 first, u32 second) {
    if ((usages[first].load() & in_handlers) && (usages[second].load() & with_interrupts_on) && !is_panicking())
        panic("lock order: '{}', which interrupt handlers take, comes before '{}', which is held with interrupts on",
              name_of(first), name_of(second));
}

/// Remembers that `second` comes after `first`, and so after all that comes before `first`.
void add_order(u32 first, u32 second) {
    while (closing.exchange(true, std::memory_order_acquire)) arch::relax();
    for (u32 before = 1; before < max_classes; ++before) {
        if (before != first && !is_after(before, first)) continue;
        for (u32 word = 0; word < max_classes / 64; ++word)
            taken_after[before][word].fetch_or(taken_after[second][word]);
        taken_after[before][second / 64].fetch_or(u64{1} << (second % 64));
    }
    closing.store(false, std::memory_order_release);
    for (u32 before = 1; before < max_classes; ++before)
        for (u32 after = 1; after < max_classes; ++after)
            if (is_after(before, after)) check_handlers_order(before, after);
}

void note_usage(u32 id, bool interrupts_on) {
    u32 use = this_cpu().interrupt_depth > 0 ? in_handlers : (interrupts_on ? with_interrupts_on : 0);
    if ((usages[id].load(std::memory_order_relaxed) & use) == use) return;
    if ((usages[id].fetch_or(use) | use) == (in_handlers | with_interrupts_on))
        panic("lock order: '{}' is taken by interrupt handlers and held with interrupts on", name_of(id));
    for (u32 other = 1; other < max_classes; ++other) {
        if (is_after(id, other)) check_handlers_order(id, other);
        if (is_after(other, id)) check_handlers_order(other, id);
    }
}

} // namespace

// Preemption is off in all three, so the CPU's list is the thread's list of spinlocks. An interrupt between two steps
// of an edit would find the list in disorder.
void RawSpinLock::note_acquire() {
    if (class_ == &anonymous_lock_class || is_panicking()) return;
    bool interrupts_on = arch::interrupts_enabled();
    arch::InterruptState state = arch::save_and_disable_interrupts();
    Held& held = held_by_cpu[this_cpu().number];
    u32 id = id_of(*class_);
    note_usage(id, interrupts_on);
    for (u32 i = 0; i < held.count && i < max_held; ++i) {
        if (held.classes[i] == &anonymous_lock_class || held.classes[i] == class_) continue;
        u32 before = id_of(*held.classes[i]);
        if (is_after(id, before))
            panic("lock order: '{}' taken while '{}' is held, elsewhere the other way round", name_of(id),
                  name_of(before));
        if (!is_after(before, id)) add_order(before, id);
    }
    arch::restore_interrupts(state);
}

void RawSpinLock::note_acquired() {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    Held& held = held_by_cpu[this_cpu().number];
    if (held.count < max_held) held.classes[held.count] = class_;
    ++held.count;
    arch::restore_interrupts(state);
}

void RawSpinLock::note_release() {
    arch::InterruptState state = arch::save_and_disable_interrupts();
    Held& held = held_by_cpu[this_cpu().number];
    for (u32 i = held.count; i-- > 0;) {
        if (i >= max_held || held.classes[i] != class_) continue;
        for (u32 j = i; j + 1 < held.count && j + 1 < max_held; ++j) held.classes[j] = held.classes[j + 1];
        break;
    }
    if (held.count > 0) --held.count;
    arch::restore_interrupts(state);
}
#endif

} // namespace linnet::core
