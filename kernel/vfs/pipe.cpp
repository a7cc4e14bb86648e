// The ring of a pipe. A write begins a new page unless the rest of it fits behind the last one, so that up to
// a page is written whole: more than PIPE_BUF demands.
#include <algorithm>
#include <vfs/current.hpp>
#include <vfs/pipe.hpp>

namespace linnet::vfs {

using namespace abi;

Result<RefPtr<Pipe>> Pipe::create() {
    OwnPtr<Slot[]> slots(new (std::nothrow) Slot[pipe_default_slots]);
    if (!slots) return error(Errno::ENOMEM);
    Pipe* pipe = new (std::nothrow) Pipe(std::move(slots));
    if (!pipe) return error(Errno::ENOMEM);
    return adopt_ref(*pipe);
}

Result<usize> Pipe::read(IoBuffer& to) {
    if (to.remaining() == 0) return 0;
    bool was_full = false, freed = false;
    Result<usize> moved = 0;
    {
        core::MutexGuard guard(lock_);
        if (used() == 0) {
            if (writers() == 0) return 0;
            return error(Errno::EAGAIN);
        }
        if (is_draining_.load(std::memory_order_relaxed)) return error(Errno::EAGAIN);
        was_full = !has_room();
        moved = drain(to, freed);
    }
    // Nobody waits to write while there is room.
    if (was_full && freed) events.notify(POLLOUT | POLLWRNORM);
    return moved;
}

Result<usize> Pipe::drain(IoBuffer& to, bool& freed) {
    usize total = 0;
    while (used() > 0 && to.remaining() > 0) {
        Slot& first = slot(tail_.load(std::memory_order_relaxed));
        const usize wanted = std::min<usize>(first.length, to.remaining());
        Result<usize> moved = to.copy_out({first.page.data<u8>() + first.offset, wanted});
        if (!moved) {
            if (total == 0) return moved;
            break;
        }
        total += *moved;
        first.offset += static_cast<u32>(*moved);
        first.length -= static_cast<u32>(*moved);
        const bool was_packet = first.is_packet;
        // A read takes one message; what doesn't fit its buffer is lost (pipe(2), O_DIRECT).
        if (first.length == 0 || was_packet) {
            recycle(first);
            tail_.fetch_add(1, std::memory_order_release);
            freed = true;
        }
        if (was_packet || *moved < wanted) break;
    }
    return total;
}

void Pipe::recycle(Slot& slot) {
    if (!spare_ && !slot.is_shared)
        spare_ = std::move(slot.page);
    else
        slot.page = mm::PageRef();
    slot.offset = slot.length = 0;
    slot.is_packet = slot.is_shared = false;
}

Result<mm::PageRef> Pipe::take_page() {
    if (spare_) return std::exchange(spare_, mm::PageRef());
    return mm::allocate_page(mm::PageZeroing::Uninitialised);
}

Result<usize> Pipe::write(IoBuffer& from, Mode mode) {
    if (from.remaining() == 0) return 0;
    Result<usize> moved = 0;
    {
        core::MutexGuard guard(lock_);
        if (readers() == 0) return error(Errno::EPIPE);
        moved = fill(from, mode);
    }
    if (moved && *moved > 0) events.notify(POLLIN | POLLRDNORM);
    return moved;
}

Result<usize> Pipe::append_to_last(IoBuffer& from) {
    if (used() == 0) return 0;
    Slot& last = slot(head_.load(std::memory_order_relaxed) - 1);
    const usize end = last.offset + last.length;
    // The odd end of the write goes first, so that whole pages follow in pages of their own.
    const usize odd = from.remaining() % arch::page_size;
    if (last.is_packet || last.is_shared || odd == 0 || end + odd > arch::page_size) return 0;
    const usize moved = TRY(from.copy_in({last.page.data<u8>() + end, odd}));
    last.length += static_cast<u32>(moved);
    return moved;
}

Result<usize> Pipe::fill(IoBuffer& from, Mode mode) {
    usize total = mode == Mode::Stream ? TRY(append_to_last(from)) : 0;
    while (from.remaining() > 0 && has_room()) {
        Result<mm::PageRef> page = take_page();
        const usize wanted = std::min(from.remaining(), arch::page_size);
        Result<usize> moved = page ? from.copy_in({page->data<u8>(), wanted}) : error(page.error());
        if (!moved || *moved == 0) {
            if (page && !spare_) spare_ = std::move(*page);
            if (total > 0 || moved) break;
            return moved;
        }
        Slot& next = slot(head_.load(std::memory_order_relaxed));
        next.page = std::move(*page);
        next.offset = 0;
        next.length = static_cast<u32>(*moved);
        next.is_packet = mode == Mode::Packet;
        next.is_shared = false;
        head_.fetch_add(1, std::memory_order_release);
        total += *moved;
        if (*moved < wanted) break;
    }
    if (total == 0) return error(Errno::EAGAIN);
    return total;
}

u32 Pipe::read_events() const { return used() > 0 ? POLLIN | POLLRDNORM : 0; }

u32 Pipe::write_events() const {
    u32 mask = has_room() ? POLLOUT | POLLWRNORM : 0;
    if (readers() == 0) mask |= POLLERR;
    return mask;
}

usize Pipe::readable_bytes() {
    core::MutexGuard guard(lock_);
    usize total = 0;
    for (u32 at = tail_.load(); at != head_.load(); ++at) total += slot(at).length;
    return total;
}

Result<usize> Pipe::set_capacity(usize bytes) {
    if (bytes > (usize{1} << 31)) return error(Errno::EINVAL);
    const usize pages = std::bit_ceil(std::max<usize>(divide_up(bytes, arch::page_size), 1));
    core::MutexGuard guard(lock_);
    const u32 old_count = slot_count_.load();
    if (pages > old_count && pages * arch::page_size > pipe_max_size &&
        !current_credentials().has(Capability::SysResource))
        return error(Errno::EPERM);
    if (pages < used() + reserved_.load()) return error(Errno::EBUSY);
    OwnPtr<Slot[]> fresh(new (std::nothrow) Slot[pages]);
    if (!fresh) return error(Errno::ENOMEM);
    u32 count = 0;
    for (u32 at = tail_.load(); at != head_.load(); ++at) fresh[count++] = std::move(slot(at));
    slots_ = std::move(fresh);
    slot_count_.store(static_cast<u32>(pages));
    tail_.store(0);
    head_.store(count);
    if (count < pages) events.notify(POLLOUT | POLLWRNORM);
    return pages * arch::page_size;
}

Result<u32> Pipe::reserve(u32 wanted) {
    core::MutexGuard guard(lock_);
    if (readers() == 0) return error(Errno::EPIPE);
    if (!has_room()) return error(Errno::EAGAIN);
    const u32 room = slot_count_.load() - used() - reserved_.load();
    const u32 reserved = std::min(room, wanted);
    reserved_.fetch_add(reserved);
    return reserved;
}

void Pipe::push(Piece piece) {
    slot(head_.load(std::memory_order_relaxed)) = std::move(piece);
    head_.fetch_add(1, std::memory_order_release);
}

void Pipe::fill_reserved(std::span<Piece> pieces, u32 reserved) {
    {
        core::MutexGuard guard(lock_);
        reserved_.fetch_sub(reserved);
        for (Piece& piece : pieces) push(std::move(piece));
    }
    if (!pieces.empty()) events.notify(POLLIN | POLLRDNORM);
    if (pieces.size() < reserved) events.notify(POLLOUT | POLLWRNORM);
}

Result<u32> Pipe::begin_drain(std::span<Piece> pieces, usize most) {
    core::MutexGuard guard(lock_);
    if (used() == 0 && writers() == 0) return 0;
    if (!has_data()) return error(Errno::EAGAIN);
    u32 count = 0;
    for (u32 at = tail_.load(); at != head_.load() && count < pieces.size() && most > 0; ++at) {
        const Slot& from = slot(at);
        const u32 length = static_cast<u32>(std::min<usize>(from.length, most));
        pieces[count++] = {mm::PageRef::share(*from.page), from.offset, length};
        most -= length;
    }
    is_draining_.store(true, std::memory_order_release);
    return count;
}

void Pipe::end_drain(usize used_bytes) {
    bool was_full = false, freed = false;
    {
        core::MutexGuard guard(lock_);
        was_full = !has_room();
        while (used_bytes > 0) {
            Slot& first = slot(tail_.load(std::memory_order_relaxed));
            const u32 gone = static_cast<u32>(std::min<usize>(first.length, used_bytes));
            first.offset += gone;
            first.length -= gone;
            used_bytes -= gone;
            if (first.length > 0) break;
            recycle(first);
            tail_.fetch_add(1, std::memory_order_release);
            freed = true;
        }
        is_draining_.store(false, std::memory_order_release);
    }
    if (was_full && freed) events.notify(POLLOUT | POLLWRNORM);
    // Readers have waited for the end of it, whether there is more or not.
    events.notify(POLLIN | POLLRDNORM);
}

Result<usize> Pipe::transfer_locked(Pipe& to, usize most, Taking taking) {
    usize total = 0;
    for (u32 at = tail_.load(); at != head_.load() && to.has_room() && total < most; ++at) {
        Slot& from = slot(at);
        const u32 length = static_cast<u32>(std::min<usize>(from.length, most - total));
        total += length;
        if (taking == Taking::Moves && length == from.length) {
            to.push(std::move(from));
            from = Slot();
            tail_.fetch_add(1, std::memory_order_release);
            continue;
        }
        from.is_shared = true;
        to.push({mm::PageRef::share(*from.page), from.offset, length, from.is_packet, true});
        if (taking == Taking::Copies) continue;
        from.offset += length;
        from.length -= length;
    }
    return total;
}

Result<usize> Pipe::transfer(Pipe& from, Pipe& to, usize most, Taking taking) {
    bool was_full = false;
    usize total = 0;
    {
        core::MutexGuard first(&from < &to ? from.lock_ : to.lock_);
        core::MutexGuard second(&from < &to ? to.lock_ : from.lock_);
        if (from.used() == 0 && from.writers() == 0) return 0;
        if (to.readers() == 0) return error(Errno::EPIPE);
        if (!from.has_data() || !to.has_room()) return error(Errno::EAGAIN);
        was_full = !from.has_room();
        total = TRY(from.transfer_locked(to, most, taking));
    }
    if (total > 0) to.events.notify(POLLIN | POLLRDNORM);
    if (was_full && taking == Taking::Moves) from.events.notify(POLLOUT | POLLWRNORM);
    return total;
}

void Pipe::add_ends(bool reads, bool writes) {
    core::MutexGuard guard(lock_);
    if (reads) readers_.fetch_add(1), reader_opens_.fetch_add(1);
    if (writes) writers_.fetch_add(1), writer_opens_.fetch_add(1);
    // A FIFO's open may wait for this side.
    events.notify(POLLIN | POLLOUT);
}

void Pipe::remove_ends(bool reads, bool writes) {
    core::MutexGuard guard(lock_);
    if (reads) readers_.fetch_sub(1);
    if (writes) writers_.fetch_sub(1);
    if (readers() == 0 && writers() == 0) {
        // What nobody read is lost; a FIFO keeps its Pipe as long as its inode is in memory.
        while (used() > 0) recycle(slot(tail_.fetch_add(1)));
        spare_ = mm::PageRef();
    }
    if (readers() == 0) {
        events.notify(POLLERR | POLLOUT | POLLWRNORM);
    } else if (writers() == 0) {
        events.notify(POLLHUP | POLLIN | POLLRDNORM);
    }
}

} // namespace linnet::vfs
