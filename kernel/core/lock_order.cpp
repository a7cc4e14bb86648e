// The lock-order checker of debug builds, and the anonymous class.
//
// Each lock class gets a small number at first use; a matrix remembers "b was taken while a was held". Taking a while b is
// held, directly or through others, is then reported as a panic at the first occasion, whether or not it deadlocks.
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

constinit Held held_by_cpu[64] = {};
constinit std::atomic<u32> next_id{1};
constinit std::atomic<u64> taken_after[max_classes][max_classes / 64] = {};

u32 id_of(LockClass& lock_class) {
    u32 id = lock_class.id.load(std::memory_order_relaxed);
    if (id != 0) return id;
    u32 fresh = next_id.fetch_add(1);
    if (fresh >= max_classes) panic("more than {} lock classes", max_classes);
    u32 expected = 0;
    return lock_class.id.compare_exchange_strong(expected, fresh) ? fresh : expected;
}

bool is_after(u32 first, u32 second) { return (taken_after[first][second / 64].load() >> (second % 64)) & 1; }

} // namespace

// Preemption is off in all three, so the CPU's list is the thread's list of spinlocks.
void RawSpinLock::note_acquire() {
    if (class_ == &anonymous_lock_class || is_panicking()) return;
    Held& held = held_by_cpu[this_cpu().number];
    u32 id = id_of(*class_);
    for (u32 i = 0; i < held.count && i < max_held; ++i) {
        if (held.classes[i] == &anonymous_lock_class || held.classes[i] == class_) continue;
        u32 before = id_of(*held.classes[i]);
        if (is_after(id, before))
            panic("lock order: '{}' taken while '{}' is held, elsewhere the other way round",
                  std::string_view(class_->name), std::string_view(held.classes[i]->name));
        taken_after[before][id / 64].fetch_or(u64{1} << (id % 64));
    }
}

void RawSpinLock::note_acquired() {
    Held& held = held_by_cpu[this_cpu().number];
    if (held.count < max_held) held.classes[held.count] = class_;
    ++held.count;
}

void RawSpinLock::note_release() {
    Held& held = held_by_cpu[this_cpu().number];
    for (u32 i = held.count; i-- > 0;) {
        if (i >= max_held || held.classes[i] != class_) continue;
        for (u32 j = i; j + 1 < held.count && j + 1 < max_held; ++j) held.classes[j] = held.classes[j + 1];
        break;
    }
    if (held.count > 0) --held.count;
}
#endif

} // namespace linnet::core
