// Making and destroying address spaces, and the counters that all of them share.
#include "kernel_area.hpp"
#include "space.hpp"
#include <algorithm>
#include <core/panic.hpp>
#include <mm/code_probes.hpp>

namespace linnet::mm {

namespace {

constinit core::LockClass mmap_lock_class("mmap");
constinit Page* the_zero_page = nullptr;
constinit std::atomic<i64> locked{0};

/// Root entries of the kernel half that hold something. They never change once user space exists.
constexpr usize max_kernel_entries = 16;
constinit u16 kernel_entries[max_kernel_entries];
constinit std::atomic<usize> kernel_entry_count{0};

using KernelTable = PageTable<arch::PagingPolicy>;

/// A handful of entries is in use: they are looked for once, not at each fork.
void copy_kernel_entries(KernelTable::Entry* user_root) {
    const auto* kernel = KernelTable::entries(arch::kernel_root_table());
    usize count = kernel_entry_count.load(std::memory_order_acquire);
    if (count != 0) {
        for (usize i = 0; i < count; ++i)
            KernelTable::store(user_root + kernel_entries[i], KernelTable::load(kernel + kernel_entries[i]));
        return;
    }
    u16 found[max_kernel_entries];
    for (usize i = arch::kernel_root_begin; i < entries_per_table; ++i) {
        auto entry = KernelTable::load(kernel + i);
        if (arch::PagingPolicy::is_empty(entry)) continue;
        KernelTable::store(user_root + i, entry);
        if (count < max_kernel_entries) found[count] = static_cast<u16>(i);
        ++count;
    }
    // The first address space is made before there are several threads to make one.
    if (count == 0 || count > max_kernel_entries) return;
    std::copy(found, found + count, kernel_entries);
    kernel_entry_count.store(count, std::memory_order_release);
}

/// Tables are freed empty.
void clear_kernel_entries(KernelTable::Entry* user_root) {
    usize count = kernel_entry_count.load(std::memory_order_acquire);
    for (usize i = 0; i < count; ++i) KernelTable::store(user_root + kernel_entries[i], arch::PagingPolicy::empty());
    if (count != 0) return;
    for (usize i = arch::kernel_root_begin; i < entries_per_table; ++i)
        KernelTable::store(user_root + i, arch::PagingPolicy::empty());
}

} // namespace

Page& zero_page() { return *the_zero_page; }

void initialise_zero_page() {
    auto page = allocate_page(PageZeroing::Zeroed);
    if (!page) core::panic("no memory for the zero page");
    // Reserved: entries that show it are not counted. This reference stays.
    (*page)->kind = PageKind::Reserved;
    the_zero_page = page->release();
    the_zero_page->set(page_up_to_date);
}

void count_locked(i64 pages) { locked.fetch_add(pages, std::memory_order_relaxed); }
u64 locked_pages_total() {
    i64 pages = locked.load(std::memory_order_relaxed);
    return pages > 0 ? static_cast<u64>(pages) : 0;
}

AddressSpace::AddressSpace() : mmap_lock_(mmap_lock_class) {}

Result<RefPtr<AddressSpace>> AddressSpace::create() {
    auto* space = new (std::nothrow) AddressSpace();
    if (!space) return error(Errno::ENOMEM);
    RefPtr<AddressSpace> result = adopt_ref(*space);
    Page* root = TRY(allocate_page_table());
    space->tables_ = Table(page_address(*root));
    space->table_pages_.store(1, std::memory_order_relaxed);
    copy_kernel_entries(Table::entries(*root));
    space->mmap_base = arch::user_address_end;
    return result;
}

AddressSpace::~AddressSpace() {
    delete probes.load(std::memory_order_relaxed);
    leave_collapse_list();
    leave_table_sharers();
    if (tables_.root().value == 0) return;
    leave_all_cpus();
    // No CPU can have translations now, or it will drop them before the ASID is used again.
    TlbBatch batch(*this);
    batch.assume_flushed();
    DoomedVmas doomed;
    while (Vma* vma = vmas_.first()) {
        give_back_promise(*vma);
        drop_pages(*vma, batch);
        account(*vma, -static_cast<i64>(vma->page_count()));
        // Everything below is gone already: only the way to this mapping is walked, never whole tables.
        Vma* above = vmas_.next(*vma);
        prune_tables(vma->begin, vma->end, {}, above ? above->begin : user_tables_end, batch);
        vmas_.remove(*vma);
        unlink_vma(*vma);
        vma->next_doomed = doomed.first;
        doomed.first = vma;
    }
    batch.flush();
    clear_kernel_entries(Table::entries(tables_.root()));
    free_page_table(*page_of(tables_.root()));
}

AddressSpace::DoomedVmas::~DoomedVmas() {
    while (Vma* vma = first) {
        first = vma->next_doomed;
        if (!(vma->users.load(std::memory_order_relaxed) & Vma::claimed)) {
            delete vma; // of an address space that is gone: nobody looks for mappings there
            continue;
        }
        vma->object = {};
        vma->label = {};
        retire(*vma);
    }
}

Result<Page*> AddressSpace::leaf_table(VirtAddr address) {
    return tables_.make_leaf_table(address, [&](Page&) { table_pages_.fetch_add(1, std::memory_order_relaxed); });
}

} // namespace linnet::mm
