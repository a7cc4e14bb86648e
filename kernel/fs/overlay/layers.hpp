// The layers of an overlay, and how names are found in them: what the other files of this room know of the file
// systems below.
#pragma once

#include "marks.hpp"

#include <vfs/mount.hpp>

namespace linnet::overlay {

/// A folder that is shown. Its mount is the overlay's own, so that the place it was found at may be unmounted.
struct Layer {
    vfs::Path root;
    u32 file_system = 0; // which of those that the layers lie on; 0: the upper layer's
};

/// An object of a lower layer.
struct LowerPlace {
    RefPtr<vfs::Dentry> dentry;
    u32 layer; // 1 for the uppermost of the lower ones
};

/// What there is of one name, the upper layer's first.
struct Found {
    NullableRefPtr<vfs::Dentry> upper;
    ArrayList<LowerPlace> lowers; // of a directory all that show; else one, where there is no upper
    [[nodiscard]] bool is_nothing() const { return !upper && lowers.is_empty(); }
};

/// A name in a directory of a layer; negative where there is none. A removed directory has none either. The directory
/// isn't locked.
Result<RefPtr<vfs::Dentry>> find_in_layer(vfs::Dentry& directory, std::string_view name);

/// Whether an object of a layer says that there is nothing of its name: a device 0:0, or an empty file with a mark in a
/// directory that has such. The inode isn't locked.
Result<bool> is_whiteout(const Marks& marks, vfs::Dentry& directory, vfs::Inode& inode);

} // namespace linnet::overlay
