// ReadAhead: what one reader of a page cache, an open file, has asked for lately, and so what it will want next. Where
// several threads share one they disturb each other's guesses, no more.
#pragma once

#include <atomic>
#include <lib/types.hpp>

namespace linnet::mm {

/// What a reader said of itself (posix_fadvise(2)).
enum class ReadAdvice : u8 { Normal, Sequential, Random };

class ReadAhead {
public:
    void set_advice(ReadAdvice advice) { advice_.store(advice, std::memory_order_relaxed); }
    [[nodiscard]] ReadAdvice advice() const { return advice_.load(std::memory_order_relaxed); }
    /// Whether it reached the page at which the next window is to be begun.
    [[nodiscard]] bool is_due(u64 index) const { return index == mark_.load(std::memory_order_relaxed); }
    /// Whether a read that begins at `index` goes on where the last one ended.
    [[nodiscard]] bool goes_on_at(u64 index) const {
        const u64 next = next_.load(std::memory_order_relaxed);
        return index == 0 || index == next || index + 1 == next;
    }
    /// A read went up to the page `next`, exclusive.
    void note_read(u64 next) { next_.store(next, std::memory_order_relaxed); }

    /// Pages, from `first` on.
    struct Window {
        u64 first = 0, count = 0;
    };
    /// What to read for a reader that finds no page at `index` and wants `wanted` of them; `most`: in a window, 0 where
    /// nothing is to be read ahead.
    Window on_miss(u64 index, u64 wanted, u64 most);
    /// What to read when is_due() holds.
    Window on_mark(u64 most);

private:
    static constexpr u64 no_mark = ~u64{0};
    Window begin(u64 first, u64 count, u64 mark);

    std::atomic<u64> next_{0}; // behind what was read last
    std::atomic<u64> end_{0};  // behind the last window
    std::atomic<u64> size_{0}; // of that window; 0: nothing was read ahead
    std::atomic<u64> mark_{no_mark};
    std::atomic<ReadAdvice> advice_{ReadAdvice::Normal};
};

} // namespace linnet::mm
