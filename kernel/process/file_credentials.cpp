// What executing a file does to credentials: set-user-id and set-group-id, and the transformation of
// capabilities (execve(2); capabilities(7), "Transformation of capabilities during execve()", "Capabilities
// and execution of programs by root").
#include <abi/linux/fs.hpp>
#include <abi/linux/prctl.hpp>
#include <abi/linux/stat.hpp>
#include <process/credentials.hpp>
#include <vfs/inode.hpp>
#include <vfs/mount.hpp>

#include "program.hpp"

namespace linnet::process {
namespace {

struct FileCapabilities {
    vfs::CapabilitySet permitted{};
    vfs::CapabilitySet inheritable{};
    bool effective = false;
    bool present = false;
};

/// The security.capability attribute (vfs_cap_data of linux/capability.h), versions 2 and 3.
FileCapabilities read_file_capabilities(vfs::Inode& inode) {
    struct {
        u32 magic;
        u32 words[5]; // permitted, inheritable, each low; then high; then root id (version 3)
    } data{};
    FileCapabilities found;
    Result<usize> size =
        inode.get_extended_attribute("security.capability", {reinterpret_cast<u8*>(&data), sizeof(data)});
    constexpr u32 revision_mask = 0xff000000, revision_2 = 0x02000000, revision_3 = 0x03000000;
    u32 revision = data.magic & revision_mask;
    bool valid = size && ((revision == revision_2 && *size == 20) || (revision == revision_3 && *size == 24));
    if (!valid) return found;
    u64 known = vfs::CapabilitySet::all().bits;
    found.permitted.bits = (data.words[0] | u64{data.words[2]} << 32) & known;
    found.inheritable.bits = (data.words[1] | u64{data.words[3]} << 32) & known;
    found.effective = data.magic & 1;
    found.present = true;
    return found;
}

void apply_root_rules(const vfs::Credentials& fresh, FileCapabilities& file, bool set_user_id) {
    if (fresh.securebits & abi::SECBIT_NOROOT) return;
    // A set-user-id-root program with capabilities of its own gets those only, unless root starts it.
    if (file.present && set_user_id && fresh.uid != 0) return;
    if (fresh.euid == 0 || fresh.uid == 0) file.permitted = file.inheritable = vfs::CapabilitySet::all();
    if (fresh.euid == 0) file.effective = true;
}

/// A program that would get more than its caller has, and is not to: it keeps what both say, and the ids of its user.
/// Who may change ids anyway keeps those, unless it has renounced all gains.
void withhold_gains(vfs::Credentials& fresh, const vfs::Credentials& caller, Distrust distrust) {
    if (distrust.no_new_privileges || !caller.has(vfs::Capability::Setuid)) {
        fresh.euid = fresh.uid;
        fresh.egid = fresh.gid;
    }
    fresh.permitted.bits &= caller.permitted.bits;
}

} // namespace

Result<void> apply_file_credentials(Program& program, const vfs::Credentials& caller, vfs::File& file,
                                    Distrust distrust) {
    RefPtr<vfs::Credentials> fresh = TRY(vfs::Credentials::copy(caller));
    vfs::Inode& inode = file.inode();
    const bool is_trusted = !(file.path().mount->flags() & abi::MS_NOSUID);
    const bool honoured = is_trusted && !distrust.no_new_privileges;
    u32 mode = inode.mode();
    if (honoured && (mode & abi::S_ISUID)) fresh->euid = inode.uid();
    // Without group execution the bit meant mandatory locking.
    if (honoured && (mode & abi::S_ISGID) && (mode & 0010)) fresh->egid = inode.gid();
    bool ids_changed = fresh->euid != caller.euid || fresh->egid != caller.egid;

    FileCapabilities capabilities = is_trusted ? read_file_capabilities(inode) : FileCapabilities{};
    bool is_privileged_file = capabilities.present || ids_changed;
    // capabilities(7), "Safety checking for capability-dumb binaries": such a program, whose capabilities are effective
    // from the start, gets all that its file says or doesn't run.
    if (capabilities.effective && (capabilities.permitted.bits & ~caller.bounding.bits &
                                   ~(caller.inheritable.bits & capabilities.inheritable.bits)))
        return error(Errno::EPERM);
    apply_root_rules(*fresh, capabilities, fresh->euid == 0 && caller.uid != 0);
    fresh->ambient.bits = is_privileged_file ? 0 : caller.ambient.bits;
    fresh->permitted.bits = (caller.inheritable.bits & capabilities.inheritable.bits) |
                            (capabilities.permitted.bits & caller.bounding.bits) | fresh->ambient.bits;
    if (distrust.any() && (ids_changed || (fresh->permitted.bits & ~caller.permitted.bits)))
        withhold_gains(*fresh, caller, distrust);
    fresh->suid = fresh->fsuid = fresh->euid;
    fresh->sgid = fresh->fsgid = fresh->egid;
    fresh->effective.bits = capabilities.effective ? fresh->permitted.bits : fresh->ambient.bits;
    fresh->securebits &= ~abi::SECBIT_KEEP_CAPS;

    bool gained = fresh->uid != 0 && (capabilities.effective || (fresh->permitted.bits & ~fresh->ambient.bits) != 0);
    program.is_secure = ids_changed || fresh->euid != fresh->uid || fresh->egid != fresh->gid || gained;
    program.is_protected = are_rights_changed(*fresh, caller);
    program.credentials = fresh;
    return {};
}

} // namespace linnet::process
