// From the firmware's tables in physical memory to BootInfo: device trees and LoongArch's EFI tables, good and damaged.
// The tables lie at the end of a mapping, so that a step beyond them is a fault.
#include "fdt_builder.hpp"
#include "mutate.hpp"
#include "parse.hpp"

#include <arch/page.hpp>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace linnet::boot {

/// The protocol is the test's choice, not the architecture's.
Result<void> parse_protocol(const Handoff& handoff, BootInfo& info) {
    if (handoff.protocol == Handoff::Protocol::EfiLoongArch) return parse_efi(handoff, info);
    return parse_device_tree(handoff.data, handoff, info);
}

} // namespace linnet::boot

namespace {

using namespace linnet;
using namespace linnet::boot;

constexpr u64 ram = 0x4000'0000, ram_size = 0x1'0000;

/// Physical memory with nothing behind it.
std::span<u8> memory() {
    static u8* const base = [] {
        void* wanted = arch::phys_to_virt(PhysAddr{ram});
        void* got =
            mmap(wanted, ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        EXPECT_EQ(got, wanted);
        return static_cast<u8*>(got);
    }();
    return {base, ram_size};
}

/// Puts bytes at the end of memory; their physical address, a multiple of eight.
PhysAddr place(std::span<const u8> bytes) {
    usize room = (bytes.size() + 7) & ~usize{7};
    std::span<u8> target = memory().last(room);
    std::ranges::fill(target, u8{0});
    std::ranges::copy(bytes, target.begin());
    return {ram + ram_size - room};
}

std::vector<u8> tree(u64 initrd = 0x4200'0000, u64 initrd_end = 0x4300'0000) {
    test::FdtBuilder builder;
    builder.reserve(0x4000'0000, 0x1000).begin("").cells("#address-cells", {2}).cells("#size-cells", {2});
    builder.begin("chosen").text("bootargs", "rdinit=/init word");
    builder.cells("linux,initrd-start", {static_cast<u32>(initrd >> 32), static_cast<u32>(initrd)});
    builder.cells("linux,initrd-end", {static_cast<u32>(initrd_end >> 32), static_cast<u32>(initrd_end)}).end();
    builder.begin("memory").text("device_type", "memory");
    builder.cells("reg", {0, 0x4000'0000, 0, 0x800'0000, 0, 0x4800'0000, 0, 0x800'0800}).end();
    builder.begin("cpus").cells("#address-cells", {1}).cells("#size-cells", {0});
    for (u32 id : {0, 1, 2, 2}) builder.begin("cpu").text("device_type", "cpu").cells("reg", {id}).end();
    builder.end();
    return builder.end().finish();
}

Handoff handoff_of(PhysAddr data) {
    return {.protocol = Handoff::Protocol::DeviceTree,
            .data = data,
            .boot_cpu = 1,
            .image_begin = {0x4020'0000},
            .image_end = {0x4030'0000}};
}

void expect_tidy(std::span<const MemoryRegion> regions) {
    for (usize i = 0; i < regions.size(); ++i) {
        EXPECT_GT(regions[i].size, 0u);
        EXPECT_EQ(regions[i].begin.value % arch::page_size, 0u);
        EXPECT_EQ(regions[i].size % arch::page_size, 0u);
        EXPECT_GT(regions[i].begin.value + regions[i].size, regions[i].begin.value);
        if (i > 0) EXPECT_GT(regions[i].begin.value, regions[i - 1].begin.value + regions[i - 1].size);
    }
}

bool contains(std::span<const MemoryRegion> regions, u64 begin, u64 end) {
    for (const auto& region : regions)
        if (region.begin.value <= begin && end - region.begin.value <= region.size) return true;
    return false;
}

TEST(Handover, DeviceTree) {
    BootInfo info;
    ASSERT_TRUE(parse(handoff_of(place(tree())), info));
    ASSERT_EQ(info.usable_count, 1u); // the two touch; half a page at the end is cut
    EXPECT_EQ(info.usable[0].begin.value, 0x4000'0000u);
    EXPECT_EQ(info.usable[0].size, 0x1000'0000u);
    EXPECT_EQ(info.command_line, "rdinit=/init word");
    ASSERT_EQ(info.cpu_count, 3u);
    EXPECT_EQ(info.cpus[0].hardware_id, 1u);
    EXPECT_EQ(info.initrd.begin.value, 0x4200'0000u);
    EXPECT_EQ(info.initrd.size, 0x100'0000u);
    EXPECT_TRUE(contains(info.reserved_memory(), 0x4200'0000, 0x4300'0000));
    EXPECT_TRUE(contains(info.reserved_memory(), 0x4020'0000, 0x4030'0000));
    EXPECT_TRUE(contains(info.reserved_memory(), 0x4000'0000, 0x4000'1000));
    expect_tidy(info.reserved_memory());
}

TEST(Handover, InitrdOutsideOfMemoryIsDropped) {
    for (auto [begin, end] : {std::pair<u64, u64>{0x2000'0000, 0x2000'1000},
                              {0x4f00'0000, 0x5f00'0000},
                              {0x4200'0000, 0x4200'0000},
                              {0x4300'0000, 0x4200'0000},
                              {1, ~u64{0}}}) {
        BootInfo info;
        ASSERT_TRUE(parse(handoff_of(place(tree(begin, end))), info));
        EXPECT_EQ(info.initrd.size, 0u) << begin;
    }
}

TEST(Handover, MemoryWithoutTheKernelIsRefused) {
    Handoff handoff = handoff_of(place(tree()));
    handoff.image_begin = {0x9000'0000}, handoff.image_end = {0x9010'0000};
    BootInfo info;
    EXPECT_FALSE(parse(handoff, info));
}

TEST(Handover, DamagedDeviceTrees) {
    std::vector<u8> good = tree();
    std::mt19937 random(3);
    int accepted = 0;
    for (int round = 0; round < 20000; ++round) {
        std::vector<u8> bytes = test::damaged(good, random);
        bytes.resize(good.size()); // at() believes the size that the header tells, as it must
        bytes[4] = good[4], bytes[5] = good[5], bytes[6] = good[6], bytes[7] = good[7];
        BootInfo info;
        if (!parse(handoff_of(place(bytes)), info)) continue;
        ++accepted;
        expect_tidy(info.usable_memory());
        expect_tidy(info.reserved_memory());
        EXPECT_TRUE(contains(info.usable_memory(), 0x4020'0000, 0x4030'0000));
        EXPECT_LE(info.cpu_count, BootInfo::max_cpus);
        if (info.initrd.size)
            EXPECT_TRUE(
                contains(info.usable_memory(), info.initrd.begin.value, info.initrd.begin.value + info.initrd.size));
    }
    EXPECT_GT(accepted, 1000);
}

template <typename T>
void put(std::vector<u8>& bytes, usize offset, T value) {
    if (bytes.size() < offset + sizeof value) bytes.resize(offset + sizeof value);
    std::memcpy(&bytes[offset], &value, sizeof value);
}

/// System table, two configuration tables, initrd table and command line; the tree lies in front of them.
struct Efi {
    std::vector<u8> tables;
    PhysAddr base{};
    explicit Efi(u64 table_count = 2) {
        std::vector<u8> blob = tree();
        usize size = 512, tree_room = (blob.size() + 7) & ~usize{7};
        base = {ram + ram_size - size};
        u64 tree_at = base.value - tree_room;
        put<u64>(tables, 0, 0x5453'5953'2049'4249);
        put<u64>(tables, 104, table_count);
        put<u64>(tables, 112, 0x9000'0000'0000'0000 | (base.value + 128)); // through the cached window
        const u8 tree_guid[] = {0xd5, 0x21, 0xb6, 0xb1, 0x9c, 0xf1, 0xa5, 0x41,
                                0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0};
        const u8 initrd_guid[] = {0x27, 0xe4, 0x68, 0x55, 0xfc, 0x68, 0x3d, 0x4f,
                                  0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68};
        for (usize i = 0; i < 16; ++i) put(tables, 128 + i, tree_guid[i]), put(tables, 152 + i, initrd_guid[i]);
        put<u64>(tables, 144, tree_at);
        put<u64>(tables, 168, base.value + 200);
        put<u64>(tables, 200, 0x4400'0000), put<u64>(tables, 208, 0x10'0000);
        for (usize i = 0; i < 9; ++i) put(tables, 256 + i, "from=efi"[i]);
        tables.resize(size);
        std::ranges::copy(blob, memory().data() + (tree_at - ram));
    }
    Result<void> parsed(BootInfo& info) {
        Handoff handoff = handoff_of(place(tables));
        handoff.protocol = Handoff::Protocol::EfiLoongArch;
        handoff.command_line = {base.value + 256};
        return parse(handoff, info);
    }
};

TEST(Handover, EfiTables) {
    BootInfo info;
    ASSERT_TRUE(Efi().parsed(info));
    EXPECT_EQ(info.command_line, "from=efi");
    EXPECT_EQ(info.initrd.begin.value, 0x4400'0000u);
    EXPECT_EQ(info.cpu_count, 3u);
    BootInfo other;
    EXPECT_EQ(Efi(0).parsed(other).error(), Errno::ENODEV); // no tree
    EXPECT_EQ(Efi(65).parsed(other).error(), Errno::EINVAL);
    Efi unsigned_one;
    unsigned_one.tables[0] ^= 1;
    EXPECT_EQ(unsigned_one.parsed(other).error(), Errno::EINVAL);
}

} // namespace
