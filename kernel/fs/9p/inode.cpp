// What all inodes have: fids, attributes, extended attributes.
#include "superblock.hpp"

#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <algorithm>
#include <cstring>

namespace linnet::fs {

namespace {

/// As Linux keeps a device's number in 32 bits.
vfs::DeviceNumber device_from(const p9::Attributes& attributes) {
    if (!abi::S_ISCHR(attributes.mode) && !abi::S_ISBLK(attributes.mode)) return {};
    const auto number = static_cast<u32>(attributes.device);
    return {number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xf'ff00)};
}

vfs::Timestamp time_from(const p9::TimeOf& time) {
    constexpr u64 most_nanoseconds = 999'999'999;
    return {static_cast<i64>(time.seconds), static_cast<u32>(std::min(time.nanoseconds, most_nanoseconds))};
}

p9::TimeOf time_for(const vfs::Timestamp& time) { return {static_cast<u64>(time.seconds), time.nanoseconds}; }

template <typename Kind>
Result<RefPtr<P9Inode>> make(P9SuperBlock& superblock, RefPtr<p9::Fid> fid, const p9::Attributes& attributes) {
    auto* inode = new (std::nothrow) Kind(superblock, std::move(fid), attributes);
    if (!inode) return error(Errno::ENOMEM);
    return RefPtr<P9Inode>(adopt_ref<P9Inode>(*inode));
}

bool is_known_prefix(std::string_view name) {
    return name.starts_with("user.") || name.starts_with("trusted.") || name.starts_with("security.");
}

} // namespace

P9Inode::P9Inode(P9SuperBlock& superblock, RefPtr<p9::Fid> fid, const p9::Attributes& attributes)
    : Inode(superblock, attributes.qid.path, attributes.mode, attributes.uid, attributes.gid, device_from(attributes)),
      fid_(std::move(fid)) {
    note(attributes);
    birth_time_ = attributes.has_birth ? time_from(attributes.birth) : vfs::Timestamp{};
}

P9Inode::~P9Inode() { p9().forget(*this); }

P9SuperBlock& P9Inode::p9() const { return static_cast<P9SuperBlock&>(superblock()); }
p9::Client& P9Inode::client() const { return p9().client(); }

Result<RefPtr<P9Inode>> P9Inode::create(P9SuperBlock& superblock, RefPtr<p9::Fid> fid,
                                        const p9::Attributes& attributes) {
    switch (attributes.mode & abi::S_IFMT) {
    case abi::S_IFREG:
        return make<P9Regular>(superblock, std::move(fid), attributes);
    case abi::S_IFDIR:
        return make<P9Directory>(superblock, std::move(fid), attributes);
    case abi::S_IFLNK:
        return make<P9Symlink>(superblock, std::move(fid), attributes);
    case abi::S_IFCHR:
    case abi::S_IFBLK:
    case abi::S_IFIFO:
    case abi::S_IFSOCK:
        return make<P9Inode>(superblock, std::move(fid), attributes);
    default:
        return error(Errno::EIO);
    }
}

RefPtr<p9::Fid> P9Inode::fid() const {
    core::SpinGuard guard(fid_lock_);
    return fid_;
}

void P9Inode::renew(RefPtr<p9::Fid> fid, const p9::Attributes& attributes) {
    {
        core::SpinGuard guard(fid_lock_);
        std::swap(fid_, fid); // the old one goes when the lock is free again
    }
    note(attributes);
}

bool P9Inode::is_same_object(const p9::Attributes& attributes) const {
    return attributes.qid.path == number() && (attributes.mode & abi::S_IFMT) == type() && link_count() != 0;
}

void P9Inode::note(const p9::Attributes& attributes) {
    set_mode((attributes.mode & abi::S_IALLUGO) | type());
    set_owner(attributes.uid, attributes.gid);
    set_link_count(static_cast<u32>(attributes.links));
    set_size(attributes.size); // of the pages it is only when they are mapped: this may be older than what was written
    access_time_.store(time_from(attributes.access));
    modify_time_.store(time_from(attributes.modify));
    change_time_.store(time_from(attributes.change));
}

void P9Inode::try_give_to(u32 uid) {
    p9::Change owner;
    owner.valid = p9::Change::uid_bit;
    owner.uid = uid;
    if (client().set_attributes(*fid(), owner, core::Sleep::Killable)) set_owner(uid, gid());
}

void P9Inode::note_removed() {
    const u32 count = link_count();
    set_link_count(is_directory() || count == 0 ? 0 : count - 1);
}

Result<p9::Attributes> P9Inode::ask_attributes() {
    const p9::Attributes got = TRY(client().get_attributes(*fid()));
    // Servers that go by names may have another object there by now.
    if (!is_same_object(got)) return error(Errno::ENOENT);
    note(got);
    return got;
}

Result<vfs::Attributes> P9Inode::attributes() {
    const auto got = ask_attributes();
    vfs::Attributes result = TRY(Inode::attributes());
    if (!got) {
        // QEMU goes by names: it can't say anything about an open file that has none any more.
        if (got.error() != Errno::ENOENT || !is_open()) return error(got.error());
        result.link_count = 0;
        return result;
    }
    result.block_size = static_cast<u32>(got->block_size);
    result.blocks = got->blocks;
    return result;
}

Result<void> P9Inode::set_attributes(const vfs::AttributeChange& change) {
    p9::Change wanted;
    if (change.mode) {
        wanted.valid |= p9::Change::mode_bit;
        wanted.mode = *change.mode & abi::S_IALLUGO;
    }
    if (change.uid) {
        wanted.valid |= p9::Change::uid_bit;
        wanted.uid = *change.uid;
    }
    if (change.gid) {
        wanted.valid |= p9::Change::gid_bit;
        wanted.gid = *change.gid;
    }
    if (change.access_time) {
        wanted.valid |= p9::Change::access_bit | p9::Change::access_value_bit;
        wanted.access = time_for(*change.access_time);
    }
    if (change.modify_time) {
        wanted.valid |= p9::Change::modify_bit | p9::Change::modify_value_bit;
        wanted.modify = time_for(*change.modify_time);
    }
    TRY(client().set_attributes(*fid(), wanted));
    return Inode::set_attributes(change);
}

Result<void> P9Inode::truncate(u64) { return error(Errno::EINVAL); }

// ---- extended attributes ----

Result<usize> P9Inode::read_attribute(std::string_view name, std::span<u8> value) {
    auto attribute = TRY(client().open_attribute(*fid(), name));
    constexpr u64 longest = 64 * 1024;
    if (attribute.size > longest) return error(Errno::E2BIG);
    const usize size = attribute.size;
    if (value.empty()) return size;
    if (size > value.size()) return error(Errno::ERANGE);
    for (usize done = 0; done < size;) {
        const auto take = [&](std::span<const u8> bytes) -> Result<usize> {
            std::memcpy(value.data() + done, bytes.data(), bytes.size());
            return bytes.size();
        };
        const usize count = TRY(client().read(*attribute.fid, done, size - done, core::Sleep::Interruptible, take));
        if (count == 0) return error(Errno::EIO);
        done += count;
    }
    return size;
}

Result<usize> P9Inode::get_extended_attribute(std::string_view name, std::span<u8> value) {
    if (!is_known_prefix(name)) return error(Errno::EOPNOTSUPP);
    return read_attribute(name, value);
}

Result<usize> P9Inode::list_extended_attributes(std::span<char> names) {
    return read_attribute({}, {reinterpret_cast<u8*>(names.data()), names.size()});
}

Result<void> P9Inode::set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) {
    if (!is_known_prefix(name)) return error(Errno::EOPNOTSUPP);
    return client().set_attribute(*fid(), name, value, flags);
}

Result<void> P9Inode::remove_extended_attribute(std::string_view name) {
    if (!is_known_prefix(name)) return error(Errno::EOPNOTSUPP);
    return client().set_attribute(*fid(), name, {}, 0);
}

} // namespace linnet::fs
