// A CPU's ring of trace pages.
#include "ring_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "recording.hpp"

namespace linnet::trace {

namespace {

constexpr u32 word = sizeof(u32);
constexpr usize longest_small = 28 * word;
constexpr u64 longest_delta = (u64{1} << 27) - 1;

u32 load(const u8* at) {
    u32 value;
    memcpy(&value, at, sizeof value);
    return value;
}
void store(u8* at, u32 value) { memcpy(at, &value, sizeof value); }

constexpr u32 head(u32 type, u64 delta) { return type | static_cast<u32>(delta << 5); }

} // namespace

constinit core::LockClass RingBuffer::lock_class("trace buffer");

RingBuffer::~RingBuffer() {
    for (usize i = 0; i < capacity_; ++i) delete slots_[i].page;
}

/// Pages that hold nothing, chained by their first word; what is left goes with the list.
struct RingBuffer::PageList {
    ~PageList() {
        while (Page* page = pop()) delete page;
    }
    void push(Page* page) {
        page->time = reinterpret_cast<u64>(first);
        first = page;
    }
    Page* pop() {
        Page* page = first;
        if (page) first = reinterpret_cast<Page*>(page->time);
        return page;
    }
    Page* first = nullptr;
};

Result<void> RingBuffer::resize(usize pages) {
    pages = std::max(pages, fewest_pages);
    PageList spare; // goes behind the lock
    OwnPtr<Slot[]> slots(new (std::nothrow) Slot[pages]);
    if (!slots) return error(Errno::ENOMEM);
    for (usize i = capacity_; i < pages; ++i) {
        auto* page = new (std::nothrow) Page;
        if (!page) return error(Errno::ENOMEM);
        spare.push(page);
    }
    RecordingGuard guard(lock_);
    while (!is_empty_ && newest_ - oldest_ + 1 > pages) drop_oldest_locked();
    for (u64 number = oldest_; !is_empty_ && number <= newest_; ++number)
        std::swap(slots[number % pages], slots_[number % capacity_]);
    for (usize i = 0; i < capacity_; ++i)
        if (slots_[i].page) spare.push(slots_[i].page);
    for (usize i = 0; i < pages; ++i)
        if (!slots[i].page) slots[i].page = spare.pop();
    std::swap(slots_, slots); // the old ones go behind the lock too
    capacity_ = pages;
    guard.unlock();
    return {};
}

void RingBuffer::set_overwrite(bool on) {
    RecordingGuard guard(lock_);
    overwrites_ = on;
}

void RingBuffer::clear() {
    RecordingGuard guard(lock_);
    // No place of a reader leads to what comes next.
    oldest_ = ++newest_;
    is_empty_ = true;
    consumer_ = {.page = newest_};
    written_ = overrun_ = dropped_ = read_ = bytes_ = 0;
    last_ns_ = 0; // another clock may show less
}

// ---- writing ----

void RingBuffer::drop_oldest_locked() {
    const Slot& slot = slot_locked(oldest_);
    u32 events = slot.events;
    u64 bytes = slot.page->used;
    if (consumer_.page == oldest_) {
        events -= consumer_.events;
        bytes -= consumer_.offset;
    }
    if (consumer_.page <= oldest_) {
        consumer_ = {.page = oldest_ + 1, .lost = consumer_.lost + events};
        overrun_ += events;
        bytes_ -= bytes;
    }
    if (oldest_ == newest_) is_empty_ = true;
    ++oldest_;
    newest_ = std::max(newest_, oldest_);
}

bool RingBuffer::begin_page_locked(u64 now) {
    if (is_empty_) {
        oldest_ = newest_;
    } else {
        if (newest_ - oldest_ + 1 == capacity_) {
            if (!overwrites_) return false;
            drop_oldest_locked();
        }
        ++newest_;
    }
    if (is_empty_) consumer_ = {.page = newest_, .lost = consumer_.lost};
    is_empty_ = false;
    Slot& slot = slot_locked(newest_);
    slot.events = 0;
    slot.page->time = last_ns_ = now;
    slot.page->used = 0;
    return true;
}

bool RingBuffer::write(u64 now, std::span<const u8> data) {
    const usize size = (data.size() + word - 1) / word * word;
    if (size == 0 || size > longest) return false;
    const usize length = word + (size > longest_small ? word : 0) + size;
    RecordingGuard guard(lock_);
    if (capacity_ == 0) return false;
    u64 delta = is_empty_ || now < last_ns_ ? 0 : now - last_ns_;
    const usize extension = delta > longest_delta ? 2 * word : 0;
    if (is_empty_ || slot_locked(newest_).page->used + extension + length > page_room) {
        if (!begin_page_locked(std::max(now, last_ns_))) return ++dropped_, false;
        delta = 0;
    }
    Slot& slot = slot_locked(newest_);
    Page& page = *slot.page;
    u8* at = page.data + page.used;
    u64 added = length;
    if (delta > longest_delta) {
        store(at, head(type_time_extend, delta & longest_delta));
        store(at + word, static_cast<u32>(delta >> 27));
        at += 2 * word;
        added += 2 * word;
        delta = 0;
    }
    last_ns_ = std::max(now, last_ns_);
    if (size > longest_small) {
        store(at, head(0, delta));
        store(at + word, static_cast<u32>(size + word));
        at += 2 * word;
    } else {
        store(at, head(static_cast<u32>(size / word), delta));
        at += word;
    }
    memcpy(at, data.data(), data.size());
    memset(at + data.size(), 0, size - data.size());
    page.used += added;
    bytes_ += added;
    ++slot.events;
    ++written_;
    return true;
}

// ---- reading ----

RingBuffer::Step RingBuffer::step(const Page& page, const Place& at) {
    u32 offset = at.offset;
    u64 time = at.time;
    u32 first = load(page.data + offset);
    if ((first & 31) == type_time_extend) {
        time += (u64{load(page.data + offset + word)} << 27) + (first >> 5);
        offset += 2 * word;
        first = load(page.data + offset);
    }
    time += first >> 5;
    if ((first & 31) != 0)
        return {.begin = offset + word,
                .size = (first & 31) * word,
                .end = offset + word + (first & 31) * word,
                .time = time};
    const u32 size = load(page.data + offset + word) - word;
    return {.begin = offset + 2 * word, .size = size, .end = offset + 2 * word + size, .time = time};
}

bool RingBuffer::settle_locked(Place& at) const {
    if (is_empty_) return false;
    if (at.page < oldest_) {
        at = {.page = oldest_, .time = 0, .lost = at.lost + 1};
        at.time = slot_locked(oldest_).page->time;
    } else if (at.page > newest_) {
        return false;
    } else if (at.offset == 0) {
        at.time = slot_locked(at.page).page->time;
    }
    while (at.offset >= slot_locked(at.page).page->used) {
        if (at.page == newest_) return false;
        ++at.page;
        at.offset = at.events = 0;
        at.time = slot_locked(at.page).page->time;
    }
    return true;
}

std::optional<RingBuffer::Entry> RingBuffer::peek_locked(Place& at, std::span<u8> to) const {
    if (!settle_locked(at)) return {};
    const Page& page = *slot_locked(at.page).page;
    const Step found = step(page, at);
    memcpy(to.data(), page.data + found.begin, std::min<usize>(to.size(), found.size));
    return Entry{.time = found.time, .size = found.size};
}

void RingBuffer::advance_locked(Place& at) const {
    if (is_empty_ || at.page < oldest_ || !settle_locked(at)) return;
    const Step found = step(*slot_locked(at.page).page, at);
    at.offset = found.end;
    at.time = found.time;
    ++at.events;
}

RingBuffer::Place RingBuffer::begin() {
    RecordingGuard guard(lock_);
    Place place = consumer_;
    place.lost = 0;
    return place;
}

std::optional<RingBuffer::Entry> RingBuffer::peek(Place& at, std::span<u8> to) {
    RecordingGuard guard(lock_);
    return peek_locked(at, to);
}

void RingBuffer::advance(Place& at) {
    RecordingGuard guard(lock_);
    advance_locked(at);
}

void RingBuffer::free_read_pages_locked() {
    (void)settle_locked(consumer_); // it may be at the end of its page
    while (!is_empty_ && oldest_ < consumer_.page && oldest_ < newest_) ++oldest_;
}

std::optional<RingBuffer::Entry> RingBuffer::peek_next(std::span<u8> to, u64& lost) {
    RecordingGuard guard(lock_);
    lost = std::exchange(consumer_.lost, 0);
    return peek_locked(consumer_, to);
}

void RingBuffer::take_next() {
    RecordingGuard guard(lock_);
    if (!settle_locked(consumer_)) return;
    const u32 before = consumer_.offset;
    advance_locked(consumer_);
    bytes_ -= consumer_.offset - before;
    ++read_;
    free_read_pages_locked();
}

bool RingBuffer::take_page(std::span<u8, arch::page_size> to) {
    RecordingGuard guard(lock_);
    if (!settle_locked(consumer_)) return false;
    const Slot& slot = slot_locked(consumer_.page);
    const u64 left = slot.page->used - consumer_.offset;
    const u64 lost = std::exchange(consumer_.lost, 0);
    u64 used = left;
    memcpy(to.data() + page_head, slot.page->data + consumer_.offset, left);
    memset(to.data() + page_head + left, 0, page_room - left);
    if (lost) {
        used |= missed_events;
        if (page_room - left >= sizeof lost) {
            memcpy(to.data() + page_head + left, &lost, sizeof lost);
            used |= missed_stored;
        }
    }
    memcpy(to.data(), &consumer_.time, sizeof(u64));
    memcpy(to.data() + sizeof(u64), &used, sizeof used);
    bytes_ -= left;
    read_ += slot.events - consumer_.events;
    // The rest of this page, if it is still being written, continues from the time of its last event.
    while (consumer_.offset < slot.page->used) {
        const Step found = step(*slot.page, consumer_);
        consumer_.offset = found.end;
        consumer_.time = found.time;
        ++consumer_.events;
    }
    free_read_pages_locked();
    return true;
}

bool RingBuffer::has_events() {
    RecordingGuard guard(lock_);
    return settle_locked(consumer_);
}

bool RingBuffer::is_filled(u32 percent) {
    if (percent == 0) return has_events();
    core::InterruptSpinGuard guard(lock_);
    return !is_empty_ && (newest_ - oldest_) * 100 > u64{percent} * capacity_;
}

bool RingBuffer::has_full_page() {
    core::InterruptSpinGuard guard(lock_);
    return !is_empty_ && oldest_ < newest_;
}

RingBuffer::Statistics RingBuffer::statistics() {
    RecordingGuard guard(lock_);
    Statistics result{.entries = written_ - overrun_ - read_,
                      .overrun = overrun_,
                      .dropped = dropped_,
                      .bytes = bytes_,
                      .read_events = read_,
                      .written = written_};
    if (settle_locked(consumer_)) result.oldest_ns = slot_locked(consumer_.page).page->time;
    return result;
}

} // namespace linnet::trace
