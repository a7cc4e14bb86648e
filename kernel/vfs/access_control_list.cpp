// Access control lists (acl(5)): their form, what they grant, and how they and the mode follow one another.
#include <vfs/access_control_list.hpp>

#include "attribute_rules.hpp"
#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstring>
#include <vfs/current.hpp>
#include <vfs/inode.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

namespace {

using Tag = AclEntry::Tag;

constexpr u32 attribute_version = 2;
constexpr u32 no_id = ~0u;

/// As the attribute has them, little-endian.
struct StoredEntry {
    u16 tag;
    u16 rights;
    u32 id;
};

bool is_named(Tag tag) { return tag == Tag::User || tag == Tag::NamedGroup; }

} // namespace

std::string_view acl_attribute(AclKind kind) {
    return kind == AclKind::Access ? "system.posix_acl_access" : "system.posix_acl_default";
}

std::optional<AclKind> acl_kind(std::string_view attribute) {
    for (const AclKind kind : {AclKind::Access, AclKind::Default})
        if (attribute == acl_attribute(kind)) return kind;
    return {};
}

// ---- form ----

Result<AccessControlList::Pointer> AccessControlList::parse(std::span<const u8> value) {
    u32 version;
    if (value.size() < sizeof version) return error(Errno::EINVAL);
    std::memcpy(&version, value.data(), sizeof version);
    if (version != attribute_version) return error(Errno::EOPNOTSUPP);
    value = value.subspan(sizeof version);
    if (value.size() % sizeof(StoredEntry) != 0) return error(Errno::EINVAL);
    if (value.empty()) return Pointer{};
    auto* fresh = new (std::nothrow) AccessControlList;
    if (!fresh) return error(Errno::ENOMEM);
    RefPtr<AccessControlList> list = adopt_ref(*fresh);
    TRY(list->entries_.try_resize(value.size() / sizeof(StoredEntry)));
    for (AclEntry& entry : list->entries_) {
        StoredEntry stored;
        std::memcpy(&stored, value.data(), sizeof stored);
        value = value.subspan(sizeof stored);
        entry = {static_cast<Tag>(stored.tag), stored.rights, stored.id};
        if (!is_named(entry.tag)) entry.id = no_id;
    }
    TRY(list->validate());
    return Pointer(std::move(list));
}

Result<void> AccessControlList::validate() const {
    u16 highest = 0;
    bool names_somebody = false;
    u32 single = 0; // tags of which there is one at most, each a bit
    for (const AclEntry& entry : entries_) {
        const u16 tag = static_cast<u16>(entry.tag);
        if (entry.rights & ~7u) return error(Errno::EINVAL);
        if (tag == 0 || tag > static_cast<u16>(Tag::Other) || (tag & (tag - 1)) != 0) return error(Errno::EINVAL);
        if (tag < highest) return error(Errno::EINVAL);
        highest = tag;
        if (is_named(entry.tag)) {
            if (entry.id == no_id) return error(Errno::EINVAL);
            names_somebody = true;
            continue;
        }
        if (single & tag) return error(Errno::EINVAL);
        single |= tag;
    }
    constexpr u32 needed = static_cast<u32>(Tag::Owner) | static_cast<u32>(Tag::Group) | static_cast<u32>(Tag::Other);
    const bool has_mask = (single & static_cast<u32>(Tag::Mask)) != 0;
    if ((single & needed) != needed || (names_somebody && !has_mask)) return error(Errno::EINVAL);
    return {};
}

Result<RefPtr<AccessControlList>> AccessControlList::copy() const {
    auto* fresh = new (std::nothrow) AccessControlList;
    if (!fresh) return error(Errno::ENOMEM);
    RefPtr<AccessControlList> list = adopt_ref(*fresh);
    TRY(list->entries_.try_resize(entries_.size()));
    std::ranges::copy(entries_, list->entries_.begin());
    return list;
}

Result<usize> AccessControlList::format(std::span<u8> value) const {
    const usize size = sizeof attribute_version + entries_.size() * sizeof(StoredEntry);
    if (value.empty()) return size;
    if (value.size() < size) return error(Errno::ERANGE);
    std::memcpy(value.data(), &attribute_version, sizeof attribute_version);
    u8* at = value.data() + sizeof attribute_version;
    for (const AclEntry& entry : entries_) {
        const StoredEntry stored{static_cast<u16>(entry.tag), entry.rights, entry.id};
        std::memcpy(at, &stored, sizeof stored);
        at += sizeof stored;
    }
    return size;
}

AclEntry* AccessControlList::find(Tag tag) {
    for (AclEntry& entry : entries_)
        if (entry.tag == tag) return &entry;
    return nullptr;
}
const AclEntry* AccessControlList::find(Tag tag) const { return const_cast<AccessControlList*>(this)->find(tag); }

// ---- lists and modes ----

u32 AccessControlList::mode() const {
    const AclEntry* mask = find(Tag::Mask);
    const AclEntry& group = mask ? *mask : *find(Tag::Group);
    return u32{find(Tag::Owner)->rights} << 6 | u32{group.rights} << 3 | find(Tag::Other)->rights;
}

void AccessControlList::set_mode(u32 mode) {
    AclEntry* mask = find(Tag::Mask);
    find(Tag::Owner)->rights = mode >> 6 & 7;
    (mask ? mask : find(Tag::Group))->rights = mode >> 3 & 7;
    find(Tag::Other)->rights = mode & 7;
}

u32 AccessControlList::limit_to(u32 mode) {
    set_mode(this->mode() & mode);
    return this->mode();
}

/// The algorithm of acl(5), "ACCESS CHECK ALGORITHM".
Result<void> AccessControlList::check(u32 mask, u32 uid, u32 gid, const Credentials& who) const {
    const auto grants = [&](const AclEntry& entry) { return (mask & ~u32{entry.rights}) == 0; };
    const auto verdict = [](bool is_granted) -> Result<void> {
        if (is_granted) return {};
        return error(Errno::EACCES);
    };
    const AclEntry* limit = find(Tag::Mask);
    const auto grants_under_mask = [&](const AclEntry& entry) { return grants(entry) && (!limit || grants(*limit)); };
    if (who.fsuid == uid) return verdict(grants(*find(Tag::Owner)));
    for (const AclEntry& entry : entries_)
        if (entry.tag == Tag::User && entry.id == who.fsuid) return verdict(grants_under_mask(entry));
    bool is_in_a_group = false;
    for (const AclEntry& entry : entries_) {
        const bool is_group = entry.tag == Tag::Group || entry.tag == Tag::NamedGroup;
        if (!is_group || !who.is_in_group(entry.tag == Tag::Group ? gid : entry.id)) continue;
        if (grants(entry)) return verdict(!limit || grants(*limit));
        is_in_a_group = true;
    }
    if (is_in_a_group) return error(Errno::EACCES);
    return verdict(grants(*find(Tag::Other)));
}

// ---- lists of inodes ----

namespace {

/// Stores the list, or removes it when it is null. Inode locked.
Result<void> store(Inode& inode, AclKind kind, const AccessControlList* list) {
    const std::string_view attribute = acl_attribute(kind);
    if (!list) {
        auto removed = inode.remove_extended_attribute(attribute);
        if (!removed && removed.error() != Errno::ENODATA) return removed;
        return {};
    }
    ArrayList<u8> value;
    TRY(value.try_resize(TRY(list->format({}))));
    TRY(list->format(value.span()));
    return inode.set_extended_attribute(attribute, value.span(), 0);
}

/// What setting an access list makes of the mode (setgid goes like with chmod(2)).
u32 mode_by(const Inode& inode, const AccessControlList& list, const Credentials& who) {
    u32 mode = (inode.mode() & abi::S_IALLUGO & ~u32{abi::S_IRWXUGO}) | list.mode();
    if (!who.is_in_group(inode.gid()) && !who.has(Capability::Fsetid)) mode &= ~abi::S_ISGID;
    return mode;
}

} // namespace

Result<void> set_acl(Inode& inode, AclKind kind, std::span<const u8> value) {
    const Credentials& who = current_credentials();
    if (!inode.superblock().keeps_acls() || inode.is_symlink()) return error(Errno::EOPNOTSUPP);
    if (inode.is_protected()) return error(Errno::EPERM);
    if (kind == AclKind::Default && !inode.is_directory()) {
        if (!value.empty()) return error(Errno::EACCES);
        return {};
    }
    if (!may_act_as_owner(inode, who)) return error(Errno::EPERM);
    AccessControlList::Pointer list;
    if (!value.empty()) list = TRY(AccessControlList::parse(value));
    if (kind == AclKind::Default) {
        TRY(store(inode, kind, list.get()));
        inode.default_acl_changed();
        return {};
    }
    AttributeChange change; // of the change time at least
    if (list) change.mode = mode_by(inode, *list, who);
    // A list that says no more than a mode is none.
    if (list && list->is_mode()) list = nullptr;
    TRY(store(inode, kind, list.get()));
    inode.acl_changed(std::move(list));
    return inode.set_attributes(change);
}

Result<void> change_acl_mode(Inode& inode, u32 mode) {
    if (inode.has_no_acl()) return {};
    AccessControlList::Pointer old = TRY(inode.access_acl());
    if (!old) return {};
    RefPtr<AccessControlList> fresh = TRY(old->copy());
    fresh->set_mode(mode);
    TRY(store(inode, AclKind::Access, fresh.get()));
    inode.acl_changed(std::move(fresh));
    return {};
}

// ---- what a directory hands down ----

Result<AccessControlList::Pointer> default_acl(Inode& directory) {
    if (directory.has_no_acl()) return AccessControlList::Pointer{};
    const std::string_view attribute = acl_attribute(AclKind::Default);
    auto size = directory.get_extended_attribute(attribute, {});
    if (!size && size.error() == Errno::ENODATA) return AccessControlList::Pointer{};
    ArrayList<u8> value;
    TRY(value.try_resize(TRY(size)));
    TRY(directory.get_extended_attribute(attribute, value.span()));
    return AccessControlList::parse(value.span());
}

Result<void> begin_with_acls(Inode& fresh, AccessControlList::Pointer access, const AccessControlList* fallback) {
    if (fallback) {
        TRY(store(fresh, AclKind::Default, fallback));
        fresh.default_acl_changed();
    }
    if (!access) return {};
    TRY(store(fresh, AclKind::Access, access.get()));
    fresh.acl_changed(std::move(access));
    return {};
}

} // namespace linnet::vfs
