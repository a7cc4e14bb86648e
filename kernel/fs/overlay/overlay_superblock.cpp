// Inodes and their identities, statistics, options.
#include "overlay_directory.hpp"

#include <cstring>
#include <vfs/current.hpp>

namespace linnet::overlay {

using vfs::Inode;

const Inode* OverlaySuperBlock::UpperOf::operator()(const OverlayInode& inode) const { return inode.upper()->inode(); }

OverlaySuperBlock::OverlaySuperBlock(vfs::FileSystemType& type, OverlayOptions options,
                                     RefPtr<const vfs::Credentials> mounter, OwnPtr<Table> table)
    : SuperBlock(type, vfs::allocate_anonymous_device()), options_(std::move(options)), marks_(options_.user_marks),
      mounter_(std::move(mounter)), table_(std::move(table)) {}

Result<RefPtr<OverlaySuperBlock>> OverlaySuperBlock::prepare(vfs::FileSystemType& type, OverlayOptions options) {
    RefPtr<const vfs::Credentials> mounter = TRY(vfs::Credentials::copy(vfs::current_credentials()));
    OwnPtr<Table> table = TRY(try_make<Table>());
    auto* made = new (std::nothrow) OverlaySuperBlock(type, std::move(options), std::move(mounter), std::move(table));
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref(*made);
}

// ---- identities ----

u64 OverlaySuperBlock::listed_number(u32 layer, u64 number) const {
    if (one_file_system_ || !options_.wide_numbers || number >> number_bits_ != 0) return number;
    return number | u64{layers_[layer].file_system} << number_bits_;
}

Identity OverlaySuperBlock::identity_on(u32 file_system, const Inode& inode) {
    const u64 own_device = device().encoded();
    const u64 number = inode.number();
    if (one_file_system_) return {number, own_device};
    if (options_.wide_numbers && number >> number_bits_ == 0)
        return {number | u64{file_system} << number_bits_, own_device};
    if (inode.is_directory()) return {last_number_.fetch_add(1, std::memory_order_relaxed) + 1, own_device};
    return {number, below_[file_system].device};
}

Result<Identity> OverlaySuperBlock::choose_identity(const Found& found) {
    if (!found.lowers.is_empty()) {
        const LowerPlace& first = found.lowers[0];
        return identity_of(first.layer, *first.dentry->inode());
    }
    Inode& upper = *found.upper->inode();
    if (!upper.is_directory())
        if (const auto origin = TRY(origin_of(upper))) return *origin;
    return identity_of(0, upper);
}

namespace {

/// The value of mark::origin: a file handle, and of which file system. Its layout is Linux's.
struct [[gnu::packed]] Origin {
    static constexpr u8 expected_magic = 0xfb;
    u8 version = 0;
    u8 magic = expected_magic;
    u8 length = 0; // of all this
    u8 flags = 0;
    u8 type = 0;
    u64 file_system = 0; // Linux has the UUID here
    u64 rest_of_uuid = 0;
    u32 words[vfs::FileHandle::most_words] = {};
};
constexpr usize origin_header = offsetof(Origin, words);
static_assert(origin_header == 21);

} // namespace

void OverlaySuperBlock::note_origin(Inode& copy, const LowerPlace& from) {
    Inode& lower = *from.dentry->inode();
    const auto handle = lower.superblock().handle_of(lower);
    if (!handle || handle->word_count > vfs::FileHandle::most_words) return;
    Origin origin;
    origin.type = static_cast<u8>(handle->type);
    origin.file_system = below_[layers_[from.layer].file_system].id;
    const usize size = handle->word_count * sizeof(u32);
    std::memcpy(reinterpret_cast<u8*>(&origin) + origin_header, handle->words, size);
    origin.length = static_cast<u8>(origin_header + size);
    // Without it the file has another number after the next mount.
    (void)marks_.write(copy, mark::origin, {reinterpret_cast<const u8*>(&origin), origin.length});
}

/// What a file of the upper layer was copied from, if that is still to be found.
Result<std::optional<Identity>> OverlaySuperBlock::origin_of(Inode& upper) {
    const std::optional<Identity> none;
    const Marks::Value value = TRY(marks_.read(upper, mark::origin));
    Origin origin;
    if (!value || value->size() < origin_header || value->size() > sizeof origin) return none;
    std::memcpy(&origin, value->begin(), value->size());
    if (origin.version != 0 || origin.magic != Origin::expected_magic || origin.flags != 0 || origin.rest_of_uuid != 0)
        return none;
    vfs::FileHandle handle;
    handle.type = origin.type;
    handle.word_count = (value->size() - origin_header) / sizeof(u32);
    std::memcpy(handle.words, value->begin() + origin_header, handle.word_count * sizeof(u32));
    for (u32 i = 0; i < below_.size(); ++i) {
        if (below_[i].id != origin.file_system) continue;
        const auto found = below_[i].superblock->inode_of(handle);
        if (!found || (*found)->type() != upper.type() || (*found)->link_count() != 1) return none;
        return std::optional<Identity>(identity_on(i, **found));
    }
    return none;
}

// ---- inodes ----

Result<RefPtr<OverlayInode>> OverlaySuperBlock::make_inode(Found found) {
    const Identity identity = TRY(choose_identity(found));
    Inode& shown = *(found.upper ? *found.upper : *found.lowers[0].dentry).inode();
    OverlayInode* made;
    if (shown.is_directory()) {
        const bool is_impure = found.upper && TRY(marks_.is_set(shown, mark::impure));
        made = new (std::nothrow) OverlayDirectory(*this, identity, std::move(found), is_impure);
    } else {
        made = new (std::nothrow) OverlayInode(*this, identity, std::move(found));
    }
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref(*made);
}

Result<RefPtr<Inode>> OverlaySuperBlock::inode_of_found(Found found) {
    Inode& shown = *(found.upper ? *found.upper : *found.lowers[0].dentry).inode();
    const bool has_many_names = found.upper && !shown.is_directory();
    if (has_many_names) {
        core::SpinGuard guard(table_lock_);
        auto known = table_->inodes.find(&shown);
        if (known != table_->inodes.end() && known->try_ref()) return RefPtr<Inode>::adopt(*known);
    }
    RefPtr<OverlayInode> made = TRY(make_inode(std::move(found)));
    if (!has_many_names) return RefPtr<Inode>(std::move(made));
    core::SpinGuard guard(table_lock_);
    auto known = table_->inodes.find(&shown);
    if (known != table_->inodes.end()) {
        if (known->try_ref()) {
            auto first = RefPtr<Inode>::adopt(*known);
            guard.unlock(); // ours goes without it
            return first;
        }
        known->is_in_table = false; // it is going, and finds that it isn't there
        table_->inodes.erase(known);
    }
    table_->inodes.insert(*made);
    made->is_in_table = true;
    return RefPtr<Inode>(made);
}

void OverlaySuperBlock::enlist(OverlayInode& inode) {
    core::SpinGuard guard(table_lock_);
    if (table_->inodes.find(inode.upper()->inode()) != table_->inodes.end()) return;
    table_->inodes.insert(inode);
    inode.is_in_table = true;
}

void OverlaySuperBlock::forget(OverlayInode& inode) {
    core::SpinGuard guard(table_lock_);
    if (inode.is_in_table) table_->inodes.erase(table_->inodes.iterator_to(inode));
}

// ---- the whole ----

Result<vfs::FileSystemStatistics> OverlaySuperBlock::statistics() {
    const Layer& shown = layers_[has_upper() ? 0 : 1];
    vfs::FileSystemStatistics result = TRY(shown.root.dentry->superblock().statistics());
    result.magic = abi::OVERLAYFS_SUPER_MAGIC;
    if (id_) result.id = id_;
    return result;
}

Result<void> OverlaySuperBlock::sync() {
    if (!has_upper() || is_volatile()) return {};
    return layers_[0].root.dentry->superblock().sync();
}

/// As on Linux, what mount -o remount says of layers is passed over.
Result<void> OverlaySuperBlock::remount(std::string_view, bool read_only) {
    if (!read_only && !has_upper()) return error(Errno::EROFS);
    if (read_only && !is_read_only()) return sync();
    return {};
}

void OverlaySuperBlock::show_options(TextSink sink) { options_.show(sink); }

} // namespace linnet::overlay
