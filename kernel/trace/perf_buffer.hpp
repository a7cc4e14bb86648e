// PerfBuffer: the ring that a program maps to read the records of its events (perf_event_open(2), "MMAP layout").
//
// The first page tells where the kernel writes (data_head) and the program reads (data_tail); the others are the ring.
// The program may write anything to the first page: of what is in there the kernel believes data_tail only, and that
// costs records at most. Its own position is kept outside.
//
// Locks: `lock_` guards the position and the counts. It is taken with interrupts off, under those of contexts; nothing
// comes behind it. So whoever waits for records is woken by work that is put off until interrupts are taken.
#pragma once

#include <core/interrupt_work.hpp>
#include <lib/array_list.hpp>
#include <mm/vma.hpp>
#include <process/user_account.hpp>
#include <vfs/event_source.hpp>

namespace linnet::trace {

/// Somebody who may wait for records of a buffer: what poll(2) of an event watches.
struct PerfListener {
    ListNode node;
    vfs::EventSource source;
};

class PerfBuffer final : public mm::AnonObject {
public:
    struct Options {
        u64 data_pages = 0;         // a power of two, or 0
        bool overwrites = false;    // old records, unread (a mapping without PROT_WRITE)
        bool goes_backward = false; // write_backward
        u64 watermark = 0;          // bytes; 0: half of it
    };
    /// ENOMEM. `charged` pages of `account`'s allowance are given back when it goes.
    static Result<RefPtr<PerfBuffer>> create(const Options& options, RefPtr<process::UserAccount> account, u64 charged);
    ~PerfBuffer() override;

    /// Appends a record, whole or not at all. `lost` is the record that says how many were left out since the last; its
    /// count, the third word of it, is filled in. False: there is no room. Interrupts off.
    bool write(std::span<const u64> record, std::span<u64> lost);
    /// One more sample has been written: wakes readers when `every` of them have come. Interrupts off.
    void count_sample(u32 every);
    /// Wakes readers. Any context.
    void wake();
    /// Whether something has come since it was last asked.
    bool take_news() { return has_news_.exchange(false, std::memory_order_acq_rel); }
    void pause(bool on) { is_paused_.store(on, std::memory_order_relaxed); }

    /// Nobody shows it (any more).
    [[nodiscard]] bool was_unmapped() const { return was_mapped_.load() && !is_mapped(); }
    [[nodiscard]] u64 data_pages() const { return pages_.size() - 1; }
    [[nodiscard]] bool goes_backward() const { return options_.goes_backward; }
    /// Not in interrupts.
    void add_listener(PerfListener& listener);
    void remove_listener(PerfListener& listener);

    // ---- mm::VmObject ----
    /// A program may write to the first page only.
    Result<mm::PageRef> get_page(u64 index, arch::Access access) override {
        if (index != 0 && access == arch::Access::Write) return error(Errno::EIO);
        return AnonObject::get_page(index, access);
    }
    bool wants_write_faults() const override { return true; }
    bool make_huge_page(u64) override { return false; }
    void punch_hole(u64, u64) override {}
    u32 mapping_flags() const override { return mm::vma_dont_fork | mm::vma_dont_dump; }
    void on_mapped() override { was_mapped_.store(true); }

private:
    PerfBuffer(const Options& options, RefPtr<process::UserAccount> account, u64 charged);
    Result<void> fill();
    [[nodiscard]] u64 size_of_ring() const;
    bool append_locked(std::span<const u64> record);
    void copy_in(u64 position, std::span<const u64> record);
    void wake_soon_locked();

    const Options options_;
    RefPtr<process::UserAccount> account_;
    const u64 charged_;
    ArrayList<mm::PageRef> pages_; // all of them, as long as it lives
    core::InterruptSpinLock lock_;
    u64 head_ = 0;
    u64 told_at_ = 0; // the head when readers were last woken for bytes
    u64 lost_ = 0;
    u32 samples_ = 0; // since readers were last woken for samples
    std::atomic<bool> is_paused_{false};
    std::atomic<bool> was_mapped_{false};
    std::atomic<bool> has_news_{false};
    core::InterruptSpinLock listeners_lock_; // not taken where records are written: waking takes many others
    IntrusiveList<PerfListener, &PerfListener::node> listeners_;
    struct Alarm : core::InterruptWork {
        explicit Alarm(PerfBuffer& owner);
        PerfBuffer& buffer;
    } alarm_{*this};
};

} // namespace linnet::trace
