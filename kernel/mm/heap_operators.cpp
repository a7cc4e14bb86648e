// `new (std::nothrow)` and `delete` over the kernel heap. Plain `new` is not defined: using it fails to link.
#include <mm/heap.hpp>
#include <new>

const std::nothrow_t std::nothrow{};

void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return linnet::mm::allocate_bytes(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return linnet::mm::allocate_bytes(size); }
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return linnet::mm::allocate_bytes_aligned(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return linnet::mm::allocate_bytes_aligned(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* pointer) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete[](void* pointer) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete[](void* pointer, std::size_t) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete[](void* pointer, std::align_val_t) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete[](void* pointer, std::size_t, std::align_val_t) noexcept { linnet::mm::free_bytes(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { linnet::mm::free_bytes(pointer); }
