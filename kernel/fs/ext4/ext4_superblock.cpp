// Mounting ext4, its options, its inodes.
#include "ext4_superblock.hpp"

#include "journal_replay.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <cstring>
#include <fs/ext4.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>

namespace linnet::fs {

namespace {

constexpr u32 ext4_magic = 0xef53;

constinit core::Mutex mounted_lock; // guards the list, and keeps two from mounting one device at a time
[[clang::no_destroy]] constinit IntrusiveList<Ext4SuperBlock, &Ext4SuperBlock::mounted_node> mounted;

/// Options that ask for what is the case, or for what only writing would show.
constexpr std::string_view options_without_effect[] = {
    "acl",      "auto_da_alloc", "barrier",     "barrier=1", "data=ordered",
    "delalloc", "user_xattr",    "init_itable", "nodiscard", "dioread_nolock",
};

using ext4::ErrorBehaviour;

std::string_view name_of(ErrorBehaviour behaviour) {
    switch (behaviour) {
    case ErrorBehaviour::Continue:
        return "continue";
    case ErrorBehaviour::RemountReadOnly:
        return "remount-ro";
    case ErrorBehaviour::Panic:
        return "panic";
    }
    std::unreachable();
}

std::optional<ErrorBehaviour> behaviour_named(std::string_view name) {
    for (auto behaviour : {ErrorBehaviour::Continue, ErrorBehaviour::RemountReadOnly, ErrorBehaviour::Panic})
        if (name_of(behaviour) == name) return behaviour;
    return {};
}

} // namespace

Result<void> Ext4Options::parse(std::string_view text) {
    constexpr std::string_view on_error = "errors=";
    while (!text.empty()) {
        const usize end = text.find(',');
        const std::string_view word = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        if (word == "noload" || word == "norecovery")
            replays_journal = false;
        else if (word.starts_with(on_error) && behaviour_named(word.substr(on_error.size())))
            errors = behaviour_named(word.substr(on_error.size()));
        else if (!word.empty() && std::ranges::find(options_without_effect, word) == std::end(options_without_effect))
            return error(Errno::EINVAL);
    }
    return {};
}

Ext4SuperBlock::Ext4SuperBlock(vfs::FileSystemType& type, RefPtr<block::Device> device)
    : SuperBlock(type, device->number()), device_(std::move(device)) {
    set_read_only(true);
}

Ext4SuperBlock::~Ext4SuperBlock() {
    if (mounted_node.is_linked()) {
        core::MutexGuard guard(mounted_lock);
        mounted.remove(*this);
    }
    if (owned_writing_) (void)owned_writing_->stop(); // it has told the log
    owned_writing_.reset();
    volume_.reset();
    device_->closed(true);
}

Result<Ext4Writing*> Ext4SuperBlock::to_write() {
    if (is_read_only() || !writing() || writing()->is_aborted()) return error(Errno::EROFS);
    return writing();
}

Result<void> Ext4SuperBlock::start_writing() {
    if (!options_.replays_journal) return error(Errno::EROFS);
    if (owned_writing_) {
        if (owned_writing_->has_failed()) return error(Errno::EROFS);
        TRY(owned_writing_->resume());
    } else {
        owned_writing_ = TRY(Ext4Writing::start(*this));
        writing_.store(owned_writing_.get(), std::memory_order_release);
    }
    set_read_only(false);
    return {};
}

Result<void> Ext4SuperBlock::sync() {
    Ext4Writing* const writing = this->writing();
    return writing && !is_read_only() ? writing->sync() : Result<void>{};
}

Result<void> Ext4SuperBlock::start(const Ext4Options& options) {
    options_ = options;
    char name[16];
    const usize length = device_->name(name);
    const auto open = [&] { return ext4::Volume::open(device_->pages(), device_->bytes(), {name, length}); };
    volume_ = TRY(open());
    // Earlier versions could leave a log in a file system that isn't marked. Nothing in it is missed before somebody
    // writes.
    const bool is_marked = volume_->needs_recovery();
    const bool has_log = is_marked || (!device_->is_read_only() && ext4::has_log_to_replay(*volume_));
    if (has_log && options.replays_journal) {
        if (device_->is_read_only()) {
            core::log_error("EXT4-fs ({}): the journal can't be replayed on a read-only device (noload mounts without)",
                            volume_->name());
            return error(Errno::EROFS);
        }
        TRY(ext4::replay_journal(*volume_, device_->pages(), [&] { return device_->sync(0, device_->bytes()); }));
        volume_ = TRY(open());
    }
    on_error_.store(options_.errors.value_or(ext4::error_behaviour(volume_->superblock())));
    if (volume_->superblock().state & ext4::state_has_errors)
        core::log_warning("EXT4-fs ({}): it has errors: running e2fsck is recommended", volume_->name());
    block_size_ = volume_->block_size();
    if (block_size_ < device_->disk().limits().logical_block) return error(Errno::EINVAL);
    max_file_size_ = volume_->most_extent_bytes();
    keeps_acls_ = true;
    RefPtr<Ext4Inode> root = TRY(inode(ext4::root_inode));
    if (!root->is_directory()) return error(Errno::EUCLEAN);
    return set_root(std::move(root));
}

Result<RefPtr<Ext4SuperBlock>> Ext4SuperBlock::create(vfs::FileSystemType& type, RefPtr<block::Device> device,
                                                      const Ext4Options& options) {
    auto* superblock = new (std::nothrow) Ext4SuperBlock(type, device);
    if (!superblock) {
        device->closed(true);
        return error(Errno::ENOMEM);
    }
    auto result = adopt_ref(*superblock);
    TRY(superblock->start(options));
    return result;
}

// ---- errors ----

void Ext4SuperBlock::note_error(Errno code, u32 inode, const char* function, u32 line) {
    constexpr u32 most_logged = 32; // what is read again and again must not fill the log
    if (logged_errors_.fetch_add(1, std::memory_order_relaxed) < most_logged)
        core::log_error("EXT4-fs error (device {}): {}:{}: inode #{}: error {}", volume_->name(), function, line, inode,
                        static_cast<int>(code));
    {
        core::SpinGuard guard(errors_lock_);
        errors_.add({code, inode, function, line, core::realtime_ns() / core::ns_per_second});
    }
    const ErrorBehaviour behaviour = on_error_.load();
    Ext4Writing* const writing = this->writing();
    if (!writing && behaviour == ErrorBehaviour::Panic) panic_after_error();
    if (!writing || is_read_only()) return;
    if (behaviour != ErrorBehaviour::Continue) writing->journal().abort(code);
    writing->errors_noted();
}

ext4::ErrorNotes Ext4SuperBlock::take_errors() {
    core::SpinGuard guard(errors_lock_);
    return std::exchange(errors_, {});
}

void Ext4SuperBlock::panic_after_error() {
    core::panic("EXT4-fs (device {}): panic forced after error", volume_->name());
}

void Ext4SuperBlock::show_options(TextSink sink) {
    const ErrorBehaviour behaviour = on_error_.load();
    if (behaviour != ext4::error_behaviour(volume_->superblock())) format_to(sink, ",errors={}", name_of(behaviour));
}

// ---- inodes ----

NullableRefPtr<Ext4Inode> Ext4SuperBlock::find(u32 number) {
    core::SpinGuard guard(inodes_lock_);
    auto it = inodes_.find(u64{number});
    if (it == inodes_.end() || !it->try_ref()) return {};
    return NullableRefPtr<Ext4Inode>::adopt(&*it);
}

Result<RefPtr<Ext4Inode>> Ext4SuperBlock::inode(u32 number) {
    if (auto found = find(number)) return RefPtr<Ext4Inode>(std::move(found));
    RefPtr<Ext4Inode> fresh = TRY(Ext4Inode::create(*this, TRY(heed(volume_->read_inode(number), number))));
    NullableRefPtr<Ext4Inode> other; // of a thread that was faster
    {
        core::SpinGuard guard(inodes_lock_);
        auto it = inodes_.find(u64{number});
        if (it != inodes_.end() && it->try_ref()) {
            other = NullableRefPtr<Ext4Inode>::adopt(&*it);
        } else {
            if (it != inodes_.end()) {
                it->is_in_table = false; // on its way out
                inodes_.erase(it);
            }
            fresh->is_in_table = true;
            inodes_.insert(*fresh);
        }
    }
    return other ? RefPtr<Ext4Inode>(std::move(other)) : std::move(fresh);
}

Result<RefPtr<Ext4Inode>> Ext4SuperBlock::inode_if_used(u32 number) {
    if (auto found = find(number)) return RefPtr<Ext4Inode>(std::move(found));
    TRY(volume_->read_inode(number));
    RefPtr<Ext4Inode> result = TRY(inode(number));
    // No name's lock kept it from being removed before others could find it in the table: it would have no links now.
    TRY(volume_->read_inode(number));
    return result;
}

Result<vfs::FileHandle> Ext4SuperBlock::handle_of(vfs::Inode& inode) {
    return vfs::FileHandle{
        vfs::FileHandle::number32_generation, 2, {static_cast<u32>(inode.number()), inode.generation().value_or(0)}};
}

Result<RefPtr<vfs::Inode>> Ext4SuperBlock::inode_of(const vfs::FileHandle& handle) {
    constexpr i32 followed_by_parent = 2; // what NFS servers ask for
    const bool is_ours = handle.type == vfs::FileHandle::number32_generation || handle.type == followed_by_parent;
    if (!is_ours || handle.word_count < 2) return error(Errno::ESTALE);
    const u32 number = handle.words[0], generation = handle.words[1];
    if (number != ext4::root_inode && number < volume_->first_inode()) return error(Errno::ESTALE);
    auto found = inode_if_used(number);
    if (!found) return error(found.error() == Errno::ENOMEM ? Errno::ENOMEM : Errno::ESTALE);
    // As on Linux 0 is that of any.
    if (generation && (*found)->generation() != generation) return error(Errno::ESTALE);
    return RefPtr<vfs::Inode>(std::move(*found));
}

Result<void> Ext4SuperBlock::add(Ext4Inode& fresh) {
    core::SpinGuard guard(inodes_lock_);
    auto it = inodes_.find(u64{fresh.number()});
    if (it != inodes_.end()) {
        if (it->ref_count() != 0) return error(Errno::EUCLEAN); // its number was not free
        it->is_in_table = false;                                // on its way out
        inodes_.erase(it);
    }
    fresh.is_in_table = true;
    inodes_.insert(fresh);
    return {};
}

void Ext4SuperBlock::forget(Ext4Inode& inode) {
    core::SpinGuard guard(inodes_lock_);
    if (inode.is_in_table) inodes_.erase(inodes_.iterator_to(inode));
    inode.is_in_table = false;
}

Result<vfs::FileSystemStatistics> Ext4SuperBlock::statistics() {
    const ext4::Superblock& on_disk = volume_->superblock();
    ext4::Volume::FreeCounts free = volume_->free_counts();
    if (Ext4Writing* const writing = this->writing()) {
        writing->free_doomed();
        free = writing->allocator().free_counts();
        free.blocks -= std::min(free.blocks, writing->reserved());
    }
    const u64 reserved = ext4::joined(on_disk.reserved_blocks_count_low, on_disk.reserved_blocks_count_high);
    u64 id[2];
    std::memcpy(id, on_disk.uuid, sizeof(id));
    vfs::FileSystemStatistics result;
    result.magic = ext4_magic;
    result.block_size = block_size_;
    result.blocks = volume_->blocks() - std::min(volume_->overhead_blocks(), volume_->blocks());
    result.blocks_free = free.blocks;
    result.blocks_available = free.blocks - std::min(free.blocks, reserved);
    result.files = on_disk.inodes_count;
    result.files_free = free.inodes;
    result.id = id[0] ^ id[1];
    return result;
}

Result<void> Ext4SuperBlock::remount(std::string_view options, bool read_only) {
    Ext4Options wanted = options_;
    TRY(wanted.parse(options));
    if (read_only == is_read_only()) {
        // Only other options.
    } else if (!read_only) {
        TRY(start_writing());
    } else {
        TRY(sync()); // after which nobody has an inode without name but who uses it
        if (writing_.load()->nameless.load() != 0) return error(Errno::EBUSY);
        set_read_only(true);
        if (auto stopped = writing_.load()->stop(); !stopped) return stopped;
    }
    options_ = wanted;
    if (wanted.errors) on_error_.store(*wanted.errors);
    return {};
}

namespace {

class Ext4Type final : public vfs::FileSystemType {
public:
    const char* name() const override { return "ext4"; }
    bool needs_device() const override { return true; }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource& source) override;
};

Result<vfs::DeviceNumber> device_at(std::string_view source) {
    const vfs::Path place = TRY(vfs::lookup(source));
    if (!abi::S_ISBLK(place.inode()->mode())) return error(Errno::ENOTBLK);
    if (place.mount->flags() & abi::MS_NODEV) return error(Errno::EACCES);
    return place.inode()->special_device();
}

Result<RefPtr<vfs::SuperBlock>> Ext4Type::mount(const vfs::MountSource& source) {
    const vfs::DeviceNumber number = TRY(device_at(source.source));
    Ext4Options options;
    TRY(options.parse(source.options));
    const bool is_read_only = (source.flags & abi::MS_RDONLY) != 0;
    core::MutexGuard guard(mounted_lock);
    for (Ext4SuperBlock& superblock : mounted) {
        if (superblock.device().number() != number || !superblock.try_ref()) continue;
        auto shared = RefPtr<Ext4SuperBlock>::adopt(superblock);
        // All mounts of a file system are written, or none is.
        if (superblock.is_read_only() != is_read_only) return error(Errno::EBUSY);
        return RefPtr<vfs::SuperBlock>(std::move(shared));
    }
    RefPtr<Ext4SuperBlock> superblock =
        TRY(Ext4SuperBlock::create(*this, TRY(block::open_device(number, true)), options));
    if (!is_read_only) TRY(superblock->start_writing());
    mounted.push_back(*superblock);
    return RefPtr<vfs::SuperBlock>(std::move(superblock));
}

constinit Ext4Type ext4_type;

} // namespace

Result<void> register_ext4() { return vfs::register_file_system(ext4_type); }

} // namespace linnet::fs
