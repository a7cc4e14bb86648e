// MemoryObject: the pages of one tmpfs file, each charged to its file system.
//
// Pages come in only under page_lock_, so the charge can be settled exactly after some were dropped.
#pragma once

#include "accounting.hpp"

#include <core/mutex.hpp>
#include <mm/vm_object.hpp>

namespace linnet::fs {

class MemoryObject final : public mm::VmObject {
public:
    /// Home::Kernel: of memfd_create(2), not of a mounted tmpfs.
    enum class Home : u8 { Mount, Kernel };
    static Result<RefPtr<MemoryObject>> create(RefPtr<TmpfsAccounting> accounting, Home home);
    ~MemoryObject() override;

    /// Makes a zeroed page where there is none: ENOSPC when the file system is full.
    Result<mm::PageRef> get_page(u64 index, arch::Access access) override;
    bool make_huge_page(u64 first) override;
    bool is_unmounted() const override { return home_ == Home::Kernel; }
    /// Gives back the charge of pages that set_size() or punch_hole() dropped.
    void settle();

private:
    MemoryObject(RefPtr<TmpfsAccounting> accounting, Home home)
        : VmObject(Kind::Shared, 0), accounting_(std::move(accounting)), home_(home) {}
    core::Mutex page_lock_;
    u64 charged_ = 0; // page_lock_
    RefPtr<TmpfsAccounting> accounting_;
    const Home home_;
};

} // namespace linnet::fs
