// The page cache of one inode: read, write and mappings all see these pages.
#pragma once

#include <core/wait_queue.hpp>
#include <mm/evictable.hpp>
#include <mm/read_ahead.hpp>
#include <mm/vm_object.hpp>

namespace linnet::mm {

class FileObject;

/// Where the pages of a FileObject come from and go to: implemented by filesystems. Called without any lock of mm but
/// the address space's (shared), so it must not copy to or from user memory, nor take locks that are held over user
/// copies.
class PageSource {
public:
    /// Fills `page` with the file's contents at `index` pages, zeros beyond its end. May sleep.
    virtual Result<void> read_page(u64 index, Page& page) = 0;
    /// Stores a dirty page. May sleep. Reclaim asks for it too, holding no locks.
    virtual Result<void> write_page(u64 index, Page& page) = 0;
    /// The same for pages that lie behind each other, the first of them at `index`; of what failed nothing counts. To
    /// be overridden by who can do it in one go.
    virtual Result<void> read_pages(u64 index, std::span<Page* const> pages);
    virtual Result<void> write_pages(u64 index, std::span<Page* const> pages);
    /// Whether it overrides begin_reading(), and how many pages are read ahead of a reader that goes on, at most.
    virtual bool reads_in_background() const { return false; }
    virtual u64 read_ahead_pages() const { return 0; }
    /// Begins to read pages, all of them locked, and doesn't wait for the disk: FileObject::finish_reading() and then
    /// end_reading() tell of the end. How many pages it took, from the first one on: 0 where they have to be read by
    /// who wants them. May sleep, but only tries to take locks that somebody may hold who waits for reads
    /// (FileObject::wait_for_reads()).
    virtual usize begin_reading(FileObject&, u64, std::span<Page* const>) { return 0; }
    /// This page, at `index`, is about to be changed, by write(2) or a mapping: it must be possible to store it later
    /// (ENOSPC, EROFS). May sleep.
    virtual Result<void> prepare_write(u64, Page&) { return {}; }
    /// A page that was clean is dirty now: somebody is to store it some day. Must not sleep.
    virtual void pages_dirtied() {}

protected:
    ~PageSource() = default;
};

class FileObject final : public VmObject, private EvictablePages {
public:
    /// The most pages that are read, or stored to free them, in one go.
    static constexpr usize batch = 32;
    /// The most that are stored in one go when there is memory to note them in.
    static constexpr usize large_batch = (usize{1} << 20) / arch::page_size;
    /// `source` outlives the object or is detached first.
    static Result<RefPtr<FileObject>> create(PageSource& source, u64 size);
    ~FileObject() override;

    Result<PageRef> get_page(u64 index, arch::Access access) override;
    bool wants_write_faults() const override { return true; }
    /// Adds a page with contents that need not be read first, dirty. Null when there is one already.
    Result<PageRef> add_page(u64 index, PageRef page);
    /// Writes the dirty pages of [begin, end) bytes back (fsync, msync), and waits for those that others write. May
    /// sleep. Not from the source's write_pages().
    Result<void> write_back(u64 begin, u64 end);
    /// Waits for those who store pages: of what has been cut off before nothing reaches the disk any more. Holding no
    /// lock that storing needs.
    void wait_for_stores() { core::WriteGuard<> guard(storing_lock_); }
    /// Waits for reads that nobody else waits for, and begins none meanwhile: where pages are taken away, nothing of
    /// what lay in their blocks afterwards comes into one.
    void wait_for_reads();
    /// See note_dirty().
    void tell_dirty() {
        if (PageSource* source = source_.load(std::memory_order_acquire)) source->pages_dirtied();
    }
    /// `bytes`, now stored at `offset` by other ways than through here: the pages there go, or have them if they can't.
    /// `bytes` may lie in one of these pages. May sleep.
    void note_stored(u64 offset, std::span<const u8> bytes);
    /// Forgets the pages that have a part in [begin, end) bytes, as far as they are clean and nobody uses them.
    void drop_unused(u64 begin, u64 end);
    /// Forgets what is clean and not mapped, to be read anew (BLKFLSBUF).
    void drop_clean();

    // ---- reading ahead (read_ahead.cpp); begins reads, and doesn't wait for them. May sleep. ----
    enum class Found : u8 { Nothing, Mark };
    /// `reader` finds no page at `index`, of `wanted` that it reads, or one at which is_due() holds.
    void read_ahead(ReadAhead& reader, u64 index, u64 wanted, Found found);
    /// A fault finds no page at `index`.
    void read_around(u64 index, ReadAdvice advice);
    /// A fault found its page.
    void note_found_around();
    /// The pages [first, first + count) are likely to be wanted. As many as the source takes.
    void begin_reading(u64 first, u64 count);
    enum class ReadOutcome : u8 { Done, Failed };
    /// For PageSource::begin_reading(): what it took is read. What is still in `pages` afterwards has one reference
    /// too many, to be given back where pages may be freed. Any context.
    void finish_reading(u64 index, std::span<Page*> pages, ReadOutcome outcome);
    /// Behind that, when nothing of the source is used any more. Any context.
    void end_reading();

    /// The inode goes away: later look-ups of absent pages are EIO. Waits for reclaim to leave the source alone, so
    /// nothing may be held that write_page() wants.
    void detach();

private:
    FileObject(PageSource& source, u64 size) : VmObject(Kind::File, size), source_(&source) {}
    /// Pages that lie behind each other.
    struct Run {
        PageRef* const references;
        Page** const pages;
        const usize most;
        usize count = 0;
        void add(PageRef page) {
            pages[count] = page.get();
            references[count++] = std::move(page);
        }
        void clear() {
            while (count > 0) references[--count] = PageRef();
        }
        [[nodiscard]] std::span<Page* const> all() const { return {pages, count}; }
    };
    template <usize Most>
    struct RunOf : Run {
        RunOf() : Run{own_references, own_pages, Most} {}
        PageRef own_references[Most];
        Page* own_pages[Most];
    };
    Result<PageRef> read_in(u64 index);
    Result<void> read_again(u64 index, Page& page);
    [[nodiscard]] u64 read_ahead_limit() const;
    bool begin_run(PageSource& source, u64 index, Run& run);
    static void zero_behind(u64 end, u64 index, Page& page);
    Result<void> prepare_write(u64 index, Page& page);
    usize window_at(u64 index);
    struct Added {
        PageRef page;
        bool is_ours;
    };
    Result<Added> add_locked_page(u64 index);
    Result<void> write_dirty(u64 index, u64 last);
    Result<void> read_run(PageSource& source, u64 index, Run& run);
    Result<void> write_pages(u64 index, std::span<Page* const> pages);
    /// Stores a dirty page and those before `last` that follow it and are dirty, too; says how many.
    Result<usize> write_dirty_run(PageRef first, u64 index, u64 last, Run& run);
    EvictionResult evict(const EvictionRequest& request) override;
    bool try_evict(u64 index, Page& page, const EvictionRequest& request, EvictionResult& result);
    bool try_pin() override { return try_ref(); }
    void unpin() override { unref(); }

    core::RwMutex storing_lock_; // shared by those that store pages, from when these count as clean
    // Shared by those who evict: while one waits for the disk, others find what is clean. Exclusive: source_ goes.
    core::RwMutex eviction_lock_;
    std::atomic<u64> eviction_hand_{0}; // the index at which the next search goes on; about
    std::atomic<PageSource*> source_;
    core::WaitQueue page_ready_;
    std::atomic<u32> reads_under_way_{0}, reads_barred_{0};
    std::atomic<u32> around_misses_{0}; // faults that found nothing, less those that did; about
    // Of those who read without a ReadAhead. They wait for what they read.
    std::atomic<u64> next_read_{0}; // where a sequential reader goes on
    std::atomic<u32> window_{0};    // pages read in the last go
};

/// A page of a FileObject differs from what is stored. To be said again after it was changed, for it may have been
/// stored meanwhile. Counted (Dirty in /proc/meminfo).
void note_dirty(Page& page);

inline FileObject* VmObject::as_file() { return kind_ == Kind::File ? static_cast<FileObject*>(this) : nullptr; }

} // namespace linnet::mm
