// Reading, writing and mapping regular files.
#include "file.hpp"

#include "superblock.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <algorithm>
#include <cstring>
#include <vfs/current.hpp>
#include <vfs/mount.hpp>

namespace linnet::fs {

namespace {

/// What a transfer that stopped at `failure` after `done` bytes answers.
Result<usize> stopped(usize done, Errno failure) {
    if (done > 0) return done;
    return error(failure);
}

/// Calls `visit` with the parts of pages that lie behind each other which [begin, +length) of their bytes are.
template <typename Visit>
void for_each_part(std::span<mm::Page* const> pages, usize begin, usize length, Visit visit) {
    while (length > 0) {
        const usize in_page = begin & (arch::page_size - 1);
        const usize count = std::min(length, arch::page_size - in_page);
        visit(std::span<u8>(mm::page_data<u8>(*pages[begin >> arch::page_shift]) + in_page, count));
        begin += count;
        length -= count;
    }
}

} // namespace

// ---- open files ----

P9File::P9File(const vfs::Path& path, u32 flags, RefPtr<p9::Fid> fid)
    : File(path, flags, Positioning::Seekable), fid_(std::move(fid)) {
    file_inode().add_user();
}

P9File::~P9File() {
    // The server's users are to see what the last mapping has written. Nobody is left to be told of errors.
    if (is_writable()) (void)file_inode().store_pages();
    file_inode().remove_user();
}

p9::Client& P9File::client() const { return static_cast<P9SuperBlock&>(inode().superblock()).client(); }

Result<RefPtr<vfs::File>> P9File::create(const vfs::Path& path, u32 flags, RefPtr<p9::Fid> fid) {
    auto* file = new (std::nothrow) P9File(path, flags, std::move(fid));
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

Result<usize> P9File::read(vfs::IoBuffer& to, u64 offset) {
    TRY(file_inode().store_pages(offset, to.remaining()));
    usize done = 0;
    while (to.remaining() > 0) {
        usize got = 0;
        const auto take = [&](std::span<const u8> bytes) -> Result<usize> {
            got = bytes.size();
            return bytes.empty() ? Result<usize>(usize{0}) : to.copy_out(bytes);
        };
        const usize wanted = to.remaining();
        const auto count = client().read(*fid_, offset + done, wanted, core::Sleep::Interruptible, take);
        if (!count) return stopped(done, count.error());
        done += *count;
        if (got == 0 || *count < got) break;
    }
    return done;
}

Result<usize> P9File::write(vfs::IoBuffer& from, u64 offset) {
    core::WriteGuard guard(inode().lock);
    return write_locked(from, offset);
}

Result<usize> P9File::append(vfs::IoBuffer& from, u64& offset) {
    core::WriteGuard guard(inode().lock);
    // Without an answer it is where we saw it last.
    const auto now = file_inode().ask_attributes();
    offset = now ? now->size : inode().size();
    return write_locked(from, offset);
}

Result<usize> P9File::write_locked(vfs::IoBuffer& from, u64 offset) {
    if (from.remaining() == 0) return usize{0};
    const u64 limit = vfs::current_file_size_limit();
    if (offset >= limit) {
        vfs::file_size_limit_exceeded();
        return error(Errno::EFBIG);
    }
    const u64 largest = inode().superblock().max_file_size();
    if (offset >= largest) return error(Errno::EFBIG);
    const usize wanted = std::min<u64>(from.remaining(), std::min(limit, largest) - offset);
    TRY(file_inode().store_pages(offset, wanted));
    usize done = 0;
    while (done < wanted) {
        usize filled = 0;
        const auto fill = [&](std::span<u8> place) -> Result<usize> { return filled = TRY(from.copy_in(place)); };
        const auto stored = [&](std::span<const u8> bytes) { file_inode().note_stored(offset + done, bytes); };
        const auto count =
            client().write(*fid_, offset + done, wanted - done, core::Sleep::Interruptible, fill, stored);
        if (!count) return stopped(done, count.error());
        done += *count;
        if (*count == 0 || *count < filled) break; // what was taken from the buffer beyond it is not asked for again
    }
    return done;
}

Result<RefPtr<mm::VmObject>> P9File::mmap(const vfs::MapFileRequest& request) {
    if (request.executable && !path().is_empty() && (path().mount->flags() & abi::MS_NOEXEC))
        return error(Errno::EPERM);
    const bool may_write = request.shared && is_writable();
    // As on Linux, which could not tell when such a mapping is written to later.
    if (may_write && !static_cast<P9SuperBlock&>(inode().superblock()).maps_writable()) return error(Errno::EINVAL);
    return file_inode().map(fid_, may_write ? P9Regular::MayWrite::Yes : P9Regular::MayWrite::No);
}

Result<u64> P9File::seek(u64 position, i64 offset, u32 whence) {
    if (whence != abi::SEEK_SET && whence != abi::SEEK_CUR) (void)file_inode().ask_attributes();
    return File::seek(position, offset, whence);
}

Result<void> P9File::truncate(u64 size) {
    if (size > inode().superblock().max_file_size()) return error(Errno::EFBIG);
    core::WriteGuard guard(inode().lock);
    (void)file_inode().ask_attributes();
    if (size > inode().size() && size > vfs::current_file_size_limit()) {
        vfs::file_size_limit_exceeded();
        return error(Errno::EFBIG);
    }
    return inode().truncate(size);
}

Result<void> P9File::sync(SyncKind) {
    TRY(file_inode().store_pages());
    return client().sync(*fid_, core::Sleep::Interruptible);
}

// ---- inodes ----

P9Regular::~P9Regular() {
    if (mm::FileObject* pages = pages_.load()) {
        pages->detach();
        pages->unref();
    }
}

Result<RefPtr<vfs::File>> P9Regular::open(const vfs::Path& path, u32 flags) {
    NullableRefPtr<p9::Fid> created;
    {
        core::SpinGuard guard(fids_lock_);
        created = std::exchange(created_, nullptr);
    }
    if (created) return P9File::create(path, flags, RefPtr<p9::Fid>(std::move(created)));
    RefPtr<p9::Fid> opened = TRY(client().clone(*fid()));
    TRY(client().open(*opened, flags & abi::O_ACCMODE));
    return P9File::create(path, flags, std::move(opened));
}

void P9Regular::set_created(RefPtr<p9::Fid> fid) {
    NullableRefPtr<p9::Fid> old(std::move(fid));
    core::SpinGuard guard(fids_lock_);
    std::swap(created_, old); // the old one goes when the lock is free again
}

void P9Regular::remove_user() {
    if (users_.fetch_sub(1) != 1) return;
    NullableRefPtr<p9::Fid> reader, writer;
    core::SpinGuard guard(fids_lock_);
    if (users_.load() != 0) return; // somebody has come meanwhile, and may have mapped it
    std::swap(reader, page_reader_);
    std::swap(writer, page_writer_);
}

Result<void> P9Regular::truncate(u64 size) {
    TRY(store_pages());
    p9::Change change;
    change.valid = p9::Change::size_bit;
    change.size = size;
    TRY(client().set_attributes(*fid(), change));
    change_size(size);
    return {};
}

void P9Regular::change_size(u64 size) {
    set_size(size);
    if (mm::FileObject* pages = pages_.load(std::memory_order_acquire)) pages->set_size(size);
}

Result<RefPtr<mm::VmObject>> P9Regular::map(RefPtr<p9::Fid> fid, MayWrite may_write) {
    core::MutexGuard mapping_guard(mapping_lock_);
    TRY(store_pages());
    TRY(ask_attributes());
    if (!pages_.load()) pages_.store(TRY(mm::FileObject::create(*this, size())).release(), std::memory_order_release);
    mm::FileObject& pages = *pages_.load();
    pages.set_size(size());
    pages.drop_clean();
    NullableRefPtr<p9::Fid> reader(fid), writer;
    if (may_write == MayWrite::Yes) writer = fid;
    core::SpinGuard guard(fids_lock_);
    std::swap(page_reader_, reader); // the old ones go when the lock is free again
    if (may_write == MayWrite::Yes) std::swap(page_writer_, writer);
    return RefPtr<mm::VmObject>(pages);
}

NullableRefPtr<p9::Fid> P9Regular::page_fid(const NullableRefPtr<p9::Fid>& which) {
    core::SpinGuard guard(fids_lock_);
    return which;
}

// ---- pages ----

Result<void> P9Regular::store_pages() { return store_pages(0, ~u64{0}); }

Result<void> P9Regular::store_pages(u64 offset, u64 length) {
    mm::FileObject* const pages = pages_.load(std::memory_order_acquire);
    if (!pages || !has_dirty_pages_.load(std::memory_order_acquire)) return {};
    const bool is_all = offset == 0 && length == ~u64{0};
    // Before the pages are looked at: what is written meanwhile says so again.
    if (is_all) has_dirty_pages_.store(false);
    const u64 end = length > ~u64{0} - offset ? ~u64{0} : offset + length;
    const auto stored = pages->write_back(offset, std::min(end, pages->size()));
    if (!stored && is_all) has_dirty_pages_.store(true);
    return stored;
}

void P9Regular::note_stored(u64 offset, std::span<const u8> bytes) {
    if (offset + bytes.size() > size()) change_size(offset + bytes.size());
    if (mm::FileObject* pages = pages_.load(std::memory_order_acquire)) pages->note_stored(offset, bytes);
}

Result<void> P9Regular::read_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return read_pages(index, {&only, 1});
}

Result<void> P9Regular::write_page(u64 index, mm::Page& page) {
    mm::Page* const only = &page;
    return write_pages(index, {&only, 1});
}

Result<void> P9Regular::read_pages(u64 index, Pages pages) {
    const NullableRefPtr<p9::Fid> fid = page_fid(page_reader_);
    if (!fid) return error(Errno::EIO);
    const u64 offset = index << arch::page_shift;
    const usize length = pages.size() << arch::page_shift;
    usize done = 0;
    const auto take = [&](std::span<const u8> bytes) -> Result<usize> {
        const usize count = bytes.size();
        for_each_part(pages, done, count, [&](std::span<u8> part) {
            std::memcpy(part.data(), bytes.data(), part.size());
            bytes = bytes.subspan(part.size());
        });
        return count;
    };
    while (done < length) {
        const usize count = TRY(client().read(*fid, offset + done, length - done, core::Sleep::Killable, take));
        if (count == 0) break; // the end of the file
        done += count;
    }
    for_each_part(pages, done, length - done, [](std::span<u8> part) { std::memset(part.data(), 0, part.size()); });
    return {};
}

Result<void> P9Regular::write_pages(u64 index, Pages pages) {
    const NullableRefPtr<p9::Fid> fid = page_fid(page_writer_);
    if (!fid) return error(Errno::EIO);
    const u64 offset = index << arch::page_shift;
    const u64 end = pages_.load()->size();
    if (offset >= end) return {};
    const usize length = std::min<u64>(pages.size() << arch::page_shift, end - offset);
    for (usize done = 0; done < length;) {
        const auto fill = [&](std::span<u8> place) -> Result<usize> {
            const usize count = place.size();
            for_each_part(pages, done, count, [&](std::span<u8> part) {
                std::memcpy(place.data(), part.data(), part.size());
                place = place.subspan(part.size());
            });
            return count;
        };
        // Not given up for a signal: the pages count as stored.
        const usize count = TRY(
            client().write(*fid, offset + done, length - done, core::Sleep::Deep, fill, [](std::span<const u8>) {}));
        if (count == 0) return error(Errno::EIO);
        done += count;
    }
    return {};
}

} // namespace linnet::fs
