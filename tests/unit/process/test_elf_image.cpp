// The checks of ELF headers: what good programs say, and that whatever passes the checks can be mapped without a number
// that wraps or leads out of user space.
#include "elf_image.hpp"
#include "mutate.hpp"

#include <gtest/gtest.h>

namespace {

using namespace linnet;
using namespace linnet::abi;
using process::ElfImage;

constexpr u64 page = arch::page_size;

struct Program {
    Elf64_Ehdr header{};
    std::vector<Elf64_Phdr> segments;

    explicit Program(u16 type = ET_EXEC) {
        const u8 magic[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
        std::ranges::copy(magic, header.e_ident);
        header.e_type = type;
        header.e_machine = elf_machine;
        header.e_phentsize = sizeof(Elf64_Phdr);
        header.e_phoff = sizeof(Elf64_Ehdr);
    }
    Elf64_Phdr& load(u64 offset, u64 address, u64 in_file, u64 in_memory, u32 flags = PF_R) {
        return segment({PT_LOAD, flags, offset, address, address, in_file, in_memory, page});
    }
    Elf64_Phdr& segment(const Elf64_Phdr& one) {
        segments.push_back(one);
        header.e_phnum = static_cast<u16>(segments.size());
        return segments.back();
    }
    [[nodiscard]] Result<ElfImage> image() const {
        ArrayList<Elf64_Phdr> list;
        for (const auto& one : segments) EXPECT_TRUE(list.try_push(one));
        return ElfImage::create(header, std::move(list));
    }
};

/// Text, and data with a tail of zeros that leads to further pages.
Program usual(u16 type, u64 base) {
    Program program(type);
    program.header.e_entry = base + 0x123;
    program.segment({PT_INTERP, PF_R, 0x200, base + 0x200, base + 0x200, 20, 20, 1});
    program.load(0, base, 0x1800, 0x1800, PF_R | PF_X);
    program.load(0x1e00, base + 0x3e00, 0x400, 0x2000, PF_R | PF_W);
    return program;
}

TEST(ElfImage, Static) {
    auto image = usual(ET_EXEC, 0x40'0000).image();
    ASSERT_TRUE(image);
    EXPECT_FALSE(image->is_position_independent());
    EXPECT_EQ(image->low(), 0x40'0000u);
    EXPECT_EQ(image->high(), 0x40'6000u);
    ASSERT_TRUE(image->place(image->low()));
    EXPECT_EQ(image->entry(), 0x40'0123u);
    EXPECT_EQ(image->headers_address(), 0x40'0040u);
    auto data = image->placement(image->segments()[2]);
    EXPECT_EQ(data.begin, 0x40'3000u);
    EXPECT_EQ(data.offset, 0x1000u);
    EXPECT_EQ(data.file_end, 0x40'4200u);
    EXPECT_EQ(data.file_map_end, 0x40'5000u);
    EXPECT_EQ(data.end, 0x40'6000u);
}

TEST(ElfImage, PositionIndependent) {
    Program program = usual(ET_DYN, 0);
    program.segments[2].p_align = 0x20'0000;
    program.segments[1].p_align = 3; // no power of two: ignored
    auto image = program.image();
    ASSERT_TRUE(image && image->is_position_independent());
    EXPECT_EQ(image->alignment(), 0x20'0000u);
    ASSERT_TRUE(image->place(0x5555'5540'0000));
    EXPECT_EQ(image->entry(), 0x5555'5540'0123u);
    EXPECT_EQ(image->end(), 0x5555'5540'6000u);
    EXPECT_FALSE(image->place(arch::user_address_end.value - page));
    EXPECT_FALSE(image->place(~u64{0} - page + 1));
    auto path = image->interpreter(4096);
    ASSERT_TRUE(path && *path);
    EXPECT_EQ((*path)->offset, 0x200u);
    EXPECT_EQ((*path)->size, 20u);
}

TEST(ElfImage, HeadersOfOtherThings) {
    auto refuses = [](auto change) {
        Program program = usual(ET_EXEC, 0x40'0000);
        change(program.header);
        return !program.image().has_value();
    };
    for (usize i = 0; i < 7; ++i) EXPECT_TRUE(refuses([i](auto& header) { header.e_ident[i] ^= 3; })) << i;
    for (u16 type : {0, 1, 4, 0xffff}) EXPECT_TRUE(refuses([type](auto& header) { header.e_type = type; }));
    EXPECT_TRUE(refuses([](auto& header) { header.e_machine = 3; }));
    EXPECT_TRUE(refuses([](auto& header) { header.e_phentsize = 32; }));
    EXPECT_TRUE(refuses([](auto& header) { header.e_phnum = 0; }));
    EXPECT_TRUE(refuses([](auto& header) { header.e_phnum = 0xffff; }));
    EXPECT_TRUE(refuses([](auto& header) { header.e_phoff = ~u64{0} - 8; }));
}

TEST(ElfImage, AbsurdSegments) {
    auto refuses = [](u64 offset, u64 address, u64 in_file, u64 in_memory) {
        Program program(ET_DYN);
        program.load(offset, address, in_file, in_memory);
        return !program.image().has_value();
    };
    EXPECT_FALSE(refuses(0, 0x1000, 8, 8));
    EXPECT_TRUE(refuses(0, 0x1000, 9, 8));                       // more in the file than in memory
    EXPECT_TRUE(refuses(0, arch::user_address_end.value, 1, 1)); // in the kernel's half
    EXPECT_TRUE(refuses(0, arch::user_address_end.value - page, 1, page + 1));
    EXPECT_TRUE(refuses(0, 0x1000, 1, ~u64{0})); // wraps
    EXPECT_TRUE(refuses(0, ~u64{0} - page + 1, 1, page));
    EXPECT_TRUE(refuses(~u64{0} - page + 1, 0, page, page)); // the file range wraps
    EXPECT_TRUE(refuses(u64{1} << 63, 0, page, page));
    EXPECT_TRUE(refuses(8, 0x1000, 8, 8)); // not congruent
    EXPECT_TRUE(refuses(0, 0, 0, 0));      // nothing to map
    EXPECT_FALSE(Program(ET_DYN).image());
}

TEST(ElfImage, Interpreter) {
    auto range = [](u64 offset, u64 size) {
        Program program = usual(ET_DYN, 0);
        program.segments[0].p_offset = offset, program.segments[0].p_filesz = size;
        return program.image()->interpreter(4096);
    };
    EXPECT_TRUE(range(0, 2) && range(0, 4096));
    for (u64 size : {u64{0}, u64{1}, u64{4097}, ~u64{0}}) EXPECT_EQ(range(0, size).error(), Errno::ENOEXEC);
    for (u64 offset : {~u64{0}, u64{1} << 63, (u64{1} << 63) - 10}) EXPECT_EQ(range(offset, 20).error(), Errno::EINVAL);
}

/// What the loader relies on.
void expect_mappable(ElfImage& image) {
    EXPECT_LT(image.low(), image.high());
    EXPECT_LE(image.high(), arch::user_address_end.value);
    EXPECT_TRUE(std::has_single_bit(image.alignment()));
    EXPECT_LE(image.alignment(), u64{1} << 30);
    u64 base = image.is_position_independent() ? 0x5555'5540'0000 : image.low();
    (void)image.interpreter(4096);
    if (!image.place(base)) return;
    for (const auto& segment : image.segments()) {
        if (segment.p_type != PT_LOAD) continue;
        auto where = image.placement(segment);
        for (u64 edge : {where.begin, where.file_map_end, where.end, where.offset}) EXPECT_EQ(edge % page, 0u);
        EXPECT_GE(where.begin, base);
        EXPECT_LE(where.begin, where.file_map_end);
        EXPECT_LE(where.file_map_end, std::max(where.end, where.begin));
        EXPECT_LE(where.end, base + image.size());
        EXPECT_LE(where.end, arch::user_address_end.value);
        if (where.has_file_part()) EXPECT_LE(where.file_map_end - where.file_end, page);
        EXPECT_LE(where.offset + (where.file_map_end - where.begin), u64{1} << 63);
    }
}

TEST(ElfImage, NoDamageLeadsOutside) {
    std::mt19937 random(4);
    int accepted = 0;
    for (int round = 0; round < 60000; ++round) {
        Program program = usual(round % 2 ? ET_DYN : ET_EXEC, round % 2 ? 0 : 0x40'0000);
        std::vector<u8> bytes(sizeof(Elf64_Ehdr) + program.segments.size() * sizeof(Elf64_Phdr));
        std::memcpy(bytes.data(), &program.header, sizeof(Elf64_Ehdr));
        std::memcpy(bytes.data() + sizeof(Elf64_Ehdr), program.segments.data(), bytes.size() - sizeof(Elf64_Ehdr));
        usize size = bytes.size();
        bytes = test::damaged(bytes, random);
        bytes.resize(size);
        std::memcpy(&program.header, bytes.data(), sizeof(Elf64_Ehdr));
        std::memcpy(program.segments.data(), bytes.data() + sizeof(Elf64_Ehdr), size - sizeof(Elf64_Ehdr));
        auto image = program.image();
        if (!image) continue;
        ++accepted;
        expect_mappable(*image);
    }
    EXPECT_GT(accepted, 5000);
}

} // namespace
