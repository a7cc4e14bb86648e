// Loop devices: what configures them, and the thread that serves requests.
#include "loop.hpp"

#include "sysfs.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <abi/linux/stat.hpp>
#include <algorithm>
#include <bit>
#include <core/sched.hpp>
#include <cstring>
#include <lib/own_ptr.hpp>
#include <mm/statistics.hpp>
#include <mm/usercopy.hpp>
#include <vfs/current.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::block {

using namespace abi;

namespace {

constexpr u32 extended_major = 259; // of partitions
constexpr u32 partitions = Disk::minors - 1;
constexpr u32 deepest = 8; // loops that lie on one another
constexpr u32 flags_at_start = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN | LO_FLAGS_DIRECT_IO;
constexpr u64 largest_place = ~u64{0} >> 1;

constinit core::Mutex chains_lock;
constinit core::WaitQueue stopped_threads;

/// The loop that the file is a device of, or a partition.
Loop* loop_under(vfs::File& file) {
    if (!S_ISBLK(file.inode().mode())) return nullptr;
    Disk* const disk = find_disk(file.inode().special_device());
    return disk && disk->major() == Loop::major ? &static_cast<Loop&>(disk->driver()) : nullptr;
}

bool is_manager() { return vfs::current_credentials().has(vfs::Capability::SysAdmin); }

/// Its page cache; null for tmpfs's files. The file keeps it.
mm::FileObject* pages_of(vfs::File& file) {
    if (mm::VmObject* object = file.inode().pages()) return object->as_file();
    const auto object = file.mmap({}); // a disk's
    return object ? (*object)->as_file() : nullptr;
}

Result<u64> size_of(vfs::File& file) { return file.seek(0, 0, SEEK_END); }

bool is_block_size(u64 size) { return std::has_single_bit(size) && size >= sector_size && size <= 4096; }

Result<void> check_place(const loop_info64& info) {
    return info.lo_offset > largest_place || info.lo_sizelimit > largest_place ? error(Errno::EOVERFLOW)
                                                                               : Result<void>{};
}

} // namespace

Result<Loop*> Loop::create(u32 number) {
    auto loop = TRY(try_make<Loop>(number));
    char name[12];
    const usize length = format_into(name, "loop{}", number).size();
    const Disk::Place place{.name = {name, length},
                            .parent = "virtual",
                            .carrier_bus = {},
                            .major = major,
                            .first_minor = number,
                            .partition_major = extended_major,
                            .first_partition_minor = number * partitions};
    loop->disk_ = TRY(try_make<Disk>(place, *loop, u64{0}, loop->limits(sector_size, false))).release();
    TRY(add_disk(*loop->disk_));
    return loop.release();
}

Limits Loop::limits(u32 block_size, bool is_read_only) {
    Limits limits{.logical_block = block_size, .physical_block = block_size, .segments = 128, .sectors = 2560};
    NullableRefPtr<vfs::File> file = this->file();
    if (file && file->inode().is_regular() && !is_read_only) limits.discard_sectors = u64{1} << 22;
    limits.is_read_only = is_read_only;
    limits.has_write_cache = true; // the file's pages
    return limits;
}

NullableRefPtr<vfs::File> Loop::file() {
    core::InterruptSpinGuard guard(queue_lock_);
    return file_;
}

// ---- configuration ----

/// EBADF for what lies on this one, EINVAL for what can't carry a loop.
Result<void> Loop::check_backing(vfs::File& file) {
    if (!file.inode().is_regular() && !S_ISBLK(file.inode().mode())) return error(Errno::EINVAL);
    u32 depth = 0;
    for (NullableRefPtr<vfs::File> at(&file); Loop* below = at ? loop_under(*at) : nullptr; at = below->file()) {
        if (below == this) return error(Errno::EBADF);
        if (below->state_.load() != State::Bound || ++depth >= deepest) return error(Errno::EINVAL);
    }
    return {};
}

void Loop::set_place(const loop_info64& info) {
    offset_.store(info.lo_offset);
    size_limit_.store(info.lo_sizelimit);
    std::memcpy(file_name_, info.lo_file_name, sizeof file_name_);
    file_name_[sizeof file_name_ - 1] = 0;
}

Result<void> Loop::bind(const loop_config& config, Access access) {
    RefPtr<vfs::File> file = TRY(vfs::current_files().get(static_cast<int>(config.fd)));
    core::MutexGuard chains(chains_lock);
    if (!is_free()) return error(Errno::EBUSY);
    TRY(check_backing(*file));
    if (config.block_size != 0 && !is_block_size(config.block_size)) return error(Errno::EINVAL);
    if (config.info.lo_flags & ~flags_at_start) return error(Errno::EINVAL);
    TRY(check_place(config.info));
    if (!file->is_readable()) return error(Errno::EBADF);
    set_place(config.info);
    u32 flags = config.info.lo_flags & ~LO_FLAGS_DIRECT_IO; // which no file can give the kernel's own memory
    if (!file->is_writable() || access == Access::Read) flags |= LO_FLAGS_READ_ONLY;
    {
        core::InterruptSpinGuard guard(queue_lock_);
        file_ = NullableRefPtr<vfs::File>(file.get());
        accepts_ = true;
    }
    is_stopping_.store(false);
    has_stopped_.store(false);
    if (auto started = core::start_kernel_thread("loop", &Loop::run, this); !started) {
        has_stopped_.store(true);
        core::InterruptSpinGuard guard(queue_lock_);
        accepts_ = false;
        file_ = nullptr;
        return error(started.error());
    }
    flags_.store(flags);
    state_.store(State::Bound);
    chains.unlock();
    disk_->set_limits(limits(config.block_size ? config.block_size : sector_size, (flags & LO_FLAGS_READ_ONLY) != 0));
    if (Result<void> ready = set_capacity(); !ready) {
        clear();
        return ready;
    }
    (void)show_in_sysfs(); // what has no memory has no file there
    if (flags & LO_FLAGS_PARTSCAN) (void)disk_->rescan_locked();
    return {};
}

/// As large as the file and the limit say now.
Result<void> Loop::set_capacity() {
    NullableRefPtr<vfs::File> file = this->file();
    const u64 there = TRY(size_of(*file)), begin = std::min(offset(), there);
    u64 size = there - begin;
    if (size_limit() != 0) size = std::min(size, size_limit());
    disk_->resize(size >> sector_shift);
    return {};
}

/// Requests that have come are served first.
void Loop::stop_thread() {
    {
        core::InterruptSpinGuard guard(queue_lock_);
        accepts_ = false;
    }
    is_stopping_.store(true);
    work_.wake_all();
    (void)core::wait_until(stopped_threads, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return has_stopped_.load(); });
}

void Loop::clear() {
    stop_thread();
    disk_->drop_partitions();
    disk_->resize(0);
    remove_loop_directory(*disk_);
    NullableRefPtr<vfs::File> gone;
    {
        core::MutexGuard chains(chains_lock);
        core::InterruptSpinGuard guard(queue_lock_);
        gone = std::exchange(file_, nullptr);
        state_.store(State::Free);
    }
    flags_.store(0);
    set_place({});
    disk_->set_limits(limits(sector_size, false));
}

/// Whoever else has it open keeps the file until then, as on Linux.
Result<void> Loop::clear_file() {
    flags_.fetch_or(LO_FLAGS_AUTOCLEAR);
    if (disk_->openers() == 1) state_.store(State::Leaving);
    return {};
}

void Loop::all_closed() {
    if (is_free() || !(state_.load() == State::Leaving || has_flag(LO_FLAGS_AUTOCLEAR))) return;
    clear();
}

/// For read-only disks, another file of the same size.
Result<void> Loop::change_file(i32 fd) {
    RefPtr<vfs::File> file = TRY(vfs::current_files().get(fd));
    NullableRefPtr<vfs::File> old;
    core::MutexGuard chains(chains_lock);
    if (!has_flag(LO_FLAGS_READ_ONLY)) return error(Errno::EINVAL);
    TRY(check_backing(*file));
    if (!file->is_readable()) return error(Errno::EBADF);
    NullableRefPtr<vfs::File> before = this->file();
    if (TRY(size_of(*file)) != TRY(size_of(*before))) return error(Errno::EINVAL);
    TRY(disk_->forget_pages());
    {
        core::InterruptSpinGuard guard(queue_lock_);
        old = std::exchange(file_, NullableRefPtr<vfs::File>(file.get()));
    }
    chains.unlock();
    if (has_flag(LO_FLAGS_PARTSCAN)) (void)disk_->rescan_locked();
    return {};
}

Result<void> Loop::set_status(const loop_info64& info) {
    constexpr u32 settable = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN, clearable = LO_FLAGS_AUTOCLEAR;
    TRY(check_place(info));
    const bool moves = info.lo_offset != offset() || info.lo_sizelimit != size_limit();
    if (moves) TRY(disk_->forget_pages());
    const u32 before = flags_.load();
    set_place(info);
    u32 flags = before & ~(clearable & ~info.lo_flags);
    flags |= info.lo_flags & settable;
    flags_.store(flags);
    if (moves) TRY(set_capacity());
    if ((flags & ~before) & LO_FLAGS_PARTSCAN) (void)disk_->rescan_locked();
    return {};
}

Result<loop_info64> Loop::status() {
    NullableRefPtr<vfs::File> file = this->file();
    const vfs::Attributes attributes = TRY(file->attributes());
    loop_info64 info{};
    info.lo_device = attributes.device;
    info.lo_inode = attributes.inode;
    info.lo_rdevice = S_ISBLK(attributes.mode) ? attributes.special_device : 0;
    info.lo_offset = offset();
    info.lo_sizelimit = size_limit();
    info.lo_number = number_;
    info.lo_flags = flags_.load();
    std::memcpy(info.lo_file_name, file_name_, sizeof file_name_);
    return info;
}

Result<void> Loop::set_block_size(u64 size) {
    if (!is_block_size(size)) return error(Errno::EINVAL);
    if (disk_->limits().logical_block == size) return {};
    TRY(disk_->forget_pages());
    disk_->set_limits(limits(static_cast<u32>(size), has_flag(LO_FLAGS_READ_ONLY)));
    return {};
}

Result<void> Loop::show_in_sysfs() { return add_loop_directory(*this); }

Result<long> Loop::ioctl(u32 command, u64 argument, Access access) {
    loop_config config{};
    loop_info64 info{};
    switch (command) {
    case LOOP_SET_FD:
        config.fd = static_cast<u32>(argument);
        break;
    case LOOP_CONFIGURE:
        config = TRY((mm::UserPtr<mm::In, loop_config>(VirtAddr{argument}).copy_in()));
        break;
    case LOOP_SET_STATUS64:
        info = TRY((mm::UserPtr<mm::In, loop_info64>(VirtAddr{argument}).copy_in()));
        [[fallthrough]];
    case LOOP_CLR_FD:
    case LOOP_SET_CAPACITY:
    case LOOP_SET_DIRECT_IO:
    case LOOP_SET_BLOCK_SIZE:
        if (access == Access::Read && !is_manager()) return error(Errno::EPERM);
        break;
    case LOOP_GET_STATUS64:
    case LOOP_CHANGE_FD:
        break;
    default:
        return error(Errno::EINVAL); // as on Linux, where other disks say ENOTTY
    }
    const auto act = [&]() -> Result<void> {
        core::MutexGuard guard(disk_->lock());
        if (command == LOOP_SET_FD || command == LOOP_CONFIGURE) return bind(config, access);
        if (state_.load() != State::Bound) return error(Errno::ENXIO);
        switch (command) {
        case LOOP_CLR_FD:
            return clear_file();
        case LOOP_SET_STATUS64:
            return set_status(info);
        case LOOP_GET_STATUS64:
            info = TRY(status());
            return {};
        case LOOP_CHANGE_FD:
            return change_file(static_cast<i32>(argument));
        case LOOP_SET_CAPACITY:
            return set_capacity();
        case LOOP_SET_BLOCK_SIZE:
            return set_block_size(argument);
        default: // LOOP_SET_DIRECT_IO: its memory is the kernel's, which O_DIRECT doesn't take
            return argument == 0 ? Result<void>{} : error(Errno::EINVAL);
        }
    };
    TRY(act());
    if (command == LOOP_GET_STATUS64) TRY((mm::UserPtr<mm::Out, loop_info64>(VirtAddr{argument}).copy_out(info)));
    return 0;
}

// ---- requests ----

void Loop::submit(RequestList& requests) {
    {
        core::InterruptSpinGuard guard(queue_lock_);
        if (accepts_) {
            waiting_.splice_back(requests);
            guard.unlock();
            work_.wake_all();
            return;
        }
    }
    while (Request* request = requests.pop_front()) request->completed(*request, Errno::EIO);
}

void Loop::run(void* self) {
    auto& loop = *static_cast<Loop*>(self);
    core::current_thread().stores_for_reclaim = true;
    loop.run_requests();
    loop.has_stopped_.store(true);
    stopped_threads.wake_all();
}

void Loop::run_requests() {
    for (;;) {
        Request* request = nullptr;
        NullableRefPtr<vfs::File> file;
        const auto take = [&] {
            core::InterruptSpinGuard guard(queue_lock_);
            request = waiting_.pop_front();
            if (request) file = file_;
            return request || is_stopping_.load();
        };
        (void)core::wait_until(work_, core::Sleep::Deep, core::Deadline::never(), take);
        if (!request) return;
        const Result<void> served = serve(*request, *file);
        Errno code{};
        if (!served) code = served.error() == Errno::EOPNOTSUPP ? Errno::EOPNOTSUPP : Errno::EIO;
        request->completed(*request, code);
    }
}

Result<void> Loop::serve(const Request& request, vfs::File& file) {
    u64 at = offset() + (request.sector << sector_shift);
    if (request.operation == Operation::Flush)
        return file.is_writable() ? file.sync(vfs::File::SyncKind::DataOnly) : Result<void>{};
    if (request.operation != Operation::Read && has_flag(LO_FLAGS_READ_ONLY)) return error(Errno::EIO);
    if (request.operation == Operation::Discard)
        return file.allocate_range(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, request.sectors << sector_shift);
    if (request.operation == Operation::WriteZeroes) return error(Errno::EOPNOTSUPP);
    const u64 begin = at;
    for (const Segment& segment : request.segments) {
        const std::span<u8> memory(arch::phys_to_virt<u8>(segment.address), segment.length);
        TRY(transfer(request.operation, file, memory, at));
        at += segment.length;
    }
    return give_back(file, request.operation, begin, at);
}

/// When memory is short, the file's pages of what was served are stored and go: else storing one page, to free it,
/// would leave another that has to be stored.
Result<void> Loop::give_back(vfs::File& file, Operation operation, u64 begin, u64 end) {
    if (!mm::is_memory_short()) return {};
    mm::FileObject* const pages = pages_of(file);
    if (!pages) return {};
    if (operation == Operation::Write) TRY(pages->write_back(begin, end));
    pages->drop_unused(begin, end);
    return {};
}

/// EIO for what the file has lost. Without memory, what the file has in its pages is stored, and the pages are given
/// up.
Result<void> Loop::transfer(Operation operation, vfs::File& file, std::span<u8> memory, u64 offset) {
    constexpr unsigned most_attempts = 16;
    for (unsigned attempt = 0; !memory.empty();) {
        vfs::IoBuffer buffer = vfs::IoBuffer::kernel(memory);
        const auto count = operation == Operation::Read ? file.read(buffer, offset) : file.write(buffer, offset);
        if (count) {
            if (*count == 0) return error(Errno::EIO);
            memory = memory.subspan(*count);
            offset += *count;
            continue;
        }
        mm::FileObject* const pages = pages_of(file);
        if (count.error() != Errno::ENOMEM || !pages || ++attempt > most_attempts) return error(count.error());
        TRY(pages->write_back(0, largest_place));
        pages->drop_unused(0, largest_place);
    }
    return {};
}

} // namespace linnet::block
