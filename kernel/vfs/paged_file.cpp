// Reading and writing regular files through their pages.
//
// A read takes no lock but the page's reference; a write holds the inode's lock, as Linux does, so that
// writes are atomic against each other and against truncation. User copies happen under it, which is why page
// faults must never take it.
#include "paged_file.hpp"

#include "attribute_rules.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstring>
#include <mm/page_cache.hpp>
#include <vfs/current.hpp>
#include <vfs/mount.hpp>
#include <vfs/page_io.hpp>
#include <vfs/superblock.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

Result<RefPtr<File>> PagedFile::create(const Path& path, u32 flags) {
    auto* file = new (std::nothrow) PagedFile(path, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

namespace {

/// The piece of a transfer that lies in one page.
struct PagePiece {
    u64 index;
    usize begin;
    usize size;
    PagePiece(u64 offset, usize left)
        : index(offset >> arch::page_shift), begin(offset & (arch::page_size - 1)),
          size(std::min(left, arch::page_size - begin)) {}
};

/// What a transfer that stopped at `failure` after `done` bytes answers.
Result<usize> stopped(usize done, Errno failure) {
    if (done > 0) return done;
    return error(failure);
}

} // namespace

Result<usize> read_pages(mm::VmObject& object, u64 size, IoBuffer& to, u64 offset, mm::ReadAhead* reader) {
    if (offset >= size || to.remaining() == 0) return usize{0};
    usize wanted = std::min<u64>(to.remaining(), size - offset);
    bool memory_only = object.kind() == mm::VmObject::Kind::Shared;
    mm::FileObject* const file = reader ? object.as_file() : nullptr;
    const bool goes_on = file && reader->goes_on_at(offset >> arch::page_shift);
    const u64 behind = ((offset + wanted - 1) >> arch::page_shift) + 1;
    usize done = 0;
    while (done < wanted) {
        PagePiece piece(offset + done, wanted - done);
        mm::PageRef page = object.find_page(piece.index);
        if (file && (!page || reader->is_due(piece.index))) {
            using Found = mm::FileObject::Found;
            file->read_ahead(*reader, piece.index, behind - piece.index, page ? Found::Mark : Found::Nothing);
        }
        if (goes_on) reader->note_read(piece.index + 1);
        Result<usize> copied = usize{0};
        if (!page && memory_only) {
            copied = to.zero_out(piece.size); // a hole
        } else {
            if (!page) {
                auto loaded = object.get_page(piece.index, arch::Access::Read);
                if (!loaded) return stopped(done, loaded.error());
                page = std::move(*loaded);
            }
            copied = to.copy_out({page.data<u8>() + piece.begin, piece.size});
        }
        if (!copied) return stopped(done, copied.error());
        done += *copied;
        if (*copied < piece.size) break;
    }
    if (file) reader->note_read(behind);
    return done;
}

namespace {

/// Fills the piece of a page; how much of it was written before user memory ended.
Result<usize> write_piece(mm::VmObject& object, IoBuffer& from, const PagePiece& piece) {
    mm::FileObject* const file = object.as_file();
    mm::PageRef fresh;
    usize copied = 0;
    // All of a page that isn't there: it need not be read, for nothing of it stays.
    if (file && piece.size == arch::page_size && !object.find_page(piece.index)) {
        fresh = TRY(mm::allocate_page(mm::PageZeroing::Uninitialised, mm::PageKind::File));
        copied = TRY(from.copy_in({fresh.data<u8>(), piece.size}));
        if (copied == piece.size) {
            // The reference stays ours, in case another page came first.
            if (TRY(file->add_page(piece.index, mm::PageRef::share(*fresh)))) return copied;
        }
    }
    mm::PageRef page = TRY(object.get_page(piece.index, arch::Access::Write));
    u8* const place = page.data<u8>() + piece.begin;
    if (fresh)
        std::memcpy(place, fresh.data<u8>(), copied);
    else
        copied = TRY(from.copy_in({place, piece.size}));
    if (object.wants_write_faults()) mm::note_dirty(*page);
    return copied;
}

} // namespace

Result<usize> write_pages(mm::VmObject& object, IoBuffer& from, u64 offset, usize wanted) {
    usize done = 0;
    while (done < wanted) {
        PagePiece piece(offset + done, wanted - done);
        auto copied = write_piece(object, from, piece);
        if (!copied) return stopped(done, copied.error());
        done += *copied;
        if (*copied < piece.size) break;
    }
    return done;
}

Result<usize> PagedFile::read(IoBuffer& to, u64 offset) {
    mm::VmObject* object = inode().pages();
    if (!object) return error(Errno::EINVAL);
    const auto alignment = alignment_for(to);
    const usize done = TRY(alignment ? read_directly(to, offset, *alignment)
                                     : read_pages(*object, inode().size(), to, offset, &read_ahead_));
    if (done > 0 && !path().is_empty() && !(status_flags() & abi::O_NOATIME)) note_access(path());
    return done;
}

bool PagedFile::accepts_direct() { return inode().direct_alignment().has_value(); }

/// What this read or write has to heed; nothing when it goes through pages. The kernel's own (splice) do.
std::optional<DirectAlignment> PagedFile::alignment_for(const IoBuffer& buffer) {
    if (!(status_flags() & abi::O_DIRECT) || !buffer.is_user()) return {};
    const auto alignment = inode().direct_alignment();
    return alignment && alignment->offset != 0 ? alignment : std::nullopt;
}

static Result<void> check_alignment(const DirectAlignment& alignment, const IoBuffer& buffer, u64 offset,
                                    usize wanted) {
    const bool is_fit =
        is_aligned(offset | wanted, alignment.offset) && buffer.is_aligned(alignment.memory, alignment.offset);
    return is_fit ? Result<void>{} : error(Errno::EINVAL);
}

Result<usize> PagedFile::read_directly(IoBuffer& to, u64 offset, const DirectAlignment& alignment) {
    core::ReadGuard guard(inode().lock);
    if (to.remaining() == 0 || offset >= inode().size()) return usize{0};
    TRY(check_alignment(alignment, to, offset, to.remaining()));
    return inode().read_direct(to, offset);
}

Result<usize> PagedFile::write(IoBuffer& from, u64 offset) {
    core::WriteGuard guard(inode().lock);
    return write_locked(from, offset);
}

Result<usize> PagedFile::append(IoBuffer& from, u64& offset) {
    core::WriteGuard guard(inode().lock);
    offset = inode().size();
    return write_locked(from, offset);
}

Result<usize> PagedFile::write_locked(IoBuffer& from, u64 offset) {
    mm::VmObject* object = inode().pages();
    if (!object) return error(Errno::EINVAL);
    if (from.remaining() == 0) return usize{0};
    u64 limit = current_file_size_limit();
    if (offset >= limit) {
        file_size_limit_exceeded();
        return error(Errno::EFBIG);
    }
    u64 largest = inode().superblock().max_file_size();
    if (offset >= largest) return error(Errno::EFBIG);
    usize wanted = std::min<u64>(from.remaining(), std::min(limit, largest) - offset);
    if (inode().has_seal(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE)) return error(Errno::EPERM);
    if (offset + wanted > inode().size() && inode().has_seal(abi::F_SEAL_GROW)) return error(Errno::EPERM);
    const auto alignment = alignment_for(from);
    if (alignment) TRY(check_alignment(*alignment, from, offset, wanted));
    if (const u32 lost = TRY(drop_privilege_bits(inode(), current_credentials()))) tell_watches(*this, lost);
    if (!alignment) return write_through_pages(from, offset, wanted);
    auto done = inode().write_direct(from, offset, wanted);
    if (done) inode().touch_modified();
    if (done || done.error() != Errno::EOPNOTSUPP) return done;
    done = TRY(write_through_pages(from, offset, wanted));
    // What was asked for is to be on its way to the disk.
    if (mm::FileObject* file = object->as_file()) {
        TRY(file->write_back(offset, offset + *done));
        file->drop_unused(offset, offset + *done);
    }
    return done;
}

Result<usize> PagedFile::write_through_pages(IoBuffer& from, u64 offset, usize wanted) {
    mm::VmObject* const object = inode().pages();
    TRY(inode().prepare_write(offset, wanted));
    inode().touch_modified();
    const usize done = TRY(write_pages(*object, from, offset, wanted));
    if (offset + done > inode().size()) {
        object->set_size(offset + done);
        inode().set_size(offset + done);
        // The last page may have been stored when the file was thought to end before.
        if (object->wants_write_faults())
            if (mm::PageRef last = object->find_page((offset + done - 1) >> arch::page_shift)) mm::note_dirty(*last);
    }
    return done;
}

Result<RefPtr<mm::VmObject>> PagedFile::mmap(const MapFileRequest& request) {
    mm::VmObject* object = inode().pages();
    if (!object) return error(Errno::ENODEV);
    if (request.shared && request.writable && inode().has_seal(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE))
        return error(Errno::EPERM);
    if (!path().is_empty()) {
        if (request.executable && (path().mount->flags() & abi::MS_NOEXEC)) return error(Errno::EPERM);
        note_access(path());
    }
    return RefPtr<mm::VmObject>(*object);
}

/// Those of the pool of huge pages are given back as a whole: nobody may hold a part of one.
mm::VmObject* PagedFile::lendable_pages() {
    mm::VmObject* object = inode().pages();
    return object && !object->is_hugetlb() && !object->is_secret() ? object : nullptr;
}

Result<void> PagedFile::truncate(u64 size) {
    if (size > inode().superblock().max_file_size()) return error(Errno::EFBIG);
    if (size > inode().size() && size > current_file_size_limit()) {
        file_size_limit_exceeded();
        return error(Errno::EFBIG);
    }
    core::WriteGuard guard(inode().lock);
    TRY(check_size_seals(inode(), size));
    const u32 lost = TRY(drop_privilege_bits(inode(), current_credentials()));
    TRY(inode().truncate(size));
    inode().touch_modified();
    tell_watches(*this, abi::IN_MODIFY | lost);
    return {};
}

Result<void> PagedFile::allocate_range(u32 mode, u64 offset, u64 length) {
    if (offset + length > inode().superblock().max_file_size()) return error(Errno::EFBIG);
    if (!(mode & (abi::FALLOC_FL_KEEP_SIZE | abi::FALLOC_FL_PUNCH_HOLE)) && offset + length > inode().size() &&
        offset + length > current_file_size_limit()) {
        file_size_limit_exceeded();
        return error(Errno::EFBIG);
    }
    core::WriteGuard guard(inode().lock);
    bool discards = (mode & (abi::FALLOC_FL_PUNCH_HOLE | abi::FALLOC_FL_ZERO_RANGE)) != 0;
    if (discards && inode().has_seal(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE)) return error(Errno::EPERM);
    if (!(mode & abi::FALLOC_FL_KEEP_SIZE) && offset + length > inode().size() && inode().has_seal(abi::F_SEAL_GROW))
        return error(Errno::EPERM);
    if (const u32 lost = TRY(drop_privilege_bits(inode(), current_credentials()))) tell_watches(*this, lost);
    TRY(inode().allocate_range(mode, offset, length));
    inode().touch_modified();
    return {};
}

Result<long> PagedFile::add_seals(u32 seals) {
    constexpr u32 known = abi::F_SEAL_SEAL | abi::F_SEAL_SHRINK | abi::F_SEAL_GROW | abi::F_SEAL_WRITE |
                          abi::F_SEAL_FUTURE_WRITE | abi::F_SEAL_EXEC;
    if (!is_writable()) return error(Errno::EPERM);
    if (seals & ~known) return error(Errno::EINVAL);
    core::WriteGuard guard(inode().lock);
    u32 now = inode().seals.load(std::memory_order_relaxed);
    if (now & abi::F_SEAL_SEAL) return error(Errno::EPERM);
    bool denies = (seals & abi::F_SEAL_WRITE) && !(now & abi::F_SEAL_WRITE);
    // Whoever maps it for writing claims that first and looks at the seals then: one of the two sees the other.
    if (denies && !inode().pages()->deny_writable_mappings()) return error(Errno::EBUSY);
    // Sealing the execute bits of an executable file seals what it executes too, writable mappings or not.
    if ((seals & abi::F_SEAL_EXEC) && (inode().mode() & abi::S_IXUGO))
        seals |= abi::F_SEAL_SHRINK | abi::F_SEAL_GROW | abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE;
    inode().seals.store(now | seals, std::memory_order_seq_cst);
    if (denies) inode().pages()->allow_writable_mappings();
    return 0;
}

Result<long> PagedFile::fcntl(u32 command, u64 argument) {
    u32 seals = inode().seals.load(std::memory_order_relaxed);
    if (seals == Inode::seals_unsupported) return error(Errno::EINVAL);
    if (command == abi::F_GET_SEALS) return seals;
    if (command == abi::F_ADD_SEALS) return add_seals(static_cast<u32>(argument));
    return error(Errno::EINVAL);
}

} // namespace linnet::vfs
