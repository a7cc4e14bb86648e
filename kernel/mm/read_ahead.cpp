// Reading ahead: which pages a reader will want next, and reads that nobody waits for.
//
// A window is begun before its first page is asked for: reaching a mark in one window begins the next, which is twice
// as large. Pages on their way are in the index, locked; a disk's interrupt finishes them. What could not be read is
// left in the index, neither locked nor up to date: who wants such a page reads it (FileObject::get_page()) and meets
// the error. Without memory to spare, or when too much is under way, nothing is begun, and readers read for themselves.
#include "reclaim.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <mm/page_cache.hpp>

namespace linnet::mm {

namespace {

/// More is not begun at a time, whatever has been set or asked for: pages.
constexpr u64 most_in_window = 4096;
/// Faults that found nothing, less those that did, from which on reading around them is no use.
constexpr u32 hopeless_misses = 100;

/// Waits for reads to end. None of an object's own, which may go with its last read.
constinit core::WaitQueue reads_ended;

/// How much a reader that begins is given, as Linux does: it may have been all that it wanted.
u64 first_window(u64 wanted, u64 most) {
    const u64 size = std::bit_ceil(wanted);
    if (size <= most / 32) return size * 4;
    return size <= most / 4 ? size * 2 : most;
}

} // namespace

// ---- what to read ----

ReadAhead::Window ReadAhead::begin(u64 first, u64 count, u64 mark) {
    end_.store(first + count, std::memory_order_relaxed);
    size_.store(count, std::memory_order_relaxed);
    mark_.store(mark, std::memory_order_relaxed);
    return {first, count};
}

ReadAhead::Window ReadAhead::on_miss(u64 index, u64 wanted, u64 most) {
    const ReadAdvice how = advice();
    if (how == ReadAdvice::Sequential) most *= 2;
    if (how == ReadAdvice::Random || most == 0 || !goes_on_at(index)) {
        size_.store(0, std::memory_order_relaxed);
        mark_.store(no_mark, std::memory_order_relaxed);
        return {index, wanted};
    }
    const u64 before = index == 0 ? 0 : size_.load(std::memory_order_relaxed);
    const u64 size = before == 0 ? first_window(wanted, most) : std::min(std::max(before * 2, wanted), most);
    // Who wants all of it goes on behind: the next window is begun with it.
    if (wanted >= size) return begin(index, size + most, index + size);
    return begin(index, size, index + wanted);
}

ReadAhead::Window ReadAhead::on_mark(u64 most) {
    if (advice() == ReadAdvice::Sequential) most *= 2;
    const u64 first = end_.load(std::memory_order_relaxed);
    const u64 size = std::min(size_.load(std::memory_order_relaxed) * 2, most);
    return begin(first, size, first);
}

// ---- reading it ----

u64 FileObject::read_ahead_limit() const {
    const PageSource* source = source_.load(std::memory_order_acquire);
    return source ? std::min(source->read_ahead_pages(), most_in_window) : 0;
}

void FileObject::read_ahead(ReadAhead& reader, u64 index, u64 wanted, Found found) {
    const u64 most = read_ahead_limit();
    const ReadAhead::Window window =
        found == Found::Nothing ? reader.on_miss(index, std::min(wanted, most_in_window), most) : reader.on_mark(most);
    begin_reading(window.first, window.count);
}

void FileObject::read_around(u64 index, ReadAdvice advice) {
    const u64 most = read_ahead_limit();
    const u32 misses = around_misses_.load(std::memory_order_relaxed);
    if (misses < 2 * hopeless_misses) around_misses_.store(misses + 1, std::memory_order_relaxed);
    if (advice == ReadAdvice::Random || most == 0)
        begin_reading(index, 1);
    else if (advice == ReadAdvice::Sequential)
        begin_reading(index, most);
    else if (misses < hopeless_misses)
        begin_reading(index - std::min(index, most / 2), most);
    else
        begin_reading(index, 1);
}

void FileObject::note_found_around() {
    const u32 misses = around_misses_.load(std::memory_order_relaxed);
    if (misses > 0) around_misses_.store(misses - 1, std::memory_order_relaxed);
}

void FileObject::begin_reading(u64 first, u64 count) {
    PageSource* source = source_.load(std::memory_order_acquire);
    const u64 end = divide_up(size(), arch::page_size);
    if (!source || !source->reads_in_background() || first >= end) return;
    RunOf<batch> run;
    u64 index = first;
    for (const u64 last = first + std::min({count, end - first, most_in_window}); index < last && !is_below_low_mark();
         ++index) {
        const bool is_there = static_cast<bool>(find_any_page(index));
        if (is_there || run.count == run.most) {
            if (run.count > 0 && !begin_run(*source, index - run.count, run)) return;
            if (is_there) continue;
        }
        auto added = add_locked_page(index);
        if (!added) break;
        if (added->is_ours) {
            run.add(std::move(added->page));
            continue;
        }
        if (run.count > 0 && !begin_run(*source, index - run.count, run)) return;
    }
    if (run.count > 0) (void)begin_run(*source, index - run.count, run);
}

/// The run is empty afterwards. False when not all of it was begun.
bool FileObject::begin_run(PageSource& source, u64 index, Run& run) {
    reads_under_way_.fetch_add(1, std::memory_order_seq_cst);
    const usize taken =
        reads_barred_.load(std::memory_order_seq_cst) == 0 ? source.begin_reading(*this, index, run.all()) : 0;
    if (taken == 0) end_reading();
    for (usize i = 0; i < taken; ++i) (void)run.references[i].release(); // finish_reading() has them
    const bool is_all = taken == run.count;
    for (usize i = taken; i < run.count; ++i) {
        remove_page(index + i, *run.pages[i]);
        run.pages[i]->clear(page_locked);
    }
    if (!is_all) page_ready_.wake_all();
    run.clear();
    return is_all;
}

void FileObject::finish_reading(u64 index, std::span<Page*> pages, ReadOutcome outcome) {
    for (Page*& page : pages) {
        if (outcome == ReadOutcome::Done) {
            // Who cuts the file off zeroes what is left of its last page, but leaves alone what isn't up to date.
            const u64 end = size();
            zero_behind(end, index, *page);
            page->set(page_up_to_date);
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (const u64 now = size(); now < end) zero_behind(now, index, *page);
        }
        page->clear(page_locked);
        u32 refs = page->refs.load(std::memory_order_relaxed);
        while (refs > 1 && !page->refs.compare_exchange_weak(refs, refs - 1, std::memory_order_acq_rel)) {
        }
        if (refs > 1) page = nullptr;
        ++index;
    }
    page_ready_.wake_all();
}

void FileObject::zero_behind(u64 end, u64 index, Page& page) {
    const u64 begin = index << arch::page_shift;
    if (end >= begin + arch::page_size) return;
    const usize kept = end > begin ? end - begin : 0;
    std::memset(page_data<u8>(page) + kept, 0, arch::page_size - kept);
}

void FileObject::end_reading() {
    // Nothing of the object is touched afterwards: who waits may free it.
    if (reads_under_way_.fetch_sub(1, std::memory_order_seq_cst) == 1) reads_ended.wake_all();
}

void FileObject::wait_for_reads() {
    reads_barred_.fetch_add(1, std::memory_order_seq_cst);
    (void)core::wait_until(reads_ended, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return reads_under_way_.load(std::memory_order_seq_cst) == 0; });
    reads_barred_.fetch_sub(1, std::memory_order_seq_cst);
}

Result<void> FileObject::read_again(u64 index, Page& page) {
    if (page.flags.fetch_or(page_locked, std::memory_order_acq_rel) & page_locked) return {}; // another thread does
    Result<void> read;
    if (!page.has(page_up_to_date)) {
        PageSource* source = source_.load(std::memory_order_acquire);
        RunOf<1> run;
        run.add(PageRef::share(page));
        if (source) {
            read = read_run(*source, index, run);
        } else {
            read = error(Errno::EIO);
            page.clear(page_locked);
        }
    } else {
        page.clear(page_locked);
    }
    page_ready_.wake_all();
    return read;
}

} // namespace linnet::mm
