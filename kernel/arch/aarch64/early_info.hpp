// What the first instructions learn from the device tree, before anything else may run: where RAM is, how firmware is
// called and where the first UART lies. boot/ parses the tree again, properly, for everybody else.
#pragma once

#include <lib/address.hpp>

namespace linnet::arch {

enum class PsciConduit : u8 { None, Hvc, Smc };

struct EarlyInfo {
    static constexpr unsigned max_regions = 32;
    struct Region {
        u64 begin;
        u64 size;
    };
    Region memory[max_regions];
    unsigned memory_count;
    PsciConduit psci_conduit;
    u64 pl011;            // physical address of the first PL011, 0: none
    u64 device_tree_size; // 0: there is no usable tree
};

/// Zeroed by the boot code, filled with the MMU off.
extern EarlyInfo early_info;

/// Reads the tree at `tree` into `info`. Runs with the MMU off: no absolute address, no unaligned access. The tree is
/// untrusted; what can't be read is left out.
void scan_device_tree(const u8* tree, EarlyInfo& info);

} // namespace linnet::arch
