// The real-time class of one CPU: a list for each priority of FIFO and ROUND ROBIN (sched(7)), and a map of those that
// have somebody. Guarded by the run queue's lock.
#pragma once

#include <array>
#include <bit>
#include <core/thread.hpp>

namespace linnet::core {

class RealtimeQueue {
public:
    void push_back(Thread& thread) { list_for(thread).push_back(thread); }
    void push_front(Thread& thread) { list_for(thread).push_front(thread); }
    void remove(Thread& thread) {
        List& list = lists_[thread.urgency.level];
        list.remove(thread);
        if (list.is_empty()) used_[thread.urgency.level / 64] &= ~(u64{1} << thread.urgency.level % 64);
    }
    [[nodiscard]] bool is_empty() const { return (used_[0] | used_[1]) == 0; }
    [[nodiscard]] bool has(u8 level) const { return (used_[level / 64] >> (level % 64)) & 1; }
    /// The most urgent level that has a thread; fair_level when none has.
    [[nodiscard]] u8 first_level() const { return next_level(0); }
    Thread* first() { return is_empty() ? nullptr : lists_[first_level()].first(); }
    /// The one behind `thread` in order of urgency.
    Thread* next(Thread& thread) {
        if (Thread* equal = lists_[thread.urgency.level].next(thread)) return equal;
        const u8 level = next_level(thread.urgency.level + 1);
        return level < Urgency::fair_level ? lists_[level].first() : nullptr;
    }

private:
    using List = IntrusiveList<Thread, &Thread::realtime_node>;

    List& list_for(const Thread& thread) {
        used_[thread.urgency.level / 64] |= u64{1} << thread.urgency.level % 64;
        return lists_[thread.urgency.level];
    }
    [[nodiscard]] u8 next_level(u32 from) const {
        for (u32 word = from / 64; word < used_.size(); ++word) {
            const u64 rest = used_[word] & (word == from / 64 ? ~u64{0} << (from % 64) : ~u64{0});
            if (rest != 0) return static_cast<u8>(word * 64 + static_cast<u32>(std::countr_zero(rest)));
        }
        return Urgency::fair_level;
    }

    std::array<List, Urgency::fair_level> lists_;
    std::array<u64, 2> used_{}; // a bit for each level
};

} // namespace linnet::core
