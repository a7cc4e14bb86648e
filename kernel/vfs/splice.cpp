// Moving pages between files and pipes (splice(2)).
#include <vfs/splice.hpp>
#include <vfs/watches.hpp>

#include "file_position.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>
#include <mm/vm_object.hpp>
#include <vfs/current.hpp>
#include <vfs/operations.hpp>

namespace linnet::vfs {

using namespace abi;

namespace {

/// How many pieces go in one round; what there is room for on the stack.
constexpr u32 batch = 16;

struct Batch {
    Pipe::Piece pieces[batch];
    iovec ranges[batch];

    /// The first pieces as one buffer.
    IoBuffer buffer(u32 count) {
        usize total = 0;
        for (u32 i = 0; i < count; ++i) {
            ranges[i] = {reinterpret_cast<u64>(pieces[i].page.data<u8>() + pieces[i].offset), pieces[i].length};
            total += pieces[i].length;
        }
        return IoBuffer::kernel_vectors({ranges, count}, total);
    }
};

/// False: it is empty for good.
Result<bool> wait_for_data(Pipe& pipe, Blocking blocking) {
    return try_then_wait(pipe.events, POLLIN, blocking, [&]() -> Result<bool> {
        if (pipe.has_data()) return true;
        // In this order: who writes last leaves afterwards.
        if (pipe.writers() == 0 && (pipe.read_events() & POLLIN) == 0) return false;
        return error(Errno::EAGAIN);
    });
}

/// EPIPE, and SIGPIPE, when nobody reads.
template <typename Operation>
auto when_there_is_room(Pipe& pipe, Blocking blocking, Operation operation) {
    auto result = try_then_wait(pipe.events, POLLOUT, blocking, operation);
    if (!result && result.error() == Errno::EPIPE) broken_pipe();
    return result;
}

Result<void> wait_for_room(Pipe& pipe, Blocking blocking) {
    return when_there_is_room(pipe, blocking, [&]() -> Result<void> {
        if (pipe.readers() == 0) return error(Errno::EPIPE);
        if (!pipe.has_room()) return error(Errno::EAGAIN);
        return {};
    });
}

/// Pieces of the object's own pages; returns how many there are.
Result<u32> lend_pages(mm::VmObject& object, u64 at, u64 end, std::span<Pipe::Piece> pieces) {
    const bool memory_only = object.kind() == mm::VmObject::Kind::Shared;
    u32 count = 0;
    while (at < end && count < pieces.size()) {
        const u64 index = at >> arch::page_shift;
        const u32 begin = static_cast<u32>(at & (arch::page_size - 1));
        const u32 length = static_cast<u32>(std::min<u64>(end - at, arch::page_size - begin));
        mm::PageRef page = object.find_page(index);
        if (!page) {
            // A hole of memory stays one.
            auto made = memory_only ? mm::allocate_page() : object.get_page(index, arch::Access::Read);
            if (!made && count == 0) return error(made.error());
            if (!made) break;
            page = std::move(*made);
        }
        pieces[count++] = {std::move(page), begin, length, false, true};
        at += length;
    }
    return count;
}

/// Reads into fresh pages, which nobody writes more to, as on Linux; `count` becomes the number of those that have got
/// something.
Result<usize> read_pages(File& from, u64 at, usize wanted, Blocking blocking, Batch& to, u32& count) {
    const u32 most = count;
    for (count = 0; count < most && usize{count} * arch::page_size < wanted; ++count) {
        auto page = mm::allocate_page(mm::PageZeroing::Uninitialised);
        if (!page && count == 0) return error(page.error());
        if (!page) break;
        const usize left = wanted - usize{count} * arch::page_size;
        to.pieces[count] = {std::move(*page), 0, static_cast<u32>(std::min(left, arch::page_size)), false, true};
    }
    IoBuffer buffer = to.buffer(count);
    const usize got = TRY(from.read_for_pipe(buffer, at, blocking));
    count = static_cast<u32>(divide_up(got, arch::page_size));
    if (count > 0) to.pieces[count - 1].length = static_cast<u32>(got - usize{count - 1} * arch::page_size);
    return got;
}

/// Fills the first pieces, `count` of them at most, from the file.
Result<usize> get_pieces(File& from, std::optional<u64> offset, usize wanted, Blocking blocking, Batch& to,
                         u32& count) {
    const u32 most = std::exchange(count, 0);
    return at_position(from, offset, [&](u64 at) -> Result<usize> {
        mm::VmObject* object = from.lendable_pages();
        count = most;
        if (!object) return read_pages(from, at, wanted, blocking, to, count);
        count = 0;
        const u64 size = from.inode().size();
        if (at >= size) return usize{0};
        count = TRY(lend_pages(*object, at, std::min<u64>(size, at + wanted), {to.pieces, most}));
        if (!from.path().is_empty() && !(from.status_flags() & O_NOATIME)) note_access(from.path());
        usize total = 0;
        for (u32 i = 0; i < count; ++i) total += to.pieces[i].length;
        return total;
    });
}

} // namespace

Result<usize> splice_between(Pipe& from, Pipe& to, usize count, Blocking blocking, Pipe::Taking taking) {
    if (&from == &to) return error(Errno::EINVAL);
    for (;;) {
        if (!TRY(wait_for_data(from, blocking))) return 0;
        TRY(wait_for_room(to, blocking));
        auto moved = Pipe::transfer(from, to, count, taking);
        if (moved) return moved;
        if (moved.error() == Errno::EPIPE) broken_pipe();
        // Somebody was faster.
        if (moved.error() != Errno::EAGAIN || blocking == Blocking::Refuse) return moved;
    }
}

Result<usize> splice_to_file(Pipe& from, File& to, std::optional<u64> offset, usize count, Blocking blocking) {
    if (!to.takes_from_pipes()) return error(Errno::EINVAL);
    usize done = 0;
    while (done < count && !core::current_thread().has_fatal_signal()) {
        Batch what;
        const auto pieces = try_then_wait(from.events, POLLIN, done ? Blocking::Refuse : blocking,
                                          [&] { return from.begin_drain(what.pieces, count - done); });
        if (!pieces && done == 0) return error(pieces.error());
        if (!pieces || *pieces == 0) break;
        IoBuffer buffer = what.buffer(*pieces);
        const usize wanted = buffer.remaining();
        const auto written = write(to, buffer, offset);
        from.end_drain(written.value_or(0));
        if (!written && done == 0) return error(written.error());
        done += written.value_or(0);
        if (offset) *offset += written.value_or(0);
        if (!written || *written < wanted) break;
    }
    return done;
}

Result<usize> splice_from_file(File& from, std::optional<u64> offset, Pipe& to, usize count, Blocking blocking) {
    if (!from.feeds_pipes()) return error(Errno::EINVAL);
    usize done = 0;
    while (done < count) {
        Batch what;
        const usize in_first = offset.value_or(from.is_seekable() ? from.position : 0) & (arch::page_size - 1);
        const u64 pages = divide_up(in_first + (count - done), arch::page_size);
        const auto reserved = when_there_is_room(to, done ? Blocking::Refuse : blocking, [&] {
            return to.reserve(static_cast<u32>(std::min<u64>(pages, batch)));
        });
        if (!reserved && done == 0) return error(reserved.error());
        if (!reserved) break;
        u32 filled = *reserved;
        const auto got = get_pieces(from, offset, count - done, blocking, what, filled);
        to.fill_reserved({what.pieces, got ? filled : 0}, *reserved);
        if (!got && done == 0) return error(got.error());
        if (!got || *got == 0) break;
        done += *got;
        if (offset) *offset += *got;
        // What has no end may have nothing more to give.
        if (!from.is_seekable() || !from.lendable_pages()) break;
    }
    if (done > 0) tell_watches(from, abi::IN_ACCESS);
    return done;
}

Result<usize> splice_from_memory(IoBuffer& from, Pipe& to, Blocking blocking) {
    return when_there_is_room(to, blocking, [&] { return to.write(from, Pipe::Mode::Stream); });
}

Result<usize> splice_to_memory(Pipe& from, IoBuffer& to, Blocking blocking) {
    return try_then_wait(from.events, POLLIN, blocking, [&] { return from.read(to); });
}

} // namespace linnet::vfs
