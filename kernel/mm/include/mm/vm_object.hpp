// VmObject: a sequence of pages that mappings and reads look into. AnonObject is shared memory (tmpfs, memfd,
// MAP_SHARED | MAP_ANONYMOUS), FileObject (page_cache.hpp) the page cache of an inode, PhysicalObject a run of physical
// addresses.
//
// Lock order: AddressSpace::mmap lock -> VmObject::mappings lock -> last-level table lock; VmObject::pages lock is a
// leaf.
#pragma once

#include <arch/trap.hpp>
#include <core/mutex.hpp>
#include <core/spinlock.hpp>
#include <lib/function_ref.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <mm/page.hpp>
#include <mm/page_index.hpp>
#include <span>

namespace linnet::mm {

enum class Effort : u8; // page_allocator.hpp

/// The part of a Vma that its object links: where it is mapped.
struct ObjectMapping {
    ListNode object_node; // guarded by VmObject::mappings_lock_
};

class FileObject;

class VmObject : public RefCounted<VmObject> {
public:
    enum class Kind : u8 { Shared, File, Physical };
    /// When the pages of shared memory count as promised (Committed_AS): as they are made, all from the start, or
    /// never.
    enum class Commitment : u8 { ByPage, Whole, None };

    virtual ~VmObject();

    /// The page at `index`, made resident first where it isn't. Access::Write says that it is about to be changed. EIO
    /// when it can't be read, ENOMEM, ENOSPC. Does not look at size(): callers that must stop there do. May sleep.
    virtual Result<PageRef> get_page(u64 index, arch::Access access) = 0;
    /// Whether a page of a shared mapping must be mapped read-only until the first write to it tells (dirty tracking).
    virtual bool wants_write_faults() const { return false; }
    /// Whether the pages from `first` on, a multiple of those of a huge page, are one, made now if they can be. Shared
    /// memory only. May sleep.
    virtual bool make_huge_page(u64 first) { return has_huge_page(first); }
    bool has_huge_page(u64 first);
    /// Whether shmem_enabled decides about its huge pages: not for the files of a mounted tmpfs, but where it says
    /// `force` or `deny`.
    virtual bool is_unmounted() const { return true; }
    /// The same of memory that has single pages there: their contents move (collapse_shared.cpp). ENOMEM; EAGAIN when
    /// somebody holds on to a page. Shared memory only. May sleep.
    Result<void> gather_huge_page(u64 first, Effort effort);
    /// For faults, before they look for a page: they would keep the collapse from its end.
    void let_gather() {
        if (is_gathering_.load(std::memory_order_relaxed)) [[unlikely]]
            wait_for_gathering();
    }
    /// The same huge page with one more entry that maps it (huge_pages.hpp); null when it is none any more. Doesn't
    /// sleep.
    Page* map_huge_page(u64 first);
    /// PhysicalObject: where `index` lies. Others have pages.
    virtual Result<PhysAddr> physical_address(u64) const { return error(Errno::EFAULT); }

    /// The page if it is resident (and read in), else an empty PageRef. Doesn't sleep.
    PageRef find_page(u64 index);
    /// References to the resident pages among [first, first + pages.size()): pages[i] is empty where there is none.
    /// Returns how many there are. Doesn't sleep.
    usize find_pages(u64 first, std::span<PageRef> pages);
    /// Whether `page`, got from here under `index`, still belongs there (truncation takes pages out).
    [[nodiscard]] bool still_holds(const Page& page, u64 index) const {
        return __atomic_load_n(&page.object, __ATOMIC_ACQUIRE) == this && page.index == index;
    }
    struct CacheCount {
        u64 pages = 0, dirty = 0;
    };
    /// What is resident among the pages [first, last) (cachestat(2)).
    CacheCount count_pages(u64 first, u64 last);
    /// The first resident index at or after `from` (SEEK_DATA), or ~0.
    u64 next_resident(u64 from);
    [[nodiscard]] u64 resident_pages() const { return resident_.load(std::memory_order_relaxed); }

    /// Size in bytes: faults beyond its last page are SIGBUS.
    [[nodiscard]] u64 size() const { return size_.load(std::memory_order_acquire); }
    /// Truncates or extends. When shrinking: unmaps the pages beyond from every address space (private copies too),
    /// drops them, and zeroes the rest of the last page. May sleep.
    void set_size(u64 size);
    /// Drops the pages that lie wholly in [begin, end) bytes and zeroes the parts of pages (FALLOC_FL_PUNCH_HOLE). May
    /// sleep.
    virtual void punch_hole(u64 begin, u64 end);

    [[nodiscard]] Kind kind() const { return kind_; }
    /// Itself, when it is the page cache of a file.
    inline FileObject* as_file();
    /// Whether any shared mapping could write to it (F_SEAL_WRITE, deny-write checks).
    [[nodiscard]] bool has_writable_mappings() const { return writable_mappings_.load() != 0; }
    /// Keeps writable shared mappings from coming up until allowed again; false when there are some.
    bool deny_writable_mappings() {
        i32 none = 0;
        return writable_mappings_.compare_exchange_strong(none, -1);
    }
    void allow_writable_mappings() { writable_mappings_.fetch_add(1); }
    /// memfd_secret(2): only those who map it may see it; it stays locked in memory.
    [[nodiscard]] bool is_secret() const { return is_secret_; }
    /// A number that no other object ever has, nor any address in the kernel.
    u64 identity();
    [[nodiscard]] bool is_mapped() const { return mapping_count_.load() != 0; }

    [[nodiscard]] u32 mapping_count() const { return mapping_count_.load(); }
    /// MAP_HUGETLB (huge_pool.hpp).
    virtual bool is_hugetlb() const { return false; }
    /// Somebody has breakpoints in its code (code_probes.hpp).
    std::atomic<bool> is_probed{false};
    /// VmaFlag bits that its mappings have besides those that were asked for.
    virtual u32 mapping_flags() const { return 0; }
    /// Whether shmdt(2) takes its mappings away.
    virtual bool is_attachable() const { return false; }

    // ---- for Vma only ----
    enum class Writable : u8 { No, Yes };
    /// Links a mapping, behind `after` where given (a child's behind its parent's, so that a truncation that runs while
    /// entries are copied meets the copy too).
    void add_mapping(ObjectMapping& mapping, Writable writable, ObjectMapping* after = nullptr);
    void remove_mapping(ObjectMapping& mapping, Writable writable);
    /// Held while the range of a linked mapping changes, or its entries move, so that truncation misses nothing.
    core::Mutex& mappings_lock() { return mappings_lock_; }
    /// Calls `visit` for each mapping, with mappings_lock() held. Let it not sleep for long.
    void for_each_mapping(FunctionRef<void(ObjectMapping&)> visit) {
        core::MutexGuard guard(mappings_lock_);
        for (ObjectMapping& mapping : mappings_) visit(mapping);
    }
    /// add_mapping, with mappings_lock() held already.
    void add_mapping_locked(ObjectMapping& mapping, Writable writable, ObjectMapping* after = nullptr);

protected:
    VmObject(Kind kind, u64 size, Commitment commitment = Commitment::ByPage);
    /// A mapping came up or went, counted already. The mappings lock is held, perhaps an mmap lock.
    virtual void on_mapped() {}
    virtual void on_unmapped() {}
    void make_secret() { is_secret_ = true; }
    /// Adds a page under `index` and returns a reference to it; when another came first, returns that one and `page` is
    /// dropped.
    Result<PageRef> insert_page(u64 index, PageRef page);
    /// Adds the frames of a block as the huge page from `first` on; false when there is a page already, or no memory.
    bool insert_huge_page(u64 first, Page& head);
    /// Makes the pages from `first` on a huge page of zeros; false when there is one already, or no memory.
    bool add_huge_page(u64 first);
    /// The page whatever its state (it may be being read in).
    PageRef find_any_page(u64 index);
    /// Takes the right to write from every mapping of the page, so that the next write is noticed.
    void write_protect_page(u64 index);
    /// Zeroes [begin, end) of the page, if it is resident.
    void zero_part(u64 index, usize begin, usize end);
    /// Takes out this very page, if it is still there.
    void remove_page(u64 index, const Page& page);
    /// The first page at or after `from` that has `flag`; `from` becomes its index.
    PageRef find_flagged(u64& from, u64 end, PageFlag flag);
    /// The first page at or after `from`, whatever its state; `from` becomes its index.
    PageRef find_any_from(u64& from);
    /// For reclaim: takes the page out of every mapping. False when one has used it since it was last asked, wants it
    /// locked in memory, or can't be looked at now.
    bool unmap_if_unused(u64 index, Page& page);
    /// Takes the page out if nobody but the index and the caller has it, it is clean and nothing shows it. The index's
    /// reference goes with it.
    bool remove_if_unused(u64 index, Page& page);

private:
    friend class WritableClaim;
    enum class PrivateCopies : u8 { Unmap, Keep };
    void unmap_range(u64 first, u64 last, PrivateCopies copies);
    void unmap_range_locked(u64 first, u64 last, PrivateCopies copies);
    /// Its pages have generations.
    [[nodiscard]] bool is_evictable() const { return kind_ == Kind::File; }
    void drop_pages(u64 first, u64 last);
    bool replace_page(u64 index, Page& fresh);
    Result<void> gather_pages(u64 first, Effort effort);
    void wait_for_gathering();

    core::SpinLock pages_lock_;
    PageIndex pages_; // each page holds one reference of ours
    core::Mutex mappings_lock_;
    IntrusiveList<ObjectMapping, &ObjectMapping::object_node> mappings_;
    std::atomic<u64> size_;
    std::atomic<u64> resident_{0};
    std::atomic<u64> identity_{0}; // 0: nobody has asked
    std::atomic<u32> mapping_count_{0};
    std::atomic<i32> writable_mappings_{0}; // -1: denied
    Kind kind_;
    Commitment commitment_; // only ByPage is the base class's business
    bool is_secret_ = false;
    std::atomic<bool> is_gathering_{false};
};

/// Counts as a writable mapping of an object until one exists: between the look at a file's seals and the mapping.
class WritableClaim {
public:
    WritableClaim() = default;
    WritableClaim(const WritableClaim&) = delete;
    ~WritableClaim() { release(); }
    /// False while such mappings are denied.
    bool take(VmObject& object) {
        i32 count = object.writable_mappings_.load();
        do {
            if (count < 0) return false;
        } while (!object.writable_mappings_.compare_exchange_weak(count, count + 1));
        object_ = NullableRefPtr<VmObject>(&object);
        return true;
    }
    void release() {
        if (object_) object_->writable_mappings_.fetch_sub(1);
        object_ = nullptr;
    }

private:
    NullableRefPtr<VmObject> object_;
};

/// Memory that lives only in RAM and may be mapped by several: tmpfs files, memfd, shared anonymous mappings.
class AnonObject : public VmObject {
public:
    static Result<RefPtr<AnonObject>> create(u64 size, Commitment commitment = Commitment::Whole);
    /// One for memfd_secret(2).
    static Result<RefPtr<AnonObject>> create_secret();
    ~AnonObject() override;
    /// Makes a zeroed page where there is none.
    Result<PageRef> get_page(u64 index, arch::Access access) override;
    bool make_huge_page(u64 first) override;

protected:
    explicit AnonObject(u64 size, Commitment commitment = Commitment::Whole);
    /// ENOMEM when so much may not be promised; to be asked before one is made.
    static Result<void> check_promise(u64 size, Commitment commitment);

private:
    u64 promised_pages_ = 0;
};

/// A run of physical addresses: device memory (uncached), or frames of the kernel (vDSO data; cached).
class PhysicalObject final : public VmObject {
public:
    enum class Caching : u8 { Cached, Uncached, WriteCombining };
    static Result<RefPtr<PhysicalObject>> create(PhysAddr begin, u64 size, Caching caching);
    Result<PageRef> get_page(u64, arch::Access) override { return error(Errno::EFAULT); }
    Result<PhysAddr> physical_address(u64 index) const override;
    [[nodiscard]] Caching caching() const { return caching_; }

private:
    PhysicalObject(PhysAddr begin, u64 size, Caching caching)
        : VmObject(Kind::Physical, size), begin_(begin), caching_(caching) {}
    PhysAddr begin_;
    Caching caching_;
};

} // namespace linnet::mm
