// Memory policies: what they may say, and those of mappings.
#include <mm/memory_policy.hpp>

#include "vma_edit.hpp"

namespace linnet::mm {

Result<MemoryPolicy> MemoryPolicy::create(u32 mode_and_flags, u64 nodes) {
    constexpr u32 known_flags = abi::MPOL_F_STATIC_NODES | abi::MPOL_F_RELATIVE_NODES;
    const u32 flags = mode_and_flags & known_flags;
    u32 mode = mode_and_flags & ~known_flags;
    if (mode > abi::MPOL_PREFERRED_MANY || flags == known_flags) return error(Errno::EINVAL);
    if (mode == abi::MPOL_DEFAULT) return nodes ? error(Errno::EINVAL) : Result<MemoryPolicy>(MemoryPolicy());
    if (mode == abi::MPOL_PREFERRED && !nodes) mode = abi::MPOL_LOCAL;
    if (mode == abi::MPOL_LOCAL) {
        if (nodes || flags) return error(Errno::EINVAL);
    } else {
        // Relative ones are counted round and round those that are there.
        const bool has_node = flags & abi::MPOL_F_RELATIVE_NODES ? nodes != 0 : (nodes & all_nodes) != 0;
        if (!has_node) return error(Errno::EINVAL);
    }
    MemoryPolicy policy;
    policy.mode_ = static_cast<u16>(mode);
    policy.flags_ = static_cast<u16>(flags);
    policy.named_ = nodes;
    return policy;
}

void MemoryPolicy::format(TextSink sink) const {
    constexpr std::string_view names[] = {"default", "prefer", "bind", "interleave", "local", "prefer (many)"};
    sink(names[mode_]);
    if (flags_ & abi::MPOL_F_STATIC_NODES) sink("=static");
    if (flags_ & abi::MPOL_F_RELATIVE_NODES) sink("=relative");
    if (named_) sink(":0");
}

Result<MemoryPolicy> AddressSpace::policy_at(VirtAddr address) {
    core::ReadGuard guard(mmap_lock_);
    const Vma* vma = vmas_.find(address);
    if (!vma) return error(Errno::EFAULT);
    return vma->policy;
}

Result<void> AddressSpace::set_policy(VirtAddr begin, VirtAddr end, const MemoryPolicy& policy) {
    core::WriteGuard guard(mmap_lock_);
    // Taking policies away passes over holes.
    if (policy != MemoryPolicy())
        for (VirtAddr at = begin; at < end;) {
            const Vma* vma = vmas_.find(at);
            if (!vma) return error(Errno::EFAULT);
            at = vma->end;
        }
    for (VirtAddr at = begin; at < end;) {
        Vma* vma = vmas_.find_ending_after(at);
        if (!vma || vma->begin >= end) break;
        at = std::min(end, vma->end);
        if (vma->policy == policy) continue;
        Vma* part = TRY(isolate(*vma, std::max(begin, vma->begin), at));
        part->policy = policy;
        merge(*part);
    }
    return {};
}

Result<void> AddressSpace::check_home_node(VirtAddr begin, VirtAddr end) {
    core::ReadGuard guard(mmap_lock_);
    Result<void> result = error(Errno::ENOENT);
    for (const Vma* vma = vmas_.find_ending_after(begin); vma && vma->begin < end; vma = vmas_.next(*vma)) {
        if (vma->policy == MemoryPolicy()) continue;
        const u32 mode = vma->policy.mode();
        if (mode != abi::MPOL_BIND && mode != abi::MPOL_PREFERRED_MANY) return error(Errno::EOPNOTSUPP);
        result = {};
    }
    return result;
}

} // namespace linnet::mm
