// Reads and writes between a program's own pages and a disk, without a copy (O_DIRECT of open(2)).
#pragma once

#include <block/request.hpp>
#include <lib/function_ref.hpp>
#include <mm/page_cache.hpp>
#include <vfs/io_buffer.hpp>

namespace linnet::block {

/// What addresses in memory have to be multiples of, in bytes.
inline constexpr u32 direct_memory_alignment = sector_size;

/// Which way the bytes go.
enum class DirectMove : u8 { ToMemory, FromMemory };

/// Calls `move` once with the memory that the first of `buffer`'s bytes lie in, at most `most` of them and a multiple
/// of `block` bytes, and passes over them when that succeeds. `buffer` is user memory, aligned. `move` may alter the
/// segments; the address space's lock is held meanwhile. Returns how many bytes were moved: not 0. EFAULT, ENOMEM, and
/// what `move` answers.
Result<usize> move_directly(vfs::IoBuffer& buffer, usize most, usize block, DirectMove direction,
                            FunctionRef<Result<void>(std::span<Segment>)> move);

/// Tells the page cache what was stored at `offset`: FileObject::note_stored().
void note_stored(mm::FileObject& pages, u64 offset, std::span<const Segment> segments);

} // namespace linnet::block
