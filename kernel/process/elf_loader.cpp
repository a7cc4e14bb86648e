// The ELF loader: maps the segments of a program and of its interpreter (elf(5), execve(2)). The file is
// hostile: every number is checked before use, and nothing of the caller has been changed yet when a check
// fails.
#include <abi/linux/mman.hpp>
#include <abi_arch/elf.hpp>
#include <algorithm>
#include <lib/array_list.hpp>
#include <string_view>
#include <vfs/operations.hpp>

#include "program.hpp"

namespace linnet::process {
namespace {
using namespace abi;

constexpr usize max_headers_size = 65536;
constexpr u64 page_mask = arch::page_size - 1;

u64 page_down(u64 value) { return value & ~page_mask; }
u64 page_up(u64 value) { return (value + page_mask) & ~page_mask; }

/// One ELF file with its checked program headers.
struct Image {
    Elf64_Ehdr header{};
    ArrayList<Elf64_Phdr> segments;
    u64 low = 0; // page-aligned bounds of all PT_LOAD, as linked
    u64 high = 0;
    u64 alignment = arch::page_size;
    u64 bias = 0; // run-time minus linked address

    [[nodiscard]] bool is_position_independent() const { return header.e_type == ET_DYN; }
};

Result<void> read_exactly(vfs::File& file, void* to, usize size, u64 offset) {
    vfs::IoBuffer buffer = vfs::IoBuffer::kernel(std::span(static_cast<u8*>(to), size));
    if (TRY(vfs::read(file, buffer, offset)) != size) return error(Errno::ENOEXEC);
    return {};
}

Result<void> check_header(const Elf64_Ehdr& header) {
    static constexpr u8 magic[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
    if (!std::equal(std::begin(magic), std::end(magic), header.e_ident)) return error(Errno::ENOEXEC);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return error(Errno::ENOEXEC);
    if (header.e_machine != elf_machine || header.e_phentsize != sizeof(Elf64_Phdr))
        return error(Errno::ENOEXEC);
    if (header.e_phnum == 0 || header.e_phnum * sizeof(Elf64_Phdr) > max_headers_size)
        return error(Errno::ENOEXEC);
    return {};
}

/// Checks one PT_LOAD and widens the bounds of the image by it.
Result<void> add_segment(Image& image, const Elf64_Phdr& segment) {
    u64 end;
    u64 file_end;
    if (segment.p_filesz > segment.p_memsz) return error(Errno::EINVAL);
    if (__builtin_add_overflow(segment.p_vaddr, segment.p_memsz, &end) || end > arch::user_address_end.value)
        return error(Errno::EINVAL);
    if (__builtin_add_overflow(segment.p_offset, segment.p_filesz, &file_end) || file_end > ~u64{0} >> 1)
        return error(Errno::EINVAL);
    if ((segment.p_vaddr & page_mask) != (segment.p_offset & page_mask)) return error(Errno::EINVAL);
    if (std::has_single_bit(segment.p_align) && segment.p_align <= (u64{1} << 30))
        image.alignment = std::max(image.alignment, segment.p_align);
    image.low = std::min(image.low, page_down(segment.p_vaddr));
    image.high = std::max(image.high, page_up(end));
    return {};
}

Result<void> read_image(Image& image, vfs::File& file, const Elf64_Ehdr& header) {
    TRY(check_header(header));
    image.header = header;
    TRY(image.segments.try_resize(header.e_phnum));
    TRY(read_exactly(file, image.segments.begin(), header.e_phnum * sizeof(Elf64_Phdr), header.e_phoff));
    image.low = ~u64{0};
    for (const Elf64_Phdr& segment : image.segments)
        if (segment.p_type == PT_LOAD) TRY(add_segment(image, segment));
    if (image.low >= image.high) return error(Errno::ENOEXEC);
    return {};
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
Result<void> map_file_part(mm::AddressSpace& space, vfs::File& file, const Elf64_Phdr& segment, u64 address) {
    u64 begin = page_down(address);
    u64 end = address + segment.p_filesz;
    u64 offset = page_down(segment.p_offset);
    RefPtr<mm::VmObject> object = TRY(file.mmap({.offset = offset,
                                                 .length = page_up(end) - begin,
                                                 .shared = false,
                                                 .writable = false,
                                                 .executable = (segment.p_flags & PF_X) != 0}));
    mm::MapRequest request{.address = {begin},
                           .length = page_up(end) - begin,
                           .prot = protection_of(segment),
                           .flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE,
                           .object = std::move(object),
                           .offset = offset,
                           .label = NullableRefPtr<mm::MappingLabel>(&file)};
    TRY(space.map(request));
    u64 zeros = page_up(end) - end;
    if (segment.p_memsz == segment.p_filesz || zeros == 0) return {};
    static constexpr u8 zero_bytes[512] = {};
    for (u64 at = end; at < end + zeros;) {
        usize piece = std::min<u64>(end + zeros - at, sizeof(zero_bytes));
        usize done = TRY(space.write_memory({at}, {zero_bytes, piece}, mm::ForeignAccess::Forced));
        at += done;
    }
    return {};
}

Result<void> map_segment(mm::AddressSpace& space, vfs::File& file, const Elf64_Phdr& segment, u64 bias) {
    u64 address = segment.p_vaddr + bias;
    u64 anonymous_begin = page_down(address);
    if (segment.p_filesz > 0) {
        TRY(map_file_part(space, file, segment, address));
        anonymous_begin = page_up(address + segment.p_filesz);
    }
    u64 end = page_up(address + segment.p_memsz);
    if (end <= anonymous_begin) return {};
    mm::MapRequest request;
    request.address = {anonymous_begin};
    request.length = end - anonymous_begin;
    request.prot = protection_of(segment);
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    TRY(space.map(request));
    return {};
}

Result<void> map_image(mm::AddressSpace& space, vfs::File& file, Image& image, u64 base) {
    image.bias = base - image.low;
    if (base > arch::user_address_end.value || image.high - image.low > arch::user_address_end.value - base)
        return error(Errno::ENOMEM);
    for (const Elf64_Phdr& segment : image.segments) {
        if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
        TRY(map_segment(space, file, segment, image.bias));
    }
    return {};
}

/// Reads the interpreter's path into `buffer`; empty when the program has none.
Result<std::string_view> interpreter_path(const Image& image, vfs::File& file, std::span<char> buffer) {
    for (const Elf64_Phdr& segment : image.segments) {
        if (segment.p_type != PT_INTERP) continue;
        if (segment.p_filesz < 2 || segment.p_filesz > buffer.size()) return error(Errno::ENOEXEC);
        if (segment.p_offset > ~u64{0} >> 1) return error(Errno::EINVAL);
        TRY(read_exactly(file, buffer.data(), segment.p_filesz, segment.p_offset));
        std::string_view text{buffer.data(), segment.p_filesz};
        if (text.back() != '\0') return error(Errno::ENOEXEC);
        return text.substr(0, text.find('\0'));
    }
    return std::string_view{};
}

/// Where the program headers lie in memory: in the segment that holds them in the file.
VirtAddr headers_address(const Image& image) {
    for (const Elf64_Phdr& segment : image.segments) {
        if (segment.p_type == PT_PHDR) return {segment.p_vaddr + image.bias};
        if (segment.p_type == PT_LOAD && image.header.e_phoff >= segment.p_offset &&
            image.header.e_phoff - segment.p_offset < segment.p_filesz)
            return {image.header.e_phoff - segment.p_offset + segment.p_vaddr + image.bias};
    }
    return {};
}

void note_layout(mm::AddressSpace& space, const Image& image) {
    mm::ExecLayout& layout = space.layout;
    layout.code_begin = layout.data_begin = {~u64{0}};
    for (const Elf64_Phdr& segment : image.segments) {
        if (segment.p_type != PT_LOAD) continue;
        u64 begin = segment.p_vaddr + image.bias;
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
    Image image;
    if (Result<void> read = read_image(image, *file, header); !read)
        return error(read.error() == Errno::ENOEXEC ? Errno::ELIBBAD : read.error());
    u64 base = image.low;
    if (image.is_position_independent())
        base = TRY(find_room(*program.space, image.high - image.low, image.alignment));
    TRY(map_image(*program.space, *file, image, base));
    program.interpreter_base = {image.bias};
    program.entry = {image.header.e_entry + image.bias};
    return {};
}

} // namespace

Result<void> load_elf(Program& program, std::span<const u8> bytes) {
    if (bytes.size() < sizeof(Elf64_Ehdr)) return error(Errno::ENOEXEC);
    Elf64_Ehdr header;
    __builtin_memcpy(&header, bytes.data(), sizeof(header));
    vfs::File& file = *program.executable;
    Image image;
    TRY(read_image(image, file, header));

    constexpr usize path_max = 4096;
    OwnPtr<char[]> buffer(new (std::nothrow) char[path_max]);
    if (!buffer) return error(Errno::ENOMEM);
    std::string_view interpreter = TRY(interpreter_path(image, file, {buffer.get(), path_max}));

    u64 base = image.low;
    if (image.is_position_independent()) {
        // A program goes apart from the libraries; one that is its own loader (static PIE, ld.so run by hand)
        // among them.
        if (!interpreter.empty())
            base = align_down(mm::choose_program_base(program.randomisation).value, image.alignment);
        else
            base = TRY(find_room(*program.space, image.high - image.low, image.alignment));
    }
    TRY(map_image(*program.space, file, image, base));
    program.program_entry = program.entry = {image.header.e_entry + image.bias};
    program.program_headers = headers_address(image);
    program.program_header_count = image.header.e_phnum;
    note_layout(*program.space, image);
    // The heap of a static PIE would collide with the mmap area, so it goes where a program's would be.
    u64 end = image.high + image.bias;
    if (image.is_position_independent() && interpreter.empty())
        end = mm::choose_program_base(program.randomisation).value;
    program.space->set_brk_begin(mm::choose_brk_begin({end}, program.randomisation));
    if (!interpreter.empty()) TRY(load_interpreter(program, interpreter));
    return {};
}

} // namespace linnet::process
