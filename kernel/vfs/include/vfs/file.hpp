// File: an open file description: what several descriptors, threads and processes may share. A kind of file derives
// from it and overrides what it supports; the defaults answer the errno that POSIX wants.
//
// Lock order: position lock → Inode::lock → the file's own locks. Reads and writes of user memory happen in the virtual
// functions, with no spinlock held.
#pragma once

#include <abi/linux/fcntl.hpp>
#include <core/mutex.hpp>
#include <mm/read_ahead.hpp>
#include <mm/vma.hpp>
#include <vfs/event_source.hpp>
#include <vfs/io_buffer.hpp>
#include <vfs/path.hpp>

namespace linnet::vfs {

class EpollFile;
class FileOwner;
class Pipe;
struct EpollItem;

/// What mmap asks of a file.
struct MapFileRequest {
    u64 offset = 0; // bytes, page aligned
    u64 length = 0;
    bool shared = false;
    bool writable = false; // shared and PROT_WRITE
    bool executable = false;
};

class File : public RefCounted<File>, public mm::MappingLabel {
public:
    /// Runs when the last descriptor, mapping and call has let go. Derived destructors release what they own.
    virtual ~File();

    // ---- what a kind of file implements ----

    /// Reads at `offset` (streams ignore it); 0 at the end of the file. Blocking is decided by is_nonblocking().
    virtual Result<usize> read(IoBuffer& to, u64 offset);
    virtual Result<usize> write(IoBuffer& from, u64 offset);
    /// A write at the end of the file (O_APPEND); `offset` receives where it began. Default: write at the inode's size.
    virtual Result<usize> append(IoBuffer& from, u64& offset);
    /// ENOTTY for an unknown command.
    virtual Result<long> ioctl(u32 command, u64 argument);
    /// The events that hold now (POLLIN | …). Default: always readable and writable.
    virtual u32 poll();
    /// Where readiness is announced; null: always ready, and epoll refuses it with EPERM.
    virtual EventSource* event_source() { return nullptr; }
    /// The same for a call of the current thread, as long as that lasts (poll, select): may depend on who asks.
    virtual EventSource* event_source_of_caller() { return event_source(); }
    /// What O_ASYNC tells an owner of (fcntl(2)); null: this kind of file tells nobody.
    virtual EventSource* async_source() { return nullptr; }
    /// The object to map; ENODEV.
    virtual Result<RefPtr<mm::VmObject>> mmap(const MapFileRequest& request);
    /// lseek(2); the position is given and returned. Default for seekable files: SEEK_SET, SEEK_CUR; SEEK_END and
    /// SEEK_DATA/HOLE by the inode; ESPIPE for streams.
    virtual Result<u64> seek(u64 position, i64 offset, u32 whence);
    /// Lists a directory from `position`, which moves on. ENOTDIR.
    virtual Result<void> read_directory(u64& position, DirectorySink sink);
    virtual Result<void> truncate(u64 size);
    virtual Result<void> allocate_range(u32 mode, u64 offset, u64 length);
    enum class SyncKind : u8 { All, DataOnly };
    virtual Result<void> sync(SyncKind kind);
    /// A descriptor for it was closed (each time, not only the last).
    virtual void on_descriptor_closed() {}
    /// Whether it may be opened with O_DIRECT.
    virtual bool accepts_direct() { return false; }
    /// fcntl(F_SETFL) is about to change the flags: EINVAL, EPERM to refuse.
    virtual Result<void> on_status_flags_changing(u32 new_flags);
    /// fcntl(2) commands that only this kind knows (F_SETPIPE_SZ, F_ADD_SEALS). EINVAL.
    virtual Result<long> fcntl(u32 command, u64 argument);
    /// stat of it. Default: the inode's.
    virtual Result<Attributes> attributes();
    /// What readlink("/proc/self/fd/N") shows for a file without a place: "pipe:[12]", "anon_inode:[eventfd]".
    virtual void describe(TextSink sink) const;
    /// Itself when it is an epoll instance.
    virtual EpollFile* as_epoll() { return nullptr; }
    /// The pipe that it is an end of.
    virtual Pipe* as_pipe() { return nullptr; }
    /// splice(2): whether it can be the one that a pipe is filled from, or emptied into. EINVAL if not.
    virtual bool feeds_pipes() const { return seekable_; }
    virtual bool takes_from_pipes() const { return seekable_; }
    /// The object whose pages a pipe may hold instead of copies; null: read_for_pipe() fills pages of the pipe.
    virtual mm::VmObject* lendable_pages() { return nullptr; }
    /// The pages that it is read through, where it has such; and how its reader goes on, where that is known.
    virtual mm::VmObject* page_cache();
    virtual mm::ReadAhead* read_ahead() { return nullptr; }
    /// read() into pages that go to a pipe; `blocking` says what SPLICE_F_NONBLOCK wants.
    virtual Result<usize> read_for_pipe(IoBuffer& to, u64 offset, Blocking) { return read(to, offset); }
    /// Tells classes apart for the calls that take one kind of file only (pidfd, timerfd, …): the address of a constant
    /// of the class.
    virtual const void* kind() const { return nullptr; }
    /// Extra lines of /proc/PID/fdinfo/N.
    virtual void show_fdinfo(TextSink) const {}

    // ---- generic ----

    /// Takes the file out of the epoll instances that watch it, while all of it still exists, and deletes it.
    void last_reference_dropped();
    /// Those watches; epoll.cpp's own.
    std::atomic<EpollItem*> epoll_items{nullptr};
    /// Counted; file_owner.cpp's own. Null until somebody sets an owner, a signal or O_ASYNC.
    std::atomic<FileOwner*> signal_owner{nullptr};

    // As what keeps a mapped file alive and names it in /proc/PID/maps.
    void ref() const final { RefCounted<File>::ref(); }
    void unref() const final { RefCounted<File>::unref(); }
    void format_name(TextSink sink) const final;
    u64 device_number() const final;
    u64 inode_number() const final { return inode().number(); }
    bool is_unlinked() const final;
    bool is_executable() const final;

    Inode& inode() const { return *inode_; }
    /// Empty for anonymous files.
    const Path& path() const { return path_; }
    /// Access mode and flags as fcntl(F_GETFL) reports them.
    u32 status_flags() const { return flags_.load(std::memory_order_relaxed); }
    void set_status_flags(u32 flags) { flags_.store(flags, std::memory_order_relaxed); }
    bool is_readable() const { return readable_; }
    bool is_writable() const { return writable_; }
    bool is_nonblocking() const { return (status_flags() & abi::O_NONBLOCK) != 0; }
    bool is_append() const { return (status_flags() & abi::O_APPEND) != 0; }
    /// Opened with O_PATH: a place, not a file; reading, writing, ioctl … answer EBADF.
    bool is_path_only() const { return (status_flags() & abi::O_PATH) != 0; }
    /// Has a position: lseek, pread. Streams (pipes, sockets, ttys, eventfd) do not.
    bool is_seekable() const { return seekable_; }

    /// Guards the position where several threads may use the file.
    core::Mutex position_lock;
    u64 position = 0;

protected:
    enum class Positioning : u8 { Seekable, Stream };
    /// An open file of the tree. `flags` are those of open(2).
    File(const Path& path, u32 flags, Positioning positioning);
    /// An anonymous one.
    File(RefPtr<Inode> inode, u32 flags, Positioning positioning);

private:
    friend class ReadAccess;
    friend class WriteAccess;
    Path path_;
    RefPtr<Inode> inode_;
    std::atomic<u32> flags_;
    const bool readable_;
    const bool writable_;
    const bool seekable_;
    bool counts_writer_ = false; // gives back write access to the inode and the mount
    bool counts_reader_ = false; // is one of the inode's readers
};

/// The inode that anonymous files (eventfd, epoll, …) share; for pipes and the like, one of their own.
RefPtr<Inode> anonymous_inode();
/// A fresh inode of an internal file system, e.g. S_IFIFO | 0600 for a pipe, S_IFSOCK | 0777 for a socket.
Result<RefPtr<Inode>> create_anonymous_inode(u32 mode);

/// read(2) and write(2) on an open file: access mode, position, O_APPEND, limits. `offset`: absent uses and moves the
/// file's position (pread and pwrite give it).
Result<usize> read(File& file, IoBuffer& to, std::optional<u64> offset = {});
Result<usize> write(File& file, IoBuffer& from, std::optional<u64> offset = {});

} // namespace linnet::vfs
