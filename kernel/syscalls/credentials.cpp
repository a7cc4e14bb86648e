// Credential calls: who may become whom (credentials(7), setresuid(2), setgroups(2), capset(2)).
#include <process/credentials.hpp>
#include <process/process.hpp>
#include <syscalls/credentials.hpp>

namespace linnet::syscalls {

using process::Thread;
using vfs::Capability;
using vfs::Credentials;

Result<long> sys_getuid(Thread& thread) { return thread.own_credentials().uid; }
Result<long> sys_geteuid(Thread& thread) { return thread.own_credentials().euid; }
Result<long> sys_getgid(Thread& thread) { return thread.own_credentials().gid; }
Result<long> sys_getegid(Thread& thread) { return thread.own_credentials().egid; }

Result<long> sys_getresuid(Thread& thread, IdOut real, IdOut effective, IdOut saved) {
    const Credentials& who = thread.own_credentials();
    TRY(real.copy_out(who.uid));
    TRY(effective.copy_out(who.euid));
    TRY(saved.copy_out(who.suid));
    return 0;
}

Result<long> sys_getresgid(Thread& thread, IdOut real, IdOut effective, IdOut saved) {
    const Credentials& who = thread.own_credentials();
    TRY(real.copy_out(who.gid));
    TRY(effective.copy_out(who.egid));
    TRY(saved.copy_out(who.sgid));
    return 0;
}

namespace {

constexpr u32 unchanged = ~0u;

/// An id triple with its file-system id; users and groups follow the same rules.
struct IdSet {
    u32 Credentials::* real;
    u32 Credentials::* effective;
    u32 Credentials::* saved;
    u32 Credentials::* filesystem;
    Capability capability;
};
constexpr IdSet users{&Credentials::uid, &Credentials::euid, &Credentials::suid, &Credentials::fsuid,
                      Capability::Setuid};
constexpr IdSet groups{&Credentials::gid, &Credentials::egid, &Credentials::sgid, &Credentials::fsgid,
                       Capability::Setgid};

/// setuid, setgid: with the capability all three, else only the effective, to the real or saved one.
Result<long> set_id(Thread& thread, const IdSet& ids, u32 id) {
    if (id == unchanged) return error(Errno::EINVAL);
    const Credentials& old = thread.own_credentials();
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    Credentials& edited = *fresh;
    if (old.has(ids.capability))
        edited.*ids.real = edited.*ids.saved = id;
    else if (id != old.*ids.real && id != old.*ids.saved)
        return error(Errno::EPERM);
    edited.*ids.effective = edited.*ids.filesystem = id;
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

Result<long> set_real_and_effective(Thread& thread, const IdSet& ids, u32 real, u32 effective) {
    const Credentials& old = thread.own_credentials();
    bool privileged = old.has(ids.capability);
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    Credentials& edited = *fresh;
    if (real != unchanged) {
        if (!privileged && real != old.*ids.real && real != old.*ids.effective) return error(Errno::EPERM);
        edited.*ids.real = real;
    }
    if (effective != unchanged) {
        bool known = effective == old.*ids.real || effective == old.*ids.effective || effective == old.*ids.saved;
        if (!privileged && !known) return error(Errno::EPERM);
        edited.*ids.effective = effective;
    }
    if (real != unchanged || (effective != unchanged && effective != old.*ids.real))
        edited.*ids.saved = edited.*ids.effective;
    edited.*ids.filesystem = edited.*ids.effective;
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

Result<long> set_all_three(Thread& thread, const IdSet& ids, u32 real, u32 effective, u32 saved) {
    const Credentials& old = thread.own_credentials();
    bool privileged = old.has(ids.capability);
    auto allowed = [&](u32 id) {
        return privileged || id == unchanged || id == old.*ids.real || id == old.*ids.effective || id == old.*ids.saved;
    };
    if (!allowed(real) || !allowed(effective) || !allowed(saved)) return error(Errno::EPERM);
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    Credentials& edited = *fresh;
    if (real != unchanged) edited.*ids.real = real;
    if (effective != unchanged) edited.*ids.effective = effective;
    if (saved != unchanged) edited.*ids.saved = saved;
    edited.*ids.filesystem = edited.*ids.effective;
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

/// setfsuid(2): always answers the old id, changed or not.
Result<long> set_filesystem_id(Thread& thread, const IdSet& ids, u32 id) {
    const Credentials& old = thread.own_credentials();
    long previous = old.*ids.filesystem;
    bool known = id == old.*ids.real || id == old.*ids.effective || id == old.*ids.saved || id == old.*ids.filesystem;
    if (id == unchanged || (!known && !old.has(ids.capability))) return previous;
    Result<RefPtr<Credentials>> fresh = Credentials::copy(old);
    if (!fresh) return previous;
    (**fresh).*ids.filesystem = id;
    (void)process::commit_credentials(thread, std::move(*fresh));
    return previous;
}

} // namespace

Result<long> sys_setuid(Thread& thread, u32 uid) { return set_id(thread, users, uid); }
Result<long> sys_setgid(Thread& thread, u32 gid) { return set_id(thread, groups, gid); }
Result<long> sys_setreuid(Thread& thread, u32 real, u32 effective) {
    return set_real_and_effective(thread, users, real, effective);
}
Result<long> sys_setregid(Thread& thread, u32 real, u32 effective) {
    return set_real_and_effective(thread, groups, real, effective);
}
Result<long> sys_setresuid(Thread& thread, u32 real, u32 effective, u32 saved) {
    return set_all_three(thread, users, real, effective, saved);
}
Result<long> sys_setresgid(Thread& thread, u32 real, u32 effective, u32 saved) {
    return set_all_three(thread, groups, real, effective, saved);
}
Result<long> sys_setfsuid(Thread& thread, u32 uid) { return set_filesystem_id(thread, users, uid); }
Result<long> sys_setfsgid(Thread& thread, u32 gid) { return set_filesystem_id(thread, groups, gid); }

Result<long> sys_getgroups(Thread& thread, int size, IdOut list) {
    std::span<const u32> ids = thread.own_credentials().groups();
    if (size < 0) return error(Errno::EINVAL);
    if (size == 0) return static_cast<long>(ids.size());
    if (static_cast<usize>(size) < ids.size()) return error(Errno::EINVAL);
    TRY(list.copy_out(ids));
    return static_cast<long>(ids.size());
}

Result<long> sys_setgroups(Thread& thread, int size, mm::UserPtr<mm::In, u32> list) {
    constexpr int most_groups = 65536;
    const Credentials& old = thread.own_credentials();
    if (!old.has(Capability::Setgid)) return error(Errno::EPERM);
    if (size < 0 || size > most_groups) return error(Errno::EINVAL);
    ArrayList<u32> ids;
    TRY(ids.try_resize(static_cast<usize>(size)));
    TRY(list.copy_in(ids.span()));
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    TRY(fresh->set_groups(ids.span()));
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

// ---- capabilities ----

namespace {

using HeaderPtr = mm::UserPtr<mm::InOut, abi::cap_user_header>;

/// How many 32-bit words a version's sets have; an unknown version is answered with ours (capget(2)).
Result<usize> words_of_version(HeaderPtr pointer, abi::cap_user_header& header) {
    switch (header.version) {
    case abi::LINUX_CAPABILITY_VERSION_1:
        return usize{1};
    case abi::LINUX_CAPABILITY_VERSION_2:
    case abi::LINUX_CAPABILITY_VERSION_3:
        return usize{2};
    default:
        header.version = abi::LINUX_CAPABILITY_VERSION_3;
        TRY(pointer.copy_out(header));
        return error(Errno::EINVAL);
    }
}

u32 word_of(const vfs::CapabilitySet& set, usize index) { return static_cast<u32>(set.bits >> (32 * index)); }

} // namespace

Result<long> sys_capget(Thread& thread, HeaderPtr pointer, mm::UserPtr<mm::Out, abi::cap_user_data> data) {
    abi::cap_user_header header = TRY(pointer.copy_in());
    Result<usize> words = words_of_version(pointer, header);
    if (!words) {
        // A null data pointer only asks for the version.
        if (data.is_null() && words.error() == Errno::EINVAL) return 0;
        return error(words.error());
    }
    if (header.pid < 0) return error(Errno::EINVAL);
    NullableRefPtr<Thread> target(&thread);
    if (header.pid != 0) target = process::find_thread(header.pid);
    if (!target) return error(Errno::ESRCH);
    RefPtr<const Credentials> who = target->credentials();
    if (data.is_null()) return 0;
    for (usize i = 0; i < *words; ++i)
        TRY(data.element(i).copy_out({.effective = word_of(who->effective, i),
                                      .permitted = word_of(who->permitted, i),
                                      .inheritable = word_of(who->inheritable, i)}));
    return 0;
}

Result<long> sys_capset(Thread& thread, HeaderPtr pointer, mm::UserPtr<mm::In, abi::cap_user_data> data) {
    abi::cap_user_header header = TRY(pointer.copy_in());
    usize words = TRY(words_of_version(pointer, header));
    if (header.pid != 0 && header.pid != thread.tid()) return error(Errno::EPERM);
    vfs::CapabilitySet effective{}, permitted{}, inheritable{};
    for (usize i = 0; i < words; ++i) {
        abi::cap_user_data word = TRY(data.element(i).copy_in());
        effective.bits |= u64{word.effective} << (32 * i);
        permitted.bits |= u64{word.permitted} << (32 * i);
        inheritable.bits |= u64{word.inheritable} << (32 * i);
    }
    u64 known = vfs::CapabilitySet::all().bits;
    effective.bits &= known, permitted.bits &= known, inheritable.bits &= known;

    const Credentials& old = thread.own_credentials();
    if (permitted.bits & ~old.permitted.bits) return error(Errno::EPERM);
    if (effective.bits & ~permitted.bits) return error(Errno::EPERM);
    if (!old.has(Capability::Setpcap) && (inheritable.bits & ~(old.inheritable.bits | old.permitted.bits)))
        return error(Errno::EPERM);
    if (inheritable.bits & ~(old.inheritable.bits | old.bounding.bits)) return error(Errno::EPERM);
    RefPtr<Credentials> fresh = TRY(Credentials::copy(old));
    fresh->effective = effective;
    fresh->permitted = permitted;
    fresh->inheritable = inheritable;
    fresh->ambient.bits &= permitted.bits & inheritable.bits;
    TRY(process::commit_credentials(thread, std::move(fresh)));
    return 0;
}

} // namespace linnet::syscalls
