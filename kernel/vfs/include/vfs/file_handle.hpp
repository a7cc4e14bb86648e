// File handles (name_to_handle_at(2)): what leads to an inode without its name, for as long as the inode is there.
#pragma once

#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::vfs {

class Inode;
class Mount;
struct Path;

/// Opaque to programs; the types are Linux's (FILEID_*), whose lengths programs may rely on.
struct FileHandle {
    static constexpr i32 number32_generation = 0x01;
    static constexpr i32 number64_generation = 0x81; // names an inode only, and is not found by
    static constexpr usize most_words = 3;
    i32 type = 0;
    usize word_count = 0; // one from a program may be longer: what follows means nothing
    u32 words[most_words] = {};
};

/// A handle that tells inodes apart, of any file system (AT_HANDLE_FID).
FileHandle identity_of(Inode& inode);

/// A place of what the handle leads to. A directory's is its place in the tree; another file's is one of those that are
/// known at the moment, if there is any. ESTALE: there is no such file any more; ENOMEM.
Result<Path> find_by_handle(Mount& mount, const FileHandle& handle);

} // namespace linnet::vfs
