// ACPI tables: what well-formed ones say, and that no bytes whatever make the decoders read outside their span
// (AddressSanitizer watches: every table is a heap block of exactly its size).
#include "acpi.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <vector>

namespace linnet::boot {

// parse.cpp calls the architecture's parser, which these tests don't need.
Result<void> parse_protocol(const Handoff&, BootInfo&) { return {}; }

} // namespace linnet::boot

namespace {

using namespace linnet;
using namespace linnet::boot;

/// A table under construction; fields are little-endian.
struct Table {
    std::vector<u8> bytes;
    explicit Table(usize size = 0) : bytes(size) {}
    template <typename T>
    void set(usize offset, T value) {
        if (bytes.size() < offset + sizeof(T)) bytes.resize(offset + sizeof(T));
        std::memcpy(bytes.data() + offset, &value, sizeof(T));
    }
    void append(std::initializer_list<int> values) {
        for (int value : values) bytes.push_back(static_cast<u8>(value));
    }
    void append(std::string_view text) { bytes.insert(bytes.end(), text.begin(), text.end()); }
};

/// An exact copy on the heap, so that a read past the end is caught.
struct Exact {
    std::unique_ptr<u8[]> data;
    usize size;
    explicit Exact(std::span<const u8> bytes) : data(new u8[bytes.size()]), size(bytes.size()) {
        if (size) std::memcpy(data.get(), bytes.data(), size);
    }
    operator Bytes() const { return {data.get(), size}; }
};

TEST(Acpi, MadtListsCpusChipsAndOverrides) {
    Table madt(44);
    madt.append({0, 8, 0, 0, 1, 0, 0, 0});                          // enabled CPU, APIC id 0
    madt.append({0, 8, 1, 5, 0, 0, 0, 0});                          // disabled one
    madt.append({0, 8, 2, 2, 1, 0, 0, 0});                          // enabled, id 2
    madt.append({9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0}); // x2APIC id 256
    madt.append({1, 12, 7, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0});
    madt.append({2, 10, 0, 0, 2, 0, 0, 0, 0, 0});
    madt.append({2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0}); // active low, level
    BootInfo info;
    AcpiInfo acpi;
    decode_madt(Exact(madt.bytes), info, acpi);
    ASSERT_EQ(info.cpu_count, 3u);
    EXPECT_EQ(info.cpus[1].hardware_id, 2u);
    EXPECT_EQ(info.cpus[2].hardware_id, 256u);
    ASSERT_EQ(acpi.io_apic_count, 1u);
    EXPECT_EQ(acpi.io_apics[0].address.value, 0xfec00000u);
    EXPECT_EQ(acpi.io_apics[0].gsi_base, 24u);
    ASSERT_EQ(acpi.override_count, 2u);
    EXPECT_EQ(acpi.overrides[0].gsi, 2u);
    EXPECT_FALSE(acpi.overrides[0].level);
    EXPECT_TRUE(acpi.overrides[1].level && acpi.overrides[1].active_low);
}

TEST(Acpi, FadtOfAFullAndOfAReducedMachine) {
    Table full(276);
    full.set<u32>(40, 0x1234);
    full.set<u32>(48, 0xb2);
    full.set<u8>(52, 2);
    full.set<u32>(64, 0x604);
    AcpiInfo acpi;
    EXPECT_EQ(decode_fadt(Exact(full.bytes), acpi).value, 0x1234u);
    EXPECT_FALSE(acpi.hardware_reduced);
    EXPECT_EQ(acpi.pm1a_control.address, 0x604u);
    EXPECT_EQ(acpi.pm1a_control.space, GenericAddress::Space::Io);
    EXPECT_FALSE(acpi.reset_register.exists());

    Table reduced(276);
    reduced.set<u32>(112, 1u << 20 | 1u << 10);
    reduced.set<u64>(120, 0xfea00202);
    reduced.set<u8>(128, 0x42);
    reduced.set<u64>(140, 0x5'0000'0000);
    reduced.set<u64>(248, 0xfea00200);
    acpi = {};
    EXPECT_EQ(decode_fadt(Exact(reduced.bytes), acpi).value, 0x5'0000'0000u);
    EXPECT_TRUE(acpi.hardware_reduced);
    EXPECT_FALSE(acpi.pm1a_control.exists());
    EXPECT_EQ(acpi.sleep_control.address, 0xfea00200u);
    EXPECT_EQ(acpi.reset_register.address, 0xfea00202u);
}

TEST(Acpi, AmlTellsHowToPowerOffAndWhereVirtioIs) {
    Table aml;
    aml.append({0x08});
    aml.append("_S5_");
    aml.append({0x12, 6, 4, 0x0a, 5, 0, 0, 0});
    Table body;
    body.append("VR00");
    body.append({0x08});
    body.append("_HID");
    body.append({0x0d});
    body.append("LNRO0005");
    body.append({0, 0x86, 9, 0, 1, 0x00, 0x2e, 0xb0, 0xfe, 0x00, 0x02, 0, 0});
    body.append({0x89, 6, 0, 3, 1, 47, 0, 0, 0});
    aml.append({0x5b, 0x82, static_cast<int>(body.bytes.size() + 1)});
    aml.bytes.insert(aml.bytes.end(), body.bytes.begin(), body.bytes.end());
    AcpiInfo acpi;
    decode_aml(Exact(aml.bytes), acpi);
    EXPECT_TRUE(acpi.has_s5);
    EXPECT_EQ(acpi.s5_type_a, 5);
    ASSERT_EQ(acpi.virtio_count, 1u);
    EXPECT_EQ(acpi.virtio[0].address.value, 0xfeb02e00u);
    EXPECT_EQ(acpi.virtio[0].size, 0x200u);
    EXPECT_EQ(acpi.virtio[0].gsi, 47u);

    // Every truncation of it is decoded without a read past its end.
    for (usize size = 0; size < aml.bytes.size(); ++size) {
        AcpiInfo partial;
        decode_aml(Exact(std::span(aml.bytes).first(size)), partial);
    }
}

TEST(Acpi, NoBytesLeadOutside) {
    std::mt19937 random(1);
    constexpr u8 likely[] = {0, 1, 2, 9, 8, 0x12, 0x5b, 0x82, 0x0a, 0x86, 0x89, '_', 'S', '5', 0xff, 0x3f, 0xcf};
    for (int round = 0; round < 20000; ++round) {
        std::vector<u8> bytes(random() % 300);
        for (u8& byte : bytes) byte = random() % 2 ? likely[random() % std::size(likely)] : static_cast<u8>(random());
        if (bytes.size() > 20 && random() % 2) std::memcpy(&bytes[bytes.size() / 2], "\x08_S5_\x12", 6);
        Exact table(bytes);
        BootInfo info;
        AcpiInfo acpi;
        decode_madt(table, info, acpi);
        decode_mcfg(table, acpi);
        (void)decode_fadt(table, acpi);
        decode_aml(table, acpi);
        EXPECT_LE(info.cpu_count, BootInfo::max_cpus);
        EXPECT_LE(acpi.ecam_count, AcpiInfo::max_ecam);
    }
}

} // namespace
