// Inodes of 9p. The server holds the truth: names are walked anew each time, attributes asked for each time, and reads
// and writes go to it. What is in vfs's fields is what it said last; permissions are checked by that.
//
// An inode's number is the server's (Qid::path), so that all names of a file lead to one inode, which its locks and its
// pages hang on. Only mappings use pages; reads and writes store what mappings have changed first, and tell the pages
// what they have written.
#pragma once

#include <core/mutex.hpp>
#include <lib/intrusive_tree.hpp>
#include <mm/page_cache.hpp>
#include <p9/client.hpp>
#include <vfs/inode.hpp>

namespace linnet::fs {

class P9SuperBlock;

/// Also serves as the inode of device nodes, FIFOs and sockets.
class P9Inode : public vfs::Inode {
public:
    P9Inode(P9SuperBlock& superblock, RefPtr<p9::Fid> fid, const p9::Attributes& attributes);
    ~P9Inode() override;
    /// Of the kind that the mode says. EIO for a mode of no kind.
    static Result<RefPtr<P9Inode>> create(P9SuperBlock& superblock, RefPtr<p9::Fid> fid,
                                          const p9::Attributes& attributes);

    /// Stands for the object; never opened.
    [[nodiscard]] RefPtr<p9::Fid> fid() const;
    /// The server has said something newer.
    void renew(RefPtr<p9::Fid> fid, const p9::Attributes& attributes);
    /// Whether these can be of the same object: the server gives numbers of what is gone to others.
    [[nodiscard]] bool is_same_object(const p9::Attributes& attributes) const;
    /// What the server says now.
    Result<p9::Attributes> ask_attributes();
    /// Gives it to another user, if the server lets us: what can't be given away stays the server's own.
    void try_give_to(u32 uid);
    /// One name less.
    void note_removed();

    Result<vfs::Attributes> attributes() override;
    Result<void> set_attributes(const vfs::AttributeChange& change) override;
    Result<void> truncate(u64 size) override;
    Result<usize> get_extended_attribute(std::string_view name, std::span<u8> value) override;
    Result<usize> list_extended_attributes(std::span<char> names) override;
    Result<void> set_extended_attribute(std::string_view name, std::span<const u8> value, u32 flags) override;
    Result<void> remove_extended_attribute(std::string_view name) override;
    /// Stores what mappings have changed.
    virtual Result<void> store_pages() { return {}; }

    struct NumberOf {
        using type = u64;
        u64 operator()(const P9Inode& inode) const { return inode.number(); }
    };
    TreeNode table_node; // P9SuperBlock's table of inodes, its lock
    bool is_in_table = false;

protected:
    P9SuperBlock& p9() const;
    p9::Client& client() const;
    /// Whether somebody has it open, so that it may be there without a name.
    [[nodiscard]] virtual bool is_open() const { return false; }

private:
    void note(const p9::Attributes& attributes);
    Result<usize> read_attribute(std::string_view name, std::span<u8> value);

    mutable core::SpinLock fid_lock_; // a leaf
    RefPtr<p9::Fid> fid_;
};

class P9Regular final : public P9Inode, private mm::PageSource {
public:
    using P9Inode::P9Inode;
    ~P9Regular() override;
    mm::VmObject* pages() override { return pages_.load(std::memory_order_acquire); }
    Result<RefPtr<vfs::File>> open(const vfs::Path& path, u32 flags) override;
    Result<void> truncate(u64 size) override;
    Result<void> store_pages() override;

    /// The fid that the file was made with, open for reading and writing: for the next who opens it, whom the new
    /// file's mode might not let.
    void set_created(RefPtr<p9::Fid> fid);
    /// Its pages, of the size that it has now, to be read with `fid`, and written with it if `may_write`. What nobody
    /// has mapped is read anew.
    enum class MayWrite : u8 { No, Yes };
    Result<RefPtr<mm::VmObject>> map(RefPtr<p9::Fid> fid, MayWrite may_write);
    /// Stores what mappings have changed in [offset, +length).
    Result<void> store_pages(u64 offset, u64 length);
    /// The server has these bytes now. lock held.
    void note_stored(u64 offset, std::span<const u8> bytes);
    /// An open file comes, or goes.
    void add_user() { users_.fetch_add(1); }
    void remove_user();

private:
    using Pages = std::span<mm::Page* const>;
    Result<void> read_page(u64 index, mm::Page& page) override;
    Result<void> write_page(u64 index, mm::Page& page) override;
    Result<void> read_pages(u64 index, Pages pages) override;
    Result<void> write_pages(u64 index, Pages pages) override;
    void pages_dirtied() override { has_dirty_pages_.store(true, std::memory_order_release); }
    void change_size(u64 size);
    [[nodiscard]] bool is_open() const override { return users_.load() != 0; }
    NullableRefPtr<p9::Fid> page_fid(const NullableRefPtr<p9::Fid>& which);

    std::atomic<mm::FileObject*> pages_{nullptr}; // counted; made when it is first mapped
    std::atomic<bool> has_dirty_pages_{false};
    std::atomic<u32> users_{0};
    core::Mutex mapping_lock_; // held where pages_ is made
    core::SpinLock fids_lock_; // guards those below; a leaf
    NullableRefPtr<p9::Fid> created_, page_reader_, page_writer_;
};

class P9Symlink final : public P9Inode {
public:
    using P9Inode::P9Inode;
    Result<vfs::LinkTarget> read_link() override;
};

class P9Directory final : public P9Inode {
public:
    using P9Inode::P9Inode;
    Result<RefPtr<vfs::Inode>> lookup(std::string_view name) override;
    bool still_leads_to(std::string_view name, vfs::Inode& inode) override;
    Result<void> read_directory(u64 position, vfs::DirectorySink sink) override;
    Result<RefPtr<vfs::Inode>> create(std::string_view name, const vfs::CreateRequest& request) override;
    Result<void> link(std::string_view name, vfs::Inode& target) override;
    Result<void> unlink(std::string_view name, vfs::Inode& victim) override;
    Result<void> remove_directory(std::string_view name, vfs::Inode& victim) override;
    Result<void> rename(const RenameRequest& request) override;

private:
    Result<RefPtr<P9Inode>> find(std::string_view name, core::Sleep sleep);
    Result<NullableRefPtr<p9::Fid>> make(std::string_view name, const vfs::CreateRequest& request);
};

} // namespace linnet::fs
