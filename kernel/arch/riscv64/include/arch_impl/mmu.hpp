// RISC-V: Sv48 page-table entries. Bits: V R W X U G A D, two for software, then the page number from bit 10.
//
// Software bit 8 marks copy-on-write. A mapping without any right can't be a valid leaf (it would be a
// pointer to a table), so it is an invalid entry with software bit 9 set. A restricted table is an invalid entry with
// bit 8 and not bit 9.
#pragma once

#include <lib/address.hpp>

namespace linnet::arch {

/// Whether leaves may carry a memory type (Svpbmt); set from the ISA string before the first device is
/// mapped. Without it the platform decides by address.
extern bool page_memory_types_supported;

struct PagingPolicy : WithoutSoftDirty {
    using Entry = u64;

    static constexpr u64 valid = 1u << 0, readable = 1u << 1, writable = 1u << 2, executable = 1u << 3, user = 1u << 4,
                         global = 1u << 5, accessed = 1u << 6, dirty = 1u << 7, copy_on_write = 1u << 8,
                         no_rights = 1u << 9;
    static constexpr u64 any_right = readable | writable | executable;
    static constexpr u64 number_mask = ((u64{1} << 44) - 1) << 10;
    static constexpr u64 memory_type_mask = u64{3} << 61, uncached = u64{1} << 61, device_registers = u64{2} << 61;
    static constexpr u64 restricted = copy_on_write;
    static constexpr bool restricted_tables_are_readable = false;
    static constexpr bool fault_drops_translation = false;

    static constexpr Entry empty() { return 0; }
    static constexpr bool is_empty(Entry entry) { return entry == 0; }
    static constexpr bool is_leaf(Entry entry, unsigned) {
        return (entry & valid) ? (entry & any_right) != 0 : (entry & no_rights) != 0;
    }
    static constexpr bool is_table(Entry entry, unsigned) {
        return (entry & (valid | any_right)) == valid || is_restricted_table(entry);
    }
    static constexpr PhysAddr address(Entry entry, unsigned) { return {(entry & number_mask) << 2}; }
    static constexpr PhysAddr table_address(Entry entry) { return {(entry & number_mask) << 2}; }
    static constexpr Entry make_table(PhysAddr address) { return (address.value >> 2) | valid; }
    static constexpr Entry make_restricted_table(PhysAddr address) { return (address.value >> 2) | restricted; }
    static constexpr bool is_restricted_table(Entry entry) {
        return (entry & (valid | no_rights | restricted)) == restricted;
    }

    /// Write permission implies read permission: the other combination is reserved.
    static constexpr Entry make_leaf(PhysAddr address, MappingFlags flags, unsigned) {
        u64 rights = (flags.readable || flags.writable ? readable : 0) | (flags.writable ? writable : 0) |
                     (flags.executable ? executable : 0);
        u64 entry = (address.value >> 2) | rights | (rights ? valid : no_rights);
        if (flags.user) entry |= user;
        if (flags.global) entry |= global;
        if (flags.accessed) entry |= accessed;
        if (flags.dirty) entry |= dirty;
        if (flags.copy_on_write) entry |= copy_on_write;
        if (flags.device && page_memory_types_supported) entry |= device_registers;
        if (flags.write_combining && page_memory_types_supported) entry |= uncached;
        return entry;
    }
    static constexpr Entry at_frame(Entry model, PhysAddr frame) { return model | frame.value >> 2; }
    static MappingFlags flags(Entry entry, unsigned) {
        MappingFlags flags;
        flags.readable = entry & readable;
        flags.writable = entry & writable;
        flags.executable = entry & executable;
        flags.user = entry & user;
        flags.global = entry & global;
        flags.device = (entry & memory_type_mask) == device_registers;
        flags.write_combining = (entry & memory_type_mask) == uncached;
        flags.copy_on_write = entry & copy_on_write;
        flags.accessed = entry & accessed;
        flags.dirty = entry & dirty;
        return flags;
    }
    static constexpr Entry with_rights(Entry entry, Entry model) {
        constexpr u64 kept = number_mask | accessed;
        return (entry & kept) | (model & ~kept);
    }
    static constexpr bool is_accessed(Entry entry) { return (entry & accessed) != 0; }
    static constexpr bool is_dirty(Entry entry) { return (entry & dirty) != 0; }
    static constexpr Entry without_write(Entry entry) { return (entry & ~writable) | copy_on_write; }
    static constexpr Entry without_accessed(Entry entry) { return entry & ~accessed; }
};

} // namespace linnet::arch
