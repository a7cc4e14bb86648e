// WriteAccess: a regular file open for writing counts against executing it (ETXTBSY) and against making its
// mount read-only (EBUSY). ReadAccess: one open for reading alone counts against leases of others.
#pragma once

#include <vfs/file.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

class WriteAccess {
public:
    /// Claims it before the open; given back unless handed to a file.
    static Result<WriteAccess> claim(const Path& path) {
        if (path.mount->is_read_only()) return error(Errno::EROFS);
        TRY(path.inode()->get_write_access());
        path.mount->writers.fetch_add(1);
        return WriteAccess(path);
    }
    static void give_back(Inode& inode, const Path& path) {
        inode.put_write_access();
        if (path.mount) path.mount->writers.fetch_sub(1);
    }
    WriteAccess() = default;
    WriteAccess(WriteAccess&& other) noexcept : path_(std::exchange(other.path_, nullptr)) {}
    WriteAccess& operator=(WriteAccess&& other) noexcept { return std::swap(path_, other.path_), *this; }
    ~WriteAccess() {
        if (path_) give_back(*path_->inode(), *path_);
    }
    void hand_to(File& file) {
        if (path_) file.counts_writer_ = true;
        path_ = nullptr;
    }

private:
    explicit WriteAccess(const Path& path) : path_(&path) {}
    const Path* path_ = nullptr; // outlives this
};

class ReadAccess {
public:
    /// Claims it before the open; given back unless handed to a file.
    static ReadAccess claim(Inode& inode) {
        inode.add_reader();
        return ReadAccess(inode);
    }
    ReadAccess() = default;
    ReadAccess(ReadAccess&& other) noexcept : inode_(std::exchange(other.inode_, nullptr)) {}
    ReadAccess& operator=(ReadAccess&& other) noexcept { return std::swap(inode_, other.inode_), *this; }
    ~ReadAccess() {
        if (inode_) inode_->remove_reader();
    }
    void hand_to(File& file) {
        if (inode_) file.counts_reader_ = true;
        inode_ = nullptr;
    }

private:
    explicit ReadAccess(Inode& inode) : inode_(&inode) {}
    Inode* inode_ = nullptr; // outlives this
};

} // namespace linnet::vfs
