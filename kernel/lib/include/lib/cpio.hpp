// Reader of cpio archives in the "newc" format (070701, 070702): the initramfs. The bytes are untrusted;
// every entry is checked before it is handed out, and nothing outside the span is touched.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>
#include <optional>
#include <span>
#include <string_view>

namespace linnet {

struct CpioEntry {
    u32 inode = 0;
    u32 mode = 0; // type and permissions as in stat(2)
    u32 uid = 0;
    u32 gid = 0;
    u32 link_count = 0;
    u32 modify_time = 0;
    u32 device_major = 0; // of the file system it came from; with `inode` names a hard-linked file
    u32 device_minor = 0;
    u32 special_major = 0;
    u32 special_minor = 0;
    std::string_view name; // without the NUL; never empty
    std::span<const u8> data;
    u32 archive = 0; // counts concatenated archives: inode numbers mean the same file only within one
};

class CpioReader {
public:
    explicit CpioReader(std::span<const u8> bytes) : bytes_(bytes) {}

    /// The next entry; nullopt at the end. EINVAL: what follows is no cpio archive, or it is cut off.
    Result<std::optional<CpioEntry>> next();
    /// Where the entry that was read last, or failed to be read, begins.
    [[nodiscard]] usize entry_position() const { return entry_position_; }

private:
    Result<CpioEntry> read_entry();
    Result<std::span<const u8>> take(usize size);
    void align();
    std::span<const u8> bytes_;
    usize position_ = 0;
    usize entry_position_ = 0;
    u32 archive_ = 0;
};

} // namespace linnet
