// The names of a directory of an overlay, collected from the layers: each once, as the uppermost layer has it. Who
// reads the directory at the same time shares them, as long as it hasn't changed.
#pragma once

#include "layers.hpp"

#include <lib/intrusive_tree.hpp>
#include <lib/own_ptr.hpp>

namespace linnet::overlay {

class Listing : public RefCounted<Listing> {
public:
    struct Entry {
        struct Key {
            u32 hash;
            std::string_view name;
            auto operator<=>(const Key&) const = default;
        };
        TreeNode by_name, by_position;
        Key key{};
        OwnPtr<char[]> text;
        u64 position = 0;
        u64 number = 0; // in its layer
        u32 layer = 0;
        u8 type = 0;
        bool is_hidden = false; // a whiteout
    };

    Listing() = default;
    Listing(const Listing&) = delete;
    ~Listing();

    /// Adds the names of a directory that lies below those added before. Null: no name is a whiteout. ENOMEM, EINTR by
    /// a fatal signal, EIO.
    Result<void> add(vfs::Dentry& directory, u32 layer, const Marks* marks);
    /// The first entry that isn't hidden, at or behind a position; null at the end. Positions begin at 2.
    const Entry* next(u64 position) const;

    /// How often the directory had changed when this was begun.
    u64 changes = 0;

private:
    Result<void> add_entry(const vfs::DirectoryEntry& entry, u32 layer);
    Result<void> hide_whiteouts(vfs::Dentry& directory, u32 layer, const Marks& marks);

    struct KeyOf {
        using type = Entry::Key;
        const Entry::Key& operator()(const Entry& entry) const { return entry.key; }
    };
    struct PositionOf {
        using type = u64;
        const u64& operator()(const Entry& entry) const { return entry.position; }
    };
    IntrusiveTree<Entry, &Entry::by_name, KeyOf> names_;
    IntrusiveTree<Entry, &Entry::by_position, PositionOf> positions_;
    u64 next_position_ = 2;
};

} // namespace linnet::overlay
