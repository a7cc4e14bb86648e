// VMSAv8-64 stage 1 descriptors, 4 KiB granule. (Arm ARM D8.3)
//
// A page without any right is an invalid descriptor with `no_access` set, so that the hardware refuses it and software
// still sees the leaf. Hardware management of the dirty state isn't used: a page that may be written counts as dirty.
#pragma once

#include <lib/address.hpp>

namespace linnet::arch {

enum class MemoryKind : u64 { Normal = 0, Device = 1, WriteCombining = 2, DeviceStrong = 3 }; // indices into MAIR_EL1
/// Normal write-back, Device-nGnRE, Normal non-cacheable, Device-nGnRnE.
inline constexpr u64 mair_value = 0x00'44'04'ff;

struct PagingPolicy : WithoutSoftDirty {
    using Entry = u64;

    static constexpr Entry valid = 1 << 0;
    static constexpr Entry table_or_page = 1 << 1; // a block where 0, above the last level
    static constexpr unsigned attribute_shift = 2;
    static constexpr Entry user_access = 1 << 6;
    static constexpr Entry read_only = 1 << 7;
    static constexpr Entry inner_shareable = 3 << 8;
    static constexpr Entry access_flag = 1 << 10;
    static constexpr Entry not_global = 1 << 11;
    static constexpr Entry privileged_no_execute = u64{1} << 53;
    static constexpr Entry user_no_execute = u64{1} << 54;
    static constexpr Entry software_dirty = u64{1} << 55;
    static constexpr Entry copy_on_write = u64{1} << 56;
    static constexpr Entry not_readable = u64{1} << 57; // execute-only or write-only was asked for
    static constexpr Entry no_access = u64{1} << 58;
    static constexpr Entry table_read_only = u64{1} << 62; // APTable[1]
    static constexpr Entry address_mask = 0x0000'ffff'ffff'f000;

    static constexpr bool restricted_tables_are_readable = true;
    static constexpr bool fault_drops_translation = false;

    static constexpr Entry empty() { return 0; }
    static constexpr bool is_empty(Entry entry) { return entry == 0; }
    static constexpr bool is_leaf(Entry entry, unsigned level) {
        if (entry & no_access) return true;
        return (entry & valid) && (level == 0 || !(entry & table_or_page));
    }
    static constexpr bool is_table(Entry entry, unsigned level) {
        return level > 0 && (entry & valid) && (entry & table_or_page);
    }
    static constexpr PhysAddr address(Entry entry, unsigned) { return {entry & address_mask}; }

    static constexpr PhysAddr table_address(Entry entry) { return {entry & address_mask}; }

    static constexpr Entry make_leaf(PhysAddr frame, MappingFlags flags, unsigned level) {
        Entry entry = frame.value | (level == 0 ? table_or_page : 0) | inner_shareable;
        MemoryKind kind = flags.device            ? MemoryKind::Device
                          : flags.write_combining ? MemoryKind::WriteCombining
                                                  : MemoryKind::Normal;
        entry |= static_cast<u64>(kind) << attribute_shift;
        if (!flags.writable) entry |= read_only;
        if (flags.user)
            entry |= user_access | privileged_no_execute;
        else
            entry |= user_no_execute;
        if (!flags.executable) entry |= flags.user ? user_no_execute : privileged_no_execute;
        if (!flags.global) entry |= not_global;
        if (flags.accessed) entry |= access_flag;
        if (flags.dirty) entry |= software_dirty;
        if (flags.copy_on_write) entry |= copy_on_write;
        if (!flags.readable) entry |= not_readable;
        bool no_rights = !flags.readable && !flags.writable && !flags.executable;
        return entry | (no_rights ? no_access : valid);
    }
    static constexpr Entry make_table(PhysAddr table) { return table.value | valid | table_or_page; }
    static constexpr Entry make_restricted_table(PhysAddr table) { return make_table(table) | table_read_only; }
    static constexpr bool is_restricted_table(Entry entry) { return entry & table_read_only; }

    static constexpr Entry at_frame(Entry model, PhysAddr frame) { return model | frame.value; }
    static constexpr MappingFlags flags(Entry entry, unsigned) {
        MappingFlags result;
        auto kind = static_cast<MemoryKind>((entry >> attribute_shift) & 7);
        bool none = entry & no_access;
        result.user = entry & user_access;
        result.readable = !none && !(entry & not_readable);
        result.writable = !none && !(entry & read_only);
        result.executable = !none && !(entry & (result.user ? user_no_execute : privileged_no_execute));
        result.global = !(entry & not_global);
        result.device = kind == MemoryKind::Device || kind == MemoryKind::DeviceStrong;
        result.write_combining = kind == MemoryKind::WriteCombining;
        result.copy_on_write = entry & copy_on_write;
        result.accessed = entry & access_flag;
        result.dirty = entry & software_dirty;
        return result;
    }
    static constexpr Entry with_rights(Entry entry, Entry model) {
        constexpr Entry kept = address_mask | access_flag;
        return (entry & kept) | (model & ~kept);
    }
    static constexpr bool is_accessed(Entry entry) { return entry & access_flag; }
    static constexpr bool is_dirty(Entry entry) {
        return (entry & software_dirty) || ((entry & valid) && !(entry & read_only));
    }
    static constexpr Entry without_write(Entry entry) {
        // What could be written counted as dirty; the frame does not become clean by the loss of the right.
        return entry | read_only | copy_on_write | (is_dirty(entry) ? software_dirty : 0);
    }
    static constexpr Entry without_accessed(Entry entry) { return entry & ~access_flag; }
};

} // namespace linnet::arch
