// The open ends of pipes and FIFOs.
#include <abi/linux/termios.hpp>
#include <mm/usercopy.hpp>
#include <vfs/current.hpp>
#include <vfs/pipe.hpp>

namespace linnet::vfs {

using namespace abi;

namespace {

class PipeFile final : public File {
public:
    PipeFile(RefPtr<Inode> inode, RefPtr<Pipe> pipe, u32 flags)
        : File(std::move(inode), flags, Positioning::Stream), pipe_(std::move(pipe)),
          writer_opens_before_(writer_opens_gone(*pipe_)), is_fifo_(false) {
        pipe_->add_ends(is_readable(), is_writable());
    }
    PipeFile(const Path& path, RefPtr<Pipe> pipe, u32 flags)
        : File(path, flags, Positioning::Stream), pipe_(std::move(pipe)),
          writer_opens_before_(writer_opens_gone(*pipe_)), is_fifo_(true) {
        pipe_->add_ends(is_readable(), is_writable());
    }
    ~PipeFile() override { pipe_->remove_ends(is_readable(), is_writable()); }

    Result<usize> read(IoBuffer& to, u64 offset) override;
    Result<usize> write(IoBuffer& from, u64 offset) override;
    Result<long> ioctl(u32 command, u64 argument) override;
    u32 poll() override;
    Result<void> on_status_flags_changing(u32) override { return {}; }
    EventSource* event_source() override { return &pipe_->events; }
    EventSource* async_source() override { return &pipe_->events; }
    Pipe* as_pipe() override { return pipe_.get(); }
    Result<long> fcntl(u32 command, u64 argument) override;
    void describe(TextSink sink) const override { format_to(sink, "pipe:[{}]", inode().number()); }

    [[nodiscard]] Blocking blocking() const { return is_nonblocking() ? Blocking::Refuse : Blocking::Wait; }

private:
    /// Of the times that somebody opened to write, those whose end doesn't concern a reader that comes now. With a
    /// writer there already, its end does.
    static u32 writer_opens_gone(const Pipe& pipe) {
        const u32 opens = pipe.writer_opens();
        return pipe.writers() > 0 ? opens - 1 : opens;
    }

    RefPtr<Pipe> pipe_;
    const u32 writer_opens_before_; // a FIFO that nobody has written to yet isn't hung up
    const bool is_fifo_;
};

Result<usize> PipeFile::read(IoBuffer& to, u64) {
    Result<usize> moved =
        try_then_wait(pipe_->events, POLLIN, blocking(), [&]() -> Result<usize> { return pipe_->read(to); });
    if (is_fifo_ && moved && *moved > 0) inode().touch_accessed();
    return moved;
}

Result<usize> PipeFile::write(IoBuffer& from, u64) {
    const Pipe::Mode mode = (status_flags() & O_DIRECT) ? Pipe::Mode::Packet : Pipe::Mode::Stream;
    const usize before = from.done();
    Result<usize> result = try_then_wait(pipe_->events, POLLOUT, blocking(), [&]() -> Result<usize> {
        TRY(pipe_->write(from, mode));
        if (from.remaining() > 0) return error(Errno::EAGAIN);
        return from.done() - before;
    });
    const usize moved = from.done() - before;
    if (is_fifo_ && moved > 0) inode().touch_modified();
    if (result) return result;
    if (result.error() == Errno::EPIPE) broken_pipe();
    if (moved > 0) return moved;
    return result;
}

Result<long> PipeFile::ioctl(u32 command, u64 argument) {
    if (command != FIONREAD) return error(Errno::ENOTTY);
    TRY((mm::UserPtr<mm::Out, i32>(VirtAddr{argument}).copy_out(static_cast<i32>(pipe_->readable_bytes()))));
    return 0;
}

u32 PipeFile::poll() {
    u32 mask = 0;
    if (is_readable()) {
        mask |= pipe_->read_events();
        if (pipe_->writers() == 0 && (!is_fifo_ || pipe_->writer_opens() != writer_opens_before_)) mask |= POLLHUP;
    }
    if (is_writable()) mask |= pipe_->write_events();
    return mask;
}

Result<long> PipeFile::fcntl(u32 command, u64 argument) {
    if (command == F_GETPIPE_SZ) return static_cast<long>(pipe_->capacity());
    if (command == F_SETPIPE_SZ) return static_cast<long>(TRY(pipe_->set_capacity(static_cast<u32>(argument))));
    return error(Errno::EINVAL);
}

template <typename Place>
Result<RefPtr<PipeFile>> make_file(const Place& place, const RefPtr<Pipe>& pipe, u32 flags) {
    PipeFile* file = new (std::nothrow) PipeFile(place, pipe, flags);
    if (!file) return error(Errno::ENOMEM);
    return adopt_ref(*file);
}

/// fifo(7): an end that blocks waits until somebody opens the other one.
Result<void> wait_for_other_side(Pipe& pipe, u32 flags, u32 reader_opens, u32 writer_opens) {
    const bool reads = (flags & O_ACCMODE) == O_RDONLY;
    const Blocking blocking = (flags & O_NONBLOCK) ? Blocking::Refuse : Blocking::Wait;
    if (reads && blocking == Blocking::Refuse) return {};
    return try_then_wait(pipe.events, POLLIN | POLLOUT, blocking, [&]() -> Result<void> {
        const bool is_there = reads ? pipe.writers() > 0 || pipe.writer_opens() != writer_opens
                                    : pipe.readers() > 0 || pipe.reader_opens() != reader_opens;
        if (!is_there) return error(Errno::EAGAIN);
        return {};
    });
}

} // namespace

Result<PipeEnds> create_pipe(u32 flags) {
    RefPtr<Pipe> pipe = TRY(Pipe::create());
    pipe->is_anonymous = true;
    RefPtr<Inode> inode = TRY(create_anonymous_inode(S_IFIFO | 0600));
    TRY(inode->attachment([&]() -> Result<RefPtr<InodeAttachment>> { return pipe; }));
    RefPtr<PipeFile> reader = TRY(make_file(inode, pipe, O_RDONLY | (flags & O_NONBLOCK)));
    RefPtr<PipeFile> writer = TRY(make_file(inode, pipe, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT))));
    return PipeEnds{std::move(reader), std::move(writer)};
}

Result<RefPtr<File>> open_fifo(const Path& path, u32 flags) {
    RefPtr<InodeAttachment> attachment =
        TRY(path.inode()->attachment([]() -> Result<RefPtr<InodeAttachment>> { return TRY(Pipe::create()); }));
    // Only Pipes are attached to FIFOs.
    RefPtr<Pipe> pipe(static_cast<Pipe&>(*attachment));
    // A pipe opened again through /proc doesn't wait: its other side may be gone for good.
    if (pipe->is_anonymous) return RefPtr<File>(TRY(make_file(RefPtr<Inode>(*path.inode()), pipe, flags)));
    const u32 access = flags & O_ACCMODE;
    const u32 reader_opens = pipe->reader_opens();
    const u32 writer_opens = pipe->writer_opens();
    if (access == O_WRONLY && (flags & O_NONBLOCK) && pipe->readers() == 0) return error(Errno::ENXIO);
    RefPtr<PipeFile> file = TRY(make_file(path, pipe, flags));
    if (access != O_RDWR) TRY(wait_for_other_side(*pipe, flags, reader_opens, writer_opens));
    return RefPtr<File>(std::move(file));
}

} // namespace linnet::vfs
