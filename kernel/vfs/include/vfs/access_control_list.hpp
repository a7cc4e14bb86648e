// Access control lists (acl(5)): rights of named users and groups beside those of the mode, and what a directory hands
// down to what is made in it. Their form in extended attributes is the one of Linux, version 2.
#pragma once

#include <lib/array_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <vfs/credentials.hpp>

namespace linnet::vfs {

class Inode;
struct Path;

enum class AclKind : u8 { Access, Default };
/// system.posix_acl_access, system.posix_acl_default.
std::string_view acl_attribute(AclKind kind);
/// The kind whose attribute that is.
std::optional<AclKind> acl_kind(std::string_view attribute);

struct AclEntry {
    enum class Tag : u16 { Owner = 1, User = 2, Group = 4, NamedGroup = 8, Mask = 0x10, Other = 0x20 };
    Tag tag;
    u16 rights; // may_*
    u32 id;     // of a User or NamedGroup
};

/// Immutable once it is shared. Always well formed: entries in the order of their tags, one each of owner, group and
/// others, at most one mask, and one if anybody is named.
class AccessControlList : public RefCounted<AccessControlList> {
public:
    using Pointer = NullableRefPtr<AccessControlList>;

    /// From the value of an extended attribute; null when it has no entries. EINVAL, EOPNOTSUPP for another version.
    static Result<Pointer> parse(std::span<const u8> value);
    Result<RefPtr<AccessControlList>> copy() const;
    /// The size of the attribute's value; stored where `value` is not empty, ERANGE when that is too small.
    Result<usize> format(std::span<u8> value) const;

    [[nodiscard]] std::span<const AclEntry> entries() const { return entries_.span(); }
    /// Whether a mode says as much: nobody is named, no mask.
    [[nodiscard]] bool is_mode() const { return entries_.size() == 3; }
    /// The mode's nine bits: those of the group are the mask's, where there is one.
    [[nodiscard]] u32 mode() const;
    /// chmod(2): the entries that the mode shows.
    void set_mode(u32 mode);
    /// For what is made with this mode in a directory that hands the list down: takes from the list what the mode
    /// doesn't give; the mode's nine bits as they are by that.
    u32 limit_to(u32 mode);
    /// EACCES unless `who` has all of `mask`; `uid`, `gid` are the file's. Capabilities are the caller's business.
    Result<void> check(u32 mask, u32 uid, u32 gid, const Credentials& who) const;

private:
    AccessControlList() = default;
    Result<void> validate() const;
    AclEntry* find(AclEntry::Tag tag);
    [[nodiscard]] const AclEntry* find(AclEntry::Tag tag) const;

    ArrayList<AclEntry> entries_;
};

/// Whether an inode has access control lists, as far as is known without asking the file system.
enum class AclState : u8 { None, Unknown, Present };

/// setxattr(2), removexattr(2) of an access control list: the caller has checked that the mount may be written. An
/// empty value removes it. EOPNOTSUPP, EPERM, EACCES, EINVAL. Inode locked.
Result<void> set_acl(Inode& inode, AclKind kind, std::span<const u8> value);
/// chmod(2): makes the list fit the mode that the inode is about to get. Inode locked.
Result<void> change_acl_mode(Inode& inode, u32 mode);

/// The list that a directory hands down to what is made in it, or null. Directory locked.
Result<AccessControlList::Pointer> default_acl(Inode& directory);
/// Stores with a fresh inode, which nobody else knows yet, the lists that it begins with; null: none. Inode locked.
Result<void> begin_with_acls(Inode& fresh, AccessControlList::Pointer access, const AccessControlList* fallback);

} // namespace linnet::vfs
