// Writing extended attributes. Both places are written anew whenever something in them changes.
//
// A block may be shared by inodes whose attributes are the same. We share none, but leave shared ones to the others:
// Volume::attributes_lock is over their counts.
#include "attribute_edit.hpp"

#include "attribute_entries.hpp"
#include "volume_edit.hpp"
#include <algorithm>

namespace linnet::ext4 {

namespace {

struct Item {
    u8 index = 0;
    std::string_view name;
    std::span<const u8> value;

    [[nodiscard]] usize size() const { return attribute_entry_size(name.size()) + attribute_value_size(value.size()); }
    [[nodiscard]] bool is(u8 other_index, std::string_view other_name) const {
        return index == other_index && name == other_name;
    }
};

/// In the order that blocks have.
bool is_before(const Item& a, const Item& b) {
    if (a.index != b.index) return a.index < b.index;
    return a.name.size() != b.name.size() ? a.name.size() < b.name.size() : a.name < b.name;
}

/// Attributes of one place, and the bytes they were read from.
struct Place {
    ArrayList<u8> bytes;
    ArrayList<Item> items;

    Result<void> read(std::span<const u8> area, usize first, usize base) {
        TRY(bytes.try_resize(area.size()));
        std::ranges::copy(area, bytes.begin());
        Result<void> pushed;
        TRY(for_each_attribute(std::as_const(bytes).span(), first, base,
                               [&](const AttributeEntry& entry, std::string_view name, std::span<const u8> value) {
                                   pushed = items.try_push({entry.name_index, name, value});
                                   return pushed.has_value();
                               }));
        return pushed;
    }
    [[nodiscard]] bool remove(u8 index, std::string_view name) {
        for (usize i = 0; i < items.size(); ++i) {
            if (!items[i].is(index, name)) continue;
            items.remove_at(i);
            return true;
        }
        return false;
    }
    /// With the four zeros that end the list.
    [[nodiscard]] usize size() const {
        usize sum = sizeof(u32);
        for (const Item& item : items) sum += item.size();
        return sum;
    }
};

u32 hash_of(const Item& item) {
    u32 hash = 0;
    for (const char c : item.name) hash = (hash << 5 | hash >> 27) ^ static_cast<u8>(c);
    for (usize at = 0; at < item.value.size(); at += sizeof(u32)) {
        u32 word = 0;
        std::memcpy(&word, item.value.data() + at, std::min(sizeof(word), item.value.size() - at));
        hash = (hash << 16 | hash >> 16) ^ word;
    }
    return hash;
}

/// Writes entries from `first` on, and values from the end; their offsets count from `base`. The hash of all hashes.
enum class Hashes : u8 { None, Stored };
u32 store(std::span<const Item> items, std::span<u8> area, usize first, usize base, Hashes hashes) {
    std::ranges::fill(area.subspan(first), u8{0});
    usize at = first, end = area.size();
    u32 whole = 0;
    bool is_hashed = true;
    for (const Item& item : items) {
        end -= attribute_value_size(item.value.size());
        if (!item.value.empty()) std::ranges::copy(item.value, area.begin() + static_cast<isize>(end));
        AttributeEntry entry{};
        entry.name_length = static_cast<u8>(item.name.size());
        entry.name_index = item.index;
        entry.value_offset = static_cast<u16>(item.value.empty() ? 0 : end - base);
        entry.value_size = static_cast<u32>(item.value.size());
        entry.hash = hashes == Hashes::Stored ? hash_of(item) : 0;
        std::memcpy(area.data() + at, &entry, sizeof(entry));
        std::ranges::copy(item.name, area.begin() + static_cast<isize>(at + sizeof(entry)));
        at += attribute_entry_size(item.name.size());
        whole = (whole << 16 | whole >> 16) ^ entry.hash;
        is_hashed = is_hashed && entry.hash != 0;
    }
    return is_hashed ? whole : 0; // 0: not to be shared
}

struct Name {
    u8 index;
    std::string_view rest;
};

Result<Name> parse(std::string_view name) {
    for (usize index = 1; index < attribute_index_system; ++index) {
        const std::string_view prefix = attribute_prefixes[index];
        if (prefix.empty() || !name.starts_with(prefix)) continue;
        const std::string_view rest = name.substr(prefix.size());
        const bool is_whole = !prefix.ends_with('.');
        if (is_whole && !rest.empty()) continue;
        if (!is_whole && rest.empty()) return error(Errno::EINVAL);
        if (rest.size() > 255) return error(Errno::ERANGE);
        return Name{static_cast<u8>(index), rest};
    }
    return error(Errno::EOPNOTSUPP);
}

class Editor {
public:
    explicit Editor(const InodeEdit& edit) : edit_(edit), guard_(edit.volume().attributes_lock) {}

    Result<void> read() {
        if (const auto area = attributes_in_inode(inode()); !area.empty())
            TRY(inside_.read(area, sizeof(u32), sizeof(u32)));
        number_ = joined(inode().raw.attributes_low, inode().raw.attributes_high);
        if (number_ == 0) return {};
        const Block block = TRY(read_attribute_block(volume(), number_));
        references_ = block.at<AttributeHeader>(0).reference_count;
        if (references_ == 0) return error(Errno::EUCLEAN);
        return behind_.read(block.bytes(), sizeof(AttributeHeader), 0);
    }

    Result<void> set(Name name, std::span<const u8> value, AttributeMode mode) {
        const bool was_inside = inside_.remove(name.index, name.rest);
        const bool was_behind = behind_.remove(name.index, name.rest);
        if ((was_inside || was_behind) && mode == AttributeMode::Create) return error(Errno::EEXIST);
        if (!was_inside && !was_behind && mode == AttributeMode::Replace) return error(Errno::ENODATA);
        const Item item{name.index, name.rest, value};
        const bool comes_inside = inside_.size() + item.size() <= room_inside();
        if (!comes_inside && sizeof(AttributeHeader) + behind_.size() + item.size() > volume().block_size())
            return error(Errno::ENOSPC);
        TRY((comes_inside ? inside_ : behind_).items.try_push(item));
        if (!comes_inside || was_behind) TRY(store_behind());
        if (comes_inside || was_inside) store_inside();
        return {};
    }

    Result<void> remove(Name name) {
        if (inside_.remove(name.index, name.rest)) {
            store_inside();
            return {};
        }
        return behind_.remove(name.index, name.rest) ? store_behind() : error(Errno::ENODATA);
    }

    Result<void> give_up_block() {
        behind_.items.clear();
        return number_ ? store_behind() : Result<void>{};
    }

private:
    [[nodiscard]] Volume& volume() const { return edit_.volume(); }
    [[nodiscard]] DiskInode& inode() const { return edit_.inode; }
    [[nodiscard]] std::span<u8> area_inside() const {
        const usize begin = std::min<usize>(small_inode + inode().raw.extra_size, inode().bytes.size());
        return inode().bytes.span().subspan(inode().bytes.size() > small_inode ? begin : small_inode);
    }
    /// For entries and values, and the end of the list.
    [[nodiscard]] usize room_inside() const {
        const usize size = area_inside().size();
        return size < 2 * sizeof(u32) ? 0 : size - sizeof(u32);
    }

    void store_inside() {
        const auto area = area_inside();
        std::memcpy(area.data(), &attribute_magic, sizeof(attribute_magic));
        store(inside_.items.span(), area, sizeof(u32), sizeof(u32), Hashes::None);
        if (inside_.items.is_empty()) std::ranges::fill(area, u8{0});
    }

    void fill_block(std::span<u8> block, u64 number) {
        std::sort(behind_.items.begin(), behind_.items.end(), is_before);
        AttributeHeader header{};
        header.magic = attribute_magic;
        header.reference_count = header.blocks = 1;
        header.hash = store(behind_.items.span(), block, sizeof(header), 0, Hashes::Stored);
        std::memcpy(block.data(), &header, sizeof(header));
        seal(block, number);
    }
    void seal(std::span<u8> block, u64 number) const {
        if (!volume().has_checksums()) return;
        const u32 checksum = attribute_block_checksum(volume(), number, block);
        std::memcpy(block.data() + offsetof(AttributeHeader, checksum), &checksum, sizeof(checksum));
    }

    Result<void> store_behind() {
        if (behind_.items.is_empty()) return leave_block();
        if (number_ != 0 && references_ == 1) {
            MutableBlock block = TRY(edit_.writer.change(number_));
            fill_block(block.bytes(), number_);
            return {};
        }
        return begin_block();
    }

    /// In the place of none, or of one that others go on sharing.
    Result<void> begin_block() {
        TRY(announce());
        MutableBlock shared;
        if (number_ != 0) shared = TRY(edit_.writer.change(number_));
        const Run run = TRY(edit_.allocator.allocate_blocks(edit_.writer, edit_.home(), 1, edit_.privilege));
        auto block = edit_.writer.fresh(run.first);
        Result<void> done = block ? Result<void>{} : error(block.error());
        if (done && number_ == 0) done = add_to_block_count(volume(), inode(), 1);
        if (!done) {
            (void)edit_.allocator.undo_blocks(edit_.writer, run);
            return done;
        }
        fill_block(block->bytes(), run.first);
        if (number_ != 0) drop_reference(shared);
        set_number(run.first);
        return {};
    }

    Result<void> leave_block() {
        if (references_ > 1) {
            MutableBlock shared = TRY(edit_.writer.change(number_));
            drop_reference(shared);
        } else {
            BlockFreeing freeing(edit_.allocator, edit_.writer);
            TRY(freeing.add(number_, 1, BlockContents::Metadata));
            TRY(freeing.finish());
        }
        set_number(0);
        return add_to_block_count(volume(), inode(), -1); // can't fail: it becomes less
    }

    void drop_reference(MutableBlock& block) const {
        --block.at<AttributeHeader>(0).reference_count;
        seal(block.bytes(), number_);
    }
    void set_number(u64 number) {
        number_ = number;
        inode().raw.attributes_low = static_cast<u32>(number);
        inode().raw.attributes_high = static_cast<u16>(number >> 32);
    }

    /// The superblock says whether there are blocks of attributes.
    Result<void> announce() const {
        if (volume().superblock().feature_compat & compat_attributes) return {};
        return change_superblock(volume(), edit_.writer,
                                 [](Superblock& superblock) { superblock.feature_compat |= compat_attributes; });
    }

    const InodeEdit& edit_;
    core::MutexGuard guard_;
    Place inside_, behind_;
    u64 number_ = 0; // of the block
    u32 references_ = 0;
};

} // namespace

Result<void> set_attribute(const InodeEdit& edit, std::string_view name, std::span<const u8> value,
                           AttributeMode mode) {
    const Name parsed = TRY(parse(name));
    if (value.size() > edit.volume().block_size()) return error(Errno::ENOSPC);
    Editor editor(edit);
    TRY(editor.read());
    return editor.set(parsed, value, mode);
}

Result<void> remove_attribute(const InodeEdit& edit, std::string_view name) {
    const Name parsed = TRY(parse(name));
    Editor editor(edit);
    TRY(editor.read());
    return editor.remove(parsed);
}

Result<void> free_attributes(const InodeEdit& edit) {
    Editor editor(edit);
    TRY(editor.read());
    return editor.give_up_block();
}

} // namespace linnet::ext4
