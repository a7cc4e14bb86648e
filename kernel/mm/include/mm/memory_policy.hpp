// Which nodes memory is to come from (set_mempolicy(2), mbind(2)). Machines have one node here, number 0: what a policy
// asks for is always so. Policies are kept, inherited and shown.
#pragma once

#include <abi/linux/mempolicy.hpp>
#include <lib/format.hpp>
#include <lib/result.hpp>

namespace linnet::mm {

class MemoryPolicy {
public:
    static constexpr u64 all_nodes = 1; // bit n: node n

    constexpr MemoryPolicy() = default; // MPOL_DEFAULT: none

    /// Of a mode with its flags and the nodes that a program names. EINVAL: modes, flags and nodes that make no sense
    /// together, or no node that is there.
    static Result<MemoryPolicy> create(u32 mode_and_flags, u64 nodes);

    [[nodiscard]] u32 mode() const { return mode_; }
    [[nodiscard]] u32 mode_and_flags() const { return u32{mode_} | flags_; }
    /// As get_mempolicy(2) gives them: with a flag those that the program named, else those of them that are there.
    [[nodiscard]] u64 nodes() const { return flags_ ? named_ : named_ & all_nodes; }
    /// As /proc/PID/numa_maps shows it: "bind=static:0".
    void format(TextSink sink) const;

    constexpr bool operator==(const MemoryPolicy&) const = default;

private:
    u16 mode_ = 0;  // MPOL_*
    u16 flags_ = 0; // MPOL_F_*
    u64 named_ = 0;
};

} // namespace linnet::mm
