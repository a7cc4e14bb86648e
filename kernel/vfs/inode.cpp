// Inode: attributes, default operations, write-access counts and attachments.
#include "directory_file.hpp"
#include "paged_file.hpp"
#include <vfs/file_locks.hpp>
#include <vfs/leases.hpp>

#include <core/time.hpp>
#include <mm/vm_object.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

Timestamp Timestamp::now() {
    u64 ns = core::realtime_ns();
    return {static_cast<i64>(ns / core::ns_per_second), static_cast<u32>(ns % core::ns_per_second)};
}

Inode::Inode(SuperBlock& superblock, u64 number, u32 mode, u32 uid, u32 gid, DeviceNumber device)
    : birth_time_(Timestamp::now()), superblock_(superblock), number_(number), mode_(mode), uid_(uid), gid_(gid),
      special_device_(device) {
    access_time_.store(birth_time_);
    modify_time_.store(birth_time_);
    change_time_.store(birth_time_);
}

Inode::~Inode() {
    delete file_locks_.load(std::memory_order_relaxed);
    delete leases_.load(std::memory_order_relaxed);
    delete watches_.load(std::memory_order_relaxed);
}

Result<Attributes> Inode::attributes() {
    Attributes result;
    result.device = superblock_.device().encoded();
    result.inode = number_;
    result.mode = mode();
    result.uid = uid();
    result.gid = gid();
    result.link_count = link_count();
    result.special_device = special_device_.encoded();
    result.size = size();
    result.block_size = superblock_.block_size();
    if (mm::VmObject* object = pages()) result.blocks = object->resident_pages() << (arch::page_shift - 9);
    result.access_time = access_time();
    result.modify_time = modify_time();
    result.change_time = change_time();
    result.birth_time = birth_time_;
    return result;
}

Result<void> Inode::set_attributes(const AttributeChange& change) {
    if (change.mode) set_mode(type() | (*change.mode & abi::S_IALLUGO));
    if (change.uid) uid_.store(*change.uid, std::memory_order_relaxed);
    if (change.gid) gid_.store(*change.gid, std::memory_order_relaxed);
    if (change.access_time) access_time_.store(*change.access_time);
    if (change.modify_time) modify_time_.store(*change.modify_time);
    touch_changed();
    return {};
}

Result<void> Inode::check_permission(u32 mask, const Credentials& who) {
    if ((mask & may_write) && is_immutable()) return error(Errno::EPERM);
    u32 bits = mode();
    u32 granted;
    // Without rights for the group, which are the mask's, Linux does not look at the list.
    AccessControlList::Pointer list;
    if (!has_no_acl() && who.fsuid != uid() && (bits & abi::S_IRWXG)) list = TRY(access_acl());
    if (list)
        granted = list->check(mask, uid(), gid(), who) ? mask : 0;
    else if (who.fsuid == uid())
        granted = bits >> 6;
    else if (((bits >> 3) & 7) != (bits & 7) && who.is_in_group(gid()))
        granted = bits >> 3;
    else
        granted = bits;
    if ((mask & ~granted & 7) == 0) return {};
    if (abi::S_ISDIR(bits)) {
        if (!(mask & may_write) && who.has(Capability::DacReadSearch)) return {};
        if (who.has(Capability::DacOverride)) return {};
        return error(Errno::EACCES);
    }
    if (mask == may_read && who.has(Capability::DacReadSearch)) return {};
    // DAC_OVERRIDE does not make a file executable that nobody may execute.
    if ((!(mask & may_execute) || (bits & abi::S_IXUGO)) && who.has(Capability::DacOverride)) return {};
    return error(Errno::EACCES);
}

Result<RefPtr<File>> Inode::open(const Path& path, u32 flags) {
    switch (type()) {
    case abi::S_IFREG:
        if (!pages()) return error(Errno::ENXIO);
        return PagedFile::create(path, flags);
    case abi::S_IFDIR:
        return DirectoryFile::create(path, flags);
    case abi::S_IFCHR:
    case abi::S_IFBLK:
        return open_device(path, flags);
    case abi::S_IFIFO:
        return open_fifo(path, flags);
    case abi::S_IFLNK:
        return error(Errno::ELOOP);
    default:
        return error(Errno::ENXIO);
    }
}

Result<usize> Inode::get_extended_attribute(std::string_view, std::span<u8>) { return error(Errno::EOPNOTSUPP); }
Result<void> Inode::set_extended_attribute(std::string_view, std::span<const u8>, u32) {
    return error(Errno::EOPNOTSUPP);
}
Result<usize> Inode::list_extended_attributes(std::span<char>) { return usize{0}; }
Result<void> Inode::remove_extended_attribute(std::string_view) { return error(Errno::EOPNOTSUPP); }

Result<LinkTarget> Inode::read_link() { return error(Errno::EINVAL); }
Result<std::optional<Path>> Inode::follow_link() { return std::optional<Path>{}; }

Result<RefPtr<Inode>> Inode::lookup(std::string_view) { return error(is_directory() ? Errno::ENOENT : Errno::ENOTDIR); }
bool Inode::still_leads_to(std::string_view, Inode& inode) { return inode.is_still_valid(); }
Result<RefPtr<Inode>> Inode::create(std::string_view, const CreateRequest& request) {
    return error(abi::S_ISREG(request.mode) ? Errno::EACCES : Errno::EPERM);
}
Result<RefPtr<Inode>> Inode::create_unnamed(const CreateRequest&) { return error(Errno::EOPNOTSUPP); }
Result<void> Inode::link(std::string_view, Inode&) { return error(Errno::EPERM); }
Result<void> Inode::unlink(std::string_view, Inode&) { return error(Errno::EPERM); }
Result<void> Inode::remove_directory(std::string_view, Inode&) { return error(Errno::EPERM); }
Result<void> Inode::rename(const RenameRequest&) { return error(Errno::EPERM); }
Result<void> Inode::read_directory(u64, DirectorySink) {
    if (!is_directory()) return error(Errno::ENOTDIR);
    return {};
}

Result<void> Inode::prepare_write(u64, usize) { return {}; }
Result<usize> Inode::read_direct(IoBuffer&, u64) { return error(Errno::EINVAL); }
Result<usize> Inode::write_direct(IoBuffer&, u64, usize) { return error(Errno::EOPNOTSUPP); }
Result<void> Inode::truncate(u64) { return error(Errno::EINVAL); }
Result<void> Inode::allocate_range(u32, u64, u64) { return error(Errno::EOPNOTSUPP); }
Result<u64> Inode::seek_data(u64 offset) {
    if (offset >= size()) return error(Errno::ENXIO);
    return offset;
}
Result<u64> Inode::seek_hole(u64 offset) {
    u64 end = size();
    if (offset >= end) return error(Errno::ENXIO);
    return end;
}

void Inode::touch_modified() {
    Timestamp now = Timestamp::now();
    modify_time_.store(now);
    change_time_.store(now);
    attributes_changed();
}
void Inode::touch_changed() {
    change_time_.store(Timestamp::now());
    attributes_changed();
}
void Inode::touch_accessed() {
    access_time_.store(Timestamp::now());
    attributes_changed();
}

Result<void> Inode::get_write_access() {
    i32 count = writers_.load(std::memory_order_relaxed);
    do {
        if (count < 0) return error(Errno::ETXTBSY);
    } while (!writers_.compare_exchange_weak(count, count + 1, std::memory_order_seq_cst));
    return {};
}
Result<void> Inode::deny_write_access() {
    i32 count = writers_.load(std::memory_order_relaxed);
    do {
        if (count > 0) return error(Errno::ETXTBSY);
    } while (!writers_.compare_exchange_weak(count, count - 1, std::memory_order_acquire));
    return {};
}

Result<AccessControlList::Pointer> Inode::access_acl() {
    if (acl_state_.load(std::memory_order_acquire) == AclState::Unknown) {
        KeptAcls kept = TRY(load_acls());
        core::SpinGuard guard(attachment_lock_);
        // Else it has been loaded or changed meanwhile.
        if (acl_state_.load(std::memory_order_relaxed) == AclState::Unknown) {
            const bool has_any = kept.access || kept.has_default;
            access_acl_ = std::move(kept.access);
            acl_state_.store(has_any ? AclState::Present : AclState::None, std::memory_order_release);
        }
    }
    core::SpinGuard guard(attachment_lock_);
    return access_acl_;
}

void Inode::acl_changed(AccessControlList::Pointer access) {
    {
        core::SpinGuard guard(attachment_lock_);
        std::swap(access_acl_, access);
        acl_state_.store(AclState::Present, std::memory_order_release);
    }
    // The old one goes when the lock is free again.
}

void Inode::default_acl_changed() {
    core::SpinGuard guard(attachment_lock_);
    if (acl_state_.load(std::memory_order_relaxed) == AclState::None)
        acl_state_.store(AclState::Present, std::memory_order_release);
}

NullableRefPtr<InodeAttachment> Inode::attachment() {
    core::SpinGuard guard(attachment_lock_);
    return attachment_;
}

Result<RefPtr<InodeAttachment>> Inode::attachment(FunctionRef<Result<RefPtr<InodeAttachment>>()> make) {
    if (auto existing = attachment()) return RefPtr<InodeAttachment>(std::move(existing));
    // Made without the lock; whoever comes second takes the first one's, and its own goes after the lock is
    // free.
    RefPtr<InodeAttachment> fresh = TRY(make());
    core::SpinGuard guard(attachment_lock_);
    if (!attachment_) attachment_ = fresh;
    return RefPtr<InodeAttachment>(*attachment_);
}

namespace {

/// What `place` points to; made when it is the first time that somebody asks.
template <typename T, typename... Arguments>
Result<T*> made_once(std::atomic<T*>& place, Arguments&... arguments) {
    if (T* existing = place.load(std::memory_order_acquire)) return existing;
    OwnPtr<T> fresh = TRY(try_make<T>(arguments...));
    T* expected = nullptr;
    if (place.compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel)) return fresh.release();
    return expected;
}

} // namespace

Result<FileLocks*> Inode::file_locks() { return made_once(file_locks_, *this); }
Result<Leases*> Inode::leases() { return made_once(leases_, *this); }
Result<InodeWatches*> Inode::watches() { return made_once(watches_); }

} // namespace linnet::vfs
