// Handles and the running transaction.
#include "journal.hpp"

#include "block_map.hpp"

#include <algorithm>
#include <core/log.hpp>
#include <lib/crc32c.hpp>

namespace linnet::ext4 {

Transaction::~Transaction() {
    changed.clear_and_dispose([](ChangedBlock* block) { delete block; });
}

usize Transaction::place_of_revoke(u64 block) const {
    const auto all = revoked.span();
    return static_cast<usize>(std::ranges::lower_bound(all, block) - all.begin());
}

void Transaction::revoke(u64 block) {
    const usize place = place_of_revoke(block);
    if (place < revoked.size() && revoked[place] == block) return;
    VERIFY(revoked.try_push(block));
    std::rotate(revoked.begin() + place, revoked.end() - 1, revoked.end());
}

/// What is logged again needs no revoke: the log's last word on the block is this transaction's.
void Transaction::take_back_revoke(u64 block) {
    const usize place = place_of_revoke(block);
    if (place < revoked.size() && revoked[place] == block) revoked.remove_at(place);
}

DataInFlight::~DataInFlight() {
    // The transaction may be gone as soon as nobody counts.
    if (journal_ && transaction_->data_in_flight.fetch_sub(1, std::memory_order_acq_rel) == 1)
        journal_->data_queue_.wake_all();
}

// ---- handles ----

void Handle::end() {
    if (!journal_) return;
    {
        core::SpinGuard guard(journal_->lock_);
        journal_->running_->reserved -= left_;
        journal_->running_->to_revoke -= to_revoke_;
    }
    journal_->state_lock_.unlock_shared();
    journal_ = nullptr;
}

Result<MutableBlock> Handle::change(u64 block) { return journal_->change_block(block, left_); }

Result<MutableBlock> Handle::fresh(u64 block) {
    MutableBlock changed = TRY(change(block));
    std::memset(changed.bytes().data(), 0, changed.size());
    return changed;
}

Result<void> Handle::prepare_to_forget(u64 count) {
    if (journal_->is_aborted()) return error(Errno::EROFS);
    ArrayList<u64> roomier; // declared before the guard: memory comes and goes without the spinlock
    for (;;) {
        usize wanted;
        {
            core::SpinGuard guard(journal_->lock_);
            Transaction& running = *journal_->running_;
            wanted = running.revoked.size() + running.to_revoke + count;
            if (running.revoked.capacity() < wanted && roomier.capacity() >= wanted) {
                for (u64 block : running.revoked) VERIFY(roomier.try_push(block));
                std::swap(roomier, running.revoked);
            }
            if (running.revoked.capacity() >= wanted) {
                running.to_revoke += count;
                to_revoke_ += count;
                return {};
            }
        }
        TRY(roomier.try_reserve(wanted + wanted / 2)); // some more: others revoke too
    }
}

void Handle::forget(u64 block, u64 count) {
    VERIFY(count <= to_revoke_);
    for (u64 number = block; number < block + count; ++number) {
        OwnPtr<ChangedBlock> dropped;
        core::SpinGuard guard(journal_->lock_);
        Transaction& running = *journal_->running_;
        --to_revoke_, --running.to_revoke;
        running.revoke(number);
        if (auto it = running.changed.find(number); it != running.changed.end()) {
            dropped.reset(&*it);
            running.changed.erase(it);
            --running.count;
        }
    }
}

u64 Handle::transaction() const { return journal_->running(); }
u64 Handle::last_committed() const { return journal_->last_committed(); }
DataInFlight Handle::data_in_flight() { return {*journal_, *journal_->running_}; }

bool Handle::extend(usize blocks) {
    core::SpinGuard guard(journal_->lock_);
    Transaction& running = *journal_->running_;
    if (!journal_->fits(running, blocks)) return false;
    running.reserved += blocks;
    left_ += blocks;
    return true;
}

Result<OwnPtr<ChangedBlock>> Journal::make_changed(u64 block) {
    if (block >= volume_.blocks()) return error(Errno::EUCLEAN);
    auto changed = TRY(try_make<ChangedBlock>());
    changed->block = block;
    changed->copy.reset(new (std::nothrow) u8[volume_.block_size()]);
    if (!changed->copy) return error(Errno::ENOMEM);
    const u64 offset = block << volume_.block_shift();
    changed->offset = offset & (arch::page_size - 1);
    changed->page = TRY(device_.get_page(offset >> arch::page_shift, arch::Access::Read));
    return changed;
}

Result<MutableBlock> Journal::change_block(u64 block, usize& left) {
    if (is_aborted()) return error(Errno::EROFS);
    OwnPtr<ChangedBlock> fresh;
    for (;;) {
        {
            core::SpinGuard guard(lock_);
            Transaction& running = *running_;
            auto it = running.changed.find(block);
            if (it == running.changed.end() && fresh) {
                if (left == 0 && !fits(running, 1)) return error(Errno::ENOSPC);
                if (left > 0) --left, --running.reserved;
                it = running.changed.insert(*fresh.release()).first;
                ++running.count;
                running.take_back_revoke(block);
            }
            if (it != running.changed.end())
                return MutableBlock(mm::PageRef::share(*it->page), it->offset, volume_.block_size());
        }
        fresh = TRY(make_changed(block));
    }
}

// ---- the running transaction ----

/// Blocks of the log that a transaction takes.
usize Journal::blocks_for(usize changed, usize revoked) const {
    const JournalFormat& format = file_->format;
    return changed + divide_up(changed, format.tags_in_block()) + divide_up(revoked, format.revokes_in_block()) + 1;
}

bool Journal::fits(const Transaction& transaction, usize more) const {
    const usize changed = transaction.count + transaction.reserved + more;
    return changed <= most_blocks_ && blocks_for(changed, transaction.revoked.size()) <= 2 * most_blocks_;
}

Result<Handle> Journal::begin(usize blocks) {
    if (blocks > most_blocks_) return error(Errno::ENOSPC);
    for (;;) {
        state_lock_.lock_shared();
        if (is_aborted()) {
            state_lock_.unlock_shared();
            return error(Errno::EROFS);
        }
        const u64 full = running();
        {
            core::SpinGuard guard(lock_);
            if (fits(*running_, blocks)) {
                running_->reserved += blocks;
                return Handle(*this, blocks);
            }
        }
        state_lock_.unlock_shared();
        TRY(commit(full));
    }
}

Journal::~Journal() {
    committed_.clear_and_dispose([](ChangedBlock* block) { delete block; });
}

void Journal::abort(Errno reason) {
    if (aborted_.exchange(true)) return;
    core::log_error("EXT4-fs ({}): the journal is aborted (error {})", volume_.name(), static_cast<int>(reason));
    disk_.aborted(reason);
}

// ---- opening ----

Result<OwnPtr<Journal>> Journal::open(Volume& volume, mm::FileObject& device, JournalDisk& disk) {
    OwnPtr<Journal> journal(new (std::nothrow) Journal(volume, device, disk));
    if (!journal) return error(Errno::ENOMEM);
    TRY(journal->start());
    return journal;
}

Result<void> Journal::reopen() {
    core::MutexGuard guard(commit_lock_);
    core::WriteGuard<> state_guard(state_lock_);
    aborted_.store(true, std::memory_order_release); // as it is, unless something failed behind an earlier start
    if (!running_->is_empty()) return error(Errno::EUCLEAN);
    TRY(start());
    aborted_.store(false, std::memory_order_release);
    return {};
}

Result<void> Journal::start() {
    file_ = TRY(JournalFile::open(volume_));
    JournalSuperblock& superblock = file_->superblock;
    if (superblock.start != 0) return error(Errno::EUCLEAN);
    TRY(map_log());
    // An empty log can take another form: the one that Linux gives it.
    u32 features = superblock.feature_incompat;
    features = (features & ~(journal_checksum_v2 | journal_checksum_v3 | journal_64bit)) | journal_revoke;
    if (volume_.has_checksums()) features |= journal_checksum_v3;
    if (volume_.superblock().feature_incompat & incompat_64bit) features |= journal_64bit;
    superblock.feature_incompat = features;
    superblock.feature_compat = superblock.feature_compat & ~journal_compat_checksum;
    superblock.checksum_type = volume_.has_checksums() ? journal_checksum_crc32c : 0;
    superblock.error = 0;
    file_->format = JournalFormat(superblock);

    const u32 length = file_->end - superblock.first;
    most_blocks_ = length / 4;
    head_ = superblock.first;
    sequence_ = superblock.first_sequence;
    if (!running_) {
        running_ = TRY(try_make<Transaction>());
        running_->number = running();
    }
    own_block_.reset(new (std::nothrow) u8[volume_.block_size()]);
    superblock_block_.reset(new (std::nothrow) u8[volume_.block_size()]);
    if (!own_block_ || !superblock_block_) return error(Errno::ENOMEM);
    const Block first = TRY(read_file_block(volume_, file_->inode, 0));
    std::memcpy(superblock_block_.get(), first.bytes().data(), first.size());
    return write_superblock(head_);
}

Result<void> Journal::map_log() {
    constexpr u32 least_blocks = 64; // for a few handles; mke2fs makes no journal of less than 1024
    if (file_->end - file_->superblock.first < least_blocks) return error(Errno::EUCLEAN);
    log_.clear();
    for (u32 index = 0; index < file_->end;) {
        const Run run = TRY(map_blocks(volume_, file_->inode, index, file_->end - index));
        if (run.kind != Run::Kind::Data) return error(Errno::EUCLEAN);
        TRY(log_.try_push({index, static_cast<u32>(run.count), run.first}));
        index += static_cast<u32>(run.count);
    }
    return {};
}

u64 Journal::place_of(u32 index) const {
    const auto runs = log_.span();
    const auto behind = std::ranges::upper_bound(runs, index, {}, &LogRun::index);
    const LogRun& run = *std::prev(behind);
    return run.place + (index - run.index);
}

/// Where whoever replays the log is to begin; 0: nowhere. Durable when it returns.
Result<void> Journal::write_superblock(u32 start) {
    JournalSuperblock& superblock = file_->superblock;
    superblock.first_sequence = sequence_;
    superblock.start = start;
    if (file_->format.has_checksums()) superblock.checksum = checksum_of(superblock);
    std::memcpy(superblock_block_.get(), &superblock, sizeof(superblock));
    const u8* const block = superblock_block_.get();
    TRY(disk_.write_log(place_of(0), {&block, 1}));
    return disk_.flush();
}

Result<void> store_superblock(Volume& volume, mm::FileObject& device, JournalDisk& disk,
                              FunctionRef<void(Superblock&)> change) {
    const core::MutexGuard guard(volume.superblock_lock);
    const u64 block = volume.superblock_place().block;
    const u64 begin = block << volume.block_shift();
    const mm::PageRef page = TRY(device.get_page(begin >> arch::page_shift, arch::Access::Read));
    Superblock& superblock = volume.superblock_to_change();
    change(superblock);
    if (volume.has_checksums()) superblock.checksum = checksum_of(superblock);
    std::memcpy(page.data<u8>() + (superblock_offset & (arch::page_size - 1)), &superblock, sizeof(superblock));
    const u8* const bytes = page.data<u8>() + (begin & (arch::page_size - 1));
    TRY(disk.write(block, {&bytes, 1}));
    return disk.flush();
}

} // namespace linnet::ext4
