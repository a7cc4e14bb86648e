// What changes metadata: who edits bitmaps, trees and directories asks for each block here, so that what belongs
// together reaches the disk together or not at all. The journal's handles are one; host tests have simpler ones.
#pragma once

#include "volume.hpp"

namespace linnet::ext4 {

/// A block of metadata that may be changed, until its writer ends.
class MutableBlock {
public:
    MutableBlock() = default;
    MutableBlock(mm::PageRef page, usize offset, usize size) : page_(std::move(page)), offset_(offset), size_(size) {}
    [[nodiscard]] std::span<u8> bytes() { return {page_.data<u8>() + offset_, size_}; }
    [[nodiscard]] usize size() const { return size_; }
    /// The object at `offset`, which must lie within the block and be aligned.
    template <typename T>
    T& at(usize offset) {
        VERIFY(offset + sizeof(T) <= size_ && offset % alignof(T) == 0);
        return *reinterpret_cast<T*>(bytes().data() + offset);
    }

private:
    mm::PageRef page_;
    usize offset_ = 0;
    usize size_ = 0;
};

/// Changes that become durable together. Whoever changes a block holds the lock of what the block is about (an inode's,
/// a group's), keeps the block's checksum right, and undoes what it did when it fails half-way.
class MetadataWriter {
public:
    /// A block as it is, to be changed in place. May sleep. EIO, EUCLEAN, ENOMEM, EINTR; EROFS once the file system
    /// doesn't take changes any more.
    virtual Result<MutableBlock> change(u64 block) = 0;
    /// A block that was free: zeros, without being read. The same errors.
    virtual Result<MutableBlock> fresh(u64 block) = 0;
    /// Makes room for what forget() is to note of so many blocks more, as long as the whole can still be given up.
    /// Where they are not forgotten after all, nothing is to be done. ENOMEM, EROFS.
    virtual Result<void> prepare_to_forget(u64 count) = 0;
    /// Blocks of metadata that are free now: what the journal knows of them must never be replayed over what comes to
    /// lie there. prepare_to_forget() was told of them: it can't fail, since freeing a part would be damage.
    virtual void forget(u64 block, u64 count) = 0;
    /// The number of the transaction that the changes belong to, and of the last one that has been committed; they only
    /// grow. Blocks that a transaction frees, of data or metadata, are not to be allocated before it is committed:
    /// should the machine stop first, they are still what they were. The allocator remembers them with this number.
    [[nodiscard]] virtual u64 transaction() const = 0;
    [[nodiscard]] virtual u64 last_committed() const = 0;

protected:
    ~MetadataWriter() = default;
};

} // namespace linnet::ext4
