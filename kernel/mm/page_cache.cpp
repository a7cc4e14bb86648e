// FileObject: reading pages in once, however many ask, and writing dirty ones back.
#include "rmap.hpp"
#include <mm/page_cache.hpp>

namespace linnet::mm {

Result<RefPtr<FileObject>> FileObject::create(PageSource& source, u64 size) {
    auto* object = new (std::nothrow) FileObject(source, size);
    if (!object) return error(Errno::ENOMEM);
    return adopt_ref(*object);
}

FileObject::~FileObject() = default;

void FileObject::detach() { source_.store(nullptr, std::memory_order_release); }

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
        PageSource* source = source_.load(std::memory_order_acquire);
        if (!source) return error(Errno::EIO);
        // Clean first: a write that comes while it is stored makes it dirty again.
        write_protect_page(index);
        note_clean(*page);
        if (auto stored = source->write_page(index, *page); !stored) {
            note_dirty(*page);
            return error(stored.error());
        }
        ++index;
    }
    return {};
}

} // namespace linnet::mm
