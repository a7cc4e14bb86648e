// The host tests' page-table entries: an address and one bit for everything, in no processor's order.
#pragma once

#include <arch/page.hpp>

namespace linnet::arch {

struct PagingPolicy {
    struct Entry {
        u64 bits = 0;
    };
    static constexpr u64 leaf = 1, table = 2, restricted = 4, readable = 4, writable = 8, executable = 16, user = 32,
                         global = 64, device = 128, combining = 256, cow = 512, accessed = 1024, dirty = 2048,
                         soft_dirty = u64{1} << 60;
    static constexpr u64 address_mask = 0x00ff'ffff'ffff'f000;
    static constexpr unsigned key_shift = 56;
    static constexpr bool restricted_tables_are_readable = true;
    static constexpr bool fault_drops_translation = false;
    static constexpr bool has_soft_dirty = true;

    static Entry empty() { return {}; }
    static bool is_empty(Entry entry) { return entry.bits == 0; }
    static bool is_leaf(Entry entry, unsigned) { return entry.bits & leaf; }
    static bool is_table(Entry entry, unsigned) { return entry.bits & table; }
    static PhysAddr address(Entry entry, unsigned) { return {entry.bits & address_mask}; }
    static constexpr Entry make_leaf(PhysAddr address, MappingFlags flags, unsigned) {
        return {address.value | leaf | (flags.readable ? readable : 0) | (flags.writable ? writable : 0) |
                (flags.executable ? executable : 0) | (flags.user ? user : 0) | (flags.global ? global : 0) |
                (flags.device ? device : 0) | (flags.write_combining ? combining : 0) |
                (flags.copy_on_write ? cow : 0) | (flags.accessed ? accessed : 0) | (flags.dirty ? dirty : 0) |
                (flags.soft_dirty ? soft_dirty : 0) | u64{flags.protection_key} << key_shift};
    }
    static Entry at_frame(Entry model, PhysAddr frame) { return {model.bits | frame.value}; }
    static PhysAddr table_address(Entry entry) { return address(entry, 1); }
    static Entry make_table(PhysAddr address) { return {address.value | table}; }
    static Entry make_restricted_table(PhysAddr address) { return {address.value | table | restricted}; }
    static bool is_restricted_table(Entry entry) { return entry.bits & restricted; }
    static MappingFlags flags(Entry entry, unsigned) {
        MappingFlags flags;
        flags.readable = entry.bits & readable;
        flags.writable = entry.bits & writable;
        flags.executable = entry.bits & executable;
        flags.user = entry.bits & user;
        flags.global = entry.bits & global;
        flags.device = entry.bits & device;
        flags.write_combining = entry.bits & combining;
        flags.copy_on_write = entry.bits & cow;
        flags.accessed = entry.bits & accessed;
        flags.dirty = entry.bits & dirty;
        flags.soft_dirty = entry.bits & soft_dirty;
        flags.protection_key = static_cast<u8>(entry.bits >> key_shift & 15);
        return flags;
    }
    static Entry with_rights(Entry entry, Entry model) {
        constexpr u64 kept = address_mask | accessed | soft_dirty;
        return {(entry.bits & kept) | (model.bits & ~kept)};
    }
    static bool is_accessed(Entry entry) { return entry.bits & accessed; }
    static bool is_dirty(Entry entry) { return entry.bits & dirty; }
    static bool is_soft_dirty(Entry entry) { return entry.bits & soft_dirty; }
    static Entry with_soft_dirty(Entry entry) { return {entry.bits | soft_dirty}; }
    static Entry without_soft_dirty(Entry entry) { return {entry.bits & ~(soft_dirty | writable)}; }
    static Entry without_write(Entry entry) { return {(entry.bits & ~writable) | cow}; }
    static Entry without_accessed(Entry entry) { return {entry.bits & ~accessed}; }
};

} // namespace linnet::arch
