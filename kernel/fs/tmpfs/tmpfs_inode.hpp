// Inodes of tmpfs: one class a kind. Each is charged to the file system's number of inodes.
#pragma once

#include "memory_object.hpp"

#include <abi/linux/fcntl.hpp>
#include <lib/array_list.hpp>
#include <lib/intrusive_tree.hpp>
#include <vfs/inode.hpp>
#include <vfs/superblock.hpp>

namespace linnet::fs {

class TmpfsSuperBlock;

/// A named value of xattr(7).
struct ExtendedAttribute {
    ArrayList<char> name;
    ArrayList<u8> value;
    std::string_view view() const { return {name.begin(), name.size()}; }
};

/// Also serves as the inode of device nodes, FIFOs and sockets.
class TmpfsInode : public vfs::Inode {
public:
    TmpfsInode(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request);
    ~TmpfsInode() override;

    TmpfsSuperBlock& tmpfs() const;
    void add_links(i32 count) { set_link_count(link_count() + static_cast<u32>(count)); }

    Result<vfs::Attributes> attributes() override;
    Result<u32> kept_flags() override { return flags(); }
    Result<void> change_flags(u32 wanted) override;
    Result<usize> get_extended_attribute(std::string_view name, std::span<u8> value) override;
    Result<void> set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) override;
    Result<usize> list_extended_attributes(std::span<char> names) override;
    Result<void> remove_extended_attribute(std::string_view name) override;

    struct NumberOf {
        using type = u64;
        u64 operator()(const TmpfsInode& inode) const { return inode.number(); }
    };
    // ---- TmpfsSuperBlock's, its handles_lock_ ----
    TreeNode handle_node; // among those that somebody has a handle of
    bool has_handle = false;
    u32 handle_generation = 0;

private:
    ExtendedAttribute* find_attribute(std::string_view name);
    RefPtr<TmpfsAccounting> accounting_;
    ArrayList<ExtendedAttribute> attributes_; // Inode::lock
};

class TmpfsFile final : public TmpfsInode {
public:
    static Result<RefPtr<TmpfsFile>> create(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request);

    mm::VmObject* pages() override { return object_.get(); }
    Result<void> truncate(u64 size) override;
    Result<void> allocate_range(u32 mode, u64 offset, u64 length) override;
    Result<u64> seek_data(u64 offset) override;
    Result<u64> seek_hole(u64 offset) override;

private:
    TmpfsFile(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request, RefPtr<MemoryObject> object)
        : TmpfsInode(superblock, request), object_(std::move(object)) {
        seals.store(abi::F_SEAL_SEAL, std::memory_order_relaxed);
    }
    Result<void> allocate_pages(u64 begin, u64 end);
    RefPtr<MemoryObject> object_;
};

class TmpfsSymlink final : public TmpfsInode {
public:
    static Result<RefPtr<TmpfsSymlink>> create(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request);
    Result<vfs::LinkTarget> read_link() override { return vfs::LinkTarget{{target_.get(), size()}, nullptr}; }

private:
    TmpfsSymlink(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request, OwnPtr<char[]> target)
        : TmpfsInode(superblock, request), target_(std::move(target)) {
        set_size(request.link_target.size());
    }
    OwnPtr<char[]> target_;
};

class TmpfsDirectory final : public TmpfsInode {
public:
    /// What a name costs in a directory's size, as Linux's tmpfs reckons.
    static constexpr u64 entry_size = 20;

    TmpfsDirectory(TmpfsSuperBlock& superblock, const vfs::CreateRequest& request) : TmpfsInode(superblock, request) {
        set_link_count(2);
        set_size(2 * entry_size); // "." and ".."
    }
    ~TmpfsDirectory() override;

    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override;
    Result<RefPtr<vfs::Inode>> create(std::string_view name, const vfs::CreateRequest& request) override;
    Result<RefPtr<vfs::Inode>> create_unnamed(const vfs::CreateRequest& request) override;
    Result<void> link(std::string_view name, vfs::Inode& target) override;
    Result<void> unlink(std::string_view name, vfs::Inode& victim) override;
    Result<void> remove_directory(std::string_view name, vfs::Inode& victim) override;
    Result<void> rename(const RenameRequest& request) override;
    Result<void> read_directory(u64 position, vfs::DirectorySink sink) override;
    Result<RefPtr<vfs::Inode>> parent_directory() override;

private:
    /// Orders names by hash, so that most comparisons are of numbers.
    struct NameKey {
        u32 hash;
        std::string_view name;
        auto operator<=>(const NameKey&) const = default;
    };
    struct Entry {
        TreeNode by_name;
        TreeNode by_cookie;
        u64 cookie = 0;
        NullableRefPtr<TmpfsInode> inode;
        Entry* next_dying = nullptr;
        OwnPtr<char[]> text;
        NameKey key{};

        struct KeyOf {
            using type = NameKey;
            const NameKey& operator()(const Entry& entry) const { return entry.key; }
        };
        struct CookieOf {
            using type = u64;
            const u64& operator()(const Entry& entry) const { return entry.cookie; }
        };
    };
    static Result<OwnPtr<Entry>> make_entry(std::string_view name, NullableRefPtr<TmpfsInode> inode);
    Entry* find(std::string_view name);
    void insert(OwnPtr<Entry> entry);
    OwnPtr<Entry> take(Entry& entry);
    void exchange(Entry& mine, TmpfsDirectory& other_directory, Entry& theirs);
    static void drop_all(TmpfsDirectory& directory, Entry*& dying);
    void set_parent_of(vfs::Inode& child, TmpfsDirectory* parent);

    IntrusiveTree<Entry, &Entry::by_name, Entry::KeyOf> names_;
    IntrusiveTree<Entry, &Entry::by_cookie, Entry::CookieOf> cookies_;
    u64 next_cookie_ = 3;
    TmpfsDirectory* parent_ = nullptr; // not counted: who goes takes itself out of its children; parents_lock
};

} // namespace linnet::fs
