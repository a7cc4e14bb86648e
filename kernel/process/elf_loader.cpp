// The ELF loader: maps the segments of a program and of its interpreter (elf(5), execve(2)). The file is
// hostile: ElfImage checks every number before use, and nothing of the caller has been changed yet when a check
// fails.
#include <abi/linux/mman.hpp>
#include <algorithm>
#include <string_view>
#include <vfs/operations.hpp>

#include "elf_image.hpp"
#include "program.hpp"

namespace linnet::process {
namespace {
using namespace abi;

Result<void> read_exactly(vfs::File& file, void* to, usize size, u64 offset) {
    vfs::IoBuffer buffer = vfs::IoBuffer::kernel(std::span(static_cast<u8*>(to), size));
    if (TRY(vfs::read(file, buffer, offset)) != size) return error(Errno::ENOEXEC);
    return {};
}

Result<ElfImage> read_image(vfs::File& file, const Elf64_Ehdr& header) {
    TRY(ElfImage::check_header(header));
    ArrayList<Elf64_Phdr> segments;
    TRY(segments.try_resize(header.e_phnum));
    TRY(read_exactly(file, segments.begin(), ElfImage::table_size(header), header.e_phoff));
    return ElfImage::create(header, std::move(segments));
}

u32 protection_of(const Elf64_Phdr& segment) {
    return (segment.p_flags & PF_R ? PROT_READ : 0) | (segment.p_flags & PF_W ? PROT_WRITE : 0) |
           (segment.p_flags & PF_X ? PROT_EXEC : 0);
}

/// Finds room for a position-independent image of `size` bytes anywhere in the mmap area.
Result<u64> find_room(mm::AddressSpace& space, u64 size, u64 alignment) {
    u64 spare = alignment > arch::page_size ? alignment : 0;
    mm::MapRequest request;
    request.length = size + spare;
    request.prot = PROT_NONE;
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    u64 begin = TRY(space.map(request)).value;
    TRY(space.unmap({begin}, size + spare));
    return spare ? align_up(begin, alignment) : begin;
}

/// The file's part of a segment, and zeros for what of its last page lies beyond.
Result<void> map_file_part(mm::AddressSpace& space, vfs::File& file, const Elf64_Phdr& segment,
                           const SegmentPlacement& where) {
    u64 length = where.file_map_end - where.begin;
    RefPtr<mm::VmObject> object = TRY(file.mmap({.offset = where.offset,
                                                 .length = length,
                                                 .shared = false,
                                                 .writable = false,
                                                 .executable = (segment.p_flags & PF_X) != 0}));
    mm::MapRequest request{.address = {where.begin},
                           .length = length,
                           .prot = protection_of(segment),
                           .flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE,
                           .object = std::move(object),
                           .offset = where.offset,
                           .label = NullableRefPtr<mm::MappingLabel>(&file)};
    TRY(space.map(request));
    if (segment.p_memsz == segment.p_filesz) return {};
    static constexpr u8 zero_bytes[512] = {};
    for (u64 at = where.file_end; at < where.file_map_end;) {
        usize piece = std::min<u64>(where.file_map_end - at, sizeof(zero_bytes));
        usize done = TRY(space.write_memory({at}, {zero_bytes, piece}, mm::ForeignAccess::Forced));
        at += done;
    }
    return {};
}

Result<void> map_segment(mm::AddressSpace& space, vfs::File& file, const Elf64_Phdr& segment,
                         const SegmentPlacement& where) {
    if (where.has_file_part()) TRY(map_file_part(space, file, segment, where));
    if (where.end <= where.file_map_end) return {};
    mm::MapRequest request;
    request.address = {where.file_map_end};
    request.length = where.end - where.file_map_end;
    request.prot = protection_of(segment);
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    TRY(space.map(request));
    return {};
}

Result<void> map_image(mm::AddressSpace& space, vfs::File& file, ElfImage& image, u64 base) {
    TRY(image.place(base));
    for (const Elf64_Phdr& segment : image.segments()) {
        if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
        TRY(map_segment(space, file, segment, image.placement(segment)));
    }
    return {};
}

/// Reads the interpreter's path into `buffer`; empty when the program has none.
Result<std::string_view> interpreter_path(const ElfImage& image, vfs::File& file, std::span<char> buffer) {
    auto range = TRY(image.interpreter(buffer.size()));
    if (!range) return std::string_view{};
    TRY(read_exactly(file, buffer.data(), range->size, range->offset));
    std::string_view text{buffer.data(), range->size};
    if (text.back() != '\0') return error(Errno::ENOEXEC);
    return text.substr(0, text.find('\0'));
}

void note_layout(mm::AddressSpace& space, const ElfImage& image) {
    mm::ExecLayout& layout = space.layout;
    layout.code_begin = layout.data_begin = {~u64{0}};
    for (const Elf64_Phdr& segment : image.segments()) {
        if (segment.p_type != PT_LOAD) continue;
        u64 begin = segment.p_vaddr + image.bias();
        u64 end = begin + segment.p_filesz;
        if (segment.p_flags & PF_X) {
            layout.code_begin = std::min(layout.code_begin, VirtAddr{begin});
            layout.code_end = std::max(layout.code_end, VirtAddr{end});
        } else if (segment.p_flags & PF_W) {
            layout.data_begin = std::min(layout.data_begin, VirtAddr{begin});
            layout.data_end = std::max(layout.data_end, VirtAddr{end});
        }
    }
    if (layout.code_begin.value == ~u64{0}) layout.code_begin = {};
    if (layout.data_begin.value == ~u64{0}) layout.data_begin = {};
}

Result<void> load_interpreter(Program& program, std::string_view path) {
    RefPtr<vfs::File> file = TRY(vfs::open_executable(nullptr, path));
    Elf64_Ehdr header;
    TRY(read_exactly(*file, &header, sizeof(header), 0));
    Result<ElfImage> read = read_image(*file, header);
    if (!read) return error(read.error() == Errno::ENOEXEC ? Errno::ELIBBAD : read.error());
    ElfImage& image = *read;
    u64 base = image.low();
    if (image.is_position_independent()) base = TRY(find_room(*program.space, image.size(), image.alignment()));
    TRY(map_image(*program.space, *file, image, base));
    program.interpreter_base = {image.bias()};
    program.entry = {image.entry()};
    return {};
}

} // namespace

Result<void> load_elf(Program& program, std::span<const u8> bytes) {
    if (bytes.size() < sizeof(Elf64_Ehdr)) return error(Errno::ENOEXEC);
    Elf64_Ehdr header;
    __builtin_memcpy(&header, bytes.data(), sizeof(header));
    vfs::File& file = *program.executable;
    ElfImage image = TRY(read_image(file, header));

    constexpr usize path_max = 4096;
    OwnPtr<char[]> buffer(new (std::nothrow) char[path_max]);
    if (!buffer) return error(Errno::ENOMEM);
    std::string_view interpreter = TRY(interpreter_path(image, file, {buffer.get(), path_max}));

    u64 base = image.low();
    if (image.is_position_independent()) {
        // A program goes apart from the libraries; one that is its own loader (static PIE, ld.so run by hand)
        // among them.
        if (!interpreter.empty())
            base = align_down(mm::choose_program_base(program.randomisation).value, image.alignment());
        else
            base = TRY(find_room(*program.space, image.size(), image.alignment()));
    }
    TRY(map_image(*program.space, file, image, base));
    program.program_entry = program.entry = {image.entry()};
    program.program_headers = {image.headers_address()};
    program.program_header_count = image.segment_count();
    note_layout(*program.space, image);
    // The heap of a static PIE would collide with the mmap area, so it goes where a program's would be.
    u64 end = image.end();
    if (image.is_position_independent() && interpreter.empty())
        end = mm::choose_program_base(mm::Randomisation::Off).value;
    program.space->set_brk_begin(mm::choose_brk_begin({end}, program.randomisation));
    if (!interpreter.empty()) TRY(load_interpreter(program, interpreter));
    return {};
}

} // namespace linnet::process
