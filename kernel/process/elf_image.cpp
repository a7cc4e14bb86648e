// The checks behind ElfImage. The file is hostile: nothing is computed from a number before its range is known.
#include "elf_image.hpp"

#include <algorithm>
#include <bit>

namespace linnet::process {
namespace {
using namespace abi;

constexpr usize max_headers_size = 65536;
constexpr u64 largest_alignment = u64{1} << 30;
constexpr u64 largest_offset = ~u64{0} >> 1; // of a file: offsets are signed
constexpr u64 page_mask = arch::page_size - 1;

u64 page_down(u64 value) { return value & ~page_mask; }
u64 page_up(u64 value) { return (value + page_mask) & ~page_mask; }

} // namespace

Result<void> ElfImage::check_header(const Elf64_Ehdr& header) {
    static constexpr u8 magic[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
    if (!std::equal(std::begin(magic), std::end(magic), header.e_ident)) return error(Errno::ENOEXEC);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return error(Errno::ENOEXEC);
    if (header.e_machine != elf_machine || header.e_phentsize != sizeof(Elf64_Phdr)) return error(Errno::ENOEXEC);
    if (header.e_phnum == 0 || table_size(header) > max_headers_size) return error(Errno::ENOEXEC);
    if (header.e_phoff > largest_offset) return error(Errno::EINVAL);
    return {};
}

Result<ElfImage> ElfImage::create(const Elf64_Ehdr& header, ArrayList<Elf64_Phdr> segments) {
    TRY(check_header(header));
    ElfImage image;
    image.header_ = header;
    image.segments_ = std::move(segments);
    for (const Elf64_Phdr& segment : image.segments_)
        if (segment.p_type == PT_LOAD) TRY(image.add_segment(segment));
    if (image.low_ >= image.high_) return error(Errno::ENOEXEC);
    return image;
}

/// Checks one PT_LOAD and widens the bounds of the image by it.
Result<void> ElfImage::add_segment(const Elf64_Phdr& segment) {
    u64 end;
    u64 file_end;
    if (segment.p_filesz > segment.p_memsz) return error(Errno::EINVAL);
    if (__builtin_add_overflow(segment.p_vaddr, segment.p_memsz, &end) || end > arch::user_address_end.value)
        return error(Errno::EINVAL);
    if (__builtin_add_overflow(segment.p_offset, segment.p_filesz, &file_end) || file_end > largest_offset)
        return error(Errno::EINVAL);
    if ((segment.p_vaddr & page_mask) != (segment.p_offset & page_mask)) return error(Errno::EINVAL);
    if (std::has_single_bit(segment.p_align) && segment.p_align <= largest_alignment)
        alignment_ = std::max(alignment_, segment.p_align);
    low_ = std::min(low_, page_down(segment.p_vaddr));
    high_ = std::max(high_, page_up(end));
    return {};
}

Result<std::optional<ElfImage::FileRange>> ElfImage::interpreter(usize longest) const {
    for (const Elf64_Phdr& segment : segments_) {
        if (segment.p_type != PT_INTERP) continue;
        if (segment.p_filesz < 2 || segment.p_filesz > longest) return error(Errno::ENOEXEC);
        if (segment.p_offset > largest_offset - segment.p_filesz) return error(Errno::EINVAL);
        return FileRange{segment.p_offset, segment.p_filesz};
    }
    return std::nullopt;
}

Result<void> ElfImage::place(u64 base) {
    if (base > arch::user_address_end.value || size() > arch::user_address_end.value - base)
        return error(Errno::ENOMEM);
    bias_ = base - low_;
    return {};
}

SegmentPlacement ElfImage::placement(const Elf64_Phdr& segment) const {
    u64 address = segment.p_vaddr + bias_;
    SegmentPlacement where;
    where.begin = page_down(address);
    where.file_end = address + segment.p_filesz;
    where.file_map_end = segment.p_filesz > 0 ? page_up(where.file_end) : where.begin;
    where.end = page_up(address + segment.p_memsz);
    where.offset = page_down(segment.p_offset);
    return where;
}

u64 ElfImage::headers_address() const {
    for (const Elf64_Phdr& segment : segments_) {
        if (segment.p_type == PT_PHDR) return segment.p_vaddr + bias_;
        if (segment.p_type == PT_LOAD && header_.e_phoff >= segment.p_offset &&
            header_.e_phoff - segment.p_offset < segment.p_filesz)
            return header_.e_phoff - segment.p_offset + segment.p_vaddr + bias_;
    }
    return 0;
}

} // namespace linnet::process
