// Bringing memory management up.
#pragma once

#include <boot/boot_info.hpp>
#include <core/thread.hpp>
#include <lib/result.hpp>

namespace linnet::mm {

/// Boot CPU, once, after boot::parse(): afterwards pages can be allocated and `new (std::nothrow)` works.
void initialise(const boot::BootInfo& info);
/// Per-CPU caches of `cpu`; called for each CPU before it starts to run threads, by any CPU that already can allocate.
/// initialise() has done so for the boot CPU.
void initialise_cpu(core::Cpu& cpu);
/// Gives memory that was reserved for the boot (the initrd after unpacking) to the allocator. Page aligned inside.
void release_boot_memory(PhysAddr begin, u64 size);

/// Starts the threads that reclaim; once threads can be started.
Result<void> start_reclaim();

/// Debug builds, once all of the kernel's mappings are made: panics when memory is writable and executable, in one
/// mapping or in two.
void check_kernel_mappings();

} // namespace linnet::mm
