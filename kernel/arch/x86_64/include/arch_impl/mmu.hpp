// x86_64 page-table entries (Intel SDM vol. 3, 4.5) and what goes where in the software bits.
#pragma once

#include <arch/page.hpp>

namespace linnet::arch {

struct PagingPolicy {
    using Entry = u64;

    static constexpr Entry present = 1u << 0, writable = 1u << 1, user = 1u << 2, write_through = 1u << 3,
                           cache_disable = 1u << 4, accessed = 1u << 5, dirty = 1u << 6, large = 1u << 7,
                           global = 1u << 8, software_cow = 1u << 9, software_no_access = 1u << 10,
                           software_soft_dirty = 1u << 11, no_execute = u64{1} << 63;
    static constexpr u64 address_mask = 0x000f'ffff'ffff'f000;
    static constexpr unsigned key_shift = 59;
    /// The R/W bit of an upper entry governs everything below it.
    static constexpr bool restricted_tables_are_readable = true;
    /// SDM volume 3, section 4.10.4.1.
    static constexpr bool fault_drops_translation = true;
    static constexpr bool has_soft_dirty = true;

    static constexpr Entry empty() { return 0; }
    static bool is_empty(Entry entry) { return entry == 0; }
    /// A PROT_NONE page is not present but remembers that by a software bit.
    static bool is_leaf(Entry entry, unsigned level) {
        if (entry & software_no_access) return true;
        return (entry & present) && (level == 0 || (entry & large));
    }
    static bool is_table(Entry entry, unsigned level) { return level > 0 && (entry & present) && !(entry & large); }
    static PhysAddr address(Entry entry, unsigned level) {
        // Bit 12 of a large leaf is the PAT bit, not part of the address.
        u64 mask = address_mask;
        if (level > 0 && is_leaf(entry, level))
            mask &= ~((u64{1} << (page_shift + level * entries_per_table_shift)) - 1);
        return {entry & mask};
    }
    static PhysAddr table_address(Entry entry) { return {entry & address_mask}; }
    static constexpr Entry make_leaf(PhysAddr address, MappingFlags flags, unsigned level) {
        Entry entry = address.value;
        if (level > 0) entry |= large;
        // x86_64 can't express write or execute without read.
        entry |= (flags.readable || flags.writable || flags.executable) ? present : software_no_access;
        if (flags.writable) entry |= writable;
        if (!flags.executable) entry |= no_execute;
        if (flags.user) entry |= user;
        if (flags.global && !flags.user) entry |= global;
        if (flags.device) entry |= cache_disable | write_through; // PAT entry 3: uncached
        if (flags.write_combining) entry |= write_through;        // PAT entry 1, reprogrammed to write-combining
        if (flags.copy_on_write) entry |= software_cow;
        if (flags.accessed) entry |= accessed;
        if (flags.dirty) entry |= dirty;
        if (flags.soft_dirty) entry |= software_soft_dirty;
        return entry | (u64{flags.protection_key} & 15) << key_shift;
    }
    static Entry make_table(PhysAddr address) { return address.value | present | writable | user | accessed; }
    static Entry make_restricted_table(PhysAddr address) { return address.value | present | user | accessed; }
    static bool is_restricted_table(Entry entry) { return !(entry & writable); }
    static constexpr Entry at_frame(Entry model, PhysAddr frame) { return model | frame.value; }
    static MappingFlags flags(Entry entry, unsigned) {
        MappingFlags flags;
        flags.readable = (entry & present) != 0;
        flags.writable = (entry & writable) != 0;
        flags.executable = !(entry & no_execute);
        flags.user = (entry & user) != 0;
        flags.global = (entry & global) != 0;
        flags.device = (entry & cache_disable) != 0;
        flags.write_combining = (entry & write_through) && !(entry & cache_disable);
        flags.copy_on_write = (entry & software_cow) != 0;
        flags.accessed = (entry & accessed) != 0;
        flags.dirty = (entry & dirty) != 0;
        flags.soft_dirty = is_soft_dirty(entry);
        flags.protection_key = static_cast<u8>((entry >> key_shift) & 15);
        return flags;
    }
    static Entry with_rights(Entry entry, Entry model) {
        constexpr Entry kept = address_mask | accessed | software_soft_dirty;
        return (entry & kept) | (model & ~kept);
    }
    static bool is_accessed(Entry entry) { return (entry & accessed) != 0; }
    static bool is_dirty(Entry entry) { return (entry & dirty) != 0; }
    static bool is_soft_dirty(Entry entry) { return (entry & software_soft_dirty) != 0; }
    static Entry with_soft_dirty(Entry entry) { return entry | software_soft_dirty; }
    static Entry without_soft_dirty(Entry entry) { return entry & ~Entry{software_soft_dirty | writable}; }
    static Entry without_write(Entry entry) { return (entry & ~Entry{writable}) | software_cow; }
    static Entry without_accessed(Entry entry) { return entry & ~Entry{accessed}; }
};

} // namespace linnet::arch
