// Reading GPT and MBR.
#include "partition_table.hpp"

#include <algorithm>
#include <block/request.hpp>
#include <cstring>
#include <lib/crc32.hpp>
#include <lib/format.hpp>

namespace linnet::block {

namespace {

constexpr u32 most_partitions = 15;

template <typename T>
T get(std::span<const u8> bytes, usize offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value); // the tables are little-endian, and so are we
    return value;
}

/// As the UEFI specification (appendix A) writes a GUID: its first three parts are little-endian numbers.
void name_gpt_partition(std::span<const u8> entry, PartitionName& name) {
    std::span<const u8> id = entry.subspan(16, 16);
    const u64 last = __builtin_bswap64(get<u64>(id, 8)) & 0xffff'ffff'ffff;
    format_into(std::span(name.uuid, PartitionName::uuid_length), "{08x}-{04x}-{04x}-{02x}{02x}-{012x}",
                get<u32>(id, 0), get<u16>(id, 4), get<u16>(id, 6), id[8], id[9], last);
    for (usize i = 0; i < PartitionName::label_units; ++i) {
        const u16 unit = get<u16>(entry, 56 + i * sizeof(u16));
        if (unit == 0) break;
        name.label[i] = unit >= ' ' && unit <= '~' ? static_cast<char>(unit) : '!';
    }
}

class TableReader {
public:
    TableReader(BlockReader read, u64 sectors, u32 block_size)
        : read_(read), block_size_(block_size), blocks_((sectors << sector_shift) / block_size) {}

    Result<ArrayList<Partition>> run() {
        ArrayList<u8> first = TRY(block(0));
        if (!is_boot_record(first.span())) return std::move(found_);
        if (has_type(first.span(), type_gpt))
            TRY(read_gpt());
        else
            TRY(read_boot_record(first.span()));
        return std::move(found_);
    }

private:
    // Of a boot record: the disk's signature, four entries of 16 bytes, and its mark.
    static constexpr usize signature_at = 440, entries_at = 446, entry_size = 16, mark_at = 510;
    static constexpr u8 type_gpt = 0xee;

    Result<ArrayList<u8>> block(u64 number) {
        ArrayList<u8> bytes;
        TRY(bytes.try_resize(block_size_));
        TRY(read_(number * block_size_, bytes.span()));
        return bytes;
    }
    [[nodiscard]] u64 sectors_of(u64 blocks) const { return blocks * (block_size_ >> sector_shift); }

    /// Those that fit the disk.
    Result<void> add(u32 index, u64 first, u64 count, const PartitionName& name) {
        if (index > most_partitions || count == 0 || first >= blocks_ || count > blocks_ - first) return {};
        return found_.try_push({index, sectors_of(first), sectors_of(count), name});
    }
    Result<void> add(u32 index, u64 first, u64 count) {
        PartitionName name;
        format_into(std::span(name.uuid, PartitionName::uuid_length), "{08x}-{02x}", signature_, index);
        return add(index, first, count, name);
    }

    // ---- GPT ----

    /// The copy at the disk's end is for repairs: Linux, too, asks for it only when told to.
    Result<void> read_gpt() {
        constexpr u64 place = 1;
        if (place >= blocks_) return {};
        ArrayList<u8> header = TRY(block(place));
        constexpr usize least_header = 92;
        if (std::memcmp(header.begin(), "EFI PART", 8) != 0) return {};
        const u32 size = get<u32>(header.span(), 12);
        if (size < least_header || size > block_size_ || get<u64>(header.span(), 24) != place) return {};
        const u32 sum = get<u32>(header.span(), 16);
        std::memset(header.begin() + 16, 0, sizeof sum);
        if (crc32(header.span().first(size)) != sum) return {};
        const u64 entries_block = get<u64>(header.span(), 72);
        const u32 count = get<u32>(header.span(), 80), size_of_entry = get<u32>(header.span(), 84);
        constexpr u32 most_bytes = 1 << 20, least_entry = 128;
        if (size_of_entry < least_entry || count == 0 || u64{count} * size_of_entry > most_bytes) return {};
        const u64 bytes = u64{count} * size_of_entry, needed = (bytes + block_size_ - 1) / block_size_;
        if (entries_block >= blocks_ || needed > blocks_ - entries_block) return {};
        ArrayList<u8> entries;
        TRY(entries.try_resize(needed * block_size_));
        TRY(read_(entries_block * block_size_, entries.span()));
        if (crc32(entries.span().first(bytes)) != get<u32>(header.span(), 88)) return {};
        for (u32 i = 0; i < count; ++i) {
            std::span<const u8> entry = entries.span().subspan(u64{i} * size_of_entry, size_of_entry);
            if (std::ranges::all_of(entry.first(16), [](u8 byte) { return byte == 0; })) continue; // unused
            const u64 first = get<u64>(entry, 32), last = get<u64>(entry, 40);
            if (last < first) continue;
            PartitionName name;
            name_gpt_partition(entry, name);
            TRY(add(i + 1, first, last - first + 1, name));
        }
        return {};
    }

    // ---- MBR ----

    static bool is_boot_record(std::span<const u8> bytes) {
        if (get<u16>(bytes, mark_at) != 0xaa55) return false;
        // A file system's boot sector has the mark too, but hardly four such bytes.
        for (usize i = 0; i < 4; ++i)
            if ((bytes[entries_at + i * entry_size] & 0x7f) != 0) return false;
        return true;
    }
    static bool has_type(std::span<const u8> bytes, u8 type) {
        for (usize i = 0; i < 4; ++i)
            if (bytes[entries_at + i * entry_size + 4] == type) return true;
        return false;
    }
    static bool is_extended(u8 type) { return type == 0x05 || type == 0x0f || type == 0x85; }

    Result<void> read_boot_record(std::span<const u8> bytes) {
        signature_ = get<u32>(bytes, signature_at);
        u64 extended = 0;
        for (u32 i = 0; i < 4; ++i) {
            std::span<const u8> entry = bytes.subspan(entries_at + i * entry_size, entry_size);
            const u64 first = get<u32>(entry, 8), count = get<u32>(entry, 12);
            if (is_extended(entry[4])) {
                // Shown as no more than its own two sectors, lest somebody writes over what is in it.
                if (count > 0 && extended == 0) extended = first;
                TRY(add(i + 1, first, std::min<u64>(count, 2)));
            } else if (entry[4] != 0) {
                TRY(add(i + 1, first, count));
            }
        }
        return extended ? read_logical(extended) : Result<void>{};
    }

    /// A chain of boot records, each with a partition, relative to itself, and the next one, relative to the first.
    Result<void> read_logical(u64 extended) {
        u64 place = extended;
        for (u32 index = 5; index <= most_partitions && place < blocks_; ++index) {
            ArrayList<u8> record = TRY(block(place));
            if (!is_boot_record(record.span())) return {};
            u64 next = 0;
            for (u32 i = 0; i < 4; ++i) {
                std::span<const u8> entry = record.span().subspan(entries_at + i * entry_size, entry_size);
                const u64 first = get<u32>(entry, 8), count = get<u32>(entry, 12);
                if (is_extended(entry[4]))
                    next = count > 0 ? first : 0;
                else if (entry[4] != 0)
                    TRY(add(index, place + first, count));
            }
            if (next == 0) return {};
            place = extended + next;
        }
        return {};
    }

    BlockReader read_;
    const u32 block_size_;
    const u64 blocks_;
    u32 signature_ = 0; // of an MBR
    ArrayList<Partition> found_;
};

} // namespace

Result<ArrayList<Partition>> read_partition_table(BlockReader read, u64 sectors, u32 block_size) {
    return TableReader(read, sectors, block_size).run();
}

} // namespace linnet::block
