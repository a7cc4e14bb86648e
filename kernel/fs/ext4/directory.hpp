// The entries of a directory, in blocks or in its inode.
#pragma once

#include "directory_index.hpp"
#include <lib/function_ref.hpp>
#include <string_view>

namespace linnet::ext4 {

struct Entry {
    std::string_view name;
    u32 inode = 0;
    u8 type = 0;      // as in RawEntry; 0: not said
    u64 position = 0; // where the listing goes on behind it
};
/// Takes one entry; false ends the listing.
using EntrySink = FunctionRef<bool(const Entry&)>;

/// A directory as it was when its inode was read. Its inode outlives it.
class Directory {
public:
    Directory(Volume& volume, const DiskInode& inode) : volume_(volume), inode_(inode) {}

    /// Lists from `position` on, which is 0 at the start, without "." and "..". With an index it goes by the hashes of
    /// names, and tells all once, whatever comes and goes between two calls. EUCLEAN, EBADMSG, EIO …
    Result<void> list(u64 position, EntrySink sink);
    /// The inode of a name. ENOENT.
    Result<u32> find(std::string_view name) { return TRY(locate(name)).inode; }
    struct Found {
        u32 inode = 0;
        u64 end = 0; // where the entry ends, counted from the beginning of the directory
    };
    /// The same, and where the name stands.
    Result<Found> locate(std::string_view name);

    /// The directory above, as ".." says; the root's is the root. EUCLEAN, EBADMSG, EIO …
    Result<u32> parent();

private:
    enum class Progress : u8 { GoOn, Stop };
    struct Leaves;
    Result<Progress> list_block(u64 index, u64 position, EntrySink sink);
    Result<Progress> list_entries(std::span<const u8> bytes, u64 begin, u64 position, EntrySink sink);
    Result<Progress> list_inline(u64 position, EntrySink sink);
    Result<void> list_blocks(u64 position, EntrySink sink);
    Result<void> list_by_hash(IndexPath& path, u64 position, EntrySink sink);
    Result<void> gather(u64 index, const IndexPath& path, u64 position, Leaves& leaves);
    Result<Progress> list_gathered(Leaves& leaves, EntrySink sink);
    Result<Found> find_in_block(u64 index, std::string_view name);
    Result<Found> find_by_hash(std::string_view name);

    Volume& volume_;
    const DiskInode& inode_;
};

} // namespace linnet::ext4
