// The first C++ on the boot CPU: makes boot thread and CPU 0 current, gives the image its final rights, hands over.
#include "boot.hpp"
#include <arch/hooks.hpp>
#include <arch/page.hpp>
#include <arch/platform.hpp>
#include <arch/mmu.hpp>
#include <arch_impl/registers.hpp>
#include <arch/handoff.hpp>

namespace linnet::arch {
namespace {

/// Maps [begin, end) of the image by 4 KiB pages with the given rights.
void map_image_part(const char* begin, const char* end, MappingFlags flags) {
    constexpr u64 directory_span = u64{1} << 21;
    for (const char* at = begin; at < end; at += page_size) {
        u64 physical = reinterpret_cast<u64>(at) - kernel_image_offset;
        u64* table = boot_image_tables + physical / directory_span * 512;
        table[physical / page_size % 512] = PagingPolicy::make_leaf({physical}, flags, 0);
    }
}

/// Replaces the writable and executable large pages of boot.S: text R-X, rodata R--, data and bss RW-.
void protect_image() {
    MappingFlags text{.executable = true, .global = true, .dirty = true};
    MappingFlags rodata{.global = true, .dirty = true};
    MappingFlags data{.writable = true, .global = true, .dirty = true};
    map_image_part(kernel_text_start, kernel_text_end, text);
    map_image_part(kernel_rodata_begin, kernel_rodata_end, rodata);
    map_image_part(kernel_rodata_end, kernel_image_end, data);
    constexpr usize tables = 9; // 16 MiB of image that begins at 2 MiB
    for (usize i = 0; i < 16; ++i) {
        u64 table = reinterpret_cast<u64>(boot_image_tables + i * 512) - kernel_image_offset;
        boot_image_directory[i] = i < tables ? PagingPolicy::make_table({table}) & ~PagingPolicy::user : 0;
    }
    u64 cr4 = read_cr4();
    write_cr4(cr4 & ~cr4_global_pages); // drops global entries too
    write_cr4(cr4);
}

} // namespace

extern "C" [[noreturn]] void arch_boot_start(u64 start_info) {
    CpuHeader& cpu = boot_cpu_header();
    ThreadHeader& thread = boot_thread_header();
    thread.cpu = &cpu;
    thread.kernel_stack_top = reinterpret_cast<uintptr_t>(boot_stack_top);
    cpu.current = &thread;
    write_msr(Msr::GsBase, reinterpret_cast<u64>(&cpu));
    protect_image();

    boot::Handoff handoff;
    handoff.protocol = boot::Handoff::Protocol::Pvh;
    handoff.data = {start_info};
    handoff.boot_cpu = initial_apic_id();
    cpu.hardware_id = handoff.boot_cpu;
    handoff.image_begin = {reinterpret_cast<u64>(kernel_image_begin) - kernel_image_offset};
    handoff.image_end = {reinterpret_cast<u64>(kernel_image_end) - kernel_image_offset};
    hooks::kernel_main(handoff);
}

u64 initial_apic_id() {
    // Leaf 0xb gives all 32 bits of an x2APIC id (SDM vol. 3, 9.9.2); leaf 1 eight of them.
    if (cpuid(0).eax >= 0xb) {
        CpuidResult topology = cpuid(0xb);
        if (topology.ebx != 0) return topology.edx;
    }
    return cpuid(1).ebx >> 24;
}

} // namespace linnet::arch
