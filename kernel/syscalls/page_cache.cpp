// What programs say of the pages of files that they will want, or won't, and what they may know of them.
#include <abi/linux/fcntl.hpp>
#include <abi/linux/stat.hpp>
#include <algorithm>
#include <mm/page_cache.hpp>
#include <syscalls/file.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/inode.hpp>

namespace linnet::syscalls {

using process::Thread;

namespace {

/// More is not begun at a time: who asks for a large file would find its first pages gone before it reads them.
constexpr u64 most_at_once = u64{2} << 20;

/// Bytes of a file, as fadvise64(2) counts: a length of 0, or one that overflows, reaches to the end.
struct AdvisedRange {
    u64 begin, end;
    AdvisedRange(i64 offset, i64 length) : begin(static_cast<u64>(offset)), end(begin + static_cast<u64>(length)) {
        if (length == 0 || end < begin) end = ~u64{0} >> 1;
    }
};

void begin_reading(mm::FileObject& pages, const AdvisedRange& range) {
    const u64 first = range.begin >> arch::page_shift;
    const u64 last = divide_up(std::min(range.end, range.begin + most_at_once), arch::page_size);
    pages.begin_reading(first, last - first);
}

/// Whole pages only: what is in the rest of one may be wanted still. The last of a file is whole at its end.
void drop_pages(mm::FileObject& pages, const AdvisedRange& range) {
    const bool to_end = range.end >= pages.size();
    const u64 begin = align_up(range.begin, arch::page_size);
    const u64 end = to_end ? range.end : align_down(range.end, arch::page_size);
    if (begin < end) pages.drop_unused(begin, end);
}

void follow_advice(vfs::File& file, const AdvisedRange& range, u32 advice) {
    mm::VmObject* const object = file.page_cache();
    mm::FileObject* const pages = object ? object->as_file() : nullptr;
    mm::ReadAhead* const reader = file.read_ahead();
    switch (advice) {
    case abi::POSIX_FADV_NORMAL:
        if (reader) reader->set_advice(mm::ReadAdvice::Normal);
        break;
    case abi::POSIX_FADV_SEQUENTIAL:
        if (reader) reader->set_advice(mm::ReadAdvice::Sequential);
        break;
    case abi::POSIX_FADV_RANDOM:
        if (reader) reader->set_advice(mm::ReadAdvice::Random);
        break;
    case abi::POSIX_FADV_WILLNEED:
        if (pages) begin_reading(*pages, range);
        break;
    case abi::POSIX_FADV_DONTNEED:
        if (pages) drop_pages(*pages, range);
        break;
    default: // POSIX_FADV_NOREUSE: pages are as old as their last use, whoever used them
        break;
    }
}

} // namespace

Result<long> sys_fadvise64(Thread& thread, int fd, i64 offset, i64 length, u32 advice) {
    auto file = TRY(thread.own_files().use(fd));
    if (abi::S_ISFIFO(file->inode().mode())) return error(Errno::ESPIPE);
    if (length < 0 || advice > abi::POSIX_FADV_NOREUSE) return error(Errno::EINVAL);
    if (offset >= 0) follow_advice(*file, {offset, length}, advice);
    return 0;
}

Result<long> sys_readahead(Thread& thread, int fd, i64 offset, u64 count) {
    auto file = TRY(thread.own_files().use(fd));
    if (!file->is_readable()) return error(Errno::EBADF);
    const u32 mode = file->inode().mode();
    mm::VmObject* const object = abi::S_ISREG(mode) || abi::S_ISBLK(mode) ? file->page_cache() : nullptr;
    if (!object || offset < 0 || static_cast<i64>(count) < 0) return error(Errno::EINVAL);
    follow_advice(*file, {offset, static_cast<i64>(count)}, abi::POSIX_FADV_WILLNEED);
    return 0;
}

namespace {

struct CacheRange {
    u64 offset, length;
};
struct CacheCounts {
    u64 cached, dirty, written_back, evicted, recently_evicted;
};

/// Whoever could change the file may know what of it is cached.
bool may_see_cache(const vfs::File& file, const vfs::Credentials& who) {
    vfs::Inode& inode = file.inode();
    bool is_owner = who.fsuid == inode.uid() || who.effective.has(vfs::Capability::Fowner);
    return file.is_writable() || is_owner || inode.check_permission(vfs::may_write, who).has_value();
}

} // namespace

Result<long> sys_cachestat(Thread& thread, int fd, VirtAddr range_address, VirtAddr counts_address, u32 flags) {
    auto file = TRY(thread.own_files().use(fd));
    CacheRange range = TRY((mm::UserPtr<mm::In, CacheRange>(range_address).copy_in()));
    if (!may_see_cache(*file, thread.own_credentials())) return error(Errno::EPERM);
    if (flags != 0) return error(Errno::EINVAL);
    CacheCounts counts{};
    if (mm::VmObject* object = file->page_cache()) {
        // A length of 0 reaches to the end, whatever it is; sums wrap as on Linux, and then nothing is counted.
        u64 last = range.length == 0 ? ~u64{0} : (range.offset + range.length - 1) >> arch::page_shift;
        u64 first = range.offset >> arch::page_shift;
        auto found =
            first <= last ? object->count_pages(first, last == ~u64{0} ? last : last + 1) : mm::VmObject::CacheCount{};
        counts.cached = found.pages;
        counts.dirty = object->kind() == mm::VmObject::Kind::File ? found.dirty : 0;
    }
    TRY((mm::UserPtr<mm::Out, CacheCounts>(counts_address).copy_out(counts)));
    return 0;
}

} // namespace linnet::syscalls
