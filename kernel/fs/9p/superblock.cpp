// Mounting, the table of inodes, registration.
#include "superblock.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <fs/9p.hpp>
#include <vfs/current.hpp>

namespace linnet::fs {

P9SuperBlock::P9SuperBlock(vfs::FileSystemType& type, OwnPtr<p9::Client> client, const P9Options& options)
    : SuperBlock(type, vfs::allocate_anonymous_device()), client_(std::move(client)),
      maps_writable_(options.maps_writable) {
    // The server's users change names, too.
    dentry_policy_ = vfs::DentryPolicy::Revalidate;
}

P9SuperBlock::~P9SuperBlock() { p9::Client::disconnect(std::move(client_)); }

Result<RefPtr<P9SuperBlock>> P9SuperBlock::create(vfs::FileSystemType& type, const vfs::MountSource& source) {
    P9Options options;
    TRY(options.parse(source.options));
    p9::Channel& channel = *TRY(p9::claim_channel(source.source));
    OwnPtr<p9::Client> client = TRY(p9::Client::connect(channel, options.message_size));
    p9::Client& server = *client;
    auto* made = new (std::nothrow) P9SuperBlock(type, std::move(client), options);
    if (!made) {
        p9::Client::disconnect(std::move(client));
        return error(Errno::ENOMEM);
    }
    auto superblock = adopt_ref(*made);
    RefPtr<p9::Fid> root = TRY(server.attach(options.user, options.tree, vfs::current_credentials().fsuid));
    const p9::Attributes attributes = TRY(server.get_attributes(*root));
    if (!abi::S_ISDIR(attributes.mode)) return error(Errno::ENOTDIR);
    TRY(superblock->set_root(TRY(superblock->inode(std::move(root), attributes))));
    return superblock;
}

NullableRefPtr<P9Inode> P9SuperBlock::find(const p9::Attributes& attributes) {
    core::SpinGuard guard(inodes_lock_);
    auto it = inodes_.find(attributes.qid.path);
    if (it == inodes_.end() || !it->try_ref()) return {};
    return NullableRefPtr<P9Inode>::adopt(&*it);
}

Result<RefPtr<P9Inode>> P9SuperBlock::inode(RefPtr<p9::Fid> fid, const p9::Attributes& attributes) {
    NullableRefPtr<P9Inode> known = find(attributes);
    if (known && known->is_same_object(attributes)) {
        known->renew(std::move(fid), attributes);
        return RefPtr<P9Inode>(std::move(known));
    }
    RefPtr<P9Inode> fresh = TRY(P9Inode::create(*this, std::move(fid), attributes));
    NullableRefPtr<P9Inode> other; // of a thread that was faster
    {
        core::SpinGuard guard(inodes_lock_);
        auto it = inodes_.find(fresh->number());
        if (it != inodes_.end() && it->is_same_object(attributes) && it->try_ref()) {
            other = NullableRefPtr<P9Inode>::adopt(&*it);
        } else {
            if (it != inodes_.end()) {
                it->is_in_table = false; // on its way out, or of a file that is gone
                inodes_.erase(it);
            }
            fresh->is_in_table = true;
            inodes_.insert(*fresh);
        }
    }
    return other ? RefPtr<P9Inode>(std::move(other)) : std::move(fresh);
}

void P9SuperBlock::forget(P9Inode& inode) {
    core::SpinGuard guard(inodes_lock_);
    if (inode.is_in_table) inodes_.erase(inodes_.iterator_to(inode));
    inode.is_in_table = false;
}

NullableRefPtr<P9Inode> P9SuperBlock::first_from(u64 number) {
    core::SpinGuard guard(inodes_lock_);
    for (auto it = inodes_.lower_bound(number); it != inodes_.end(); ++it)
        if (it->try_ref()) return NullableRefPtr<P9Inode>::adopt(&*it);
    return {};
}

Result<void> P9SuperBlock::sync() {
    Result<void> result;
    u64 number = 0;
    while (NullableRefPtr<P9Inode> inode = first_from(number)) {
        if (auto stored = inode->store_pages(); !stored) result = stored;
        if (inode->number() == ~u64{0}) break;
        number = inode->number() + 1;
    }
    return result;
}

Result<vfs::FileSystemStatistics> P9SuperBlock::statistics() {
    const p9::Statistics got = TRY(client_->statistics(*static_cast<P9Inode&>(*root().inode()).fid()));
    vfs::FileSystemStatistics result;
    result.magic = abi::V9FS_MAGIC;
    result.block_size = got.block_size;
    result.blocks = got.blocks;
    result.blocks_free = got.blocks_free;
    result.blocks_available = got.blocks_available;
    result.files = got.files;
    result.files_free = got.files_free;
    return result;
}

/// As on Linux nothing but the flags of the mount can be changed; the options that it has are not looked at.
Result<void> P9SuperBlock::remount(std::string_view, bool) { return {}; }

void P9SuperBlock::show_options(TextSink sink) {
    format_to(sink, ",cache={},access=client,msize={},trans=virtio", maps_writable_ ? "mmap" : "none",
              client_->message_size());
}

namespace {

class P9Type final : public vfs::FileSystemType {
public:
    const char* name() const override { return "9p"; }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource& source) override {
        return TRY(P9SuperBlock::create(*this, source));
    }
};

[[clang::no_destroy]] constinit P9Type the_type;

} // namespace

Result<void> register_9p() { return vfs::register_file_system(the_type); }

} // namespace linnet::fs
