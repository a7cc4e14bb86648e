// Nodes of memory, of which there is one: every page is on it, so nothing is ever moved.
#include <algorithm>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>
#include <process/access.hpp>
#include <process/process.hpp>
#include <syscalls/memory_policy.hpp>
#include <vfs/credentials.hpp>

namespace linnet::syscalls {

using mm::MemoryPolicy;
using process::Thread;
using vfs::Capability;

namespace {

constexpr u64 most_mask_bits = arch::page_size * 8;
constexpr u64 word_bits = 64; // bits behind the first word name nodes that no machine has
constexpr u64 move_flags = abi::MPOL_MF_MOVE | abi::MPOL_MF_MOVE_ALL;

/// The nodes in a mask of max_node - 1 bits.
Result<u64> read_nodes(VirtAddr mask, u64 max_node) {
    u64 bits = max_node - 1;
    if (bits == 0 || mask.value == 0) return 0;
    if (bits > most_mask_bits) return error(Errno::EINVAL);
    u64 nodes = 0;
    for (bool is_first = true; bits; is_first = false, mask = mask + sizeof(u64)) {
        u64 word = TRY((mm::UserPtr<mm::In, u64>(mask).copy_in()));
        if (bits < word_bits) word &= (u64{1} << bits) - 1;
        if (is_first)
            nodes = word;
        else if (word)
            return error(Errno::EINVAL);
        bits -= std::min(bits, word_bits);
    }
    return nodes;
}

/// As many words as hold max_node - 1 bits, zeros behind the first.
Result<void> write_nodes(VirtAddr mask, u64 max_node, u64 nodes) {
    const u64 bytes = align_up(max_node - 1, word_bits) / 8;
    if (bytes > arch::page_size) return error(Errno::EINVAL);
    for (u64 at = 0; at < bytes; at += sizeof nodes, nodes = 0)
        TRY((mm::UserPtr<mm::Out, u64>(mask + at).copy_out(nodes)));
    return {};
}

/// The memory of whom the caller may look into. `pid` 0: its own. ESRCH, EPERM; EINVAL when it has none.
Result<NullableRefPtr<mm::AddressSpace>> memory_of(Thread& thread, process::Pid pid) {
    NullableRefPtr<Thread> other = pid ? process::find_thread(pid) : NullableRefPtr<Thread>(&thread);
    if (!other) return error(Errno::ESRCH);
    if (other.get() != &thread && !process::may_access(thread, *other, process::AccessBy::RealIds))
        return error(Errno::EPERM);
    NullableRefPtr<mm::AddressSpace> space = other->address_space();
    if (!space) return error(Errno::EINVAL);
    return space;
}

/// The page-aligned end of a range; EINVAL for what wraps around or doesn't begin with a page.
Result<VirtAddr> end_of(VirtAddr address, u64 length) {
    const VirtAddr end = address + align_up(length, arch::page_size);
    if (!is_aligned(address.value, arch::page_size) || end < address) return error(Errno::EINVAL);
    return end;
}

/// MPOL_F_NODE: the node of a page, or where an interleaved policy goes on.
Result<int> node_asked_for(Thread& thread, VirtAddr address, u64 flags) {
    if (flags & abi::MPOL_F_ADDR)
        TRY(thread.own_address_space().use_page(address, arch::Access::Read, mm::ForeignAccess::Checked,
                                                [](mm::Page&) {}));
    else if (thread.memory_policy().mode() != abi::MPOL_INTERLEAVE)
        return error(Errno::EINVAL);
    return 0;
}

/// What move_pages(2) says of a page: its node, or a negative errno.
int place_of(mm::AddressSpace& space, VirtAddr address) {
    if (!space.policy_at(address)) return -static_cast<int>(Errno::EFAULT);
    mm::PageState state;
    space.page_states({align_down(address.value, arch::page_size)}, {&state, 1});
    return state.is_present ? 0 : -static_cast<int>(Errno::ENOENT);
}

} // namespace

Result<long> sys_get_mempolicy(Thread& thread, mm::UserPtr<mm::Out, int> mode, VirtAddr nodes, u64 max_node,
                               VirtAddr address, u64 flags) {
    constexpr u64 known = abi::MPOL_F_NODE | abi::MPOL_F_ADDR | abi::MPOL_F_MEMS_ALLOWED;
    if ((nodes.value && max_node == 0) || (flags & ~known)) return error(Errno::EINVAL);
    int answer = 0;
    u64 answered_nodes = MemoryPolicy::all_nodes;
    if (flags & abi::MPOL_F_MEMS_ALLOWED) {
        if (flags != abi::MPOL_F_MEMS_ALLOWED) return error(Errno::EINVAL);
    } else {
        if (!(flags & abi::MPOL_F_ADDR) && address.value) return error(Errno::EINVAL);
        const MemoryPolicy policy =
            flags & abi::MPOL_F_ADDR ? TRY(thread.own_address_space().policy_at(address)) : thread.memory_policy();
        answered_nodes = policy.nodes();
        answer = flags & abi::MPOL_F_NODE ? TRY(node_asked_for(thread, address, flags))
                                          : static_cast<int>(policy.mode_and_flags());
    }
    if (mode) TRY(mode.copy_out(answer));
    if (nodes.value) TRY(write_nodes(nodes, max_node, answered_nodes));
    return 0;
}

Result<long> sys_set_mempolicy(Thread& thread, int mode, VirtAddr nodes, u64 max_node) {
    thread.set_memory_policy(TRY(MemoryPolicy::create(static_cast<u32>(mode), TRY(read_nodes(nodes, max_node)))));
    return 0;
}

Result<long> sys_mbind(Thread& thread, VirtAddr address, u64 length, u32 mode, VirtAddr nodes, u64 max_node,
                       u32 flags) {
    if (flags & ~(abi::MPOL_MF_STRICT | move_flags)) return error(Errno::EINVAL);
    const u64 named = TRY(read_nodes(nodes, max_node));
    if ((flags & abi::MPOL_MF_MOVE_ALL) && !thread.own_credentials().has(Capability::SysNice))
        return error(Errno::EPERM);
    const VirtAddr end = TRY(end_of(address, length));
    if (end == address) return 0;
    TRY(thread.own_address_space().set_policy(address, end, TRY(MemoryPolicy::create(mode, named))));
    return 0;
}

Result<long> sys_set_mempolicy_home_node(Thread& thread, VirtAddr address, u64 length, u64 node, u64 flags) {
    if (flags != 0 || node != 0) return error(Errno::EINVAL);
    const VirtAddr end = TRY(end_of(address, length));
    if (end == address) return 0;
    TRY(thread.own_address_space().check_home_node(address, end)); // it is the home already
    return 0;
}

Result<long> sys_migrate_pages(Thread& thread, process::Pid pid, u64 max_node, VirtAddr from, VirtAddr to) {
    TRY(read_nodes(from, max_node));
    const u64 target = TRY(read_nodes(to, max_node));
    TRY(memory_of(thread, pid));
    if ((target & ~MemoryPolicy::all_nodes) && !thread.own_credentials().has(Capability::SysNice))
        return error(Errno::EPERM);
    if (!(target & MemoryPolicy::all_nodes)) return error(Errno::EINVAL);
    return 0;
}

Result<long> sys_move_pages(Thread& thread, process::Pid pid, u64 count, VirtAddr pages, VirtAddr nodes,
                            VirtAddr status, int flags) {
    if (static_cast<u64>(flags) & ~move_flags) return error(Errno::EINVAL);
    if ((static_cast<u64>(flags) & abi::MPOL_MF_MOVE_ALL) && !thread.own_credentials().has(Capability::SysNice))
        return error(Errno::EPERM);
    NullableRefPtr<mm::AddressSpace> space = TRY(memory_of(thread, pid));
    for (u64 i = 0; i < count; ++i) {
        if (thread.has_fatal_signal()) return error(Errno::EINTR);
        const u64 address = TRY((mm::UserPtr<mm::In, u64>(pages + i * sizeof(u64)).copy_in()));
        if (nodes.value && TRY((mm::UserPtr<mm::In, int>(nodes + i * sizeof(int)).copy_in())) != 0)
            return error(Errno::ENODEV);
        TRY((mm::UserPtr<mm::Out, int>(status + i * sizeof(int)).copy_out(place_of(*space, {address}))));
    }
    return 0;
}

} // namespace linnet::syscalls
