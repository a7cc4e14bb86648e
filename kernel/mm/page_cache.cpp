// FileObject: reading pages in once, however many ask, writing dirty ones back, and giving up those that reclaim wants.
//
// Lock order: eviction_lock_ -> storing_lock_ -> what PageSource::write_page() takes; the mappings lock is only tried
// under the first.
#include "generations.hpp"
#include "reclaim.hpp"
#include "rmap.hpp"
#include <cstring>
#include <lib/own_ptr.hpp>
#include <mm/page_cache.hpp>

namespace linnet::mm {

Result<void> PageSource::read_pages(u64 index, std::span<Page* const> pages) {
    for (Page* page : pages) TRY(read_page(index++, *page));
    return {};
}

Result<void> PageSource::write_pages(u64 index, std::span<Page* const> pages) {
    for (Page* page : pages) TRY(write_page(index++, *page));
    return {};
}

Result<RefPtr<FileObject>> FileObject::create(PageSource& source, u64 size) {
    auto* object = new (std::nothrow) FileObject(source, size);
    if (!object) return error(Errno::ENOMEM);
    object->start_eviction();
    return adopt_ref(*object);
}

FileObject::~FileObject() { stop_eviction(); }

void FileObject::detach() {
    {
        core::WriteGuard<> guard(eviction_lock_);
        source_.store(nullptr, std::memory_order_release);
    }
    wait_for_reads();
}

Result<PageRef> FileObject::get_page(u64 index, arch::Access access) {
    for (;;) {
        PageRef page = find_any_page(index);
        if (!page) page = TRY(read_in(index));
        if (page->has(page_locked)) {
            // Somebody reads it in; whoever waits may be killed meanwhile.
            auto result = core::wait_until(page_ready_, core::Sleep::Killable, core::Deadline::never(),
                                           [&] { return !page->has(page_locked); });
            if (result != core::WaitResult::Ready) return error(Errno::EINTR);
        }
        if (page->has(page_error)) return error(Errno::EIO);
        if (!still_holds(*page, index)) continue; // truncated or failed meanwhile
        if (!page->has(page_up_to_date)) {        // reading it ahead has failed
            TRY(read_again(index, *page));
            continue;
        }
        if (access == arch::Access::Write) {
            TRY(prepare_write(index, *page));
            note_dirty(*page);
        }
        return page;
    }
}

Result<void> FileObject::prepare_write(u64 index, Page& page) {
    PageSource* source = source_.load(std::memory_order_acquire);
    return source ? source->prepare_write(index, page) : error(Errno::EIO);
}

/// How many pages to read from `index` on: twice as many whenever a reader goes on where the last one ended.
usize FileObject::window_at(u64 index) {
    constexpr u32 first_window = 4;
    const u64 end = divide_up(size(), arch::page_size);
    u32 window = 1;
    if (index == 0)
        window = first_window;
    else if (index == next_read_.load(std::memory_order_relaxed))
        window = std::min<u32>(std::max(window_.load(std::memory_order_relaxed) * 2, first_window), batch);
    // Behind the end no page is worth reading that nobody asked for.
    window = index < end ? static_cast<u32>(std::min<u64>(window, end - index)) : 1;
    window_.store(window, std::memory_order_relaxed);
    return window;
}

/// A page to be read in by the caller; or that of a thread that was faster, perhaps still locked.
Result<FileObject::Added> FileObject::add_locked_page(u64 index) {
    PageRef fresh = TRY(allocate_page(PageZeroing::Uninitialised, PageKind::File));
    fresh->object = nullptr;
    fresh->set(page_locked);
    const Page* ours = fresh.get();
    PageRef page = TRY(insert_page(index, std::move(fresh)));
    const bool is_ours = page.get() == ours;
    return Added{std::move(page), is_ours};
}

Result<PageRef> FileObject::add_page(u64 index, PageRef page) {
    TRY(prepare_write(index, *page));
    page->object = nullptr;
    page->set(page_up_to_date);
    const Page* mine = page.get();
    PageRef added = TRY(insert_page(index, std::move(page)));
    if (added.get() != mine) return PageRef();
    note_dirty(*added);
    return added;
}

/// Makes the page and reads it, and with it those that are likely to be wanted next; or returns the one of a thread
/// that was faster, perhaps still locked.
Result<PageRef> FileObject::read_in(u64 index) {
    PageSource* source = source_.load(std::memory_order_acquire);
    if (!source) return error(Errno::EIO);
    Added first = TRY(add_locked_page(index));
    if (!first.is_ours) return std::move(first.page);
    RunOf<batch> run;
    run.add(PageRef::share(*first.page));
    for (const usize window = window_at(index); run.count < window && !find_any_page(index + run.count);) {
        auto next = add_locked_page(index + run.count);
        if (!next || !next->is_ours) break;
        run.add(std::move(next->page));
    }
    next_read_.store(index + run.count, std::memory_order_relaxed);
    Result<void> read = read_run(*source, index, run);
    page_ready_.wake_all();
    if (!read) return error(read.error());
    return std::move(first.page);
}

/// The outcome is that of the first page: what nobody has asked for yet is not worth an error. Whoever wants it reads
/// it again.
Result<void> FileObject::read_run(PageSource& source, u64 index, Run& run) {
    Result<void> read = source.read_pages(index, run.all());
    for (usize i = 1; i < run.count; ++i) {
        if (read)
            run.pages[i]->set(page_up_to_date);
        else
            remove_page(index + i, *run.pages[i]);
        run.pages[i]->clear(page_locked);
    }
    Page& first = *run.pages[0];
    if (!read && run.count > 1) read = source.read_page(index, first);
    if (read) {
        first.set(page_up_to_date);
    } else {
        first.set(page_error);
        remove_page(index, first);
    }
    first.clear(page_locked);
    return read;
}

Result<void> FileObject::write_back(u64 begin, u64 end) {
    const u64 first = begin >> arch::page_shift, last = divide_up(end, arch::page_size);
    TRY(write_dirty(first, last));
    // What another thread stores counts as clean already. Should it fail, it is dirty again.
    wait_for_stores();
    return write_dirty(first, last);
}

Result<void> FileObject::write_dirty(u64 index, u64 last) {
    PageRef page = find_flagged(index, last, page_dirty);
    if (!page) return {};
    // What frees memory can't ask for much.
    RunOf<batch> small;
    const OwnPtr<RunOf<large_batch>> large(new (std::nothrow) RunOf<large_batch>);
    Run& run = large ? static_cast<Run&>(*large) : small;
    for (; page; page = find_flagged(index, last, page_dirty)) {
        index += TRY(write_dirty_run(std::move(page), index, last, run));
        run.clear();
    }
    return {};
}

/// `run` is empty.
Result<usize> FileObject::write_dirty_run(PageRef first, u64 index, u64 last, Run& run) {
    run.add(std::move(first));
    while (run.count < run.most && index + run.count < last) {
        PageRef next = find_any_page(index + run.count);
        if (!next || !next->has(page_dirty)) break;
        run.add(std::move(next));
    }
    TRY(write_pages(index, run.all()));
    return run.count;
}

Result<void> FileObject::write_pages(u64 index, std::span<Page* const> pages) {
    PageSource* source = source_.load(std::memory_order_acquire);
    if (!source) return error(Errno::EIO);
    core::ReadGuard guard(storing_lock_);
    const auto is_held = [&](usize i) { return still_holds(*pages[i], index + i); };
    for (usize begin = 0, end; begin < pages.size(); begin = end) {
        // What was cut off meanwhile must not be stored: who did that will wait for this thread (wait_for_stores()).
        for (; begin < pages.size() && !is_held(begin); ++begin) {
        }
        for (end = begin; end < pages.size() && is_held(end); ++end) {
            // Clean first: a write that comes while it is stored makes it dirty again. Then no entry lets one through
            // unseen.
            note_clean(*pages[end]);
            write_protect_page(index + end);
        }
        if (begin == end) break;
        const auto part = pages.subspan(begin, end - begin);
        StoringScope storing;
        if (auto stored = source->write_pages(index + begin, part); !stored) {
            for (Page* page : part) note_dirty(*page);
            return stored;
        }
        storing.note_stored();
    }
    return {};
}

/// True when the page went.
bool FileObject::try_evict(u64 index, Page& page, const EvictionRequest& request, EvictionResult& result) {
    const bool is_mapped = page.map_count.load(std::memory_order_relaxed) != 0;
    if (request.ages == EvictionRequest::Ages::All) return !is_mapped && remove_if_unused(index, page);
    if (is_mapped && !unmap_if_unused(index, page)) {
        ++result.activated;
        return false;
    }
    // Its neighbours go with it, for they will be asked next.
    if (page.has(page_dirty) && request.writing == EvictionRequest::Writing::Yes) {
        RunOf<batch> run;
        if (!write_dirty_run(PageRef::share(page), index, ~u64{0}, run)) return false;
    }
    return remove_if_unused(index, page);
}

void FileObject::note_stored(u64 offset, std::span<const u8> bytes) {
    while (!bytes.empty()) {
        const u64 index = offset >> arch::page_shift;
        const usize begin = offset & (arch::page_size - 1);
        const usize length = std::min(bytes.size(), arch::page_size - begin);
        if (PageRef page = find_any_page(index); page && !remove_if_unused(index, *page)) {
            // Whoever reads it in may have got what was there before.
            (void)core::wait_until(page_ready_, core::Sleep::Deep, core::Deadline::never(),
                                   [&] { return !page->has(page_locked); });
            // What was to be read ahead, and could not be, may still go.
            const bool is_whole = page->has(page_up_to_date) || get_page(index, arch::Access::Read).has_value();
            if (is_whole && still_holds(*page, index)) {
                std::memmove(page.data<u8>() + begin, bytes.data(), length);
                // Perhaps it is being stored as it was before.
                note_dirty(*page);
            }
        }
        offset += length;
        bytes = bytes.subspan(length);
    }
}

void FileObject::drop_unused(u64 begin, u64 end) {
    u64 index = begin >> arch::page_shift;
    for (PageRef page = find_any_from(index); page && index << arch::page_shift < end; page = find_any_from(++index))
        (void)remove_if_unused(index, *page);
}

void FileObject::drop_clean() {
    (void)evict({.wanted = resident_pages(), .to_scan = resident_pages(), .ages = EvictionRequest::Ages::All});
}

EvictionResult FileObject::evict(const EvictionRequest& request) {
    EvictionResult result;
    if (resident_pages() == 0 || !eviction_lock_.try_lock_shared()) return result;
    u64 left = resident_pages();
    for (; left > 0 && result.scanned < request.to_scan && result.freed < request.wanted; --left) {
        u64 index = eviction_hand_.load(std::memory_order_relaxed);
        PageRef page = find_any_from(index);
        if (!page) {
            index = 0;
            page = find_any_from(index);
            if (!page) break;
        }
        eviction_hand_.store(index + 1, std::memory_order_relaxed);
        if (request.ages == EvictionRequest::Ages::Oldest && !generations::is_oldest(*page)) continue;
        ++result.scanned;
        if (!page->has(page_locked) && try_evict(index, *page, request, result))
            ++result.freed;
        else if (request.ages == EvictionRequest::Ages::Oldest)
            generations::touch(*page); // what can't go now would keep its generation from ever being empty
    }
    eviction_lock_.unlock_shared();
    return result;
}

} // namespace linnet::mm
