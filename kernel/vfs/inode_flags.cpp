// What chattr(1) marks files with: flags that a file system keeps with an inode (ioctl_iflags(2)).
#include "attribute_rules.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/operations.hpp>

namespace linnet::vfs {

Result<void> change_flags(const Path& path, FunctionRef<Result<u32>(u32 old)> choose) {
    TRY(check_writable(path));
    Inode& inode = *path.inode();
    const Credentials& who = current_credentials();
    core::WriteGuard guard(inode.lock);
    const u32 old = TRY(inode.kept_flags());
    if (!may_act_as_owner(inode, who)) return error(Errno::EPERM);
    const u32 fresh = TRY(choose(old));
    if (((old ^ fresh) & (abi::FS_IMMUTABLE_FL | abi::FS_APPEND_FL)) && !who.has(Capability::LinuxImmutable))
        return error(Errno::EPERM);
    TRY(inode.change_flags(fresh));
    inode.touch_changed();
    return {};
}

} // namespace linnet::vfs
