// Access control lists on the disk (the attributes with the name indexes 2 and 3).
#include "acl_format.hpp"

#include <cstring>

namespace linnet::ext4 {

namespace {

constexpr u32 disk_version = 1, value_version = 2, no_id = ~0u;
constexpr u16 tag_user = 2, tag_named_group = 8;

struct ShortEntry {
    u16 tag;
    u16 rights;
};

constexpr bool has_id(u16 tag) { return tag == tag_user || tag == tag_named_group; }

template <typename T>
bool take(std::span<const u8>& from, T& object) {
    if (from.size() < sizeof object) return false;
    std::memcpy(&object, from.data(), sizeof object);
    from = from.subspan(sizeof object);
    return true;
}

template <typename T>
Result<void> put(ArrayList<u8>& to, const T& object) {
    const usize at = to.size();
    TRY(to.try_resize(at + sizeof object));
    std::memcpy(to.begin() + at, &object, sizeof object);
    return {};
}

/// Both forms differ in their version and in which entries have an id.
enum class Direction : u8 { FromDisk, ToDisk };
Result<ArrayList<u8>> convert(std::span<const u8> from, Direction direction) {
    const bool reads = direction == Direction::FromDisk;
    ArrayList<u8> to;
    u32 version;
    if (!take(from, version) || version != (reads ? disk_version : value_version)) return error(Errno::EINVAL);
    TRY(put(to, reads ? value_version : disk_version));
    while (!from.empty()) {
        ShortEntry entry;
        u32 id = no_id;
        if (!take(from, entry)) return error(Errno::EINVAL);
        if ((!reads || has_id(entry.tag)) && !take(from, id)) return error(Errno::EINVAL);
        TRY(put(to, entry));
        if (reads || has_id(entry.tag)) TRY(put(to, id));
    }
    return to;
}

} // namespace

Result<ArrayList<u8>> acl_from_disk(std::span<const u8> stored) { return convert(stored, Direction::FromDisk); }
Result<ArrayList<u8>> acl_to_disk(std::span<const u8> value) { return convert(value, Direction::ToDisk); }

} // namespace linnet::ext4
