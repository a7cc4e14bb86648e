// LoongArch: page-table entries, filled into the TLB by our refill handler. Bits: V D PLV(2) MAT(2) G, the
// page number from 12, NR NX RPLV at the top; bits 7 … 11 are software's.
//
// The hardware's V and D are derived: V when the page is accessed and has a right, D when it is writable and
// dirty. So the first access and the first write are exceptions, and mm sets the marks. Large leaves have H
// in bit 6 and G in 12.
//
// A restricted table looks to the refill handler like a large leaf without V: any access through it is a page fault. In
// such an entry the table's frame number begins at bit 16, because bits 13 and 14 of a large leaf are the walk's.
#pragma once

#include <arch/page.hpp>

namespace linnet::arch {

struct PagingPolicy : WithoutSoftDirty {
    using Entry = u64;

    static constexpr u64 valid = 1u << 0, dirty_hardware = 1u << 1, user = 3u << 2, cached = 1u << 4,
                         write_combined = 2u << 4, memory_type_mask = 3u << 4, global = 1u << 6, huge = 1u << 6,
                         present = 1u << 7, writable = 1u << 8, dirty = 1u << 9, copy_on_write = 1u << 10,
                         accessed = 1u << 11, huge_global = 1u << 12;
    static constexpr u64 no_read = u64{1} << 61, no_execute = u64{1} << 62;
    static constexpr unsigned restricted_shift = 16, accessed_to_valid = 11;
    static constexpr u64 number_mask = ((u64{1} << 48) - 1) & ~((u64{1} << 14) - 1);
    static constexpr bool restricted_tables_are_readable = false;
    static constexpr bool fault_drops_translation = true; // the trap decoder does (trap.cpp, forget_entry())

    static constexpr Entry empty() { return 0; }
    static constexpr bool is_empty(Entry entry) { return entry == 0; }
    static constexpr bool is_leaf(Entry entry, unsigned) { return (entry & present) != 0; }
    static constexpr bool is_table(Entry entry, unsigned level) {
        return level > 0 && entry != 0 && !(entry & present);
    }
    static constexpr PhysAddr address(Entry entry, unsigned level) {
        if (level > 0 && is_restricted_table(entry)) return {entry >> restricted_shift << page_shift};
        return {entry & number_mask};
    }
    static constexpr PhysAddr table_address(Entry entry) {
        if (is_restricted_table(entry)) [[unlikely]]
            return address(entry, 1);
        return {entry}; // make_table()
    }
    static constexpr Entry make_table(PhysAddr address) { return address.value; }
    static constexpr Entry make_restricted_table(PhysAddr address) {
        return (address.value >> page_shift << restricted_shift) | huge;
    }
    static constexpr bool is_restricted_table(Entry entry) { return (entry & (huge | present)) == huge; }

    static constexpr Entry make_leaf(PhysAddr address, MappingFlags flags, unsigned level) {
        u64 entry = address.value | present;
        if (level > 0) entry |= huge;
        if (flags.global) entry |= level > 0 ? huge_global : global;
        if (flags.user) entry |= user;
        if (!flags.readable && !flags.writable) entry |= no_read;
        if (!flags.executable) entry |= no_execute;
        if (flags.writable) entry |= writable;
        if (flags.dirty) entry |= dirty;
        if (flags.copy_on_write) entry |= copy_on_write;
        if (flags.accessed) entry |= accessed;
        if (flags.write_combining)
            entry |= write_combined;
        else if (!flags.device)
            entry |= cached;
        return with_hardware_bits(entry);
    }
    static constexpr Entry at_frame(Entry model, PhysAddr frame) { return model | frame.value; }
    static constexpr MappingFlags flags(Entry entry, unsigned level) {
        MappingFlags flags;
        flags.readable = !(entry & no_read);
        flags.writable = entry & writable;
        flags.executable = !(entry & no_execute);
        flags.user = entry & user;
        flags.global = entry & (level > 0 ? huge_global : global);
        flags.device = (entry & memory_type_mask) == 0;
        flags.write_combining = (entry & memory_type_mask) == write_combined;
        flags.copy_on_write = entry & copy_on_write;
        flags.accessed = entry & accessed;
        flags.dirty = entry & dirty;
        return flags;
    }
    static constexpr Entry with_rights(Entry entry, Entry model) {
        constexpr u64 kept = number_mask | accessed;
        static_assert(accessed >> accessed_to_valid == valid);
        // The model counts as accessed, so it is valid if it has a right.
        return (entry & kept) | (model & ~(kept | valid)) | (entry >> accessed_to_valid & model & valid);
    }
    static constexpr bool is_accessed(Entry entry) { return (entry & accessed) != 0; }
    static constexpr bool is_dirty(Entry entry) { return (entry & dirty) != 0; }
    static constexpr Entry without_write(Entry entry) { return (entry & ~(writable | dirty_hardware)) | copy_on_write; }
    static constexpr Entry without_accessed(Entry entry) { return with_hardware_bits(entry & ~accessed); }

private:
    static constexpr Entry with_hardware_bits(Entry entry) {
        entry &= ~(valid | dirty_hardware);
        bool has_right = (entry & (no_read | no_execute)) != (no_read | no_execute);
        if ((entry & accessed) && has_right) entry |= valid;
        if ((entry & writable) && (entry & dirty)) entry |= dirty_hardware;
        return entry;
    }
};

} // namespace linnet::arch
