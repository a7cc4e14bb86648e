// Pages of tmpfs files.
#include "memory_object.hpp"

namespace linnet::fs {

Result<RefPtr<MemoryObject>> MemoryObject::create(RefPtr<TmpfsAccounting> accounting, Home home) {
    auto* object = new (std::nothrow) MemoryObject(std::move(accounting), home);
    if (!object) return error(Errno::ENOMEM);
    return adopt_ref(*object);
}

MemoryObject::~MemoryObject() { accounting_->pages.give_back(charged_); }

Result<mm::PageRef> MemoryObject::get_page(u64 index, arch::Access) {
    if (mm::PageRef page = find_page(index)) return page;
    core::MutexGuard guard(page_lock_);
    if (mm::PageRef page = find_page(index)) return page;
    TRY(accounting_->pages.charge(1));
    auto made = [&]() -> Result<mm::PageRef> {
        mm::PageRef page = TRY(mm::allocate_page(mm::PageZeroing::Zeroed, mm::PageKind::Shared));
        page->set(mm::page_up_to_date);
        return insert_page(index, std::move(page));
    }();
    if (made)
        ++charged_;
    else
        accounting_->pages.give_back(1);
    return made;
}

bool MemoryObject::make_huge_page(u64 first) {
    constexpr u64 count = arch::huge_page_size / arch::page_size;
    if (has_huge_page(first)) return true;
    core::MutexGuard guard(page_lock_);
    if (has_huge_page(first)) return true; // another thread was faster
    if (!accounting_->pages.charge(count)) return false;
    if (add_huge_page(first)) {
        charged_ += count;
        return true;
    }
    accounting_->pages.give_back(count);
    return false;
}

void MemoryObject::settle() {
    core::MutexGuard guard(page_lock_);
    u64 resident = resident_pages();
    if (charged_ <= resident) return;
    accounting_->pages.give_back(charged_ - resident);
    charged_ = resident;
}

} // namespace linnet::fs
