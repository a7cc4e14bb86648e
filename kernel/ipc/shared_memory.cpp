// shmget(2), shmctl(2) and the life of segments. Whoever attaches counts by the mappings of the object, so fork, exec,
// exit and munmap need no word here; the object tells when mappings come and go.
#include "segment_table.hpp"

#include <mm/knobs.hpp>
#include <process/process.hpp>
#include <vfs/device.hpp>
#include <vfs/inode.hpp>

namespace linnet::ipc {

namespace {

constinit SharedMemoryLimits the_limits;
[[clang::no_destroy]] constinit SegmentTable the_table;

u64 pages_of(u64 bytes) { return divide_up(bytes, arch::page_size); }

/// Takes a removed segment out once nobody has it attached. The table's lock is held; the result is dropped after it.
NullableRefPtr<Segment> remove_if_orphan(Segment& segment) {
    bool is_orphan = segment.object().mapping_count() == 0 && segment.pending_attaches == 0;
    if (!segment.is_listed || !(segment.mode & abi::SHM_DEST) || !is_orphan) return nullptr;
    return segment_table().remove(segment);
}

/// The pages of a segment and the segment in one: an AnonObject or a HugetlbObject.
template <typename Object>
class SegmentOf final : public Object, public Segment {
public:
    template <typename... Arguments>
    SegmentOf(i32 key, u64 size, u32 mode, const vfs::Credentials& owner, Arguments&&... of_object)
        : Object(std::forward<Arguments>(of_object)...), Segment(static_cast<Object&>(*this), key, size, mode, owner) {}
    bool is_attachable() const override { return true; }
    static Result<void> check_promise(u64 size, mm::VmObject::Commitment commitment) {
        return Object::check_promise(size, commitment);
    }

protected:
    void on_mapped() override { note_attached(); }
    void on_unmapped() override { note_detached(); }
};

/// shmget(2): CAP_IPC_LOCK, or the group of hugetlb_shm_group (0 at first).
bool may_use_huge_pages(const vfs::Credentials& who) {
    return who.has(vfs::Capability::IpcLock) || who.is_in_group(static_cast<u32>(the_limits.huge_page_group.load()));
}

} // namespace

SharedMemoryLimits& shared_memory_limits() { return the_limits; }
SegmentTable& segment_table() { return the_table; }

Segment::Segment(mm::VmObject& object, i32 segment_key, u64 size, u32 segment_mode, const vfs::Credentials& owner)
    : KeyedObject(segment_key, segment_mode, owner), named_key(segment_key), creator_pid(current_pid()),
      object_(object), size_(size) {}

namespace {

Result<RefPtr<Segment>> create_huge(i32 key, u64 size, u32 flags, const vfs::Credentials& owner) {
    const u32 named_shift = flags >> abi::SHM_HUGE_SHIFT & abi::SHM_HUGE_MASK;
    if (named_shift != 0 && named_shift != arch::huge_page_shift) return error(Errno::EINVAL);
    if (!may_use_huge_pages(owner)) return error(Errno::EPERM);
    const u64 whole = align_up(size, arch::huge_page_size);
    if (whole < size) return error(Errno::ENOMEM);
    RefPtr<mm::HugePromise> promise = TRY(mm::HugePromise::create());
    using HugeSegment = SegmentOf<mm::HugetlbObject>;
    auto* made = new (std::nothrow) HugeSegment(key, size, flags & permission_bits, owner, whole, std::move(promise));
    if (!made) return error(Errno::ENOMEM);
    RefPtr<Segment> segment = adopt_ref<Segment>(*made);
    if (!(flags & abi::SHM_NORESERVE)) TRY(made->promise(0, whole / arch::huge_page_size));
    return segment;
}

} // namespace

Result<RefPtr<Segment>> Segment::create(i32 key, u64 size, u32 flags, const vfs::Credentials& owner) {
    if (flags & abi::SHM_HUGETLB) return create_huge(key, size, flags, owner);
    using Commitment = mm::VmObject::Commitment;
    const bool is_reserved = !(flags & abi::SHM_NORESERVE) || mm::overcommit_mode == mm::overcommit_never;
    const Commitment commitment = is_reserved ? Commitment::Whole : Commitment::ByPage;
    using SmallSegment = SegmentOf<mm::AnonObject>;
    TRY(SmallSegment::check_promise(size, commitment));
    auto* made = new (std::nothrow) SmallSegment(key, size, flags & permission_bits, owner, size, commitment);
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref<Segment>(*made);
}

void Segment::format_name(TextSink sink) const { format_to(sink, "/SYSV{08x} (deleted)", static_cast<u32>(named_key)); }

u64 Segment::device_number() const {
    static constinit std::atomic<u64> device{0};
    u64 number = device.load(std::memory_order_relaxed);
    if (number != 0) return number;
    u64 fresh = vfs::allocate_anonymous_device().encoded();
    return device.compare_exchange_strong(number, fresh) ? fresh : number;
}

u64 Segment::page_count() const { return pages_of(size()); }

abi::shmid_ds Segment::status() const {
    abi::shmid_ds data{};
    data.shm_perm = permissions();
    data.shm_segsz = size();
    data.shm_atime = attach_time;
    data.shm_dtime = detach_time;
    data.shm_ctime = change_time;
    data.shm_cpid = creator_pid;
    data.shm_lpid = last_pid;
    data.shm_nattch = object_.mapping_count();
    return data;
}

void Segment::note_attached() {
    core::MutexGuard guard(segment_table().lock);
    attach_time = now();
    last_pid = current_pid();
}

void Segment::note_detached() {
    NullableRefPtr<Segment> gone; // never the last reference: the mapping has one still
    core::MutexGuard guard(segment_table().lock);
    detach_time = now();
    last_pid = current_pid();
    gone = remove_if_orphan(*this);
}

// ---- shmget ----

namespace {

Result<RefPtr<Segment>> make_segment(i32 key, u64 size, u32 flags, const vfs::Credentials& who) {
    if (size == 0 || size > the_limits.most_bytes.load()) return error(Errno::EINVAL);
    u64 pages = pages_of(size), total = segment_table().total_pages();
    if (pages << arch::page_shift < size || total + pages < total || total + pages > the_limits.most_pages.load())
        return error(Errno::ENOSPC);
    return Segment::create(key, size, flags, who);
}

} // namespace

Result<i32> get_segment(i32 key, u64 size, u32 flags, const vfs::Credentials& who) {
    auto check = [&](Segment& segment) -> Result<void> {
        if (segment.size() < size) return error(Errno::EINVAL);
        if (!segment.permits(who, flags & permission_bits)) return error(Errno::EACCES);
        return {};
    };
    return find_or_make(segment_table(), key, flags, the_limits.most_segments.load(), check,
                        [&] { return make_segment(key, size, flags, who); });
}

// ---- shmat ----

Result<Attachment> Attachment::begin(i32 id, u32 rights, const vfs::Credentials& who) {
    core::MutexGuard guard(segment_table().lock);
    Segment* segment = TRY(segment_table().find(id));
    if (!segment->permits(who, rights)) return error(Errno::EACCES);
    ++segment->pending_attaches;
    return Attachment(RefPtr<Segment>(*segment));
}

Attachment::~Attachment() {
    if (!segment_) return;
    NullableRefPtr<Segment> gone;
    core::MutexGuard guard(segment_table().lock);
    --segment_->pending_attaches;
    gone = remove_if_orphan(*segment_);
}

// ---- shmctl ----

Result<SegmentStatus> status_by_id(i32 id, const vfs::Credentials& who) {
    core::MutexGuard guard(segment_table().lock);
    Segment* segment = TRY(segment_table().find(id));
    if (!segment->permits(who, 0444)) return error(Errno::EACCES);
    return SegmentStatus{segment->id, segment->status()};
}

Result<SegmentStatus> status_by_index(i32 index, Check check, const vfs::Credentials& who) {
    core::MutexGuard guard(segment_table().lock);
    Segment* segment = segment_table().at(SegmentTable::index_of(index));
    if (!segment) return error(Errno::EINVAL);
    if (check == Check::Permissions && !segment->permits(who, 0444)) return error(Errno::EACCES);
    return SegmentStatus{segment->id, segment->status()};
}

Result<void> remove_segment(i32 id, const vfs::Credentials& who) {
    NullableRefPtr<Segment> gone;
    core::MutexGuard guard(segment_table().lock);
    Segment* segment = TRY(segment_table().find(id));
    if (!segment->may_be_changed_by(who)) return error(Errno::EPERM);
    segment->mode |= abi::SHM_DEST;
    segment_table().forget_key(*segment);
    gone = remove_if_orphan(*segment);
    return {};
}

Result<void> change_segment(i32 id, const abi::ipc_perm& wanted, const vfs::Credentials& who) {
    core::MutexGuard guard(segment_table().lock);
    Segment* segment = TRY(segment_table().find(id));
    return segment->change(wanted, who);
}

namespace {

/// Pages of segments that `uid` has locked. The table's lock is held.
u64 pages_locked_by(u32 uid) {
    u64 pages = 0;
    for (i32 index = segment_table().highest_index(); index >= 0; --index) {
        Segment* segment = segment_table().at(index);
        if (segment && (segment->mode & abi::SHM_LOCKED) && segment->locked_by == uid) pages += segment->page_count();
    }
    return pages;
}

} // namespace

/// Nothing is ever paged out, so the mark and its account are all there is to it.
Result<void> lock_segment(i32 id, Locking what, u64 limit, const vfs::Credentials& who) {
    core::MutexGuard guard(segment_table().lock);
    Segment* segment = TRY(segment_table().find(id));
    bool privileged = who.has(vfs::Capability::IpcLock);
    if (!privileged && !segment->is_owned_by(who)) return error(Errno::EPERM);
    if (!privileged && what == Locking::Lock && limit == 0) return error(Errno::EPERM);
    if (what == Locking::Unlock) {
        segment->mode &= ~abi::SHM_LOCKED;
        return {};
    }
    if (segment->mode & abi::SHM_LOCKED) return {};
    u64 allowed = limit >> arch::page_shift;
    if (!privileged && pages_locked_by(who.uid) + segment->page_count() > allowed) return error(Errno::ENOMEM);
    segment->mode |= abi::SHM_LOCKED;
    segment->locked_by = who.uid;
    return {};
}

Totals totals() {
    core::MutexGuard guard(segment_table().lock);
    Totals sums;
    sums.segments = segment_table().count();
    sums.pages = segment_table().total_pages();
    i32 highest = segment_table().highest_index();
    sums.highest_index = highest < 0 ? 0 : highest;
    for (i32 index = 0; index <= highest; ++index)
        if (Segment* segment = segment_table().at(index)) sums.resident_pages += segment->object().resident_pages();
    return sums;
}

} // namespace linnet::ipc
