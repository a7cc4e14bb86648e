// A simulated machine: 64 MiB of physical memory with a hole, on which the kernel's own allocators have been started.
#pragma once

#include <mm/address_space.hpp>
#include <mm/init.hpp>
#include <mm/statistics.hpp>

namespace linnet::test {

/// Starts memory management once; every test calls it first.
void start_machine();

/// Frames in use by kind; two equal ones around a piece of work mean that it leaked nothing.
struct Usage {
    u64 anonymous = 0, shared = 0, file = 0, page_tables = 0;
    bool operator==(const Usage&) const = default;
};
Usage usage();

/// `count` steps, or with --long `factor` times as many.
int steps(int count, int factor);

/// What a processor does: walks the tables, takes faults until the access succeeds or is refused. The pointer to the
/// byte, or null with the refusal.
u8* access(mm::AddressSpace& space, VirtAddr address, arch::Access how, mm::FaultResult* refusal = nullptr);

} // namespace linnet::test
