// AddressSpace: what user code sees as memory. Page tables are the truth about what is mapped, Vmas hold policy,
// VmObjects hold shared pages.
//
// Lock order: mmap lock (MmapLock: what changes Vmas takes it exclusively, what looks at several of them shared)
//               a Vma (entered by a fault, or claimed by who has the mmap lock exclusively)
//                 VmObject::mappings lock (Mutex)
//                   lock of a last-level table (SpinLock)
//                     page allocator, VmObject::pages lock
// No user copy may happen with the mmap lock held or a mapping entered.
//
// Faults on different mappings do not meet, and meet those who change other mappings as little: in the common case a
// fault does without the mmap lock. The protocol:
//   - Vma::users counts the faults at work in a mapping. A fault finds the mapping with interrupts off, by this CPU's
//     hint or by walking the tree without a lock, counts itself (enters), and only then looks whether the mapping is
//     what it wants. It goes on with interrupts as they were, and may sleep.
//   - Who holds the mmap lock exclusively claims a mapping before anything about it changes that a fault looks at: its
//     range, rights, object; that it is there; which table or huge page shows it where. Claiming waits for the faults
//     within; a fault that meets a claim takes the mmap lock shared, and so waits for the change to be over. All claims
//     end with the exclusive hold. A mapping that is made is claimed before it enters the tree, unless it is complete.
//   - What has been taken out of the tree stays claimed, and its memory stays until every CPU has been seen with
//     interrupts on (retire()). A CPU's hint is cleared when its mapping goes or the CPU leaves the address space.
//   - Nobody who has entered a mapping waits for the mmap lock: growth of stacks, tables and huge pages shared with
//     other address spaces, and lack of memory send the fault to fault_with_growth(), which begins anew under the lock.
//   - A page table lives as long as a mapping in its span does, so who has entered one may use the tables that lead to
//     its pages. Faults and those who hold the mmap lock shared meet at the locks of last-level tables.
#pragma once

#include <abi/linux/mman.hpp>
#include <arch/mmu.hpp>
#include <arch/trap.hpp>
#include <core/mutex.hpp>
#include <core/thread.hpp>
#include <expected>
#include <mm/mmap_lock.hpp>
#include <mm/page_table.hpp>
#include <mm/vma.hpp>
#include <span>

namespace linnet::mm {

class TlbBatch;
struct FlushRequest;
struct CodePatch;
class AddressSpaceProbes;

enum class FaultResult : u8 { Resolved, SegvMapErr, SegvAccErr, SegvPkuErr, BusAdrErr, OutOfMemory };

/// mmap(2) after its arguments have been looked at: what to map and where.
struct MapRequest {
    VirtAddr address{};              // a hint, or the place where flags say MAP_FIXED
    u64 length = 0;                  // bytes; rounded up to pages
    u32 prot = 0;                    // abi::PROT_*
    u32 flags = 0;                   // abi::MAP_*
    NullableRefPtr<VmObject> object; // null: anonymous (MAP_SHARED makes an AnonObject)
    u64 offset = 0;                  // bytes, page aligned
    NullableRefPtr<MappingLabel> label;
    NullableRefPtr<HugePromise> promise{};                            // private mappings of the pool of huge pages
    u32 max_prot = abi::PROT_READ | abi::PROT_WRITE | abi::PROT_EXEC; // what mprotect may grant later
    u64 alignment = arch::page_size;                                  // of an address the kernel chooses
    u32 vma_flags = 0;                                                // further VmaFlag bits (vma_stack, vma_special)
    bool may_be_low = false; // MAP_FIXED below mmap_min_addr: the caller has CAP_SYS_RAWIO
    /// exec maps segments before the limits of the new image count.
    enum class Limits : u8 { Enforced, Ignored } limits = Limits::Enforced;
};

/// Copies of the process's limits that concern memory, kept up to date by setrlimit. In bytes; ~0 is no limit.
struct MemoryLimits {
    std::atomic<u64> address_space{~u64{0}}; // RLIMIT_AS
    std::atomic<u64> data{~u64{0}};          // RLIMIT_DATA
    std::atomic<u64> stack{u64{8} << 20};    // RLIMIT_STACK
    std::atomic<u64> locked{u64{8} << 20};   // RLIMIT_MEMLOCK; ~0 for who has CAP_IPC_LOCK
};

/// Where exec put things; for brk, /proc/PID/{stat,cmdline,environ,auxv} and prctl(PR_SET_MM). Written by exec before
/// the address space is shared.
struct ExecLayout {
    static constexpr usize max_auxv = 64;
    VirtAddr code_begin{}, code_end{}, data_begin{}, data_end{};
    VirtAddr brk_begin{};
    VirtAddr stack_begin{};
    VirtAddr arg_begin{}, arg_end{}, env_begin{}, env_end{};
    VirtAddr vdso{};
    bool grows_upwards = false;   // the legacy layout: room for mappings is looked for from mmap_base upwards
    VirtAddr signal_trampoline{}; // where a handler returns to without sa_restorer
    u64 auxv[max_auxv] = {};      // pairs, as on the stack
    usize auxv_words = 0;
};

/// For /proc/PID/{statm,status}: pages.
struct AddressSpaceStatistics {
    u64 total = 0, peak_total = 0;
    u64 locked = 0;
    u64 data = 0, stack = 0, text = 0, shared_mappings = 0;
    u64 anonymous = 0, file = 0, shared = 0; // resident
    u64 peak_resident = 0;
    u64 hugetlb = 0;     // of the pool of huge pages, which resident doesn't count
    u64 page_tables = 0; // below the root, as Linux counts them
    usize mapping_count = 0;
    [[nodiscard]] u64 resident() const { return anonymous + file + shared; }
};

/// One line of /proc/PID/maps.
struct MappingInfo {
    VirtAddr begin{}, end{};
    u8 prot = 0;
    u8 max_prot = 0; // what mprotect may grant
    u8 protection_key = 0;
    enum class Backing : u8 { Anonymous, Pages, Physical } backing = Backing::Anonymous;
    MemoryPolicy policy;
    u32 flags = 0;  // VmaFlag bits
    u64 offset = 0; // bytes in the object
    const MappingLabel* label = nullptr;
    std::string_view name;            // "[heap]", "[stack]" where there is no label; may be empty
    bool may_have_huge_pages = false; // transparent ones, as things stand
    bool has_private_pages = false;   // it may hold pages that can't be had again from the object
};

/// What /proc/PID/smaps and numa_maps say of mappings: bytes, but for the shares and where a name says pages. A share
/// is a page divided by the number of its mappings, in 1/4096 of a byte, so that adding up loses nothing Linux keeps.
struct MappingUsage {
    static constexpr unsigned share_shift = 12;
    u64 resident = 0;
    u64 share = 0, share_dirty = 0, share_anonymous = 0, share_file = 0, share_shared = 0, share_locked = 0;
    u64 shared_clean = 0, shared_dirty = 0, private_clean = 0, private_dirty = 0;
    u64 referenced = 0, anonymous = 0;
    u64 anonymous_huge = 0, shared_huge = 0;                               // of these, by huge pages
    u64 private_hugetlb = 0, shared_hugetlb = 0;                           // not part of the others
    u64 pages = 0, anonymous_pages = 0, dirty_pages = 0, active_pages = 0; // of a vma_hugetlb mapping, huge ones
    u32 most_mappings = 0;                                                 // of one page
    void add(const MappingUsage& other);
};

/// One page of /proc/PID/pagemap.
struct PageState {
    u64 frame = 0; // its number, of pages from physical address 0
    bool is_present = false;
    bool is_of_object = false; // of a file or shared memory
    bool is_exclusive = false; // mapped once
    bool is_guard = false;     // MADV_GUARD_INSTALL
    bool is_soft_dirty = false;
};

/// What /proc/PID/clear_refs clears the marks of.
enum class ReferencedPages : u8 { All, Anonymous, OfObjects };

/// Names a futex's place independent of who asks: shared memory by object and offset, private by address space.
struct MemoryIdentity {
    u64 owner = 0; // VmObject::identity(), or the address of the AddressSpace, which the asking process keeps
    u64 offset = 0;
    bool operator==(const MemoryIdentity&) const = default;
};

/// Whether an access by another (ptrace, /proc/PID/mem) may pass over missing rights, as Linux's FOLL_FORCE.
enum class ForeignAccess : u8 { Checked, Forced };

/// Pages of several mappings together: all, those of data, and those that memory is promised for.
struct MappingTotals {
    u64 pages = 0, data = 0, accounted = 0;
};

class AddressSpace final : public RefCounted<AddressSpace> {
public:
    static Result<RefPtr<AddressSpace>> create();
    /// A copy for a child: private memory copy-on-write, shared memory shared. Threads may go on writing meanwhile.
    Result<RefPtr<AddressSpace>> fork();
    /// Unmaps everything. The last reference must go where sleeping is allowed.
    ~AddressSpace();

    // ---- changing mappings (map.cpp, unmap.cpp, protect.cpp, remap.cpp, advise.cpp) ----
    Result<VirtAddr> map(const MapRequest& request);
    Result<void> unmap(VirtAddr address, u64 length);
    /// shmdt(2): unmaps what shows the object attached at `address`, all its parts that are left. EINVAL.
    Result<void> detach(VirtAddr address);
    static constexpr int same_key = -1;
    /// For protect(): executable, too, what may ever be (READ_IMPLIES_EXEC of personality(2)).
    static constexpr u32 executable_where_allowed = u32{1} << 16;
    /// EINVAL for a key that isn't allocated.
    Result<void> protect(VirtAddr address, u64 length, u32 prot, int protection_key = same_key);
    /// pkey_alloc(2): ENOSPC when none of the `count` keys is left. pkey_free(2): EINVAL.
    Result<int> allocate_protection_key(unsigned count);
    Result<void> free_protection_key(int key);
    /// remap_file_pages(2): shows other pages of a shared mapping's object, `first_index` on, in its place.
    Result<void> remap_pages(VirtAddr address, u64 length, u64 first_index, u32 flags);
    Result<VirtAddr> remap(VirtAddr old_address, u64 old_length, u64 new_length, u32 flags, VirtAddr new_address);
    Result<void> advise(VirtAddr address, u64 length, int advice);
    /// brk(2): the new break, or the present one when it can't be moved there. Never fails.
    VirtAddr brk(VirtAddr address);
    /// Sets where the heap begins (exec).
    void set_brk_begin(VirtAddr address);
    [[nodiscard]] VirtAddr current_brk() const;
    /// Gives the marks other values (prctl(PR_SET_MM)); what is mapped stays. EINVAL: pairs out of order, addresses
    /// that a program can't have, or more heap and data than RLIMIT_DATA allows.
    Result<void> set_layout(const ExecLayout& fresh, VirtAddr brk);
    /// Whether anything is mapped at `address` or above.
    [[nodiscard]] bool has_mapping_above(VirtAddr address);
    Result<void> sync(VirtAddr address, u64 length, u32 flags);
    enum class LockMode : u8 { Unlock, Lock, LockOnFault };
    Result<void> lock_range(VirtAddr address, u64 length, LockMode mode);
    Result<void> lock_all(u32 mcl_flags);
    Result<void> unlock_all();
    /// mseal(2): from now on nothing about these mappings changes. ENOMEM where something isn't mapped.
    Result<void> seal(VirtAddr address, u64 length);
    // ---- nodes of memory (memory_policy.cpp) ----
    /// mbind(2). EFAULT where something isn't mapped, unless the policy is none.
    Result<void> set_policy(VirtAddr begin, VirtAddr end, const MemoryPolicy& policy);
    /// What has been set there. EFAULT.
    Result<MemoryPolicy> policy_at(VirtAddr address);
    /// Whether set_mempolicy_home_node(2) finds policies that can have one: ENOENT, EOPNOTSUPP.
    Result<void> check_home_node(VirtAddr begin, VirtAddr end);
    /// One byte a page into `resident` (1 = in memory): mincore(2). ENOMEM where something isn't mapped.
    Result<void> residency(VirtAddr address, std::span<u8> resident);
    /// Makes pages present as if touched (MAP_POPULATE, MADV_POPULATE_*).
    Result<void> populate(VirtAddr address, u64 length, arch::Access access);

    /// Gives the private pages back while the last threads die (process_mrelease(2)). No thread runs user code any
    /// more; kernel copies that come too late are refused.
    void release_private_memory();
    [[nodiscard]] bool is_released() const { return is_released_.load(std::memory_order_relaxed); }

    // ---- huge pages in the background (collapse.cpp) ----
    u64 scan_for_collapse(u64 pages, bool& may_go_on);
    ListNode collapse_node;

    // ---- last-level tables in common with others (table_sharers.cpp) ----
    /// Adds to `shares` for each frame from `first_frame` on this address space's part in who shows it by such tables.
    void add_shares_of_tables(u64 first_frame, std::span<u64> shares);
    ListNode sharer_node;

    // ---- faults (fault.cpp) ----
    FaultResult handle_fault(VirtAddr address, arch::Access access);

    // ---- breakpoints in code (code_probes.cpp) ----
    /// Writes into the private copies of each mapping that shows the place and may be executed. Whether anything was
    /// written. ENOMEM, with some of it done.
    Result<bool> patch_code(const CodePatch& patch);
    /// What the code at `address` comes from; the object is the caller's to look at only if that keeps it alive. Null
    /// where nothing is mapped, or nothing of an object.
    struct ObjectPlace {
        const VmObject* object = nullptr;
        u64 offset = 0;
    };
    [[nodiscard]] ObjectPlace object_place(VirtAddr address);
    /// What probes keep here; set at most once, owned.
    std::atomic<AddressSpaceProbes*> probes{nullptr};

    // ---- access by others (foreign.cpp) ----
    /// Copies between kernel memory and this address space, whoever runs. The number of bytes copied before a page that
    /// can't be had; EFAULT when that is 0 and the span isn't empty.
    Result<usize> read_memory(VirtAddr address, std::span<u8> to, ForeignAccess how = ForeignAccess::Checked);
    Result<usize> write_memory(VirtAddr address, std::span<const u8> from, ForeignAccess how = ForeignAccess::Checked);
    /// Calls `use` with the page that shows at `address`, faulted in for `access`. The mmap lock is held meanwhile: no
    /// user copies, nothing that sleeps for long. EFAULT, ENOMEM.
    Result<void> use_page(VirtAddr address, arch::Access access, ForeignAccess how, FunctionRef<void(Page&)> use);
    /// Calls `use(count)` when pages[0 … count) show at the first of `addresses`, faulted in for `access`: all that can
    /// be had together, at least one. The mmap lock is held shared meanwhile, so neither fork nor a change of mappings
    /// comes between; `use` may wait for a device, but makes no user copies. Returns count. EFAULT, ENOMEM.
    Result<usize> hold_pages(std::span<const VirtAddr> addresses, arch::Access access, std::span<PageRef> pages,
                             FunctionRef<void(usize)> use);
    /// EFAULT where nothing is mapped.
    Result<MemoryIdentity> identify(VirtAddr address);
    /// The same of memory that nobody shares, mapped or not.
    [[nodiscard]] MemoryIdentity private_identity(VirtAddr address) const {
        return {reinterpret_cast<uintptr_t>(this), address.value};
    }

    // ---- switching (tlb.cpp) ----
    /// Makes this the address space of `cpu`, which is the calling one. Interrupts off.
    void activate(core::Cpu& cpu);
    /// It stays the one of `cpu`, which runs kernel threads now. Interrupts off.
    void rest_on(core::Cpu& cpu);
    [[nodiscard]] PhysAddr root_table() const { return tables_.root(); }
    /// The bits of the CPUs whose page-table register points here.
    [[nodiscard]] u64 active_cpus() const { return active_cpus_.value(); }

    // ---- looking (report.cpp) ----
    /// Calls `visit` for each mapping in order until it returns false. The mmap lock is held: no user copies within.
    void for_each_mapping(FunctionRef<bool(const MappingInfo&)> visit, VirtAddr from = {});
    /// Shows the first mapping that ends behind `from`, and what it holds. Returns its end, or 0 when there is none.
    VirtAddr visit_usage(VirtAddr from, FunctionRef<void(const MappingInfo&, const MappingUsage&)> visit);
    /// States of the pages from `begin` on.
    void page_states(VirtAddr begin, std::span<PageState> states);
    /// The first page of [begin, end), page-aligned, that the page tables show; `end` when there is none.
    VirtAddr find_present(VirtAddr begin, VirtAddr end);
    /// Forgets that pages were used, so that smaps' Referenced counts from now on.
    void clear_references(ReferencedPages which);
    /// Forgets that pages were written to (soft_dirty.cpp). ENOMEM: it may have been done in part.
    Result<void> clear_soft_dirty();
    [[nodiscard]] AddressSpaceStatistics statistics() const;
    void reset_peak_resident();
    /// Whether `pages` more may be promised to it (overcommit.cpp).
    [[nodiscard]] bool can_commit(u64 pages) const;

    MemoryLimits limits;
    ExecLayout layout;
    /// Where mappings begin, downwards or (layout.grows_upwards) upwards; drawn by choose_layout() in exec.
    VirtAddr mmap_base{};
    std::atomic<u32> dumpable{1};       // PR_SET_DUMPABLE: 0, 1, or 2 where only root is to read the core file
    std::atomic<u32> dump_filter{0x33}; // /proc/PID/coredump_filter (core(5)): the default
    std::atomic<u32> membarrier_registrations{0}; // those of membarrier(2), as it reports them
    std::atomic<u64> concurrency_ids{0};          // those in use (process/notifications.cpp)
    std::atomic<bool> out_of_memory{false};       // chosen to die: allocations for it may fail early
    std::atomic<bool> huge_pages_disabled{false}; // prctl(PR_SET_THP_DISABLE)
    std::atomic<u32> write_execute_rules{0};      // prctl(PR_SET_MDWE): PR_MDWE_*

private:
    friend void unmap_object_range(Vma& vma, VirtAddr begin, VirtAddr end, bool keep_private);
    friend void write_protect_mapping(Vma& vma, VirtAddr address);
    friend bool take_accessed_mark(Vma& vma, VirtAddr address, const Page& page);
    friend class TlbBatch;
    using Policy = arch::PagingPolicy;
    using Table = PageTable<Policy>;
    using Cursor = PageCursor<Policy>;
    using HugeTableCursor = HugeCursor<Policy>;
    using Entry = Policy::Entry;
    struct AddressRange {
        VirtAddr begin, end;
    };
    /// Why a fault needs the mmap lock exclusively first: a last-level table or a huge page that is shared with another
    /// address space, or the first huge page of this one.
    enum class Obstacle : u8 { SharedTable, HugePage, FirstHugePage };
    /// Mappings taken out under the lock, destroyed (with what their labels and objects do then) after it.
    struct DoomedVmas {
        Vma* first = nullptr;
        DoomedVmas() = default;
        DoomedVmas(const DoomedVmas&) = delete;
        ~DoomedVmas();
    };
    AddressSpace();

    // Every function below needs the mmap lock: exclusive, or shared where it says so.
    // map.cpp
    Result<VirtAddr> choose_address(const MapRequest& request, u64 length);
    VirtAddr find_gap(u64 length, u64 alignment = arch::page_size);
    Result<void> check_limits(u64 pages, u32 prot, u32 vma_flags) const;
    [[nodiscard]] Result<void> check_write_execute(u32 before, u32 prot) const;
    Result<void> check_limits(u64 pages, u32 prot, u32 vma_flags, const MappingTotals& replaced) const;
    [[nodiscard]] MappingTotals mapped_in(VirtAddr begin, VirtAddr end);
    Result<void> insert_mapping(Vma& described);
    Result<VirtAddr> map_locked(const MapRequest& request, u64 length, DoomedVmas& doomed);
    Result<void> grow_brk(VirtAddr from, VirtAddr to);
    // vma_edit.cpp
    Result<Vma*> clone_vma(const Vma& vma);
    void take_out(Vma& vma);
    void claim_range(VirtAddr begin, VirtAddr end);
    void set_range(Vma& vma, VirtAddr begin, VirtAddr end);
    Vma* merge(Vma& vma);
    void absorb(Vma& first, Vma& second);
    Result<void> split(Vma& vma, VirtAddr at);
    Result<Vma*> isolate(Vma& vma, VirtAddr begin, VirtAddr end);
    void link_vma(Vma& vma, ObjectMapping* after = nullptr);
    void unlink_vma(Vma& vma);
    void account(const Vma& vma, i64 pages);
    void account_change(const Vma& vma, u8 old_prot, u32 old_flags, u64 pages);
    template <typename Change>
    Result<void> change_each(VirtAddr begin, VirtAddr end, Change change);
    // unmap.cpp
    /// Whether the page tables may show anything there; mremap has moved it away.
    enum class Contents : u8 { Present, Moved };
    Result<void> unmap_locked(VirtAddr begin, VirtAddr end, DoomedVmas& doomed, Contents contents = Contents::Present);
    enum class Zap : u8 { All, KeepPrivate, OwnTables };
    /// Takes pages out but keeps the Vma. The shared lock suffices for OwnTables, which passes over shared tables and
    /// parts of huge pages; false when it met any.
    bool zap(Vma& vma, VirtAddr begin, VirtAddr end, TlbBatch& batch, Zap what = Zap::All);
    [[nodiscard]] Page* find_own_table(VirtAddr begin, VirtAddr end) const;
    bool zap_by_walk(Vma& vma, AddressRange range, TlbBatch& batch, Zap what);
    VirtAddr zap_in_table(Page& table, VirtAddr begin, VirtAddr end, Vma& vma, TlbBatch& batch, Zap what);
    void zap_with_flushes(Page& table, AddressRange rest, Vma& vma, TlbBatch& batch, Zap what);
    void zap_table(Page& table, AddressRange range, Vma& vma, TlbBatch& batch, Zap what);
    void zap_shared_table(Page& table, AddressRange range, Entry* slot, TlbBatch& batch);
    void prune_tables(VirtAddr begin, VirtAddr end, VirtAddr floor, VirtAddr ceiling, TlbBatch& batch);
    // protect.cpp, remap.cpp
    Result<void> protect_part(Vma& vma, VirtAddr begin, VirtAddr end, u8 rights, int key, TlbBatch& batch);
    Result<Vma*> give_to_neighbour(Vma& vma, VirtAddr begin, VirtAddr end, u8 rights, u32 flags);
    struct EntryChange;
    Result<Page*> own_sole_table(VirtAddr begin, VirtAddr end);
    void protect_by_walk(const EntryChange& change, AddressRange range);
    void protect_entries(const Vma& vma, AddressRange range, u8 before, Page* sole, TlbBatch& batch);
    struct RemapRequest {
        VirtAddr old_address{};
        u64 old_length = 0;
        u64 new_length = 0;
        u32 flags = 0;
        VirtAddr new_address{};
    };
    Result<VirtAddr> remap_locked(RemapRequest request, DoomedVmas& doomed);
    Result<Vma*> check_remap(Vma& found, const RemapRequest& request);
    void empty_source(VirtAddr begin, VirtAddr end);
    Result<Vma*> add_target(Vma& source, AddressRange range, const RemapRequest& request, u32 flags);
    Result<void> make_targets(Vma& first, const RemapRequest& request);
    void merge_range(VirtAddr begin, VirtAddr end);
    Result<VirtAddr> move_mapping(Vma& vma, const RemapRequest& request, DoomedVmas& doomed);
    Result<void> move_entries(const Vma& vma, VirtAddr from, VirtAddr to, u64 length);
    static void mark_soft_dirty(Entry* slot);
    static Result<void> round_to_pool_pages(RemapRequest& request); // hugetlb_mappings.cpp
    Result<void> move_table(Entry* slot, VirtAddr target, TlbBatch& batch);
    Result<void> move_some(const Vma& vma, Page& table, AddressRange range, VirtAddr target);
    Result<bool> expand_in_place(Vma& vma, VirtAddr old_end, u64 grow);
    // fault.cpp, object_fault.cpp: the shared lock suffices, or to have entered the mapping
    std::expected<FaultResult, Obstacle> fault_in(Vma& vma, VirtAddr address, arch::Access access, ForeignAccess how);
    Result<void> remove_obstacle(Obstacle obstacle, VirtAddr address); // takes the lock itself
    FaultResult fault_present(Vma& vma, Page& table, VirtAddr address, arch::Access access, ForeignAccess how);
    FaultResult fault_anonymous(Vma& vma, Page& table, VirtAddr address, arch::Access access);
    FaultResult fault_object(Vma& vma, Page& table, VirtAddr address, arch::Access access);
    FaultResult fault_private_write(Vma& vma, Page& table, VirtAddr address);
    FaultResult fault_physical(Vma& vma, Page& table, VirtAddr address);
    FaultResult break_copy_on_write(Vma& vma, Page& table, VirtAddr address, Entry seen);
    FaultResult copy_private_page(Vma& vma, Page& table, VirtAddr address, Entry seen, PageRef original);
    FaultResult make_shared_writable(Vma& vma, Page& table, VirtAddr address);
    usize map_around(Vma& vma, Page& table, VirtAddr address);
    bool map_object_page(Vma& vma, Cursor& cursor, PageRef& page, u64 index, Entry model);
    Vma* enter_mapping(VirtAddr address);
    std::optional<FaultResult> fault_without_lock(VirtAddr address, arch::Access access);
    FaultResult fault_with_growth(VirtAddr address, arch::Access access, ForeignAccess how);
    bool grow_stack(VirtAddr address);
    void flush_here(VirtAddr address, u64 pages = 1); // tlb.cpp
    Result<Page*> leaf_table(VirtAddr address);
    // huge_mappings.cpp
    [[nodiscard]] bool may_be_huge(const Vma& vma, VirtAddr address) const;
    bool map_huge_page(Vma& vma, VirtAddr address, arch::Access access);
    bool map_shared_huge_page(Vma& vma, VirtAddr address, arch::Access access);
    std::expected<FaultResult, Obstacle> fault_huge(Vma& vma, Entry* slot, VirtAddr address, arch::Access access);
    std::expected<FaultResult, Obstacle> replace_huge_zeros(Vma& vma, Entry* slot, VirtAddr address, Entry seen);
    Result<void> split_huge_leaf(VirtAddr address);
    void zap_huge(Entry* slot, AddressRange range, TlbBatch& batch, Zap what);
    Result<void> copy_huge_entry(AddressSpace& child, VirtAddr base, Entry* slot, TlbBatch& batch);
    // hugetlb_mappings.cpp
    FaultResult fault_hugetlb(Vma& vma, VirtAddr address, arch::Access access);
    FaultResult copy_pool_page(Vma& vma, Entry* slot, VirtAddr base);
    FaultResult map_object_pool_page(Vma& vma, Entry* slot, VirtAddr base);
    bool enter_pool_page(HugeTableCursor& cursor, Entry expected, Page& head, arch::MappingFlags flags);
    void discard_pool_pages(Vma& vma, VirtAddr begin, VirtAddr end, TlbBatch& batch);
    void renew_promise(Vma& vma, VirtAddr base, Page& head);
    void give_back_promise(const Vma& vma);
    static bool take_from_children(const Vma& owner, VirtAddr base, Page& head);
    void lose_pool_page(Vma& vma, VirtAddr base, Page& head);
    // collapse.cpp
    enum class CollapseReason : u8 { Request, Background };
    enum class CollapseResult : u8 { Possible, IsHuge, Unsuitable, NoMemory, Busy };
    CollapseResult may_collapse(const Vma& vma, const Entry* slot, VirtAddr base, CollapseReason reason) const;
    // These take the lock themselves.
    CollapseResult collapse(VirtAddr base, CollapseReason reason);
    CollapseResult collapse_anonymous(VirtAddr base, CollapseReason reason);
    CollapseResult collapse_shared(VirtAddr base, CollapseReason reason); // collapse_shared.cpp
    void make_room_for_collapsed(VirtAddr base, const VmObject& object);
    void move_into_huge_page(Vma& vma, Entry* slot, VirtAddr base, Page& head);
    Result<void> collapse_range(VirtAddr begin, VirtAddr end); // takes the lock itself
    void note_collapsible();
    void leave_collapse_list();
    // advise.cpp: the shared lock suffices
    [[nodiscard]] bool is_accessible(VirtAddr address, arch::Access access) const;
    [[nodiscard]] VirtAddr accessible_until(VirtAddr address, VirtAddr end, arch::Access access) const;
    // code_probes.cpp
    Vma* find_code(const CodePatch& patch, VirtAddr from);
    Result<bool> replace_code(Vma& vma, VirtAddr address, const CodePatch& patch);
    // foreign.cpp
    PageRef find_accessible_page(Vma& vma, VirtAddr address, arch::Access access, ForeignAccess how);
    Result<usize> gather_pages(std::span<const VirtAddr> addresses, arch::Access access, std::span<PageRef> pages);
    Result<bool> try_use_page(VirtAddr address, arch::Access access, ForeignAccess how, FunctionRef<void(Page&)> use);
    template <typename Copy>
    Result<usize> copy_by_pages(VirtAddr address, usize length, arch::Access access, ForeignAccess how, Copy copy);
    void count_resident(PageKind kind, i64 pages);
    // fork.cpp
    struct TableSharing;
    Result<void> fork_into(AddressSpace& made);
    Result<void> clone_mappings(AddressSpace& child);
    bool may_share_parts(const Page& table, VirtAddr base);
    Result<void> copy_mapping(TableSharing& sharing, const Vma& vma, TlbBatch& batch);
    Result<void> copy_entries(AddressSpace& child, Page& table, AddressRange range, TlbBatch& batch);
    // table_sharers.cpp
    void join_table_sharers();
    void leave_table_sharers();
    // shared_tables.cpp
    bool may_use_table(Page& table, Entry* slot, VirtAddr address, arch::Access access);
    Result<void> own_table(Page& table, VirtAddr address, Entry* slot);
    Result<void> own_tables(VirtAddr begin, VirtAddr end);
    Result<void> own_partial_tables(VirtAddr begin, VirtAddr end);
    void drop_pages(Vma& vma, TlbBatch& batch);
    // soft_dirty.cpp
    Result<void> clear_soft_dirty_in(Vma& vma, TlbBatch& batch);
    // report.cpp
    MappingInfo describe(const Vma& vma) const;
    Vma& last_shown_with(Vma& first);
    Vma* find_shown(VirtAddr from);
    [[nodiscard]] MappingUsage measure(const Vma& vma);
    void clear_references_in(const Vma& vma, ReferencedPages which, TlbBatch& batch);
    Result<void> discard(VirtAddr begin, VirtAddr end, int advice);
    Result<void> discard_exclusively(VirtAddr begin, VirtAddr end, int advice);
    std::optional<Result<void>> discard_locked(AddressRange range, int advice, Zap what, TlbBatch& batch);
    std::optional<Result<void>> discard_part(Vma& vma, AddressRange range, int advice, Zap what, TlbBatch& batch);
    Result<void> follow_advice(VirtAddr begin, VirtAddr end, int advice);
    Result<void> mark_advice(VirtAddr begin, VirtAddr end, int advice);
    Result<void> advise_part(Vma& part, int advice, TlbBatch& batch);
    Result<void> install_guard(Vma& part, TlbBatch& batch);
    Result<void> will_need(VirtAddr begin, VirtAddr end);
    Result<void> remove_from_object(VirtAddr begin, VirtAddr end);
    u64 unlocked_pages(VirtAddr begin, VirtAddr end);
    // seal.cpp
    Result<void> check_unsealed(VirtAddr begin, VirtAddr end);
    void note_resident_peak() const;
    void flush_range(VirtAddr begin, u64 pages);
    void flush_holders(const FlushRequest& request, u64 self, u64 active, u64 holders);
    void leave_all_cpus();

    MmapLock mmap_lock_;
    std::atomic<bool> is_released_{false};
    VmaMap vmas_;
    PageTable<arch::PagingPolicy> tables_;
    std::atomic<bool> may_share_tables_{false}; // it has forked, or was forked: last-level tables may be shared
    std::atomic<bool> is_collapsible_{false};   // in the list of those to look at for huge pages
    VirtAddr collapse_from_{};                  // where the next look at it goes on; khugepaged's own
    std::atomic<bool> has_huge_pages_{false};   // may have some; set with the mmap lock held exclusively
    VirtAddr brk_{};
    VirtAddr gap_hint_{}; // top-down search starts here; above it nothing longer than gap_hint_length_ is free
    u64 gap_hint_length_ = 0;
    u32 future_lock_flags_ = 0; // MCL_FUTURE
    bool has_seals_ = false;    // some mapping was sealed
    u16 protection_keys_ = 1;   // bit n: key n is allocated; key 0 is everybody's

    core::CpuMask active_cpus_;  // the page-table register points here
    core::CpuMask resting_cpus_; // of those, run kernel threads only
    core::CpuMask stale_cpus_;   // must flush before running it again
    core::CpuMask used_cpus_;    // may hold translations (only with ASIDs)
    std::atomic<u64> asid_{0};   // generation and number

    std::atomic<i64> resident_anonymous_{0}, resident_file_{0}, resident_shared_{0};
    mutable std::atomic<u64> peak_resident_{0};
    std::atomic<u64> table_pages_{0};
    std::atomic<u64> hugetlb_pages_{0}; // huge ones
    std::atomic<u64> total_pages_{0}, peak_total_{0}, locked_pages_{0}, data_pages_{0}, stack_pages_{0}, text_pages_{0},
        shared_pages_{0};
};

/// The address space that user copies of the current thread go to: the one activated last on this CPU. Null for kernel
/// threads that have none.
AddressSpace* current_address_space();

/// Address randomisation of a new image.
enum class Randomisation : u8 { On, AllButHeap, Off };
/// By randomize_va_space and the personality (ADDR_NO_RANDOMIZE).
Randomisation randomisation_of(u32 personality);
/// Draws the top of the stack, and sets `space.mmap_base` below it leaving room for the stack limit; or, for the legacy
/// layout (ADDR_COMPAT_LAYOUT and others), where mappings begin that grow upwards.
VirtAddr choose_layout(AddressSpace& space, Randomisation randomisation, u32 personality);
/// Where a position-independent program goes (ET_DYN with an interpreter), page aligned.
VirtAddr choose_program_base(Randomisation randomisation);
/// Where the heap begins behind a program that ends at `program_end`.
VirtAddr choose_brk_begin(VirtAddr program_end, Randomisation randomisation);

/// Called when a page can't be had for a user: picks and marks a victim; true when it is worth trying again. Registered
/// by process.
using OutOfMemoryHandler = bool (*)(AddressSpace& asking);
void set_out_of_memory_handler(OutOfMemoryHandler handler);

} // namespace linnet::mm
