// RingBuffer: what one CPU has recorded, in pages as Linux lays them out (events/header_page and header_event of
// tracefs): a page begins with the time of its first event and the number of bytes in use; an event is a word of 5 bits
// of type and 27 bits of time since the event before, and its data.
//
// The CPU itself writes, with interrupts off, so no writer meets another; readers are on any CPU. One spinlock, a leaf,
// keeps them apart: a reader holds it for one event or one page. Pages carry sequence numbers that never repeat, so a
// reader's place means the same, or is known to be gone, whatever was written or resized meanwhile.
#pragma once

#include <arch/page.hpp>
#include <core/spinlock.hpp>
#include <lib/own_ptr.hpp>
#include <lib/result.hpp>
#include <optional>
#include <span>

namespace linnet::trace {

class RingBuffer {
public:
    static constexpr usize page_head = 16;
    static constexpr usize page_room = arch::page_size - page_head;
    /// The longest event.
    static constexpr usize longest = page_room - 8;
    static constexpr usize fewest_pages = 2;

    /// What stands behind the number of bytes in a page's head: events were lost before it, and how many stands behind
    /// its last event.
    static constexpr u64 missed_events = u64{1} << 31, missed_stored = u64{1} << 30;

    /// Types of events: up to 28 the length of the data in words, 0 when the next word says how long it is.
    static constexpr u32 type_padding = 29, type_time_extend = 30, type_time_stamp = 31;

    struct Statistics {
        u64 entries = 0;     // not read yet
        u64 overrun = 0;     // overwritten before they were read
        u64 dropped = 0;     // for want of room, when nothing is overwritten
        u64 bytes = 0;       // not read yet
        u64 read_events = 0; // taken by a consuming reader
        u64 oldest_ns = 0;   // of the events that are left
        u64 written = 0;     // since the buffer was emptied
    };

    /// Where a reader is: at an event of the page of that number.
    struct Place {
        u64 page = 0;
        u32 offset = 0;
        u32 events = 0; // of that page, already passed
        u64 time = 0;   // of the event passed last, or of the page
        u64 lost = 0;   // events that were overwritten before the reader came by
    };
    struct Entry {
        u64 time = 0;
        usize size = 0; // of its data
    };

    RingBuffer() = default;
    ~RingBuffer();
    RingBuffer(const RingBuffer&) = delete;
    RingBuffer& operator=(const RingBuffer&) = delete;

    /// Has so many pages from now on, `fewest_pages` at least; of what is in it the newest stays. ENOMEM. One at a
    /// time.
    Result<void> resize(usize pages);
    [[nodiscard]] usize pages() const { return capacity_; }
    void set_overwrite(bool on);
    /// Forgets everything.
    void clear();

    /// Interrupts off, on the CPU whose buffer it is. False: there was no room.
    bool write(u64 now, std::span<const u8> data);

    /// Where a reader that takes nothing begins.
    Place begin();
    /// The event at the place, moved on over what is gone; nothing when there is no more. The data, as far as it fits,
    /// goes to `to`.
    std::optional<Entry> peek(Place& at, std::span<u8> to);
    /// Behind the event that peek() found, if it is still there.
    void advance(Place& at);

    /// The same for the one reader that takes events away.
    std::optional<Entry> peek_next(std::span<u8> to, u64& lost);
    void take_next();
    /// Takes what is left of the oldest page, as a page with its head; false: there is nothing.
    bool take_page(std::span<u8, arch::page_size> to);
    [[nodiscard]] bool has_events();
    /// Whether there is a page that nothing more is written to.
    [[nodiscard]] bool has_full_page();
    /// Whether more than that share of its pages is in use; of 0: whether there is anything.
    [[nodiscard]] bool is_filled(u32 percent);

    Statistics statistics();

private:
    struct Page {
        u64 time;
        u64 used;
        u8 data[page_room];
    };
    static_assert(sizeof(Page) == arch::page_size);
    struct Slot {
        Page* page = nullptr;
        u32 events = 0;
    };
    struct Step {
        u32 begin = 0; // of the data
        u32 size = 0;  // of it
        u32 end = 0;   // of the event
        u64 time = 0;
    };
    struct PageList;

    [[nodiscard]] Slot& slot_locked(u64 number) const { return slots_[number % capacity_]; }
    bool begin_page_locked(u64 now);
    void drop_oldest_locked();
    /// Moves the place to where there is an event; false: there is none.
    bool settle_locked(Place& at) const;
    [[nodiscard]] static Step step(const Page& page, const Place& at);
    std::optional<Entry> peek_locked(Place& at, std::span<u8> to) const;
    void advance_locked(Place& at) const;
    void free_read_pages_locked();

    static core::LockClass lock_class;
    core::InterruptSpinLock lock_{lock_class};
    OwnPtr<Slot[]> slots_;
    usize capacity_ = 0;
    bool overwrites_ = true;
    bool is_empty_ = true; // no page has been begun
    u64 oldest_ = 0;       // pages oldest_ to newest_ are in use, unless it is empty
    u64 newest_ = 0;
    u64 last_ns_ = 0; // of the event written last
    Place consumer_;
    u64 written_ = 0, overrun_ = 0, dropped_ = 0, read_ = 0, bytes_ = 0;
};

} // namespace linnet::trace
