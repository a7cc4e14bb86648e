// Credentials: copies and group membership.
#include <algorithm>
#include <core/thread.hpp>
#include <vfs/credentials.hpp>

namespace linnet::vfs {

bool Credentials::has(Capability capability) const {
    if (!effective.has(capability)) return false;
    core::current_thread().has_used_privilege = true;
    return true;
}

Result<RefPtr<Credentials>> Credentials::copy(const Credentials& from) {
    auto* fresh = new (std::nothrow) Credentials;
    if (!fresh) return error(Errno::ENOMEM);
    auto result = adopt_ref(*fresh);
    TRY(fresh->set_groups(from.groups()));
    fresh->uid = from.uid, fresh->gid = from.gid;
    fresh->euid = from.euid, fresh->egid = from.egid;
    fresh->suid = from.suid, fresh->sgid = from.sgid;
    fresh->fsuid = from.fsuid, fresh->fsgid = from.fsgid;
    fresh->inheritable = from.inheritable;
    fresh->permitted = from.permitted;
    fresh->effective = from.effective;
    fresh->bounding = from.bounding;
    fresh->ambient = from.ambient;
    fresh->securebits = from.securebits;
    return result;
}

bool Credentials::is_in_supplementary(u32 group) const {
    return std::binary_search(groups_.begin(), groups_.end(), group);
}

Result<void> Credentials::set_groups(std::span<const u32> ids) {
    ArrayList<u32> sorted;
    TRY(sorted.try_reserve(ids.size()));
    for (u32 id : ids) TRY(sorted.try_push(id));
    // A comparison of our own: libc++ keeps the plain sort of integers in its library, which the kernel
    // doesn't link.
    std::sort(sorted.begin(), sorted.end(), [](u32 a, u32 b) { return a < b; });
    groups_ = std::move(sorted);
    return {};
}

const Credentials& kernel_credentials() {
    [[clang::no_destroy]] static constinit Credentials credentials;
    return credentials;
}

} // namespace linnet::vfs
