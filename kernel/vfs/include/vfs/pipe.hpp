// Pipes and FIFOs (pipe(7), fifo(7)): a ring of pages between readers and writers.
//
// Lock: Pipe::lock_ (sleeping) guards the ring and the counts' changes; user copies happen under it. The
// counts and the ring's ends are atomics, so that poll reads them without the lock.
#pragma once

#include <core/mutex.hpp>
#include <mm/page.hpp>
#include <vfs/file.hpp>
#include <vfs/inode.hpp>

namespace linnet::vfs {

/// What a process without CAP_SYS_RESOURCE may ask for with F_SETPIPE_SZ (/proc/sys/fs/pipe-max-size).
inline constexpr usize pipe_max_size = 1 << 20;
inline constexpr u32 pipe_default_slots = 16;

class Pipe final : public InodeAttachment {
public:
    static Result<RefPtr<Pipe>> create();

    enum class Mode : u8 { Stream, Packet }; // Packet: O_DIRECT, each write is a message

    /// Moves what is there; EAGAIN when nothing is and writers exist, 0 when there are none.
    Result<usize> read(IoBuffer& to);
    /// Moves what fits; EAGAIN when nothing did, EPIPE without readers. Up to PIPE_BUF bytes go whole or not
    /// at all.
    Result<usize> write(IoBuffer& from, Mode mode);

    [[nodiscard]] u32 read_events() const;
    [[nodiscard]] u32 write_events() const;
    usize readable_bytes();
    [[nodiscard]] usize capacity() const {
        return usize{slot_count_.load(std::memory_order_relaxed)} << arch::page_shift;
    }
    /// F_SETPIPE_SZ: returns the new capacity. EBUSY when more is stored, EPERM, EINVAL.
    Result<usize> set_capacity(usize bytes);

    // Ends come and go.
    void add_ends(bool reads, bool writes);
    void remove_ends(bool reads, bool writes);
    [[nodiscard]] u32 readers() const { return readers_.load(std::memory_order_acquire); }
    [[nodiscard]] u32 writers() const { return writers_.load(std::memory_order_acquire); }
    /// How often an end was opened ever; a FIFO's open waits for the other side's number to change.
    [[nodiscard]] u32 reader_opens() const { return reader_opens_.load(std::memory_order_acquire); }
    [[nodiscard]] u32 writer_opens() const { return writer_opens_.load(std::memory_order_acquire); }

    EventSource events;
    /// Made by pipe(2): opened again through /proc/PID/fd it stays a file without a place.
    bool is_anonymous = false;

private:
    struct Slot {
        mm::PageRef page;
        u32 offset = 0;
        u32 length = 0;
        bool is_packet = false;
    };
    explicit Pipe(OwnPtr<Slot[]> slots) : slots_(std::move(slots)) {}

    [[nodiscard]] u32 used() const {
        return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_acquire);
    }
    Slot& slot(u32 position) { return slots_[position & (slot_count_.load(std::memory_order_relaxed) - 1)]; }
    Result<usize> append_to_last(IoBuffer& from);
    Result<mm::PageRef> take_page();
    void recycle(Slot& slot);
    Result<usize> drain(IoBuffer& to, bool& freed);
    Result<usize> fill(IoBuffer& from, Mode mode);

    core::Mutex lock_;
    OwnPtr<Slot[]> slots_;
    std::atomic<u32> slot_count_{pipe_default_slots}; // a power of two
    std::atomic<u32> head_{0};                        // next slot to fill; positions only grow and wrap at 2^32
    std::atomic<u32> tail_{0};                        // next slot to drain
    std::atomic<u32> readers_{0};
    std::atomic<u32> writers_{0};
    std::atomic<u32> reader_opens_{0};
    std::atomic<u32> writer_opens_{0};
    mm::PageRef spare_; // the page drained last: small messages would else allocate one each
};

/// pipe2(2): the reading and the writing end. `flags`: O_NONBLOCK, O_DIRECT.
struct PipeEnds {
    RefPtr<File> reader;
    RefPtr<File> writer;
};
Result<PipeEnds> create_pipe(u32 flags);

/// open(2) of a FIFO; waits for the other side as fifo(7) says.
Result<RefPtr<File>> open_fifo(const Path& path, u32 flags);

} // namespace linnet::vfs
