// A disk that remembers in which order it was written to, and shows what may lie on it when the machine stops.
#pragma once

#include "image.hpp"
#include "journal.hpp"

#include <random>

namespace linnet::test {

struct CrashDisk final : ext4::JournalDisk {
    struct Event {
        u64 offset;
        std::vector<u8> bytes; // none: a flush
    };

    ImageDisk& disk;
    const usize block_bytes;
    std::vector<u8> before; // the image when recording began
    std::vector<Event> events;
    usize fails_at = ~usize{0}; // the event from which on nothing goes any more

    CrashDisk(ImageDisk& image, usize block_size) : disk(image), block_bytes(block_size), before(image.bytes) {}
    virtual ~CrashDisk() = default;

    Result<void> write(u64 first, std::span<const u8* const> blocks) override {
        for (const u8* block : blocks) {
            if (events.size() >= fails_at) return error(Errno::EIO);
            const u64 offset = first++ * block_bytes;
            events.push_back({offset, {block, block + block_bytes}});
            std::memcpy(disk.bytes.data() + offset, block, block_bytes);
        }
        return {};
    }
    Result<void> flush() override {
        if (events.size() >= fails_at) return error(Errno::EIO);
        events.push_back({});
        return {};
    }
    u64 now_ns() override { return 1'700'000'000'000'000'000 + events.size(); }

    static bool is_commit(const std::vector<u8>& bytes) {
        if (bytes.size() < sizeof(ext4::JournalHeader)) return false;
        const auto header = ext4::object_at<ext4::JournalHeader>(bytes, 0);
        return header.magic == ext4::journal_magic && header.type == static_cast<u32>(ext4::JournalBlock::Commit);
    }

    /// The image when the machine stops behind `count` events: what was flushed is there; of the rest each half of a
    /// block is, or is not. Only commit blocks and the superblock are written whole or not at all: everybody who
    /// replays relies on that.
    [[nodiscard]] std::vector<u8> stopped_after(usize count, std::mt19937& random) const {
        std::vector<u8> image = before;
        usize flushed = count;
        while (flushed > 0 && !events[flushed - 1].bytes.empty()) --flushed;
        const unsigned chance = random() % 5; // all are lost, few, … none
        for (usize i = 0; i < count; ++i) {
            const auto& [offset, bytes] = events[i];
            const bool is_whole = is_commit(bytes) || offset == ext4::superblock_offset;
            const usize piece = is_whole ? bytes.size() : bytes.size() / 2;
            for (usize part = 0; part < bytes.size(); part += piece)
                if (i < flushed || random() % 4 < chance)
                    std::copy_n(bytes.begin() + static_cast<long>(part), piece,
                                image.begin() + static_cast<long>(offset + part));
        }
        return image;
    }
};

} // namespace linnet::test
