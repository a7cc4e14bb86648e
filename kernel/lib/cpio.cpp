// cpio "newc": a header of 110 characters (magic, thirteen 8-digit hexadecimal numbers), the name, the data;
// name and data padded to multiples of 4 bytes from the beginning of the archive. An entry named TRAILER!!!
// ends an archive; zero bytes and further archives may follow (Linux's initramfs buffer format).
#include <lib/cpio.hpp>

namespace linnet {

namespace {

constexpr usize header_size = 110;
constexpr usize magic_size = 6;
constexpr usize field_size = 8;
constexpr usize longest_name = 4096;
constexpr std::string_view trailer = "TRAILER!!!";

/// Fields of the header, in order.
enum Field : u8 {
    Inode,
    Mode,
    Uid,
    Gid,
    LinkCount,
    ModifyTime,
    FileSize,
    DeviceMajor,
    DeviceMinor,
    SpecialMajor,
    SpecialMinor,
    NameSize,
    Checksum,
    field_count,
};

Result<u32> parse_hex(std::span<const u8> digits) {
    u32 value = 0;
    for (u8 c : digits) {
        u32 digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (c | 0x20) - 'a' + 10;
        else
            return error(Errno::EINVAL);
        value = value << 4 | digit;
    }
    return value;
}

bool is_magic(std::span<const u8> header) {
    std::string_view magic(reinterpret_cast<const char*>(header.data()), magic_size);
    return magic == "070701" || magic == "070702";
}

} // namespace

Result<std::span<const u8>> CpioReader::take(usize size) {
    if (size > bytes_.size() - position_) return error(Errno::EINVAL);
    auto part = bytes_.subspan(position_, size);
    position_ += size;
    return part;
}

/// Padding may be missing at the very end.
void CpioReader::align() {
    usize aligned = align_up(position_, 4);
    position_ = aligned < bytes_.size() ? aligned : bytes_.size();
}

Result<CpioEntry> CpioReader::read_entry() {
    auto header = TRY(take(header_size));
    if (!is_magic(header)) return error(Errno::EINVAL);
    u32 fields[field_count];
    for (usize i = 0; i < field_count; ++i)
        fields[i] = TRY(parse_hex(header.subspan(magic_size + i * field_size, field_size)));
    usize name_size = fields[NameSize];
    if (name_size < 2 || name_size > longest_name) return error(Errno::EINVAL);
    auto name = TRY(take(name_size));
    if (name.back() != 0) return error(Errno::EINVAL);
    align();
    auto data = TRY(take(fields[FileSize]));
    align();

    CpioEntry entry;
    entry.inode = fields[Inode];
    entry.mode = fields[Mode];
    entry.uid = fields[Uid];
    entry.gid = fields[Gid];
    entry.link_count = fields[LinkCount];
    entry.modify_time = fields[ModifyTime];
    entry.device_major = fields[DeviceMajor];
    entry.device_minor = fields[DeviceMinor];
    entry.special_major = fields[SpecialMajor];
    entry.special_minor = fields[SpecialMinor];
    std::string_view text(reinterpret_cast<const char*>(name.data()), name_size - 1);
    entry.name = text.substr(0, text.find('\0'));
    if (entry.name.empty()) return error(Errno::EINVAL);
    entry.data = data;
    entry.archive = archive_;
    return entry;
}

Result<std::optional<CpioEntry>> CpioReader::next() {
    for (;;) {
        while (position_ < bytes_.size() && bytes_[position_] == 0) ++position_;
        entry_position_ = position_;
        if (position_ == bytes_.size()) return std::optional<CpioEntry>{};
        if (!is_aligned(position_, 4)) return error(Errno::EINVAL);
        CpioEntry entry = TRY(read_entry());
        if (entry.name != trailer) return std::optional<CpioEntry>(entry);
        ++archive_;
    }
}

} // namespace linnet
