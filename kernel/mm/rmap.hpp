// From pages back to where they show, and the counters of mapped and dirty file pages.
#pragma once

#include <mm/page.hpp>
#include <mm/vma.hpp>

namespace linnet::mm {

/// Takes the entries of [begin, end) of a mapping out, private copies too unless they are kept, and flushes. The
/// object's mappings lock is held, the mmap lock isn't needed.
void unmap_object_range(Vma& vma, VirtAddr begin, VirtAddr end, bool keep_private);

/// Whether the mapping shows `page` at `address` and has used it since last asked; it is forgotten. The object's
/// mappings lock is held.
bool take_accessed_mark(Vma& vma, VirtAddr address, const Page& page);

/// Takes the right to write from the entry of one page of a shared mapping, and flushes.
void write_protect_mapping(Vma& vma, VirtAddr address);

/// One more or one fewer user mapping of a File or Shared page.
void note_mapped(Page& page);
void note_unmapped(Page& page);
u64 mapped_object_frames();

/// How many user mappings show a page, at least 1: the one answer for /proc (smaps, pagemap, kpagecount). `table`,
/// where known, is a last-level table that maps it.
u32 mapping_count(const Page& page, const Page* table);

/// A page of a FileObject is stored as it is; note_dirty() (page_cache.hpp) is the opposite.
void note_clean(Page& page);
u64 dirty_frames();

} // namespace linnet::mm
