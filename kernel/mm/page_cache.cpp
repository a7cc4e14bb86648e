// FileObject: reading pages in once, however many ask, writing dirty ones back, and giving up those that reclaim wants.
//
// Lock order: eviction_lock_ -> what PageSource::write_page() takes; the mappings lock is only tried under it.
#include "generations.hpp"
#include "rmap.hpp"
#include <mm/page_cache.hpp>

namespace linnet::mm {

Result<RefPtr<FileObject>> FileObject::create(PageSource& source, u64 size) {
    auto* object = new (std::nothrow) FileObject(source, size);
    if (!object) return error(Errno::ENOMEM);
    object->start_eviction();
    return adopt_ref(*object);
}

FileObject::~FileObject() { stop_eviction(); }

void FileObject::detach() {
    core::MutexGuard guard(eviction_lock_);
    source_.store(nullptr, std::memory_order_release);
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
        if (access == arch::Access::Write) note_dirty(*page);
        return page;
    }
}

/// Makes the page and reads it; or returns the one of a thread that was faster, perhaps still locked.
Result<PageRef> FileObject::read_in(u64 index) {
    PageSource* source = source_.load(std::memory_order_acquire);
    if (!source) return error(Errno::EIO);
    PageRef fresh = TRY(allocate_page(PageZeroing::Uninitialised, PageKind::File));
    fresh->object = nullptr;
    fresh->set(page_locked);
    const Page* mine = fresh.get();
    PageRef page = TRY(insert_page(index, std::move(fresh)));
    if (page.get() != mine) return page;
    auto read = source->read_page(index, *page);
    if (read)
        page->set(page_up_to_date);
    else {
        page->set(page_error);
        remove_page(index, *page);
    }
    page->clear(page_locked);
    page_ready_.wake_all();
    if (!read) return error(read.error());
    return page;
}

Result<void> FileObject::write_back(u64 begin, u64 end) {
    u64 index = begin >> arch::page_shift;
    u64 last = divide_up(end, arch::page_size);
    while (PageRef page = find_flagged(index, last, page_dirty)) {
        TRY(write_page(index, *page));
        ++index;
    }
    return {};
}

Result<void> FileObject::write_page(u64 index, Page& page) {
    PageSource* source = source_.load(std::memory_order_acquire);
    if (!source) return error(Errno::EIO);
    // Clean first: a write that comes while it is stored makes it dirty again.
    write_protect_page(index);
    note_clean(page);
    auto stored = source->write_page(index, page);
    if (!stored) note_dirty(page);
    return stored;
}

/// True when the page went.
bool FileObject::try_evict(u64 index, Page& page, const EvictionRequest& request, EvictionResult& result) {
    const bool is_mapped = page.map_count.load(std::memory_order_relaxed) != 0;
    if (request.ages == EvictionRequest::Ages::All) return !is_mapped && remove_if_unused(index, page);
    if (is_mapped && !unmap_if_unused(index, page)) {
        generations::touch(page);
        ++result.activated;
        return false;
    }
    if (page.has(page_dirty) && request.writing == EvictionRequest::Writing::Yes && !write_page(index, page)) {
        // What can't be stored now is not asked for again at once.
        generations::touch(page);
        return false;
    }
    return remove_if_unused(index, page);
}

EvictionResult FileObject::evict(const EvictionRequest& request) {
    EvictionResult result;
    if (resident_pages() == 0 || eviction_lock_.is_held_by_current() || !eviction_lock_.try_lock()) return result;
    u64 left = resident_pages();
    for (; left > 0 && result.scanned < request.to_scan && result.freed < request.wanted; --left) {
        PageRef page = find_any_from(eviction_hand_);
        if (!page) {
            eviction_hand_ = 0;
            page = find_any_from(eviction_hand_);
            if (!page) break;
        }
        const u64 index = eviction_hand_++;
        if (request.ages == EvictionRequest::Ages::Oldest && !generations::is_oldest(*page)) continue;
        ++result.scanned;
        if (!page->has(page_locked) && try_evict(index, *page, request, result)) ++result.freed;
    }
    eviction_lock_.unlock();
    return result;
}

} // namespace linnet::mm
