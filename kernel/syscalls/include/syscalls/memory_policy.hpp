// Nodes of memory (numa(7)), of which there is one: set_mempolicy(2), mbind(2) and their kin.
#pragma once

#include <process/pid.hpp>
#include <syscalls/table.hpp>

namespace linnet::syscalls {

Result<long> sys_get_mempolicy(process::Thread&, mm::UserPtr<mm::Out, int> mode, VirtAddr nodes, u64 max_node,
                               VirtAddr address, u64 flags);
Result<long> sys_mbind(process::Thread&, VirtAddr address, u64 length, u32 mode, VirtAddr nodes, u64 max_node,
                       u32 flags);
Result<long> sys_migrate_pages(process::Thread&, process::Pid pid, u64 max_node, VirtAddr from, VirtAddr to);
Result<long> sys_move_pages(process::Thread&, process::Pid pid, u64 count, VirtAddr pages, VirtAddr nodes,
                            VirtAddr status, int flags);
Result<long> sys_set_mempolicy(process::Thread&, int mode, VirtAddr nodes, u64 max_node);
Result<long> sys_set_mempolicy_home_node(process::Thread&, VirtAddr address, u64 length, u64 node, u64 flags);

inline constexpr const char* one_node = "one node; a policy of shared memory is the mapping's";

inline constexpr Entry memory_policy_calls[] = {
    entry<sys_get_mempolicy>("get_mempolicy", nr::get_mempolicy, Support::Partial, one_node),
    entry<sys_mbind>("mbind", nr::mbind, Support::Partial, one_node),
    entry<sys_migrate_pages>("migrate_pages", nr::migrate_pages),
    entry<sys_move_pages>("move_pages", nr::move_pages),
    entry<sys_set_mempolicy>("set_mempolicy", nr::set_mempolicy, Support::Partial,
                             "one node; no NUMA_BALANCING, no WEIGHTED_INTERLEAVE: EINVAL"),
    entry<sys_set_mempolicy_home_node>("set_mempolicy_home_node", nr::set_mempolicy_home_node),
};

} // namespace linnet::syscalls
