// The vDSO: a small shared object of ours in every process, with the clock functions and, where the architecture has no
// sa_restorer, the signal trampoline (vdso(7)).
#pragma once

#include <lib/address.hpp>
#include <lib/result.hpp>
#include <mm/address_space.hpp>

namespace linnet::vdso {

/// Makes the image's pages; once, when the heap works and the clock runs.
Result<void> initialise();

struct Placement {
    VirtAddr image{};             // AT_SYSINFO_EHDR
    VirtAddr signal_trampoline{}; // 0 where sa_restorer does the work
};
/// Maps data page and image somewhere in `space`.
Result<Placement> map_into(mm::AddressSpace& space);

} // namespace linnet::vdso
