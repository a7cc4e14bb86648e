// Directories and symlinks.
#include "superblock.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <cstring>

namespace linnet::fs {

namespace {

constexpr u32 remove_directory_flag = 0x200; // AT_REMOVEDIR

bool is_plain_name(std::string_view name) {
    return !name.empty() && name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

P9Inode& of_9p(vfs::Inode& inode) { return static_cast<P9Inode&>(inode); }

} // namespace

Result<RefPtr<vfs::Inode>> P9Directory::lookup(std::string_view name) {
    return TRY(find(name, core::Sleep::Interruptible));
}

Result<RefPtr<P9Inode>> P9Directory::find(std::string_view name, core::Sleep sleep) {
    auto walked = TRY(client().walk(*fid(), name, sleep));
    const p9::Attributes attributes = TRY(client().get_attributes(*walked.fid, sleep));
    if (attributes.qid.path == number()) return error(Errno::EIO); // no directory is in itself
    return TRY(p9().inode(std::move(walked.fid), attributes));
}

/// Errors are left to who uses the name, so that a signal takes no mountpoints away.
bool P9Directory::still_leads_to(std::string_view name, vfs::Inode& inode) {
    auto walked = client().walk(*fid(), name);
    if (!walked) return walked.error() != Errno::ENOENT;
    const auto attributes = client().get_attributes(*walked->fid);
    if (!attributes) return attributes.error() != Errno::ENOENT;
    P9Inode& known = of_9p(inode);
    if (&known == this || !known.is_same_object(*attributes)) return false;
    known.renew(std::move(walked->fid), *attributes);
    return true;
}

Result<void> P9Directory::read_directory(u64 position, vfs::DirectorySink sink) {
    constexpr u64 first_position = 2; // before it are the caller's names; so the server's offsets are moved
    RefPtr<p9::Fid> opened = TRY(client().clone(*fid()));
    TRY(client().open(*opened, abi::O_RDONLY | abi::O_DIRECTORY));
    u64 offset = position - first_position;
    bool has_room = true;
    Result<void> outcome;
    const auto take = [&](const p9::DirectoryEntry& entry) {
        offset = entry.next_offset;
        if (entry.name == "." || entry.name == "..") return true;
        if (!is_plain_name(entry.name) || offset == 0) {
            outcome = error(Errno::EIO);
            return has_room = false;
        }
        return has_room = sink({entry.name, entry.qid.path, entry.type, offset + first_position});
    };
    while (has_room)
        if (!TRY(client().read_directory(*opened, offset, take))) break;
    return outcome;
}

/// An open fid where it is a file.
Result<NullableRefPtr<p9::Fid>> P9Directory::make(std::string_view name, const vfs::CreateRequest& request) {
    const p9::Client::NewObject what{request.mode & abi::S_IALLUGO, request.gid};
    const RefPtr<p9::Fid> own = fid();
    switch (request.mode & abi::S_IFMT) {
    case abi::S_IFREG: {
        RefPtr<p9::Fid> file = TRY(client().clone(*own));
        TRY(client().create(*file, name, abi::O_RDWR | abi::O_CREAT | abi::O_EXCL, what));
        return NullableRefPtr<p9::Fid>(std::move(file));
    }
    case abi::S_IFDIR:
        TRY(client().make_directory(*own, name, what));
        break;
    case abi::S_IFLNK:
        TRY(client().make_symlink(*own, name, request.link_target, request.gid));
        break;
    default:
        TRY(client().make_node(*own, name, {request.mode, request.gid}, request.device.major, request.device.minor));
        break;
    }
    return NullableRefPtr<p9::Fid>();
}

Result<RefPtr<vfs::Inode>> P9Directory::create(std::string_view name, const vfs::CreateRequest& request) {
    NullableRefPtr<p9::Fid> opened = TRY(make(name, request));
    // From here on no signal may have the call made again: there is such a name now.
    RefPtr<P9Inode> made = TRY(find(name, core::Sleep::Killable));
    if (opened && made->is_regular()) static_cast<P9Regular&>(*made).set_created(RefPtr<p9::Fid>(std::move(opened)));
    if (made->uid() != request.uid) made->try_give_to(request.uid);
    return made;
}

Result<void> P9Directory::link(std::string_view name, vfs::Inode& target) {
    TRY(client().link(*fid(), name, *of_9p(target).fid()));
    (void)of_9p(target).ask_attributes();
    return {};
}

Result<void> P9Directory::unlink(std::string_view name, vfs::Inode& victim) {
    TRY(client().unlink(*fid(), name, 0));
    of_9p(victim).note_removed();
    return {};
}

Result<void> P9Directory::remove_directory(std::string_view name, vfs::Inode& victim) {
    TRY(client().unlink(*fid(), name, remove_directory_flag));
    of_9p(victim).note_removed();
    return {};
}

Result<void> P9Directory::rename(const RenameRequest& request) {
    // The protocol has none of the flags; so says Linux, too, of that which our caller could see to.
    if (request.flags != 0) return error(Errno::EINVAL);
    TRY(client().rename(*fid(), request.old_name, *of_9p(request.new_directory).fid(), request.new_name));
    if (request.replaced) of_9p(*request.replaced).note_removed();
    return {};
}

Result<vfs::LinkTarget> P9Symlink::read_link() {
    vfs::LinkTarget result;
    const auto copy = [&](std::string_view target) -> Result<void> {
        result.storage.reset(new (std::nothrow) char[target.size() + 1]);
        if (!result.storage) return error(Errno::ENOMEM);
        std::memcpy(result.storage.get(), target.data(), target.size());
        result.text = {result.storage.get(), target.size()};
        return {};
    };
    TRY(client().read_link(*fid(), copy));
    return result;
}

} // namespace linnet::fs
