// Who may do what with an object of System V IPC.
#include <ipc/keyed_object.hpp>
#include <process/process.hpp>
#include <vfs/inode.hpp>

namespace linnet::ipc {

i64 now() { return vfs::Timestamp::now().seconds; }

i32 current_pid() {
    process::Thread* thread = process::current_or_null();
    return thread ? thread->process().pid() : 0;
}

KeyedObject::KeyedObject(i32 object_key, u32 object_mode, const vfs::Credentials& creator)
    : key(object_key), uid(creator.euid), gid(creator.egid), cuid(creator.euid), cgid(creator.egid),
      mode(object_mode & permission_bits), change_time(now()) {}

bool KeyedObject::permits(const vfs::Credentials& who, u32 rights) const {
    const u32 asked = ((rights >> 6) | (rights >> 3) | rights) & 7;
    u32 granted = mode;
    if (is_owned_by(who))
        granted >>= 6;
    else if (who.is_in_group(cgid) || who.is_in_group(gid))
        granted >>= 3;
    return !(asked & ~granted) || who.has(vfs::Capability::IpcOwner);
}

bool KeyedObject::may_be_changed_by(const vfs::Credentials& who) const {
    return is_owned_by(who) || who.has(vfs::Capability::SysAdmin);
}

abi::ipc_perm KeyedObject::permissions() const {
    abi::ipc_perm all{};
    all.key = key;
    all.uid = uid;
    all.gid = gid;
    all.cuid = cuid;
    all.cgid = cgid;
    all.mode = mode;
    all.seq = static_cast<u16>(id >> index_bits);
    return all;
}

Result<void> KeyedObject::change(const abi::ipc_perm& wanted, const vfs::Credentials& who) {
    if (!may_be_changed_by(who)) return error(Errno::EPERM);
    constexpr u32 no_id = ~u32{0};
    if (wanted.uid == no_id || wanted.gid == no_id) return error(Errno::EINVAL);
    uid = wanted.uid;
    gid = wanted.gid;
    mode = (mode & ~permission_bits) | (wanted.mode & permission_bits);
    change_time = now();
    return {};
}

} // namespace linnet::ipc
