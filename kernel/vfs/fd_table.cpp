// FdTable: numbers to files.
//
// The table's spinlock guards slots and bitmaps. Files leave the table under the lock and are released after
// it: the last reference to a file may sleep.
#include <vfs/directory_notices.hpp>
#include <vfs/file_locks.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vfs/fd_table.hpp>

namespace linnet::vfs {

namespace {

constexpr u32 first_capacity = 64;
constexpr u32 largest_capacity = 1u << 20; // fs.nr_open

/// What a close means to the file: each one, not only the last.
void announce_close(File& file, const FdTable& table) {
    file.on_descriptor_closed();
    if (file.is_path_only()) return;
    if (FileLocks* locks = file.inode().existing_file_locks()) locks->release_owner(&table);
    if (file.inode().is_directory()) forget_directory_notice(file, table);
}

} // namespace

Result<RefPtr<FdTable>> FdTable::create() {
    auto* table = new (std::nothrow) FdTable;
    if (!table) return error(Errno::ENOMEM);
    auto result = adopt_ref(*table);
    TRY(table->grow_to(first_capacity));
    return result;
}

FdTable::~FdTable() {
    close_all();
    ::operator delete(files_.load(std::memory_order_relaxed));
}

/// One block: file pointers, then the two bitmaps.
Result<void> FdTable::grow_to(u32 wanted) {
    u32 capacity = std::max<u32>(first_capacity, std::bit_ceil(wanted));
    usize words = capacity / bits_per_word;
    usize bytes = capacity * sizeof(File*) + 2 * words * sizeof(u64);
    void* block = ::operator new(bytes, std::nothrow);
    if (!block) return error(Errno::ENOMEM);
    std::memset(block, 0, bytes);
    auto* files = static_cast<File**>(block);
    auto* used = reinterpret_cast<u64*>(files + capacity);
    u64* marked = used + words;

    void* unneeded = block;
    {
        core::SpinGuard guard(lock_);
        u32 old_capacity = capacity_.load(std::memory_order_relaxed);
        if (old_capacity < capacity) {
            File** old = files_.load(std::memory_order_relaxed);
            if (old_capacity > 0) {
                std::memcpy(files, old, old_capacity * sizeof(File*));
                std::memcpy(used, used_, old_capacity / 8);
                std::memcpy(marked, close_on_exec_, old_capacity / 8);
            }
            files_.store(files, std::memory_order_release);
            used_ = used;
            close_on_exec_ = marked;
            capacity_.store(capacity, std::memory_order_release);
            unneeded = old;
        }
    }
    ::operator delete(unneeded);
    return {};
}

Result<RefPtr<FdTable>> FdTable::clone() {
    auto copy = TRY(create());
    for (;;) {
        u32 needed = capacity_.load(std::memory_order_acquire);
        TRY(copy->grow_to(needed));
        core::SpinGuard guard(lock_);
        u32 capacity = capacity_.load(std::memory_order_relaxed);
        if (copy->capacity_.load(std::memory_order_relaxed) < capacity) continue; // grown meanwhile
        File** from = files_.load(std::memory_order_relaxed);
        File** to = copy->files_.load(std::memory_order_relaxed);
        for (u32 word = 0; word < capacity / bits_per_word; ++word) {
            u64 open = 0;
            for (u64 left = used_[word]; left; left &= left - 1) {
                u32 fd = word * bits_per_word + static_cast<u32>(std::countr_zero(left));
                if (!from[fd]) continue; // reserved by another thread, which installs it here only
                from[fd]->ref();
                to[fd] = from[fd];
                open |= left & -left;
            }
            copy->used_[word] = open;
            copy->close_on_exec_[word] = close_on_exec_[word] & open;
        }
        return copy;
    }
}

Result<RefPtr<File>> FdTable::get(int fd) {
    core::SpinGuard guard(lock_);
    if (static_cast<u32>(fd) >= capacity_.load(std::memory_order_relaxed)) return error(Errno::EBADF);
    File* file = files_.load(std::memory_order_relaxed)[fd];
    if (!file) return error(Errno::EBADF);
    return RefPtr<File>(*file);
}

Result<FileRef> FdTable::borrow(int fd) {
    if (ref_count() != 1) {
        auto file = TRY(get(fd));
        return FileRef(*file.release(), true);
    }
    if (static_cast<u32>(fd) >= capacity_.load(std::memory_order_relaxed)) return error(Errno::EBADF);
    File* file = files_.load(std::memory_order_relaxed)[fd];
    if (!file) return error(Errno::EBADF);
    return FileRef(*file, false);
}

Result<FileRef> FdTable::use_any(int fd) { return borrow(fd); }

Result<FileRef> FdTable::use(int fd) {
    auto file = borrow(fd);
    if (file && (*file)->is_path_only()) return error(Errno::EBADF);
    return file;
}

/// The lowest number >= `from` not in use, or the capacity.
u32 FdTable::find_free_locked(u32 from) const {
    u32 capacity = capacity_.load(std::memory_order_relaxed);
    if (from >= capacity) return from;
    u32 word = from / bits_per_word;
    u64 free = ~used_[word] & (~u64{0} << (from % bits_per_word));
    while (!free) {
        if (++word >= capacity / bits_per_word) return capacity;
        free = ~used_[word];
    }
    return word * bits_per_word + static_cast<u32>(std::countr_zero(free));
}

void FdTable::mark_locked(u32 fd, CloseOnExec close_on_exec) {
    u64 bit = u64{1} << (fd % bits_per_word);
    if (close_on_exec == CloseOnExec::Yes)
        close_on_exec_[fd / bits_per_word] |= bit;
    else
        close_on_exec_[fd / bits_per_word] &= ~bit;
}

Result<int> FdTable::reserve(int minimum, u64 limit) {
    limit = std::min<u64>(limit, largest_capacity);
    if (minimum < 0 || (minimum > 0 && static_cast<u64>(minimum) >= limit)) return error(Errno::EINVAL);
    for (;;) {
        u32 fd;
        {
            core::SpinGuard guard(lock_);
            fd = find_free_locked(std::max(static_cast<u32>(minimum), lowest_free_));
            if (fd >= limit) return error(Errno::EMFILE);
            if (fd < capacity_.load(std::memory_order_relaxed)) {
                used_[fd / bits_per_word] |= u64{1} << (fd % bits_per_word);
                mark_locked(fd, CloseOnExec::No);
                if (static_cast<u32>(minimum) <= lowest_free_) lowest_free_ = fd + 1;
                return static_cast<int>(fd);
            }
        }
        TRY(grow_to(fd + 1));
    }
}

void FdTable::install(int fd, RefPtr<File> file, CloseOnExec close_on_exec) {
    core::SpinGuard guard(lock_);
    File** slot = &files_.load(std::memory_order_relaxed)[fd];
    VERIFY(is_used(static_cast<u32>(fd)) && !*slot);
    *slot = file.release();
    mark_locked(static_cast<u32>(fd), close_on_exec);
}

void FdTable::cancel(int fd) {
    core::SpinGuard guard(lock_);
    auto number = static_cast<u32>(fd);
    VERIFY(is_used(number) && !files_.load(std::memory_order_relaxed)[fd]);
    used_[number / bits_per_word] &= ~(u64{1} << (number % bits_per_word));
    lowest_free_ = std::min(lowest_free_, number);
}

Result<int> FdTable::add(RefPtr<File> file, CloseOnExec close_on_exec, int minimum) {
    int fd = TRY(reserve(minimum));
    install(fd, std::move(file), close_on_exec);
    return fd;
}

Result<void> FdTable::replace(int fd, RefPtr<File> file, CloseOnExec close_on_exec) {
    auto number = static_cast<u32>(fd);
    if (fd < 0 || number >= std::min<u64>(current_open_file_limit(), largest_capacity)) return error(Errno::EBADF);
    if (number >= capacity_.load(std::memory_order_acquire)) TRY(grow_to(number + 1));
    NullableRefPtr<File> old;
    {
        core::SpinGuard guard(lock_);
        File** slot = &files_.load(std::memory_order_relaxed)[fd];
        if (!*slot && is_used(number)) return error(Errno::EBUSY);
        old = NullableRefPtr<File>::adopt(*slot);
        *slot = file.release();
        used_[number / bits_per_word] |= u64{1} << (number % bits_per_word);
        mark_locked(number, close_on_exec);
    }
    if (old) announce_close(*old, *this);
    return {};
}

/// Empties a slot; null when it was closed or reserved.
NullableRefPtr<File> FdTable::take_locked(u32 fd) {
    File** slot = &files_.load(std::memory_order_relaxed)[fd];
    auto file = NullableRefPtr<File>::adopt(std::exchange(*slot, nullptr));
    if (file) {
        used_[fd / bits_per_word] &= ~(u64{1} << (fd % bits_per_word));
        lowest_free_ = std::min(lowest_free_, fd);
    }
    return file;
}

Result<void> FdTable::close(int fd) {
    NullableRefPtr<File> file;
    {
        core::SpinGuard guard(lock_);
        if (static_cast<u32>(fd) >= capacity_.load(std::memory_order_relaxed)) return error(Errno::EBADF);
        file = take_locked(static_cast<u32>(fd));
    }
    if (!file) return error(Errno::EBADF);
    announce_close(*file, *this);
    return {};
}

void FdTable::close_range(u32 first, u32 last) {
    int fd = static_cast<int>(std::min(first, largest_capacity));
    NullableRefPtr<File> file;
    for (; next_open(fd, file) && static_cast<u32>(fd) <= last; ++fd) {
        file = nullptr;
        (void)close(fd); // another thread may have been faster
    }
}

void FdTable::close_all() { close_range(0, ~0u); }

void FdTable::set_close_on_exec_range(u32 first, u32 last) {
    core::SpinGuard guard(lock_);
    u32 end = capacity_.load(std::memory_order_relaxed);
    if (last < end) end = last + 1;
    for (u32 fd = first; fd < end; ++fd)
        if (is_used(fd)) mark_locked(fd, CloseOnExec::Yes);
}

void FdTable::close_marked() {
    for (u32 word = 0; word < capacity_.load(std::memory_order_acquire) / bits_per_word; ++word) {
        for (;;) {
            NullableRefPtr<File> file;
            {
                core::SpinGuard guard(lock_);
                u64 marked = close_on_exec_[word] & used_[word];
                if (!marked) break;
                u32 fd = word * bits_per_word + static_cast<u32>(std::countr_zero(marked));
                mark_locked(fd, CloseOnExec::No);
                file = take_locked(fd);
            }
            if (file) announce_close(*file, *this);
        }
    }
}

Result<CloseOnExec> FdTable::get_close_on_exec(int fd) {
    core::SpinGuard guard(lock_);
    auto number = static_cast<u32>(fd);
    if (number >= capacity_.load(std::memory_order_relaxed) || !files_.load(std::memory_order_relaxed)[fd])
        return error(Errno::EBADF);
    return (close_on_exec_[number / bits_per_word] >> (number % bits_per_word)) & 1 ? CloseOnExec::Yes
                                                                                    : CloseOnExec::No;
}

Result<void> FdTable::set_close_on_exec(int fd, CloseOnExec value) {
    core::SpinGuard guard(lock_);
    auto number = static_cast<u32>(fd);
    if (number >= capacity_.load(std::memory_order_relaxed) || !files_.load(std::memory_order_relaxed)[fd])
        return error(Errno::EBADF);
    mark_locked(number, value);
    return {};
}

bool FdTable::next_open(int& fd, NullableRefPtr<File>& file) {
    core::SpinGuard guard(lock_);
    u32 capacity = capacity_.load(std::memory_order_relaxed);
    for (u32 number = static_cast<u32>(std::max(fd, 0)); number < capacity; ++number) {
        if (used_[number / bits_per_word] >> (number % bits_per_word) == 0) {
            number |= bits_per_word - 1; // nothing more in this word
            continue;
        }
        if (File* found = files_.load(std::memory_order_relaxed)[number]) {
            NullableRefPtr<File> reference(found);
            fd = static_cast<int>(number);
            std::swap(file, reference);
            guard.unlock(); // before the caller's former file is released
            return true;
        }
    }
    return false;
}

usize FdTable::open_count() {
    core::SpinGuard guard(lock_);
    usize count = 0;
    for (u32 word = 0; word < capacity_.load(std::memory_order_relaxed) / bits_per_word; ++word)
        count += static_cast<usize>(std::popcount(used_[word]));
    return count;
}

} // namespace linnet::vfs
