// Pipes and FIFOs (pipe(7), fifo(7)): a ring of pages between readers and writers.
//
// Lock: Pipe::lock_ (sleeping) guards the ring and the counts' changes; user copies happen under it. The
// counts and the ring's ends are atomics, so that poll reads them without the lock.
#pragma once

#include <core/mutex.hpp>
#include <mm/page.hpp>
#include <span>
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

    /// A page, or a part of one. What may be shared with others (page caches, other pipes) is never written to.
    struct Piece {
        mm::PageRef page;
        u32 offset = 0;
        u32 length = 0;
        bool is_packet = false;
        bool is_shared = false;
    };

    /// Moves what is there; EAGAIN when nothing is and writers exist, 0 when there are none.
    Result<usize> read(IoBuffer& to);
    /// Moves what fits; EAGAIN when nothing did, EPIPE without readers. Up to PIPE_BUF bytes go whole or not
    /// at all.
    Result<usize> write(IoBuffer& from, Mode mode);

    // For splice(2) and its kin. No lock is held while the other file is read or written, however long that takes:
    // room is promised and filled later, and what is being written elsewhere stays in the pipe until it has been.

    /// Promises room for up to `wanted` pieces, one at least. EAGAIN: there is none; EPIPE: there are no readers.
    Result<u32> reserve(u32 wanted);
    /// Puts the pieces into the room that was promised, of which the rest is given back.
    void fill_reserved(std::span<Piece> pieces, u32 reserved);
    /// References to what is there, `most` bytes of it; returns how many. Until end_drain() nobody else reads from the
    /// pipe. 0: there are no writers either. EAGAIN.
    Result<u32> begin_drain(std::span<Piece> pieces, usize most);
    /// So many bytes have been used.
    void end_drain(usize used);

    enum class Taking : u8 { Moves, Copies };
    /// Moves or copies the pieces of `from`, `most` bytes of them, as far as there is room in `to`, another pipe. 0:
    /// there are no writers either. EAGAIN, EPIPE.
    static Result<usize> transfer(Pipe& from, Pipe& to, usize most, Taking taking);

    [[nodiscard]] bool has_data() const { return used() > 0 && !is_draining_.load(std::memory_order_acquire); }
    [[nodiscard]] bool has_room() const {
        return used() + reserved_.load(std::memory_order_relaxed) < slot_count_.load(std::memory_order_relaxed);
    }

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
    using Slot = Piece;
    explicit Pipe(OwnPtr<Slot[]> slots) : slots_(std::move(slots)) {}

    [[nodiscard]] u32 used() const {
        return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_acquire);
    }
    Slot& slot(u32 position) { return slots_[position & (slot_count_.load(std::memory_order_relaxed) - 1)]; }
    Result<usize> append_to_last(IoBuffer& from);
    Result<mm::PageRef> take_page();
    void recycle(Slot& slot);
    void push(Piece piece);
    Result<usize> transfer_locked(Pipe& to, usize most, Taking taking);
    Result<usize> drain(IoBuffer& to, bool& freed);
    Result<usize> fill(IoBuffer& from, Mode mode);

    core::Mutex lock_;
    OwnPtr<Slot[]> slots_;
    std::atomic<u32> slot_count_{pipe_default_slots}; // a power of two
    std::atomic<u32> head_{0};                        // next slot to fill; positions only grow and wrap at 2^32
    std::atomic<u32> tail_{0};                        // next slot to drain
    std::atomic<u32> reserved_{0};                    // room that is promised
    std::atomic<bool> is_draining_{false};
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
