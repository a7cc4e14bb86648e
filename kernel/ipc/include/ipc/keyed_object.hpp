// What System V segments, semaphore sets and message queues have in common: a key, an id, an owner and a mode
// (sysvipc(7), "Resource access permissions").
#pragma once

#include <abi/linux/ipc.hpp>
#include <atomic>
#include <lib/intrusive_list.hpp>
#include <lib/result.hpp>
#include <vfs/credentials.hpp>

namespace linnet::ipc {

/// An id is a sequence number above an index of so many bits, so that an id of something removed doesn't soon mean
/// another.
inline constexpr u32 index_bits = 15;
inline constexpr i32 most_indices = 1 << index_bits;
inline constexpr u32 permission_bits = 0777;

/// Seconds since 1970, and the process that calls; 0 in the kernel.
i64 now();
i32 current_pid();

/// What the first argument of IPC_STAT and its like means. The last: no right to read is needed.
enum class Lookup : u8 { ById, ByIndex, ByIndexUnchecked };

class KeyedObject {
public:
    KeyedObject(i32 object_key, u32 object_mode, const vfs::Credentials& creator);
    KeyedObject(const KeyedObject&) = delete;

    /// Whether `who` has the rights asked for, three bits or those of all classes (0444 …).
    [[nodiscard]] bool permits(const vfs::Credentials& who, u32 rights) const;
    [[nodiscard]] bool is_owned_by(const vfs::Credentials& who) const { return who.euid == uid || who.euid == cuid; }
    /// IPC_SET and IPC_RMID.
    [[nodiscard]] bool may_be_changed_by(const vfs::Credentials& who) const;
    [[nodiscard]] abi::ipc_perm permissions() const;
    /// IPC_SET: takes owner and mode over. EPERM, EINVAL.
    Result<void> change(const abi::ipc_perm& wanted, const vfs::Credentials& who);

    i32 id = 0; // set once, when it enters its table
    // ---- the table's lock ----
    i32 key;
    ListNode key_node;                  // linked while the key leads here
    std::atomic<bool> is_listed{false}; // read without it
    // ---- the object's lock ----
    u32 uid, gid;
    const u32 cuid, cgid;
    u32 mode; // the permissions, and what the kind of object adds
    i64 change_time;

protected:
    ~KeyedObject() = default;
};

} // namespace linnet::ipc
