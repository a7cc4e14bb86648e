// The kernel's own virtual range [arch::kernel_area_begin, kernel_area_end): device registers, kernel stacks with their
// guard pages, and memory that is contiguous only virtually.
#pragma once

#include <arch/mmu.hpp>
#include <lib/address.hpp>
#include <lib/result.hpp>

namespace linnet::mm {

enum class DeviceCaching : u8 { Uncached, WriteCombining };

/// Maps the device registers at [address, +size); the result points at `address` itself, which need not be aligned.
Result<VirtAddr> map_device(PhysAddr address, usize size, DeviceCaching caching = DeviceCaching::Uncached);
/// Undoes map_device. May sleep.
void unmap_device(VirtAddr address);

/// Maps RAM or ROM that the direct map doesn't cover (firmware tables), readable and cached.
Result<VirtAddr> map_firmware(PhysAddr address, usize size);

/// Maps a part of the kernel's text once more, to be written; unmap_device() undoes it.
Result<VirtAddr> map_text(PhysAddr address, usize size);

/// A kernel stack of arch::kernel_stack_size with an unmapped page below it; returns its top. May sleep.
Result<uintptr_t> allocate_kernel_stack();
/// Callable with interrupts off (not from an interrupt handler); nobody may run on the stack any more.
void free_kernel_stack(uintptr_t top);
/// Whether `address` lies in a guard page of a kernel stack (for the text of a fault).
bool is_kernel_stack_guard(VirtAddr address);

/// Pages that are contiguous virtually only; zeroed. May sleep.
Result<void*> allocate_virtual(usize size);
void free_virtual(void* pointer);

} // namespace linnet::mm
