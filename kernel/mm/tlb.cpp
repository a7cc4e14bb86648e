// TLB batches, address-space switches and ASIDs.
//
// Which CPUs must be told: those whose page-table register points at the address space (active_cpus_). With ASIDs,
// others may hold translations too (used_cpus_); they are marked stale and flush when they run the address space again.
// A CPU that runs kernel threads alone keeps the tables of the user thread that ran last, in case it goes on: it rests
// (resting_cpus_), is marked stale instead of interrupted, and catches up before it runs user code. It is interrupted
// nonetheless when page tables go.
// The mask is set before the tables are loaded and read after the entries changed, both sequentially consistent, so
// that a CPU either is in the mask or walks the new entries.
//
// An ASID belongs to a generation. When the numbers run out a new generation begins, in which only the address spaces
// that run at that moment keep theirs; a number given out anew is flushed on each CPU before its first use there.
#include "tlb.hpp"
#include "events.hpp"
#include "huge_pages.hpp"
#include <core/hooks.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>

namespace linnet::mm {

namespace {

constexpr u64 many_pages = 32; // beyond it dropping everything is cheaper than page by page
constexpr unsigned asid_bits = 16;

constinit core::LockClass asid_lock_class("asid");
constinit core::InterruptSpinLock asid_lock(asid_lock_class);
constinit std::atomic<u64> generation{1};
constinit u32 next_asid = 1;
constinit std::atomic<u32> known_asid_count{0};
/// What each CPU runs: generation and number. 0 after a new generation began, until the CPU switches.
constinit std::atomic<u64> running[core::CpuMask::max_cpus];
constinit u64 reserved[core::CpuMask::max_cpus]; // kept over the last change of generation

/// Asked at each switch: the CPU says it once.
u32 asid_count() {
    if (known_asid_count.load(std::memory_order_relaxed) == 0)
        known_asid_count.store(arch::asid_count(), std::memory_order_relaxed);
    return known_asid_count.load(std::memory_order_relaxed);
}

} // namespace

struct FlushRequest {
    const AddressSpace* space;
    VirtAddr begin;
    u64 pages;
    arch::Asid asid;
};

namespace {

void perform(const FlushRequest& request) {
    if (request.pages > many_pages) {
        arch::flush_user_tlb_all(request.asid);
        count_event(Event::LocalFlushOfAll);
    } else {
        arch::flush_user_tlb(request.begin, request.pages, request.asid);
        count_event(Event::LocalFlushOfPage, request.pages);
    }
}

void flush_on_other(void* context) {
    count_event(Event::RemoteFlushReceived);
    perform(*static_cast<FlushRequest*>(context));
}

/// Whether a running address space kept `value` over the change of generation; then it goes on under the new one.
bool update_reserved(u64 value, u64 fresh) {
    bool found = false;
    for (u64& entry : reserved)
        if (entry == value) entry = fresh, found = true;
    return found;
}

void begin_generation() {
    generation.fetch_add(1);
    next_asid = 1;
    for (u32 i = 0; i < core::CpuMask::max_cpus; ++i) {
        u64 value = running[i].exchange(0);
        if (value != 0) reserved[i] = value;
    }
}

bool is_reserved(u32 number) {
    for (u64 entry : reserved)
        if (entry != 0 && (entry & ((1u << asid_bits) - 1)) == number) return true;
    return false;
}

enum class Fresh : u8 { No, Yes };

/// A value of the present generation for who has `old`. asid_lock is held.
std::pair<u64, Fresh> renew(u64 old) {
    u64 number = old & ((1u << asid_bits) - 1);
    u64 present = generation.load();
    if (old != 0 && old >> asid_bits == present) return {old, Fresh::No};
    if (old != 0 && update_reserved(old, present << asid_bits | number))
        return {present << asid_bits | number, Fresh::No};
    for (;;) {
        while (next_asid < asid_count() && is_reserved(next_asid)) ++next_asid;
        if (next_asid < asid_count()) break;
        begin_generation();
        present = generation.load();
    }
    return {present << asid_bits | next_asid++, Fresh::Yes};
}

} // namespace

void flush_kernel_everywhere(VirtAddr begin, u64 pages) {
    core::PreemptionGuard guard;
    struct Request {
        VirtAddr begin;
        u64 pages;
    } request{begin, pages};
    arch::flush_kernel_tlb(begin, pages);
    u64 others = core::online_cpus() & ~(u64{1} << core::this_cpu().number);
    if (arch::tlb_flush_is_broadcast || others == 0) return;
    core::run_on_cpus(
        others,
        [](void* context) {
            auto* wanted = static_cast<Request*>(context);
            arch::flush_kernel_tlb(wanted->begin, wanted->pages);
        },
        &request);
}

bool TlbBatch::extend() {
    if (extension_) return true;
    auto page = allocate_page(PageZeroing::Uninitialised);
    if (!page) return false;
    extension_ = static_cast<uintptr_t*>(page_data(*page->release()));
    return true;
}

[[gnu::noinline]] void TlbBatch::release_marked(uintptr_t held) {
    Page& page = *reinterpret_cast<Page*>(held & ~marks);
    if (held & huge_mark)
        drop_huge_mapping(page);
    else
        drop_table_reference(page);
}

inline void TlbBatch::release(uintptr_t held) {
    if (held & marks) [[unlikely]]
        return release_marked(held);
    unref_page(*reinterpret_cast<Page*>(held));
}

[[gnu::noinline]] void TlbBatch::release() {
    const uintptr_t* const end = pages_ + std::min(count_, inline_pages);
    for (const uintptr_t* held = pages_; held != end; ++held) release(*held);
    if (extension_ || tables_) [[unlikely]]
        release_rest();
    count_ = 0;
}

[[gnu::noinline]] void TlbBatch::release_rest() {
    for (u32 i = inline_pages; i < count_; ++i) release(extension_[i - inline_pages]);
    while (tables_) {
        Page* table = tables_;
        tables_ = table->next;
        free_page_table(*table);
    }
    if (extension_) free_page(*page_of(arch::virt_to_phys(extension_)));
    extension_ = nullptr;
}

void TlbBatch::flush() {
    if (begin_ < end_ || has_tables_) {
        // Freed tables may be cached for the whole range they covered.
        u64 pages = has_tables_ ? all_pages : (end_ - begin_) >> arch::page_shift;
        if (!dead_) space_.flush_range(begin_, pages);
    }
    begin_ = VirtAddr{~u64{0}};
    end_ = VirtAddr{0};
    has_tables_ = false;
    if (count_ == 1 && !tables_) { // most often
        count_ = 0;
        return release(pages_[0]);
    }
    if (count_ != 0 || tables_) release();
}

void AddressSpace::flush_range(VirtAddr begin, u64 pages) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    core::PreemptionGuard guard;
    const FlushRequest request{
        this, begin, pages, static_cast<arch::Asid>(asid_.load(std::memory_order_relaxed) & ((1u << asid_bits) - 1))};
    if (arch::tlb_flush_is_broadcast) return perform(request);
    const u64 self = u64{1} << core::this_cpu().number;
    const u64 active = active_cpus_.bits.load(), holders = active | used_cpus_.bits.load();
    if (holders & ~self) return flush_holders(request, self, active, holders);
    if (holders) perform(request); // a CPU that comes now finds the new entries
}

/// The CPUs that have, or may have, the address space were `active` and `holders` a moment ago.
[[gnu::noinline]] void AddressSpace::flush_holders(const FlushRequest& request, u64 self, u64 active, u64 holders) {
    const u64 pages = request.pages;
    u64 idle_holders = holders & ~active & ~self;
    // Freed tables may be walked by a CPU that rests, for processors do so unasked; freed pages it can't reach.
    u64 resting = pages == all_pages ? 0 : resting_cpus_.bits.load() & active & ~self;
    if (idle_holders | resting) stale_cpus_.bits.fetch_or(idle_holders | resting);
    // A CPU that came or went, or ended its rest, between the two looks is told as well.
    if (resting) resting &= resting_cpus_.bits.load();
    active |= active_cpus_.bits.load();
    if ((active | holders) & self) perform(request);
    if (u64 others = active & ~self & ~resting) {
        count_event(Event::RemoteFlush);
        FlushRequest copy = request;
        core::run_on_cpus(others, flush_on_other, &copy);
    }
}

/// Rights were gained at `address`, where an access was refused: this CPU may still have the old ones. Where others
/// have them too, or this thread has moved, the same fault comes once more and finds nothing to do.
void AddressSpace::flush_here(VirtAddr address, u64 pages) {
    if constexpr (Policy::fault_drops_translation) return;
    core::PreemptionGuard guard;
    perform({this, address, pages,
             static_cast<arch::Asid>(asid_.load(std::memory_order_relaxed) & ((1u << asid_bits) - 1))});
}

void AddressSpace::activate(core::Cpu& cpu) {
    auto* old = static_cast<AddressSpace*>(cpu.address_space);
    bool has_asids = asid_count() > 1;
    const u64 self = u64{1} << cpu.number;
    // First the rest ends, then the look for what it has missed: see flush_range().
    if (old == this && (resting_cpus_.value() & self)) resting_cpus_.remove(cpu.number);
    if (old == this && !(stale_cpus_.bits.load() & self)) {
        if (!has_asids || running[cpu.number].load(std::memory_order_relaxed) == asid_.load(std::memory_order_relaxed))
            return;
    }
    active_cpus_.add(cpu.number);
    count_event(Event::AddressSpaceSwitch);
    arch::Asid number = 0;
    bool flush = true;
    if (!has_asids && (stale_cpus_.value() & self)) stale_cpus_.remove(cpu.number); // all goes anyway
    if (has_asids) {
        used_cpus_.add(cpu.number);
        u64 value = asid_.load();
        u64 before = running[cpu.number].load();
        bool quick = value >> asid_bits == generation.load() && before != 0 &&
                     running[cpu.number].compare_exchange_strong(before, value);
        if (!quick) {
            core::InterruptSpinGuard guard(asid_lock);
            auto [renewed, fresh] = renew(asid_.load());
            if (fresh == Fresh::Yes) stale_cpus_.bits.store(~u64{0});
            asid_.store(value = renewed);
            running[cpu.number].store(value);
        }
        number = static_cast<arch::Asid>(value & ((1u << asid_bits) - 1));
        flush = (stale_cpus_.bits.fetch_and(~self) & self) != 0;
    }
    arch::activate_user_tables(tables_.root(), number, flush);
    if (old == this) return;
    cpu.mapping_hint.store(nullptr, std::memory_order_relaxed);
    cpu.address_space = this;
    if (!old) return;
    old->active_cpus_.remove(cpu.number);
    if (old->resting_cpus_.value() & self) old->resting_cpus_.remove(cpu.number);
}

/// No thread of user space runs on the CPU: others need not interrupt it to flush.
void AddressSpace::rest_on(core::Cpu& cpu) {
    if (!arch::tlb_flush_is_broadcast) resting_cpus_.add(cpu.number);
}

/// Takes a dying address space off every CPU that still has it loaded (kernel threads keep what they found).
void AddressSpace::leave_all_cpus() {
    auto leave = [](void* context) {
        auto* space = static_cast<AddressSpace*>(context);
        core::Cpu& cpu = core::this_cpu();
        if (cpu.address_space != space) return;
        arch::deactivate_user_tables();
        cpu.mapping_hint.store(nullptr, std::memory_order_relaxed);
        cpu.address_space = nullptr;
        space->resting_cpus_.remove(cpu.number);
        if (asid_count() > 1) running[cpu.number].store(0);
        space->active_cpus_.remove(cpu.number);
    };
    core::PreemptionGuard guard;
    arch::InterruptState state = arch::save_and_disable_interrupts();
    leave(this);
    arch::restore_interrupts(state);
    if (u64 others = active_cpus_.bits.load()) core::run_on_cpus(others, leave, this);
}

AddressSpace* current_address_space() {
    core::disable_preemption();
    auto* space = static_cast<AddressSpace*>(core::this_cpu().address_space);
    core::enable_preemption_no_switch();
    return space;
}

} // namespace linnet::mm

namespace linnet::hooks {

void user_tables_rest(core::Cpu& cpu) {
    core::release_concurrency_id(cpu);
    if (auto* space = static_cast<mm::AddressSpace*>(cpu.address_space)) space->rest_on(cpu);
}

} // namespace linnet::hooks
