// Reads and writes of files through their page cache.
#pragma once

#include <mm/page_cache.hpp>
#include <vfs/io_buffer.hpp>

namespace linnet::vfs {

/// Copies from the pages of a file of `size` bytes. What was copied before something failed counts. EFAULT, EIO,
/// ENOMEM.
/// `reader`, where given: what it will want next is read ahead.
Result<usize> read_pages(mm::VmObject& object, u64 size, IoBuffer& to, u64 offset, mm::ReadAhead* reader = nullptr);
/// Copies `wanted` bytes, not 0, into the pages from `offset` on and marks them dirty; how many were copied. The size
/// stays the caller's business. EFAULT, EIO, ENOMEM, ENOSPC.
Result<usize> write_pages(mm::VmObject& object, IoBuffer& from, u64 offset, usize wanted);

} // namespace linnet::vfs
