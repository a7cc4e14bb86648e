// Mounting for writing, storing what has changed every few seconds, and freeing inodes.
#include "ext4_writing.hpp"

#include "attribute_edit.hpp"
#include "ext4_superblock.hpp"
#include "orphan_file.hpp"
#include "volume_edit.hpp"

#include <core/log.hpp>
#include <core/sched.hpp>
#include <core/time.hpp>

namespace linnet::fs {

namespace {

constexpr u64 commit_interval_ns = 5 * core::ns_per_second;
/// What a handle for one step of freeing is to have room for: the step, the inode, its neighbour in the list of
/// orphans, the superblock.
constexpr usize blocks_of_freeing = ext4::most_changes_of_step + 3;

/// Bytes that may wait until the next round: a thirty-second part of memory.
u64 most_unstored() { return mm::total_memory_pages() / 32 * arch::page_size; }

/// Where those wait for a thread's end whose file system goes: it is no part of that.
constinit core::WaitQueue stopped_queue;

} // namespace

Ext4Writing::Ext4Writing(Ext4SuperBlock& superblock)
    : superblock_(superblock), orphans_(superblock.volume()), places_(superblock.device(), block::Operation::Write) {}

Result<OwnPtr<Ext4Writing>> Ext4Writing::start(Ext4SuperBlock& superblock) {
    OwnPtr<Ext4Writing> writing(new (std::nothrow) Ext4Writing(superblock));
    if (!writing) return error(Errno::ENOMEM);
    TRY(writing->open());
    return writing;
}

Result<void> Ext4Writing::open() {
    ext4::Volume& volume = superblock_.volume();
    if (superblock_.device().is_read_only()) return error(Errno::EROFS);
    if (!(volume.superblock().feature_compat & ext4::compat_has_journal)) {
        core::log_error("EXT4-fs ({}): without a journal it is only mounted read-only", volume.name());
        return error(Errno::EROFS);
    }
    if (!allocator_) allocator_ = TRY(ext4::Allocator::create(volume));
    // Before the log says anything.
    TRY(mark(true));
    // The same one after a time of reading only: somebody may still be within, to be told that nothing was written.
    if (journal_)
        TRY(journal_->reopen());
    else
        journal_ = TRY(ext4::Journal::open(volume, superblock_.device().pages(), *this));
    constexpr u64 most_kept = 4096, kept_part = 50;
    kept_blocks_ = std::min(volume.blocks() / kept_part, most_kept);
    TRY(free_orphans());
    is_stopping_.store(false);
    has_stopped_.store(false);
    if (auto started = core::start_kernel_thread("ext4-writeback", &Ext4Writing::run, this); !started) {
        has_stopped_.store(true);
        return error(started.error());
    }
    return {};
}

Ext4Writing::~Ext4Writing() {
    stop_thread();
    // What could not be stored, after an error.
    for (;;) {
        while (Ext4Inode* inode = changed_.pop_front()) inode->unref();
        DoomedInode* doomed = doomed_.pop_front();
        if (!doomed) break;
        delete doomed;
    }
}

void Ext4Writing::stop_thread() {
    is_stopping_.store(true);
    kick();
    (void)core::wait_until(stopped_queue, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return has_stopped_.load(); });
}

/// The sums of free blocks and inodes in the superblock, which no transaction needs.
Result<void> Ext4Writing::store_totals() {
    const ext4::Superblock& on_disk = superblock_.volume().superblock();
    const ext4::Volume::FreeCounts free = allocator_->free_counts();
    const u64 blocks = ext4::joined(on_disk.free_blocks_count_low, on_disk.free_blocks_count_high);
    if (free.blocks == blocks && free.inodes == on_disk.free_inodes_count) return {};
    auto handle = TRY(begin(1));
    return allocator_->store_totals(handle);
}

/// Says on the disk whether there may be something to be replayed. The journal is closed: a log that nothing tells of
/// would be thrown away by Linux, and questioned by e2fsck.
Result<void> Ext4Writing::mark(bool is_in_use) {
    const auto now = static_cast<u32>(now_ns() / core::ns_per_second);
    const auto change = [&](ext4::Superblock& on_disk) {
        on_disk.write_time = now;
        if (!is_in_use) {
            on_disk.feature_incompat &= ~ext4::incompat_recover;
            return;
        }
        on_disk.feature_incompat |= ext4::incompat_recover;
        on_disk.mount_time = now;
        ++on_disk.mount_count;
    };
    return ext4::store_superblock(superblock_.volume(), superblock_.device().pages(), *this, change);
}

Result<void> Ext4Writing::stop() {
    stop_thread();
    store_errors();
    if (is_aborted()) return error(Errno::EROFS);
    Result<void> stored = sync();
    // Freeing the last references may leave inodes to be freed, which changes others.
    free_doomed();
    if (stored) stored = sync();
    store_errors();
    if (stored) stored = journal_->close();
    if (stored) stored = mark(false);
    if (!stored)
        core::log_error("EXT4-fs ({}): couldn't be left clean (error {})", superblock_.volume().name(),
                        static_cast<int>(stored.error()));
    return stored;
}

// ---- errors ----

/// Those that were noted since the last time.
void Ext4Writing::store_errors() {
    const ext4::ErrorNotes notes = superblock_.take_errors();
    if (notes.count() == 0) return;
    const auto in_transaction = [&]() -> Result<void> {
        auto handle = TRY(begin(1));
        return ext4::change_superblock(superblock_.volume(), handle,
                                       [&](ext4::Superblock& on_disk) { notes.apply_to(on_disk); });
    };
    auto stored = in_transaction();
    if (!stored) stored = store_errors_beside_journal(notes);
    if (!stored)
        core::log_error("EXT4-fs ({}): {} errors couldn't be noted on the disk (error {})", superblock_.volume().name(),
                        notes.count(), static_cast<int>(stored.error()));
    if (superblock_.on_error() == ext4::ErrorBehaviour::Panic) superblock_.panic_after_error();
}

/// In what the disk holds: memory has changes that will never be committed.
Result<void> Ext4Writing::store_errors_beside_journal(const ext4::ErrorNotes& notes) {
    ext4::Volume& volume = superblock_.volume();
    const ext4::Volume::Place place = volume.superblock_place();
    OwnPtr<u8[]> bytes(new (std::nothrow) u8[volume.block_size()]);
    if (!bytes) return error(Errno::ENOMEM);
    const block::Segment segment{arch::virt_to_phys(bytes.get()), volume.block_size()};
    const u64 sector = place.block << (volume.block_shift() - block::sector_shift);
    TRY(superblock_.device().transfer(block::Operation::Read, sector, {&segment, 1}));
    auto on_disk = ext4::object_at<ext4::Superblock>({bytes.get(), volume.block_size()}, place.offset);
    notes.apply_to(on_disk);
    if (volume.has_checksums()) on_disk.checksum = ext4::checksum_of(on_disk);
    std::memcpy(bytes.get() + place.offset, &on_disk, sizeof(on_disk));
    TRY(superblock_.device().transfer(block::Operation::Write, sector, {&segment, 1}));
    return flush();
}

/// Nothing can be changed any more.
void Ext4Writing::aborted(Errno reason) {
    if (has_failed_.exchange(true)) return;
    core::log_error("EXT4-fs ({}): it is read-only from now on", superblock_.volume().name());
    if (!ext4::tells_of_damage(reason)) superblock_.note_error(reason, 0); // of damage who found it has told
    superblock_.set_read_only(true);
    kick();
}

// ---- the disk of the journal ----

template <typename Write>
Result<void> Ext4Writing::write_blocks(u64 first, std::span<const u8* const> blocks, Write write) {
    constexpr usize most = 32;
    block::Segment segments[most];
    ext4::Volume& volume = superblock_.volume();
    while (!blocks.empty()) {
        const usize count = std::min(blocks.size(), most);
        for (usize i = 0; i < count; ++i) segments[i] = {arch::virt_to_phys(blocks[i]), volume.block_size()};
        TRY(write(first << (volume.block_shift() - block::sector_shift),
                  std::span<const block::Segment>(segments, count)));
        first += count;
        blocks = blocks.subspan(count);
    }
    return {};
}

Result<void> Ext4Writing::write(u64 first, std::span<const u8* const> blocks) {
    return write_blocks(first, blocks, [&](u64 sector, auto segments) {
        return superblock_.device().transfer(block::Operation::Write, sector, segments);
    });
}

Result<void> Ext4Writing::begin_write(u64 first, std::span<const u8* const> blocks) {
    return write_blocks(first, blocks, [&](u64 sector, auto segments) { return places_.add(sector, segments); });
}

Result<void> Ext4Writing::write_log(u64 first, std::span<const u8* const> blocks) {
    return write_blocks(first, blocks, [&](u64 sector, auto segments) {
        return superblock_.device().write_beside_pages(sector, segments);
    });
}

Result<void> Ext4Writing::flush() { return superblock_.device().command(block::Operation::Flush); }
u64 Ext4Writing::now_ns() { return core::realtime_ns(); }

Result<ext4::Handle> Ext4Writing::begin(usize blocks) {
    return journal_->begin(std::min(blocks, journal_->most_blocks()));
}

Result<void> Ext4Writing::commit(u64 transaction) {
    // Another thread's commit may have flushed before the data was written; with nothing to be committed nobody has.
    const bool has_flushed = TRY(journal_->commit(transaction));
    return has_flushed ? Result<void>{} : flush();
}

// ---- space ----

Result<void> Ext4Writing::reserve(u64 blocks, ext4::Privilege privilege) {
    const ext4::Superblock& on_disk = superblock_.volume().superblock();
    u64 kept = kept_blocks_;
    if (privilege == ext4::Privilege::None)
        kept += ext4::joined(on_disk.reserved_blocks_count_low, on_disk.reserved_blocks_count_high);
    u64 reserved = reserved_.load(std::memory_order_relaxed);
    do {
        const u64 free = allocator_->free_counts().blocks;
        if (free < kept + reserved || free - kept - reserved < blocks) return error(Errno::ENOSPC);
    } while (!reserved_.compare_exchange_weak(reserved, reserved + blocks, std::memory_order_relaxed));
    return {};
}

bool Ext4Writing::make_space() {
    const u64 before = allocator_->free_counts().blocks;
    free_doomed();
    const bool was_busy = allocator_->has_busy_blocks();
    if (was_busy && !journal_->commit_all()) return false;
    return was_busy || allocator_->free_counts().blocks > before;
}

// ---- what is to be stored ----

void Ext4Writing::note_changed(Ext4Inode& inode) {
    core::SpinGuard guard(lists_lock_);
    // One that goes already has no name: nobody will ask for it.
    if (inode.changed_node.is_linked() || !inode.try_ref()) return;
    changed_.push_back(inode);
}

void Ext4Writing::note_written(u64 bytes) {
    const u64 before = unstored_.fetch_add(bytes, std::memory_order_relaxed);
    const u64 most = most_unstored();
    if (before < most && before + bytes >= most) kick();
}

void Ext4Writing::forget_changed(Ext4Inode& inode) {
    core::SpinGuard guard(lists_lock_);
    if (!inode.changed_node.is_linked()) return;
    inode.changed_node.unlink();
    inode.unref();
}

Result<void> Ext4Writing::store_changed() {
    core::MutexGuard guard(flush_lock_);
    IntrusiveList<Ext4Inode, &Ext4Inode::changed_node> round;
    {
        core::SpinGuard lists_guard(lists_lock_);
        round.splice_back(changed_);
    }
    Result<void> outcome;
    for (;;) {
        Ext4Inode* next;
        {
            // Out of the list first: what changes from now on is a change anew.
            core::SpinGuard lists_guard(lists_lock_);
            next = round.pop_front();
        }
        if (!next) return outcome;
        const auto inode = RefPtr<Ext4Inode>::adopt(*next);
        if (auto stored = inode->store(); !stored) {
            outcome = stored;
            if (!is_aborted() && !is_stopping_.load()) note_changed(*inode); // another attempt, later
        }
    }
}

Result<void> Ext4Writing::sync() {
    auto stored = store_changed();
    free_doomed();
    TRY(store_totals());
    TRY(commit(journal_->running()));
    return stored;
}

// ---- inodes without names ----

void Ext4Writing::doom(OwnPtr<DoomedInode> inode) {
    {
        core::SpinGuard guard(lists_lock_);
        doomed_.push_back(*inode.release());
    }
    kick();
}

Result<void> Ext4Writing::free_blocks(ext4::DiskInode& inode, u64 first, core::RwMutex& lock) {
    for (u64 end = ext4::no_end; end != first;) {
        auto handle = TRY(begin(blocks_of_freeing));
        core::WriteGuard<> guard(lock);
        auto place = TRY(ext4::InodePlace::change(superblock_.volume(), handle, inode.number));
        Result<u64> came_to = end;
        do {
            came_to = ext4::free_last_blocks({*allocator_, handle, inode}, first, end);
            if (came_to) end = *came_to;
        } while (came_to && end != first && handle.extend(ext4::most_changes_of_step));
        place.store(inode);
        TRY(came_to);
    }
    return {};
}

/// Nobody else has it.
Result<void> Ext4Writing::free_inode(ext4::DiskInode& inode) {
    const bool is_directory = abi::S_ISDIR(inode.raw.mode);
    core::RwMutex lock; // of nobody
    if (ext4::has_blocks(inode)) TRY(free_blocks(inode, 0, lock));
    auto handle = TRY(begin(blocks_of_freeing));
    auto place = TRY(ext4::InodePlace::change(superblock_.volume(), handle, inode.number));
    const auto now = static_cast<u32>(now_ns() / core::ns_per_second);
    TRY(ext4::free_attributes({*allocator_, handle, inode}));
    TRY(orphans_.remove(handle, inode.number, place, now));
    inode.raw.link_count = 0;
    place.store(inode);
    return allocator_->free_inode(handle, inode.number,
                                  is_directory ? ext4::InodeKind::Directory : ext4::InodeKind::Other);
}

/// What was in use without a name, or being cut, when the machine stopped.
Result<void> Ext4Writing::free_orphans() {
    ext4::Volume& volume = superblock_.volume();
    TRY(orphans_.load());
    TRY(ext4::move_orphans_from_file(volume, orphans_, [&](ext4::Change change) -> Result<void> {
        auto handle = TRY(begin(ext4::most_changes_of_orphan_file));
        return change(handle);
    }));
    while (!orphans_.is_empty()) {
        ext4::DiskInode inode = TRY(volume.read_orphan(orphans_.last()));
        if (inode.raw.link_count == 0) {
            TRY(free_inode(inode));
            continue;
        }
        core::RwMutex lock; // of nobody
        if (ext4::has_blocks(inode)) TRY(free_blocks(inode, divide_up<u64>(inode.size(), volume.block_size()), lock));
        auto handle = TRY(begin(blocks_of_freeing));
        auto place = TRY(ext4::InodePlace::change(volume, handle, inode.number));
        TRY(orphans_.remove(handle, inode.number, place, 0));
    }
    return {};
}

void Ext4Writing::free_doomed() {
    core::MutexGuard guard(doomed_lock_);
    for (;;) {
        OwnPtr<DoomedInode> doomed;
        {
            core::SpinGuard lists_guard(lists_lock_);
            doomed.reset(doomed_.pop_front());
        }
        if (!doomed) return;
        // What can't be freed now stays among the orphans, for the next mount.
        if (auto freed = superblock_.heed(free_inode(doomed->disk), doomed->disk.number); !freed)
            core::log_error("EXT4-fs ({}): inode {} couldn't be freed (error {})", superblock_.volume().name(),
                            doomed->disk.number, static_cast<int>(freed.error()));
    }
}

// ---- the thread ----

void Ext4Writing::kick() {
    kicks_.fetch_add(1);
    wake_up_.wake_all();
}

void Ext4Writing::run(void* self) { static_cast<Ext4Writing*>(self)->run_rounds(); }

void Ext4Writing::run_rounds() {
    u64 next_ns = core::monotonic_ns() + commit_interval_ns;
    while (!is_stopping_.load()) {
        const u32 seen = kicks_.load();
        free_doomed();
        store_errors();
        if (core::monotonic_ns() >= next_ns || unstored_.load(std::memory_order_relaxed) >= most_unstored()) {
            unstored_.store(0, std::memory_order_relaxed);
            const u64 committed = journal_->last_committed();
            (void)store_changed(); // who wants to know calls fsync(2)
            (void)store_totals();
            (void)journal_->commit_all();
            // Idle: give the memory of the copies back.
            if (committed == journal_->last_committed()) (void)journal_->checkpoint();
            next_ns = core::monotonic_ns() + commit_interval_ns;
        }
        (void)core::wait_until(wake_up_, core::Sleep::Deep, core::Deadline{next_ns},
                               [&] { return kicks_.load() != seen || is_stopping_.load(); });
    }
    has_stopped_.store(true);
    stopped_queue.wake_all();
}

} // namespace linnet::fs
