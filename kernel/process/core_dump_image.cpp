// The core file as a whole: ELF header, program headers, notes, and memory by /proc/PID/coredump_filter. All mappings
// are looked at once; memory is read page by page behind that, with no lock held while a page is written. Another
// process that shares the memory may take some of it away meanwhile: what can't be read any more is a hole.
#include "core_dump.hpp"

#include <abi_arch/elf.hpp>
#include <algorithm>
#include <mm/address_space.hpp>

namespace linnet::process {
namespace {

/// Bits of the filter (core(5)).
enum : u32 {
    dump_private = 1u << 0,
    dump_shared = 1u << 1,
    dump_private_files = 1u << 2,
    dump_shared_files = 1u << 3,
    dump_elf_headers = 1u << 4,
    dump_private_huge = 1u << 5,
    dump_shared_huge = 1u << 6,
};

struct Segment {
    VirtAddr begin{};
    u64 size = 0;
    u64 dumped = 0;               // bytes of it in the file
    u32 flags = 0;                // PF_*
    bool is_anonymous = false;    // what isn't there reads as zeros
    bool may_have_header = false; // its first page goes into the file if it is that of an ELF file
};

u64 dumped_size(const mm::MappingInfo& info, u32 filter, Segment& segment) {
    using Backing = mm::MappingInfo::Backing;
    const bool is_shared = info.flags & mm::vma_shared;
    // The vDSO and its data, whatever the flags say.
    if (info.flags & mm::vma_special) return segment.size;
    if ((info.flags & mm::vma_dont_dump) || info.backing == Backing::Physical) return 0;
    if (info.flags & mm::vma_hugetlb)
        return filter & (is_shared ? dump_shared_huge : dump_private_huge) ? segment.size : 0;
    if (is_shared) {
        const bool has_name = info.label && !info.label->is_unlinked();
        return filter & (has_name ? dump_shared_files : dump_shared) ? segment.size : 0;
    }
    if (info.has_private_pages && (filter & dump_private)) return segment.size;
    if (info.backing == Backing::Anonymous) return 0;
    if (filter & dump_private_files) return segment.size;
    if ((filter & dump_elf_headers) && info.offset == 0 && (info.prot & abi::PROT_READ)) {
        if (info.label && info.label->is_executable()) return arch::page_size;
        segment.may_have_header = true;
    }
    return 0;
}

Segment segment_of(const mm::MappingInfo& info, u32 filter) {
    Segment segment{.begin = info.begin, .size = info.end - info.begin};
    if (info.prot & abi::PROT_READ) segment.flags |= abi::PF_R;
    if (info.prot & abi::PROT_WRITE) segment.flags |= abi::PF_W;
    if (info.prot & abi::PROT_EXEC) segment.flags |= abi::PF_X;
    segment.is_anonymous = info.backing == mm::MappingInfo::Backing::Anonymous;
    segment.dumped = dumped_size(info, filter, segment);
    return segment;
}

Result<void> note_file(MappedFiles& files, const mm::MappingInfo& info) {
    const bool is_shared_memory = info.name.starts_with('/'); // "/dev/zero (deleted)"
    if (!is_shared_memory && (!info.label || info.label->inode_number() == 0)) return {};
    TRY(files.files.try_push({info.begin.value, info.end.value, info.offset >> arch::page_shift}));
    Result<void> result{};
    auto add = [&](std::string_view text) {
        for (char c : text)
            if (result) result = files.names.try_push(c);
    };
    if (info.label)
        info.label->format_name(add);
    else
        add(info.name);
    TRY(std::move(result));
    return files.names.try_push('\0');
}

class CoreImage {
public:
    explicit CoreImage(const CoreDump& dump) : dump_(dump), space_(dump.self.own_address_space()) {}
    Result<void> collect();
    Result<void> write(CoreWriter& writer);

private:
    Result<void> write_headers(CoreWriter& writer, u64 notes_size);
    Result<void> write_segment(CoreWriter& writer, const Segment& segment, std::span<u8> page);
    Result<void> write_page(CoreWriter& writer, VirtAddr at, std::span<u8> page);
    /// More program headers than their 16-bit count can tell: a section header tells them (elf(5), PN_XNUM).
    [[nodiscard]] bool has_extended_count() const { return segments_.size() + 1 >= extended_count; }

    static constexpr u16 extended_count = 0xffff;
    const CoreDump& dump_;
    mm::AddressSpace& space_;
    ArrayList<Segment> segments_;
    MappedFiles files_;
};

Result<void> CoreImage::collect() {
    const u32 filter = space_.dump_filter.load();
    TRY(segments_.try_reserve(space_.statistics().mapping_count));
    Result<void> result{};
    space_.for_each_mapping([&](const mm::MappingInfo& info) {
        result = segments_.try_push(segment_of(info, filter));
        if (result) result = note_file(files_, info);
        return result.has_value();
    });
    TRY(std::move(result));
    constexpr u8 magic[] = {0x7f, 'E', 'L', 'F'};
    for (Segment& segment : segments_) {
        if (!segment.may_have_header) continue;
        u8 first[sizeof magic];
        const Result<usize> count = space_.read_memory(segment.begin, first, mm::ForeignAccess::Forced);
        if (count && *count == sizeof first && std::ranges::equal(first, magic)) segment.dumped = arch::page_size;
    }
    return {};
}

abi::Elf64_Ehdr file_header() {
    abi::Elf64_Ehdr header{};
    constexpr u8 ident[] = {0x7f, 'E', 'L', 'F', abi::ELFCLASS64, abi::ELFDATA2LSB, abi::EV_CURRENT};
    std::ranges::copy(ident, header.e_ident);
    header.e_type = abi::ET_CORE;
    header.e_machine = abi::elf_machine;
    header.e_version = abi::EV_CURRENT;
    header.e_phoff = sizeof header;
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(abi::Elf64_Phdr);
    return header;
}

Result<void> CoreImage::write_headers(CoreWriter& writer, u64 notes_size) {
    const u64 count = segments_.size() + 1;
    const u64 notes_offset = sizeof(abi::Elf64_Ehdr) + count * sizeof(abi::Elf64_Phdr);
    u64 offset = align_up(notes_offset + notes_size, arch::page_size);
    abi::Elf64_Ehdr header = file_header();
    header.e_phnum = static_cast<u16>(std::min<u64>(count, extended_count));
    if (has_extended_count()) {
        header.e_shoff = offset;
        for (const Segment& segment : segments_) header.e_shoff += segment.dumped;
        header.e_shnum = 1;
        header.e_shentsize = sizeof(abi::Elf64_Shdr);
    }
    TRY(writer.put_object(header));
    TRY(writer.put_object(abi::Elf64_Phdr{.p_type = abi::PT_NOTE,
                                          .p_flags = 0,
                                          .p_offset = notes_offset,
                                          .p_vaddr = 0,
                                          .p_paddr = 0,
                                          .p_filesz = notes_size,
                                          .p_memsz = 0,
                                          .p_align = 4}));
    for (const Segment& segment : segments_) {
        TRY(writer.put_object(abi::Elf64_Phdr{.p_type = abi::PT_LOAD,
                                              .p_flags = segment.flags,
                                              .p_offset = offset,
                                              .p_vaddr = segment.begin.value,
                                              .p_paddr = 0,
                                              .p_filesz = segment.dumped,
                                              .p_memsz = segment.size,
                                              .p_align = arch::page_size}));
        offset += segment.dumped;
    }
    return {};
}

bool is_zero(std::span<const u8> page) {
    const auto* words = reinterpret_cast<const u64*>(page.data());
    return std::all_of(words, words + page.size() / sizeof(u64), [](u64 word) { return word == 0; });
}

Result<void> CoreImage::write_page(CoreWriter& writer, VirtAddr at, std::span<u8> page) {
    const Result<usize> count = space_.read_memory(at, page, mm::ForeignAccess::Forced);
    if (!count && count.error() == Errno::ENOMEM) return error(Errno::ENOMEM);
    if (!count || *count != page.size() || is_zero(page)) return writer.skip(page.size());
    return writer.put(page);
}

Result<void> CoreImage::write_segment(CoreWriter& writer, const Segment& segment, std::span<u8> page) {
    const VirtAddr end = segment.begin + segment.dumped;
    for (VirtAddr at = segment.begin; at < end; at += arch::page_size) {
        // Reading what was never touched would fill it with zeros.
        const VirtAddr present = segment.is_anonymous ? space_.find_present(at, end) : at;
        if (present > at) TRY(writer.skip(present - at));
        at = present;
        if (at < end) TRY(write_page(writer, at, page));
    }
    return {};
}

Result<void> CoreImage::write(CoreWriter& writer) {
    OwnPtr<u8[]> page(new (std::nothrow) u8[arch::page_size]);
    if (!page) return error(Errno::ENOMEM);
    CoreNotes notes = TRY(CoreNotes::create(dump_, files_));
    u64 notes_size = 0;
    TRY(notes.write([&](std::span<const u8> bytes) -> Result<void> {
        notes_size += bytes.size();
        return {};
    }));
    TRY(write_headers(writer, notes_size));
    TRY(notes.write([&](std::span<const u8> bytes) { return writer.put(bytes); }));
    TRY(writer.align_to(arch::page_size));
    for (const Segment& segment : segments_) TRY(write_segment(writer, segment, {page.get(), arch::page_size}));
    if (!has_extended_count()) return {};
    abi::Elf64_Shdr section{};
    section.sh_size = 1;
    section.sh_info = static_cast<u32>(segments_.size() + 1);
    return writer.put_object(section);
}

} // namespace

Result<void> write_core(const CoreDump& dump, CoreWriter& writer) {
    CoreImage image(dump);
    TRY(image.collect());
    return image.write(writer);
}

} // namespace linnet::process
