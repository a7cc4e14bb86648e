// The notes that an overlay keeps with the files of its layers, as extended attributes: trusted.overlay.*, or with
// userxattr user.overlay.*. Users of the overlay see none of them; what they would name so themselves, as another
// overlay within this one does, is kept as trusted.overlay.overlay.*.
#pragma once

#include <abi/linux/fs.hpp>
#include <lib/array_list.hpp>
#include <optional>
#include <string_view>
#include <vfs/inode.hpp>

namespace linnet::overlay {

namespace mark {
inline constexpr std::string_view opaque = "opaque"; // "y": nothing below a directory shows; "x": see whiteout
inline constexpr std::string_view redirect = "redirect";
inline constexpr std::string_view origin = "origin";     // the handle of what a file was copied from
inline constexpr std::string_view impure = "impure";     // a directory has things with an origin
inline constexpr std::string_view whiteout = "whiteout"; // an empty file in an opaque="x" directory is one
inline constexpr std::string_view metacopy = "metacopy";
inline constexpr std::string_view uuid = "uuid";
} // namespace mark

class Marks {
public:
    using Value = std::optional<ArrayList<u8>>;

    explicit Marks(bool are_user_attributes) : prefix_(are_user_attributes ? "user.overlay." : "trusted.overlay.") {}

    /// Nothing where there is none, or the file system keeps no attributes. The inode isn't locked.
    Result<Value> read(vfs::Inode& inode, std::string_view mark) const;
    /// Whether there is one that says "y".
    Result<bool> is_set(vfs::Inode& inode, std::string_view mark) const;
    /// The inode isn't locked. EOPNOTSUPP, ENOSPC …
    Result<void> write(vfs::Inode& inode, std::string_view mark, std::span<const u8> value) const;
    Result<void> set(vfs::Inode& inode, std::string_view mark) const;

    /// Whether an attribute of a layer's file is the overlay's own, or belongs to users under another name.
    [[nodiscard]] bool is_own(std::string_view attribute) const;
    /// The name in the layers of an attribute of the overlay's file.
    class LayerName {
    public:
        /// ERANGE when it would be too long.
        static Result<LayerName> of(const Marks& marks, std::string_view attribute);
        [[nodiscard]] std::string_view text() const { return length_ ? std::string_view{buffer_, length_} : plain_; }

    private:
        std::string_view plain_;
        usize length_ = 0;
        char buffer_[abi::XATTR_NAME_MAX];
    };
    /// The name for users of the overlay of an attribute in a layer; nothing for the overlay's own. Written to `buffer`
    /// where it isn't the same.
    std::optional<std::string_view> shown_name(std::string_view attribute, std::span<char> buffer) const;

private:
    static constexpr std::string_view escape = "overlay.";
    std::string_view prefix_;
};

} // namespace linnet::overlay
