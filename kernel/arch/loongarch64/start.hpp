// Inside the LoongArch folder: where the image is.
#pragma once

#include <arch/page.hpp>

namespace linnet::arch {

/// Physical address of something in the kernel image; the direct map's arithmetic doesn't hold there.
inline PhysAddr image_virt_to_phys(const void* pointer) {
    return {reinterpret_cast<u64>(pointer) - kernel_image_offset};
}

} // namespace linnet::arch
