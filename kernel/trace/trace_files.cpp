// Reading and writing the trace.
//
// Lock order: a file's own lock, trace_lock, ring buffers. User memory is copied under the first only.
#include "trace_files.hpp"

#include <abi/linux/poll.hpp>
#include <algorithm>
#include <new>

#include "ftrace_events.hpp"

namespace linnet::trace {

using vfs::File;
using vfs::IoBuffer;

namespace {

// ---- trace ----

/// The entries as they are, for everybody who opens it. Reading from the start begins anew.
class StaticFile final : public File {
public:
    StaticFile(const vfs::Path& path, u32 flags, CpuRange cpus)
        : File(path, flags, Positioning::Seekable), cpus_(cpus) {}

    Result<usize> read(IoBuffer& to, u64 offset) override {
        core::MutexGuard guard(lock_);
        TRY(lines_.prepare());
        if (offset == 0 || offset < at_) TRY(begin());
        while (at_ < offset) { // somebody has sought
            if (!TRY(fill())) return 0;
            skip(std::min<u64>(offset - at_, lines_.text().size()));
        }
        if (!TRY(fill())) return 0;
        const std::string_view text = lines_.text();
        const usize copied = TRY(to.copy_out({reinterpret_cast<const u8*>(text.data()), text.size()}));
        skip(copied);
        return copied;
    }
    /// Only what opening with O_TRUNC does matters.
    Result<usize> write(IoBuffer& from, u64) override {
        const usize size = from.remaining();
        return size;
    }
    Result<void> truncate(u64) override { return {}; }

private:
    Result<void> begin() {
        TRY(reader_.begin(cpus_, TraceReader::Taking::Leaves));
        lines_.clear();
        at_ = 0;
        reader_.print_head([this](std::string_view piece) { lines_.add(piece); });
        return {};
    }
    /// False: there is no more.
    Result<bool> fill() {
        if (!lines_.text().empty()) return true;
        core::MutexGuard guard(trace_lock);
        while (lines_.has_room() && reader_.print_next_locked([this](std::string_view piece) { lines_.add(piece); })) {
        }
        return !lines_.text().empty();
    }
    void skip(usize size) {
        lines_.drop(size);
        at_ += size;
    }

    const CpuRange cpus_;
    core::Mutex lock_;
    TraceReader reader_;
    LineBuffer lines_;
    u64 at_ = 0; // of what lines_ begins with
};

// ---- what takes entries, and waits for them ----

class WaitingFile : public File {
public:
    WaitingFile(const vfs::Path& path, u32 flags, CpuRange cpus) : File(path, flags, Positioning::Stream), cpus_(cpus) {
        tracer.open_readers.fetch_add(1);
    }
    ~WaitingFile() override { tracer.open_readers.fetch_sub(1); }

    Result<usize> read(IoBuffer& to, u64) final {
        if (to.remaining() == 0) return 0;
        const auto blocking = is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
        return vfs::try_then_wait(tracer.readers, abi::POLLIN, blocking, [&] { return try_read(to); });
    }
    bool feeds_pipes() const final { return true; }
    u32 poll() final { return has_more() ? abi::POLLIN | abi::POLLRDNORM : 0; }
    vfs::EventSource* event_source() override { return &tracer.readers; }

protected:
    /// EAGAIN: there is nothing yet.
    virtual Result<usize> try_read(IoBuffer& to) = 0;
    virtual bool has_more() = 0;
    [[nodiscard]] bool has_events() const {
        for (u32 cpu = cpus_.first; cpu < cpus_.end; ++cpu)
            if (tracer.buffers[cpu].has_events()) return true;
        return false;
    }

    const CpuRange cpus_;
    core::Mutex lock_;
};

class PipeFile final : public WaitingFile {
public:
    PipeFile(const vfs::Path& path, u32 flags, CpuRange cpus) : WaitingFile(path, flags, cpus) {
        tracer.open_pipes.fetch_add(1);
    }
    ~PipeFile() override { tracer.open_pipes.fetch_sub(1); }
    Result<void> prepare() { return reader_.begin(cpus_, TraceReader::Taking::Takes); }

private:
    Result<usize> try_read(IoBuffer& to) override {
        core::MutexGuard guard(lock_);
        TRY(lines_.prepare());
        // As many entries as are asked for, so that the rest is somebody else's to read.
        if (lines_.text().empty()) {
            const usize wanted = std::min(to.remaining(), usize{4096});
            core::MutexGuard trace(trace_lock);
            while (lines_.text().size() < wanted && lines_.has_room() &&
                   reader_.print_next_locked([this](std::string_view piece) { lines_.add(piece); })) {
            }
        }
        const std::string_view text = lines_.text();
        if (text.empty()) {
            // The end, once nothing more is recorded.
            if (has_read_ && !tracer.is_on.load()) return 0;
            return error(Errno::EAGAIN);
        }
        has_read_ = true;
        const usize copied = TRY(to.copy_out({reinterpret_cast<const u8*>(text.data()), text.size()}));
        lines_.drop(copied);
        return copied;
    }
    bool has_more() override {
        core::MutexGuard guard(lock_);
        return !lines_.text().empty() || has_events();
    }

    TraceReader reader_;
    LineBuffer lines_;
    bool has_read_ = false;
};

/// Pages as they are in the buffer.
class RawPipeFile final : public WaitingFile {
public:
    using WaitingFile::WaitingFile;
    Result<void> prepare() {
        page_ = OwnPtr<u8[]>(new (std::nothrow) u8[arch::page_size]);
        return page_ ? Result<void>{} : error(Errno::ENOMEM);
    }
    /// Pages that nothing more is written to. The one that grows is for read(), as on Linux.
    Result<usize> read_for_pipe(IoBuffer& to, u64, vfs::Blocking blocking) override {
        if (to.remaining() < arch::page_size) return error(Errno::EINVAL);
        if (is_nonblocking()) blocking = vfs::Blocking::Refuse;
        OwnPtr<u8[]> page(new (std::nothrow) u8[arch::page_size]);
        if (!page) return error(Errno::ENOMEM);
        RingBuffer& buffer = tracer.buffers[cpus_.first];
        return vfs::try_then_wait(tracer.page_readers, abi::POLLIN, blocking, [&]() -> Result<usize> {
            usize total = 0;
            if (blocking == vfs::Blocking::Wait && !is_filled()) return error(Errno::EAGAIN);
            while (to.remaining() >= arch::page_size) {
                if (!buffer.has_full_page() ||
                    !buffer.take_page(std::span<u8, arch::page_size>(page.get(), arch::page_size)))
                    break;
                total += TRY(to.copy_out({page.get(), arch::page_size}));
            }
            return total ? Result<usize>(total) : error(Errno::EAGAIN);
        });
    }

private:
    Result<usize> try_read(IoBuffer& to) override {
        core::MutexGuard guard(lock_);
        if (at_ == arch::page_size) {
            const std::span<u8, arch::page_size> page(page_.get(), arch::page_size);
            if (!tracer.buffers[cpus_.first].take_page(page)) return error(Errno::EAGAIN);
            at_ = 0;
        }
        const usize copied = TRY(to.copy_out({page_.get() + at_, arch::page_size - at_}));
        at_ += copied;
        return copied;
    }
    /// Recorders wait until there is much, or they would record themselves (buffer_percent).
    bool has_more() override { return is_filled(); }
    vfs::EventSource* event_source() override { return &tracer.page_readers; }
    [[nodiscard]] bool is_filled() const {
        return tracer.buffers[cpus_.first].is_filled(tracer.buffer_percent.load(std::memory_order_relaxed));
    }

    OwnPtr<u8[]> page_;
    usize at_ = arch::page_size; // of the page; what is behind it has not been read
};

// ---- what is written ----

class MarkerFile final : public File {
public:
    MarkerFile(const vfs::Path& path, u32 flags, MarkerKind kind)
        : File(path, flags, Positioning::Stream), kind_(kind) {}
    Result<usize> read(IoBuffer&, u64) override { return error(Errno::EINVAL); }
    Result<usize> write(IoBuffer& from, u64) override {
        const long written = tracing_mark_write(from, kind_);
        if (written < 0) return error(static_cast<Errno>(-written));
        return static_cast<usize>(written);
    }

private:
    const MarkerKind kind_;
};

/// The buffers are given up when it is closed.
class FreeBufferFile final : public File {
public:
    FreeBufferFile(const vfs::Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}
    ~FreeBufferFile() override {
        core::MutexGuard guard(trace_lock);
        if (has_option(option_disable_on_free)) tracer.is_on = false;
        for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu)
            (void)tracer.buffers[cpu].resize(RingBuffer::fewest_pages); // stays large without memory for a small list
    }
    Result<usize> write(IoBuffer& from, u64) override {
        const usize size = from.remaining();
        return size;
    }
    Result<void> truncate(u64) override { return {}; }
};

template <typename T>
Result<RefPtr<File>> finish(T* file) {
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

template <typename T>
Result<RefPtr<File>> make_waiting(const vfs::Path& path, u32 flags, CpuRange cpus) {
    auto* file = new (std::nothrow) T(path, flags, cpus);
    if (!file) return error(Errno::ENOMEM);
    RefPtr<File> result(adopt_ref(*file));
    TRY(file->prepare());
    return result;
}

} // namespace

Result<RefPtr<File>> TraceFileNode::open(const vfs::Path& path, u32 flags) {
    switch (kind_) {
    case TraceFileKind::Trace:
        if (flags & abi::O_TRUNC) {
            core::MutexGuard guard(trace_lock);
            for (u32 cpu = cpus_.first; cpu < cpus_.end; ++cpu) tracer.buffers[cpu].clear();
        }
        return finish(new (std::nothrow) StaticFile(path, flags, cpus_));
    case TraceFileKind::Pipe:
        return make_waiting<PipeFile>(path, flags, cpus_);
    case TraceFileKind::RawPipe:
        return make_waiting<RawPipeFile>(path, flags, cpus_);
    case TraceFileKind::Marker:
        return finish(new (std::nothrow) MarkerFile(path, flags, MarkerKind::Text));
    case TraceFileKind::RawMarker:
        return finish(new (std::nothrow) MarkerFile(path, flags, MarkerKind::Raw));
    case TraceFileKind::FreeBuffer:
        return finish(new (std::nothrow) FreeBufferFile(path, flags));
    }
    return error(Errno::EINVAL);
}

} // namespace linnet::trace
