// FdTable: descriptors of a process (or of several, with CLONE_FILES). Installing is two-phase: reserve a number, do
// what can fail, then install; a reserved number is not open to anybody.
#pragma once

#include <core/spinlock.hpp>
#include <vfs/current.hpp>
#include <vfs/file.hpp>

namespace linnet::vfs {

enum class CloseOnExec : u8 { No, Yes };
/// CloseOnExec of a flags word with O_CLOEXEC.
constexpr CloseOnExec close_on_exec(u32 flags) { return (flags & abi::O_CLOEXEC) ? CloseOnExec::Yes : CloseOnExec::No; }

/// A file got from a table for the length of one call. Counted only when the table is shared with another thread: else
/// nobody but the caller could close it.
class FileRef {
public:
    FileRef(FileRef&& other) noexcept
        : file_(std::exchange(other.file_, nullptr)), counted_(std::exchange(other.counted_, false)) {}
    FileRef(const FileRef&) = delete;
    FileRef& operator=(const FileRef&) = delete;
    ~FileRef() {
        if (counted_) file_->unref();
    }
    File* operator->() const { return file_; }
    File& operator*() const { return *file_; }
    /// A reference that outlives the call.
    [[nodiscard]] RefPtr<File> share() const { return RefPtr<File>(*file_); }

private:
    friend class FdTable;
    FileRef(File& file, bool counted) : file_(&file), counted_(counted) {}
    File* file_;
    bool counted_;
};

class FdTable : public RefCounted<FdTable> {
public:
    static Result<RefPtr<FdTable>> create();
    ~FdTable();
    /// fork: the same files at the same numbers.
    Result<RefPtr<FdTable>> clone();

    /// EBADF when not open.
    Result<RefPtr<File>> get(int fd);
    /// The same for the current thread's own table, for the length of a call; cheaper. O_PATH files: EBADF.
    Result<FileRef> use(int fd);
    /// The same, O_PATH files included (fstat, *at, close, dup, fcntl's duplications and flags).
    Result<FileRef> use_any(int fd);

    /// Reserves the lowest free number >= `minimum`. EMFILE at `limit` (RLIMIT_NOFILE), EINVAL when minimum >= limit.
    Result<int> reserve(int minimum = 0, u64 limit = current_open_file_limit());
    /// Opens a reserved number.
    void install(int fd, RefPtr<File> file, CloseOnExec close_on_exec);
    /// Gives a reserved number back.
    void cancel(int fd);
    /// reserve + install.
    Result<int> add(RefPtr<File> file, CloseOnExec close_on_exec, int minimum = 0);
    /// dup2: opens exactly `fd`, closing what was there. EBADF beyond the limit, EBUSY when reserved by another thread.
    Result<void> replace(int fd, RefPtr<File> file, CloseOnExec close_on_exec);

    Result<void> close(int fd);
    /// Closes everything; the destructor does it too.
    void close_all();
    /// close_range(2) without CLOSE_RANGE_UNSHARE.
    void close_range(u32 first, u32 last);
    void set_close_on_exec_range(u32 first, u32 last);
    /// execve: closes what is marked.
    void close_marked();
    Result<CloseOnExec> get_close_on_exec(int fd);
    Result<void> set_close_on_exec(int fd, CloseOnExec value);

    /// The first open number >= `fd` with its file, for /proc/PID/fd; false at the end.
    bool next_open(int& fd, NullableRefPtr<File>& file);
    usize open_count();

private:
    FdTable() = default;
    friend class RefCounted<FdTable>;
    static constexpr u32 bits_per_word = 64;
    bool is_used(u32 fd) const { return (used_[fd / bits_per_word] >> (fd % bits_per_word)) & 1; }
    Result<void> grow_to(u32 capacity);
    u32 find_free_locked(u32 from) const;
    void mark_locked(u32 fd, CloseOnExec close_on_exec);
    NullableRefPtr<File> take_locked(u32 fd);
    Result<FileRef> borrow(int fd);

    core::SpinLock lock_;
    std::atomic<File**> files_{nullptr}; // each counted; null: closed or reserved
    std::atomic<u32> capacity_{0};
    u64* used_ = nullptr; // bitmaps of capacity_ bits
    u64* close_on_exec_ = nullptr;
    u32 lowest_free_ = 0; // no free number below it
};

/// A reserved number that gives itself back unless installed.
class FdReservation {
public:
    static Result<FdReservation> create(FdTable& table, int minimum = 0) {
        return FdReservation(table, TRY(table.reserve(minimum)));
    }
    FdReservation(FdReservation&& other) noexcept : table_(std::exchange(other.table_, nullptr)), fd_(other.fd_) {}
    FdReservation(const FdReservation&) = delete;
    ~FdReservation() {
        if (table_) table_->cancel(fd_);
    }
    [[nodiscard]] int number() const { return fd_; }
    int install(RefPtr<File> file, CloseOnExec close_on_exec) {
        std::exchange(table_, nullptr)->install(fd_, std::move(file), close_on_exec);
        return fd_;
    }

private:
    FdReservation(FdTable& table, int fd) : table_(&table), fd_(fd) {}
    FdTable* table_;
    int fd_;
};

} // namespace linnet::vfs
