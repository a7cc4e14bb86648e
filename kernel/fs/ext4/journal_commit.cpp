// Commits and checkpoints.
//
// A commit: descriptors with the blocks that they speak of, and what is revoked; a flush, which also makes durable the
// data that was written before; the commit block; a flush. Only the last makes the transaction count. A checkpoint
// writes all that is committed to its places, which empties the log.
#include "journal.hpp"

#include <algorithm>
#include <core/time.hpp>

namespace linnet::ext4 {

/// Gathers blocks that lie behind each other, and writes them in one go.
class BlockBatch {
public:
    using Write = Result<void> (JournalDisk::*)(u64, std::span<const u8* const>);
    BlockBatch(JournalDisk& disk, Write write) : disk_(disk), write_(write) {}
    /// `contents` must stay until flush_out().
    Result<void> add(u64 place, const u8* contents) {
        if (count_ == most || (count_ > 0 && place != first_ + count_)) TRY(flush_out());
        if (count_ == 0) first_ = place;
        blocks_[count_++] = contents;
        return {};
    }
    Result<void> flush_out() {
        if (count_ == 0) return {};
        return (disk_.*write_)(first_, {blocks_, std::exchange(count_, 0)});
    }

private:
    static constexpr usize most = 32;
    JournalDisk& disk_;
    const Write write_;
    u64 first_ = 0;
    usize count_ = 0;
    const u8* blocks_[most];
};

/// Writes one block after the other to the log.
class Journal::LogWriter {
public:
    explicit LogWriter(Journal& journal) : journal_(journal), batch_(journal.disk_, &JournalDisk::write_log) {}
    Result<void> add(const u8* contents) {
        TRY(batch_.add(journal_.place_of(journal_.head_), contents));
        journal_.head_ = journal_.file_->behind(journal_.head_);
        ++journal_.used_;
        return {};
    }
    Result<void> flush_out() { return batch_.flush_out(); }
    /// The block of the journal's own that is to be filled next; what it held has been written.
    std::span<u8> own_block(JournalBlock type) {
        const std::span<u8> bytes(journal_.own_block_.get(), journal_.volume_.block_size());
        std::memset(bytes.data(), 0, bytes.size());
        const JournalHeader header{journal_magic, static_cast<u32>(type), journal_.sequence_};
        std::memcpy(bytes.data(), &header, sizeof(header));
        return bytes;
    }

private:
    Journal& journal_;
    BlockBatch batch_;
};

Result<void> Journal::or_abort(Result<void> result) {
    if (!result) abort(result.error());
    return result;
}

Result<bool> Journal::commit(u64 transaction) {
    core::MutexGuard guard(commit_lock_);
    const u64 before = last_committed();
    if (before >= transaction) return false;
    if (is_aborted()) return error(Errno::EROFS);
    TRY(commit_running_locked());
    return last_committed() != before;
}

Result<void> Journal::checkpoint() {
    core::MutexGuard guard(commit_lock_);
    if (is_aborted()) return error(Errno::EROFS);
    TRY(commit_running_locked());
    return or_abort(checkpoint_locked());
}

Result<void> Journal::close() {
    core::MutexGuard guard(commit_lock_);
    if (is_aborted()) return error(Errno::EROFS);
    for (bool is_empty = false; !is_empty;) {
        TRY(commit_running_locked());
        core::WriteGuard<> state_guard(state_lock_);
        is_empty = running_->is_empty();
        if (is_empty) aborted_.store(true, std::memory_order_release);
    }
    TRY(checkpoint_locked());
    return write_superblock(0);
}

Result<void> Journal::commit_running_locked() {
    OwnPtr<Transaction> committing = TRY(switch_transaction());
    if (!committing) return {};
    // Handles are short, and so is what is under way.
    (void)core::wait_until(data_queue_, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return committing->data_in_flight.load(std::memory_order_acquire) == 0; });
    if (is_aborted()) return error(Errno::EROFS);
    const usize needed = blocks_for(committing->count, committing->revoked.size());
    const u32 length = file_->end - file_->superblock.first;
    if (needed > length - used_) TRY(or_abort(checkpoint_locked()));
    if (needed > length) return or_abort(error(Errno::ENOSPC)); // so many revokes in so small a log
    TRY(or_abort(write_to_log(*committing)));
    keep_for_checkpoint(*committing);
    last_committed_.store(committing->number, std::memory_order_release);
    disk_.committed(committing->number);
    // Copies cost memory, and a full log makes the next one wait.
    constexpr usize most_copied_bytes = usize{16} << 20;
    if (used_ > length / 2 || committed_count_ * volume_.block_size() > most_copied_bytes)
        TRY(or_abort(checkpoint_locked()));
    return {};
}

/// The running transaction with copies of its blocks, when its handles have ended; another one runs now. Null when it
/// has changed nothing.
Result<OwnPtr<Transaction>> Journal::switch_transaction() {
    auto next = TRY(try_make<Transaction>());
    core::WriteGuard<> guard(state_lock_);
    Transaction& running = *running_;
    if (running.is_empty() && running.data_in_flight.load(std::memory_order_acquire) == 0) return OwnPtr<Transaction>();
    for (ChangedBlock& changed : running.changed)
        std::memcpy(changed.copy.get(), changed.page.data<u8>() + changed.offset, volume_.block_size());
    next->number = running.number + 1;
    std::swap(next, running_);
    running_number_.store(running_->number, std::memory_order_release);
    return next;
}

Result<void> Journal::write_to_log(Transaction& transaction) {
    LogWriter writer(*this);
    auto written = write_changed(writer, transaction);
    for (ChangedBlock& changed : transaction.changed) {
        const BigEndian<u32> magic = journal_magic;
        if (changed.is_escaped) std::memcpy(changed.copy.get(), &magic, sizeof(magic));
    }
    TRY(written);
    TRY(write_revokes(writer, transaction));
    TRY(disk_.flush());
    TRY(write_commit_block(writer));
    TRY(disk_.flush());
    ++sequence_;
    return {};
}

Result<void> Journal::write_changed(LogWriter& writer, Transaction& transaction) {
    const JournalFormat& format = file_->format;
    const usize size = volume_.block_size();
    for (auto next = transaction.changed.begin(); next != transaction.changed.end();) {
        const std::span<u8> descriptor = writer.own_block(JournalBlock::Descriptor);
        usize offset = sizeof(JournalHeader);
        auto first = next;
        for (usize left = format.tags_in_block(); left > 0 && next != transaction.changed.end(); --left) {
            ChangedBlock& changed = *next++;
            const std::span<u8> copy(changed.copy.get(), size);
            JournalFormat::Tag tag{.block = changed.block};
            // Whoever looks for the journal's own blocks must not find one in what it keeps.
            changed.is_escaped = object_at<BigEndian<u32>>(copy, 0) == journal_magic;
            if (changed.is_escaped) {
                std::memset(copy.data(), 0, sizeof(u32));
                tag.flags |= tag_escaped;
            }
            if (offset != sizeof(JournalHeader)) tag.flags |= tag_same_uuid;
            if (left == 1 || next == transaction.changed.end()) tag.flags |= tag_last;
            tag.checksum = format.data_checksum(sequence_, copy);
            offset = format.put_tag(descriptor, offset, tag);
        }
        format.seal(descriptor, JournalBlock::Descriptor);
        TRY(writer.add(descriptor.data()));
        for (; first != next; ++first) TRY(writer.add(first->copy.get()));
        TRY(writer.flush_out());
    }
    return {};
}

Result<void> Journal::write_revokes(LogWriter& writer, const Transaction& transaction) {
    const JournalFormat& format = file_->format;
    for (usize done = 0; done < transaction.revoked.size();) {
        const std::span<u8> bytes = writer.own_block(JournalBlock::Revoke);
        usize offset = sizeof(RevokeHeader);
        const usize end = std::min(transaction.revoked.size(), done + format.revokes_in_block());
        for (; done < end; ++done, offset += format.revoke_length()) {
            const BigEndian<u64> number = transaction.revoked[done];
            const usize skipped = sizeof(number) - format.revoke_length();
            std::memcpy(bytes.data() + offset, reinterpret_cast<const u8*>(&number) + skipped, format.revoke_length());
        }
        const BigEndian<u32> length = static_cast<u32>(offset);
        std::memcpy(bytes.data() + offsetof(RevokeHeader, bytes), &length, sizeof(length));
        format.seal(bytes, JournalBlock::Revoke);
        TRY(writer.add(bytes.data()));
        TRY(writer.flush_out());
    }
    return {};
}

Result<void> Journal::write_commit_block(LogWriter& writer) {
    const std::span<u8> bytes = writer.own_block(JournalBlock::Commit);
    CommitHeader header = object_at<CommitHeader>(bytes, 0);
    const u64 now = disk_.now_ns();
    header.seconds = now / core::ns_per_second;
    header.nanoseconds = static_cast<u32>(now % core::ns_per_second);
    std::memcpy(bytes.data(), &header, sizeof(header));
    file_->format.seal(bytes, JournalBlock::Commit);
    TRY(writer.add(bytes.data()));
    return writer.flush_out();
}

/// The copies wait for the checkpoint, in the place of older ones. What is revoked must not be written any more: its
/// blocks may be somebody else's from now on.
void Journal::keep_for_checkpoint(Transaction& transaction) {
    const auto drop = [this](u64 block) {
        auto it = committed_.find(block);
        if (it == committed_.end()) return;
        committed_.erase_and_dispose(it, [](ChangedBlock* gone) { delete gone; });
        --committed_count_;
    };
    for (u64 block : transaction.revoked) drop(block);
    transaction.changed.clear_and_dispose([&](ChangedBlock* changed) {
        drop(changed->block);
        committed_.insert(*changed);
        ++committed_count_;
    });
    transaction.count = 0;
}

Result<void> Journal::checkpoint_locked() {
    if (used_ == 0) return {};
    TRY(write_places());
    TRY(disk_.flush());
    TRY(write_superblock(head_));
    used_ = 0;
    committed_.clear_and_dispose([](ChangedBlock* done) { delete done; });
    committed_count_ = 0;
    return {};
}

Result<void> Journal::write_places() {
    BlockBatch batch(disk_, &JournalDisk::begin_write);
    Result<void> begun;
    for (ChangedBlock& changed : committed_) {
        begun = batch.add(changed.block, changed.copy.get());
        if (!begun) break;
    }
    if (begun) begun = batch.flush_out();
    const Result<void> finished = disk_.finish_writes();
    return begun ? finished : begun;
}

} // namespace linnet::ext4
