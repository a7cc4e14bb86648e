// The simulated machine's memory and processor.
#include "machine.hpp"
#include <cstdlib>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace linnet {

namespace {
constexpr u64 low_begin = 0x10'0000, low_size = u64{40} << 20;
constexpr u64 high_begin = u64{1} << 30, high_size = u64{24} << 20;
PhysAddr kernel_root{};
boot::BootInfo machine;
} // namespace

namespace boot {
const BootInfo& boot_info() { return machine; }
} // namespace boot

namespace arch {
PhysAddr kernel_root_table() { return kernel_root; }
} // namespace arch

namespace test {

using Policy = arch::PagingPolicy;
using Table = mm::PageTable<Policy>;

namespace {
void provide(u64 begin, u64 size) {
    void* wanted = arch::phys_to_virt(PhysAddr{begin});
    void* got = mmap(wanted, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ASSERT_EQ(got, wanted);
    machine.usable[machine.usable_count++] = {{begin}, size};
}
} // namespace

void start_machine() {
    static bool started = false;
    if (started) return;
    started = true;
    provide(low_begin, low_size);
    provide(high_begin, high_size);
    machine.reserved[machine.reserved_count++] = {{low_begin}, 0x5000};        // the root table lies here
    machine.reserved[machine.reserved_count++] = {{low_begin + 0x20800}, 100}; // unaligned, inside one page
    kernel_root = {low_begin};
    mm::initialise(machine);
}

Usage usage() {
    mm::MemoryStatistics now = mm::memory_statistics();
    return {now.anonymous, now.shared, now.file_cache, now.page_tables};
}

u8* access(mm::AddressSpace& space, VirtAddr address, arch::Access how, mm::FaultResult* refusal) {
    for (int attempt = 0; attempt < 4; ++attempt) {
        Table table(space.root_table());
        auto* slot = table.find_leaf_slot(address);
        auto is_allowed = [&](arch::MappingFlags flags) {
            EXPECT_FALSE(flags.writable && flags.copy_on_write);
            return how == arch::Access::Read    ? flags.readable
                   : how == arch::Access::Write ? flags.writable
                                                : flags.executable;
        };
        if (slot && Policy::is_leaf(Table::load(slot), 1)) {
            auto entry = Table::load(slot);
            if (is_allowed(Policy::flags(entry, 1)))
                return arch::phys_to_virt<u8>(Policy::address(entry, 1)) + (address.value & (arch::huge_page_size - 1));
        }
        mm::Page* leaf = Table::leaf_table_in(slot);
        bool restricted = leaf && Policy::is_restricted_table(Table::load(slot));
        if (leaf && !(restricted && (how == arch::Access::Write || !Policy::restricted_tables_are_readable))) {
            auto entry = Table::load(Table::entries(*leaf) + Table::index(address, 0));
            if (Policy::is_leaf(entry, 0) && is_allowed(Policy::flags(entry, 0)))
                return arch::phys_to_virt<u8>(Policy::address(entry, 0)) + (address.value & (arch::page_size - 1));
        }
        mm::FaultResult result = space.handle_fault(address, how);
        if (result != mm::FaultResult::Resolved) {
            if (refusal) *refusal = result;
            return nullptr;
        }
    }
    ADD_FAILURE() << "fault at " << address.value << " resolved, but the access is still refused";
    return nullptr;
}

int steps(int count, int factor) { return std::getenv("LINNET_LONG") ? count * factor : count; }

} // namespace test
} // namespace linnet
