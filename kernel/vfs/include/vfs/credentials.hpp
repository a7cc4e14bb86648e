// Who a thread is: user and group ids, groups, capabilities (credentials(7), capabilities(7)). An object is constant
// once published, so it is read without a lock; process makes an edited copy and swaps the pointer. vfs checks them.
#pragma once

#include <lib/array_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::vfs {

enum class Capability : u8 {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    MacAdmin = 33,
    Syslog = 34,
    WakeAlarm = 35,
    BlockSuspend = 36,
    AuditRead = 37,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
};
inline constexpr u8 last_capability = 40;

/// A set of capabilities; bit n is capability n.
struct CapabilitySet {
    u64 bits = 0;
    static constexpr CapabilitySet all() { return {(u64{1} << (last_capability + 1)) - 1}; }
    [[nodiscard]] constexpr bool has(Capability one) const { return (bits >> static_cast<u8>(one)) & 1; }
    constexpr bool operator==(const CapabilitySet&) const = default;
};

class Credentials : public RefCounted<Credentials> {
public:
    constexpr Credentials() = default;

    /// An editable copy; publish it as RefPtr<const Credentials>. ENOMEM.
    static Result<RefPtr<Credentials>> copy(const Credentials& from);

    /// Whether the current thread, which acts by these credentials, may use the capability; when it may, it counts as
    /// having used it (ASU of acct(5)). Who only looks asks `effective`.
    [[nodiscard]] bool has(Capability capability) const;
    /// Whether `group` is the filesystem group or a supplementary one.
    [[nodiscard]] bool is_in_group(u32 group) const { return group == fsgid || is_in_supplementary(group); }
    [[nodiscard]] bool is_in_supplementary(u32 group) const;
    /// Replaces the supplementary groups; sorts them.
    Result<void> set_groups(std::span<const u32> ids);
    [[nodiscard]] std::span<const u32> groups() const { return groups_.span(); }

    u32 uid = 0, gid = 0;     // real
    u32 euid = 0, egid = 0;   // effective
    u32 suid = 0, sgid = 0;   // saved
    u32 fsuid = 0, fsgid = 0; // what file access is checked with
    CapabilitySet inheritable{};
    CapabilitySet permitted = CapabilitySet::all();
    CapabilitySet effective = CapabilitySet::all();
    CapabilitySet bounding = CapabilitySet::all();
    CapabilitySet ambient{};
    u32 securebits = 0;

private:
    ArrayList<u32> groups_; // ascending
};

/// root with every capability: PID 1's first credentials, and those of kernel threads.
const Credentials& kernel_credentials();

} // namespace linnet::vfs
