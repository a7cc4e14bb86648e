// System V shared memory (shmget(2), shmop(2), shmctl(2)): segments that live until they are removed and the last
// process has detached them.
#pragma once

#include <ipc/keyed_object.hpp>
#include <mm/huge_pool.hpp>
#include <mm/vm_object.hpp>
#include <mm/vma.hpp>

namespace linnet::ipc {

/// Limits of /proc/sys/kernel/shm*.
struct SharedMemoryLimits {
    std::atomic<u64> most_bytes{~u64{0} - (u64{1} << 24)}; // shmmax: of one segment
    std::atomic<u64> most_pages{~u64{0} - (u64{1} << 24)}; // shmall: of all
    std::atomic<u64> most_segments{4096};                  // shmmni
    std::atomic<u64> huge_page_group{0};                   // vm/hugetlb_shm_group: may use SHM_HUGETLB
};
SharedMemoryLimits& shared_memory_limits();

/// What a segment is beside its pages, and its name in /proc/PID/maps. It is attached as often as it is mapped; it
/// lives as long as its object.
class Segment : public mm::MappingLabel, public KeyedObject {
public:
    /// `flags` are shmget's. EINVAL for a size of huge pages that there is none of; ENOMEM.
    static Result<RefPtr<Segment>> create(i32 key, u64 size, u32 flags, const vfs::Credentials& owner);

    void ref() const override { object_.ref(); }
    void unref() const override { object_.unref(); }
    mm::VmObject& object() { return object_; }
    /// As shmget was asked for; the object of huge pages may be larger.
    u64 size() const { return size_; }
    void format_name(TextSink sink) const override;
    u64 device_number() const override;
    u64 inode_number() const override { return static_cast<u64>(id); }

    [[nodiscard]] u64 page_count() const;
    [[nodiscard]] abi::shmid_ds status() const;

    const i32 named_key; // at creation: for its name
    // ---- the table's lock, as for what KeyedObject has; `mode` also has SHM_DEST and SHM_LOCKED ----
    u32 locked_by = 0;
    i64 attach_time = 0, detach_time = 0;
    i32 creator_pid = 0, last_pid = 0;
    u32 pending_attaches = 0; // shmat(2) calls under way

protected:
    Segment(mm::VmObject& object, i32 segment_key, u64 size, u32 segment_mode, const vfs::Credentials& owner);
    ~Segment() = default;
    void note_attached();
    void note_detached();

private:
    mm::VmObject& object_; // this very segment
    const u64 size_;
};

/// shmget(2).
Result<i32> get_segment(i32 key, u64 size, u32 flags, const vfs::Credentials& who);

/// Keeps a segment that is being mapped from going away before it counts as attached.
class Attachment {
public:
    /// EINVAL, EACCES as shmat(2).
    static Result<Attachment> begin(i32 id, u32 rights, const vfs::Credentials& who);
    Attachment(Attachment&&) = default;
    Attachment& operator=(Attachment&&) = delete;
    ~Attachment();
    [[nodiscard]] Segment& segment() const { return *segment_; }

private:
    explicit Attachment(RefPtr<Segment> segment) : segment_(std::move(segment)) {}
    NullableRefPtr<Segment> segment_;
};

// ---- shmctl(2) ----
struct SegmentStatus {
    i32 id;
    abi::shmid_ds data;
};
enum class Check : u8 { Permissions, Nothing };
Result<SegmentStatus> status_by_id(i32 id, const vfs::Credentials& who);
Result<SegmentStatus> status_by_index(i32 index, Check check, const vfs::Credentials& who);
Result<void> remove_segment(i32 id, const vfs::Credentials& who);
Result<void> change_segment(i32 id, const abi::ipc_perm& wanted, const vfs::Credentials& who);
enum class Locking : u8 { Lock, Unlock };
/// `limit`: RLIMIT_MEMLOCK in bytes.
Result<void> lock_segment(i32 id, Locking what, u64 limit, const vfs::Credentials& who);
/// The highest index in use, or 0; what IPC_INFO and SHM_INFO return.
struct Totals {
    i32 highest_index = 0;
    i32 segments = 0;
    u64 pages = 0, resident_pages = 0;
};
Totals totals();

/// /proc/sysvipc and the limits under /proc/sys/kernel; after vfs::pseudo::initialise().
Result<void> initialise();

} // namespace linnet::ipc
