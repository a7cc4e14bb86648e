// Attributes, symlinks and directories.
#include "inode.hpp"

#include "acl_format.hpp"
#include "attribute_edit.hpp"
#include "attributes.hpp"
#include "directory_edit.hpp"
#include "ext4_superblock.hpp"
#include "ext4_writing.hpp"

#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <cstring>

namespace linnet::fs {

using ext4::DiskInode;
using ext4::RawInode;

namespace {

/// The number of a device: in the first word as it once was, in the second as it is now.
vfs::DeviceNumber device_of(const DiskInode& disk) {
    if (!abi::S_ISCHR(disk.raw.mode) && !abi::S_ISBLK(disk.raw.mode)) return {};
    u32 words[2];
    std::memcpy(words, disk.raw.block, sizeof(words));
    if (words[0]) return {words[0] >> 8 & 0xff, words[0] & 0xff};
    return {words[1] >> 8 & 0xfff, (words[1] & 0xff) | (words[1] >> 12 & 0xf'ff00)};
}

/// `extra` has two more bits of the seconds and, above them, the nanoseconds.
vfs::Timestamp time_of(u32 seconds, u32 extra) {
    constexpr u32 epoch_bits = 2;
    const i64 epoch = extra & ((1u << epoch_bits) - 1);
    return {static_cast<i32>(seconds) + (epoch << 32), extra >> epoch_bits};
}

struct StoredTime {
    u32 seconds;
    u32 extra;
};
/// What has no room there becomes the first or last time that has.
StoredTime stored(vfs::Timestamp time) {
    constexpr u32 epoch_bits = 2;
    constexpr i64 first = -(i64{1} << 31), last = (i64{3} << 32) + ~u32{0} / 2;
    const i64 seconds = std::clamp(time.seconds, first, last);
    const auto low = static_cast<u32>(seconds);
    const auto epoch = static_cast<u32>((seconds - static_cast<i32>(low)) >> 32);
    return {low, epoch | time.nanoseconds << epoch_bits};
}

template <auto Field>
u32 extra_of(const DiskInode& disk, usize place) {
    return disk.reaches(place + sizeof(u32)) ? disk.raw.*Field : 0;
}

} // namespace

void set_new_times(DiskInode& disk, vfs::Timestamp now) {
    RawInode& raw = disk.raw;
    const StoredTime parts = stored(now);
    raw.access_time = raw.modify_time = raw.change_time = raw.birth_time = parts.seconds;
    raw.access_time_extra = raw.modify_time_extra = raw.change_time_extra = raw.birth_time_extra = parts.extra;
}

Ext4Inode::Ext4Inode(Ext4SuperBlock& superblock, DiskInode disk)
    : Inode(superblock, disk.number, disk.raw.mode, disk.raw.uid_low | u32{disk.raw.uid_high} << 16,
            disk.raw.gid_low | u32{disk.raw.gid_high} << 16, device_of(disk)),
      disk_(std::move(disk)) {
    const RawInode& raw = disk_.raw;
    set_link_count(raw.link_count);
    set_size(disk_.size());
    set_flags(disk_.raw.flags);
    if (ext4::has_attributes(disk_)) set_acl_state(vfs::AclState::Unknown);
    access_time_.store(
        time_of(raw.access_time, extra_of<&RawInode::access_time_extra>(disk_, offsetof(RawInode, access_time_extra))));
    modify_time_.store(
        time_of(raw.modify_time, extra_of<&RawInode::modify_time_extra>(disk_, offsetof(RawInode, modify_time_extra))));
    change_time_.store(
        time_of(raw.change_time, extra_of<&RawInode::change_time_extra>(disk_, offsetof(RawInode, change_time_extra))));
    birth_time_ = {};
    if (disk_.reaches(offsetof(RawInode, birth_time) + sizeof(u32)))
        birth_time_ =
            time_of(raw.birth_time, extra_of<&RawInode::birth_time_extra>(disk_, offsetof(RawInode, birth_time_extra)));
}

Ext4Inode::~Ext4Inode() {
    ext4().forget(*this);
    if (!doomed_ || link_count() != 0) return;
    Ext4Writing* writing = ext4().writing();
    writing->nameless.fetch_sub(1);
    doomed_->disk = std::move(disk_);
    writing->doom(std::move(doomed_));
}

Ext4SuperBlock& Ext4Inode::ext4() const { return static_cast<Ext4SuperBlock&>(superblock()); }

Result<RefPtr<Ext4Inode>> Ext4Inode::create(Ext4SuperBlock& superblock, DiskInode disk) {
    const u32 mode = disk.raw.mode;
    const bool has_blocks = abi::S_ISREG(mode) || abi::S_ISDIR(mode);
    if (has_blocks && !disk.has(ext4::inode_inline_data)) TRY(ext4::check_block_map(disk));
    Ext4Inode* inode = nullptr;
    switch (mode & abi::S_IFMT) {
    case abi::S_IFREG: {
        auto* file = new (std::nothrow) Ext4File(superblock, std::move(disk));
        if (!file) return error(Errno::ENOMEM);
        RefPtr<Ext4Inode> result = RefPtr<Ext4Inode>::adopt(*file);
        TRY(file->start());
        return result;
    }
    case abi::S_IFDIR:
        inode = new (std::nothrow) Ext4Directory(superblock, std::move(disk));
        break;
    case abi::S_IFLNK:
        inode = new (std::nothrow) Ext4Symlink(superblock, std::move(disk));
        break;
    case abi::S_IFCHR:
    case abi::S_IFBLK:
    case abi::S_IFIFO:
    case abi::S_IFSOCK:
        inode = new (std::nothrow) Ext4Inode(superblock, std::move(disk));
        break;
    default:
        return error(Errno::EUCLEAN);
    }
    if (!inode) return error(Errno::ENOMEM);
    return RefPtr<Ext4Inode>::adopt(*inode);
}

void Ext4Inode::note_damage(Errno code, const char* function, u32 line) const {
    ext4().note_error(code, static_cast<u32>(number()), function, line);
}

// ---- storing ----

Result<void> Ext4Inode::set_attributes(const vfs::AttributeChange& change) {
    TRY(ext4().to_write());
    return Inode::set_attributes(change);
}

Result<u32> Ext4Inode::kept_flags() {
    core::ReadGuard guard(disk_lock);
    return ((disk_.raw.flags & ~ext4::inode_changeable) | (flags() & ext4::inode_changeable)) & ext4::inode_visible;
}

Result<void> Ext4Inode::change_flags(u32 wanted) {
    TRY(ext4().to_write());
    // What isn't built: data in the journal, lists of blocks made of extents, names of either case, projects; and,
    // below, directories whose changes are durable at once.
    constexpr u32 unsupported =
        ext4::inode_journal_data | ext4::inode_extents | ext4::inode_casefold | ext4::inode_inherits_project;
    constexpr u32 of_directories = ext4::inode_directory_sync | ext4::inode_top_directory;
    const u32 changed = TRY(kept_flags()) ^ wanted;
    if ((wanted & ~ext4::inode_visible) || (changed & unsupported)) return error(Errno::EOPNOTSUPP);
    if (!is_directory() && (wanted & of_directories)) return error(Errno::EOPNOTSUPP);
    if (is_directory() && (changed & wanted & (ext4::inode_sync | ext4::inode_directory_sync)))
        return error(Errno::EOPNOTSUPP);
    // What was written before is stored before: what a mapping writes afterwards is refused, page by page.
    if (wanted & ~flags() & ext4::inode_immutable) TRY(store_data());
    set_flags((flags() & ~ext4::inode_changeable) | (wanted & ext4::inode_changeable));
    return {};
}

std::optional<u32> Ext4Inode::generation() {
    core::ReadGuard guard(disk_lock);
    return disk_.raw.generation;
}

void Ext4Inode::attributes_changed() {
    Ext4Writing* writing = ext4().writing();
    if (!writing || link_count() == 0) return; // of what has no name nobody will ask after a crash
    must_store_.store(true, std::memory_order_release);
    writing->note_changed(*this);
}

Result<void> Ext4Inode::store() {
    if (link_count() == 0) return {}; // nobody will ask for it after a crash
    TRY(store_data());
    return heed(store_attributes());
}

Result<void> Ext4Inode::store_attributes() {
    if (!must_store_.load(std::memory_order_acquire)) return {};
    auto handle = TRY(TRY(ext4().to_write())->begin(1));
    core::WriteGuard<> guard(disk_lock);
    auto place = TRY(ext4::InodePlace::change(ext4().volume(), handle, static_cast<u32>(number())));
    // Who finds that nothing is to be stored commits the transaction that is noted: it must be this one by then.
    note_transaction(handle.transaction());
    if (must_store_.exchange(false, std::memory_order_acq_rel)) store_at(place, handle);
    return {};
}

void Ext4Inode::store_at(ext4::InodePlace& place, const ext4::Handle& handle) {
    copy_fields();
    place.store(disk_);
    note_transaction(handle.transaction());
}

void Ext4Inode::copy_fields() {
    RawInode& raw = disk_.raw;
    raw.flags = (raw.flags & ~ext4::inode_changeable) | (flags() & ext4::inode_changeable);
    raw.mode = static_cast<u16>(mode());
    raw.uid_low = static_cast<u16>(uid()), raw.uid_high = static_cast<u16>(uid() >> 16);
    raw.gid_low = static_cast<u16>(gid()), raw.gid_high = static_cast<u16>(gid() >> 16);
    raw.link_count = static_cast<u16>(link_count());
    const auto store_time = [&](vfs::Timestamp time, u32& seconds, u32& extra, usize place_of_extra) {
        const StoredTime parts = stored(time);
        seconds = parts.seconds;
        if (disk_.reaches(place_of_extra + sizeof(extra))) extra = parts.extra;
    };
    store_time(access_time(), raw.access_time, raw.access_time_extra, offsetof(RawInode, access_time_extra));
    store_time(modify_time(), raw.modify_time, raw.modify_time_extra, offsetof(RawInode, modify_time_extra));
    store_time(change_time(), raw.change_time, raw.change_time_extra, offsetof(RawInode, change_time_extra));
}

Result<void> Ext4Inode::sync() {
    Ext4Writing* writing = ext4().writing();
    if (!writing) return {};
    TRY(store_data());
    TRY(store_attributes());
    return writing->commit(last_change_.load(std::memory_order_relaxed));
}

Result<void> Ext4Inode::prepare_to_doom() {
    if (!doomed_) doomed_ = TRY(try_make<DoomedInode>());
    return {};
}

Result<void> Ext4Inode::make_orphan(ext4::Handle& handle, ext4::InodePlace& place) {
    ext4::OrphanList& orphans = ext4().writing()->orphans();
    return orphans.contains(disk_.number) ? Result<void>{} : orphans.add(handle, disk_.number, place);
}

Result<void> Ext4Inode::check_links() const {
    if (link_count() < ext4::most_links) return {};
    const bool may_lose_count = is_directory() && disk_.has(ext4::inode_indexed) &&
                                (ext4().volume().superblock().feature_ro_compat & ext4::ro_compat_many_links) != 0;
    return may_lose_count ? Result<void>{} : error(Errno::EMLINK);
}

void Ext4Inode::add_link() {
    const u32 before = link_count();
    const bool has_lost_count = is_directory() && (before == 1 || before == ext4::most_links);
    change_links(has_lost_count ? 1 : before + 1);
}

void Ext4Inode::remove_link() {
    const u32 before = link_count();
    if (is_directory() && before <= 2) return; // the count was lost, or wrong
    change_links(before - 1);
}

void Ext4Inode::change_links(u32 count) {
    const u32 before = link_count();
    set_link_count(count);
    Ext4Writing* writing = ext4().writing();
    if (count == 0) {
        VERIFY(doomed_);
        writing->nameless.fetch_add(1);
        writing->forget_changed(*this);
    } else if (before == 0) {
        doomed_.reset();
        writing->nameless.fetch_sub(1);
    }
}

Result<vfs::Attributes> Ext4Inode::attributes() {
    vfs::Attributes result = TRY(Inode::attributes());
    core::ReadGuard guard(disk_lock);
    const ext4::Volume& volume = ext4().volume();
    u64 blocks = disk_.raw.blocks_low;
    if (volume.superblock().feature_ro_compat & ext4::ro_compat_huge_file) {
        blocks |= u64{disk_.raw.blocks_high} << 32;
        if (disk_.has(ext4::inode_huge_file)) blocks <<= volume.block_shift() - 9;
    }
    result.blocks = blocks;
    result.known_attribute_flags =
        abi::STATX_ATTR_COMPRESSED | abi::STATX_ATTR_IMMUTABLE | abi::STATX_ATTR_APPEND | abi::STATX_ATTR_NODUMP;
    // The flags on the disk have the numbers of those that statx(2) says.
    result.attribute_flags |= flags() & result.known_attribute_flags;
    return result;
}

Result<usize> Ext4Inode::get_extended_attribute(std::string_view name, std::span<u8> value) {
    if (!vfs::acl_kind(name)) return heed(find_value(name, value));
    ArrayList<u8> list = TRY(heed(find_acl(name)));
    if (value.empty()) return list.size();
    if (list.size() > value.size()) return error(Errno::ERANGE);
    std::memcpy(value.data(), list.begin(), list.size());
    return list.size();
}

/// An access control list as an attribute's value.
Result<ArrayList<u8>> Ext4Inode::find_acl(std::string_view name) {
    core::ReadGuard guard(disk_lock);
    Result<ArrayList<u8>> found = error(Errno::ENODATA);
    TRY(ext4::list_attributes(ext4().volume(), disk_, [&](const ext4::Attribute& attribute) {
        if (attribute.prefix != name) return true;
        found = ext4::acl_from_disk(attribute.value);
        return false;
    }));
    return found;
}

Result<vfs::Inode::KeptAcls> Ext4Inode::load_acls() {
    KeptAcls kept;
    auto access = heed(find_acl(vfs::acl_attribute(vfs::AclKind::Access)));
    if (!access && access.error() != Errno::ENODATA) return error(access.error());
    if (access) kept.access = TRY(vfs::AccessControlList::parse(access->span()));
    auto handed_down = heed(find_acl(vfs::acl_attribute(vfs::AclKind::Default)));
    if (!handed_down && handed_down.error() != Errno::ENODATA) return error(handed_down.error());
    kept.has_default = handed_down.has_value();
    return kept;
}

Result<usize> Ext4Inode::find_value(std::string_view name, std::span<u8> value) {
    core::ReadGuard guard(disk_lock);
    Result<usize> found = error(Errno::ENODATA);
    TRY(ext4::list_attributes(ext4().volume(), disk_, [&](const ext4::Attribute& attribute) {
        const usize prefix = attribute.prefix.size();
        if (name.substr(0, prefix) != attribute.prefix || name.substr(prefix) != attribute.name) return true;
        if (!value.empty() && attribute.value.size() > value.size())
            found = error(Errno::ERANGE);
        else
            found = attribute.value.size();
        if (found && !value.empty()) std::memcpy(value.data(), attribute.value.data(), attribute.value.size());
        return false;
    }));
    return found;
}

Result<usize> Ext4Inode::list_extended_attributes(std::span<char> names) { return heed(copy_names(names)); }

Result<usize> Ext4Inode::copy_names(std::span<char> names) {
    core::ReadGuard guard(disk_lock);
    usize size = 0;
    TRY(ext4::list_attributes(ext4().volume(), disk_, [&](const ext4::Attribute& attribute) {
        const usize length = attribute.prefix.size() + attribute.name.size() + 1;
        if (size + length <= names.size()) {
            char* out = names.data() + size;
            std::memcpy(out, attribute.prefix.data(), attribute.prefix.size());
            std::memcpy(out + attribute.prefix.size(), attribute.name.data(), attribute.name.size());
            out[length - 1] = '\0';
        }
        size += length;
        return true;
    }));
    if (!names.empty() && size > names.size()) return error(Errno::ERANGE);
    return size;
}

Result<void> Ext4Inode::change_extended_attributes(FunctionRef<Result<void>(const ext4::InodeEdit&)> change) {
    for (bool may_retry = true;; may_retry = false) {
        Ext4Writing& writing = *TRY(ext4().to_write());
        Result<void> changed;
        {
            auto handle = TRY(writing.begin(ext4::most_changes_of_step));
            core::WriteGuard<> guard(disk_lock);
            auto place = TRY(ext4::InodePlace::change(ext4().volume(), handle, disk_.number));
            changed = change({writing.allocator(), handle, disk_});
            if (changed) touch_changed();
            store_at(place, handle);
        }
        if (changed || changed.error() != Errno::ENOSPC || !may_retry || !writing.make_space()) return changed;
    }
}

Result<void> Ext4Inode::set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) {
    if (name.starts_with("system.") && !vfs::acl_kind(name)) return error(Errno::EOPNOTSUPP);
    ArrayList<u8> list; // access control lists look otherwise on the disk
    if (vfs::acl_kind(name)) {
        list = TRY(ext4::acl_to_disk(value));
        value = list.span();
    }
    const auto mode = flags & abi::XATTR_CREATE    ? ext4::AttributeMode::Create
                      : flags & abi::XATTR_REPLACE ? ext4::AttributeMode::Replace
                                                   : ext4::AttributeMode::CreateOrReplace;
    return heed(change_extended_attributes(
        [&](const ext4::InodeEdit& edit) { return ext4::set_attribute(edit, name, value, mode); }));
}

Result<void> Ext4Inode::remove_extended_attribute(std::string_view name) {
    return heed(
        change_extended_attributes([&](const ext4::InodeEdit& edit) { return ext4::remove_attribute(edit, name); }));
}

Result<vfs::LinkTarget> Ext4Symlink::read_link() { return heed(read_target()); }

Result<vfs::LinkTarget> Ext4Symlink::read_target() {
    core::ReadGuard guard(disk_lock);
    const u64 length = size();
    const auto* inside = reinterpret_cast<const char*>(disk().raw.block);
    if (length == 0 || length > ext4().volume().block_size()) return error(Errno::EUCLEAN);
    if (length < ext4::inode_block_bytes) return vfs::LinkTarget{{inside, length}, nullptr};
    OwnPtr<char[]> text(new (std::nothrow) char[length]);
    if (!text) return error(Errno::ENOMEM);
    if (disk().has(ext4::inode_inline_data)) {
        const auto rest = TRY(ext4::inline_data_behind_inode(disk()));
        if (rest.size() < length - ext4::inode_block_bytes) return error(Errno::EUCLEAN);
        std::memcpy(text.get(), inside, ext4::inode_block_bytes);
        std::memcpy(text.get() + ext4::inode_block_bytes, rest.data(), length - ext4::inode_block_bytes);
    } else {
        const ext4::Block block = TRY(ext4::read_file_block(ext4().volume(), disk(), 0));
        std::memcpy(text.get(), block.bytes().data(), length);
    }
    const std::string_view view(text.get(), length);
    return vfs::LinkTarget{view, std::move(text)};
}

Result<RefPtr<vfs::Inode>> Ext4Directory::lookup(std::string_view name) {
    u32 number;
    {
        core::ReadGuard guard(disk_lock);
        number = TRY(heed(ext4::Directory(ext4().volume(), disk()).find(name)));
    }
    return RefPtr<vfs::Inode>(TRY(ext4().inode(number)));
}

Result<RefPtr<vfs::Inode>> Ext4Directory::parent_directory() {
    u32 number;
    {
        core::ReadGuard guard(disk_lock);
        number = TRY(heed(ext4::Directory(ext4().volume(), disk()).parent()));
    }
    return RefPtr<vfs::Inode>(TRY(ext4().inode(number)));
}

Result<void> Ext4Directory::read_directory(u64 position, vfs::DirectorySink sink) {
    constexpr u8 types[] = {abi::DT_UNKNOWN, abi::DT_REG,  abi::DT_DIR,  abi::DT_CHR,
                            abi::DT_BLK,     abi::DT_FIFO, abi::DT_SOCK, abi::DT_LNK};
    const u64 start = position <= 2 ? 0 : position;
    core::ReadGuard guard(disk_lock);
    return heed(ext4::Directory(ext4().volume(), disk()).list(start, [&](const ext4::Entry& entry) {
        const u8 type = entry.type < std::size(types) ? types[entry.type] : u8{abi::DT_UNKNOWN};
        return sink({entry.name, entry.inode, type, entry.position});
    }));
}

} // namespace linnet::fs
