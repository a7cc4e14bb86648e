// The run time of the kernel's address sanitizer: the checks that clang calls before each access to memory
// (-fsanitize=kernel-address with outline checks), the shadow, and the quarantine of freed heap objects.
//
// Checked are accesses through the direct map: the heap and the page allocator's frames. The kernel image, the stacks
// and the rest of the kernel area have no shadow. This file, the heap itself, the C memory functions and start-up code
// are not instrumented.
//
// Owns the shadow, an array beside that of the Pages, and the quarantine. Lock order: quarantine_lock is a leaf.
#ifdef LINNET_SANITIZE

#include "kasan.hpp"
#include "slab.hpp"
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/spinlock.hpp>
#include <cstring>
#include <mm/page.hpp>

namespace linnet::mm::kasan {
namespace {

constexpr usize granule = 8;
constexpr usize quarantine_slots = 1024;
constexpr usize largest_quarantined = 2048; // so at most 2 MiB wait

constinit u8* shadow = nullptr;
constinit uintptr_t covered_begin = 0;
constinit u64 covered_size = 0; // 0: not started

constinit core::LockClass quarantine_class("quarantine");
constinit core::InterruptSpinLock quarantine_lock(quarantine_class);
constinit void* quarantine[quarantine_slots] = {};
constinit u64 next_in_quarantine = 0;

u8* shadow_of(const void* address) { return shadow + (reinterpret_cast<uintptr_t>(address) - covered_begin) / granule; }

bool is_covered(uintptr_t address, usize size) {
    u64 offset = address - covered_begin;
    return offset < covered_size && size <= covered_size - offset;
}

/// The first byte of [address, +size) that may not be touched; 0: none.
[[gnu::always_inline]] inline uintptr_t first_bad(uintptr_t address, usize size) {
    u64 offset = address - covered_begin;
    if (offset >= covered_size || size > covered_size - offset) return 0;
    for (u64 at = offset / granule; at <= (offset + size - 1) / granule; ++at) {
        u8 value = shadow[at];
        if (value == 0) [[likely]]
            continue;
        u64 begin = at * granule > offset ? at * granule : offset;
        u64 last = offset + size - 1 < at * granule + granule - 1 ? offset + size - 1 : at * granule + granule - 1;
        if (value >= granule) return covered_begin + begin;
        u64 end = at * granule + value; // the first byte behind those allowed
        if (last >= end) return covered_begin + (begin > end ? begin : end);
    }
    return 0;
}

std::string_view kind_of(uintptr_t bad) {
    u8 value = *shadow_of(reinterpret_cast<void*>(bad));
    switch (static_cast<Poison>(value)) {
    case Poison::FreePage:
        return "use-after-free of a page";
    case Poison::FreeObject:
        return "use-after-free";
    default:
        return "heap-out-of-bounds"; // Redzone, or a granule that is allowed in part
    }
}

void print_shadow(uintptr_t bad) {
    constexpr uintptr_t row = 16 * granule;
    uintptr_t begin = (bad & ~(row - 1)) - row;
    for (uintptr_t at = begin; at <= begin + 2 * row; at += row) {
        if (!is_covered(at, row)) continue;
        const u8* s = shadow_of(reinterpret_cast<void*>(at));
        core::log(
            core::LogLevel::Emergency,
            " {#016x}: {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x} {02x}",
            at, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13], s[14], s[15]);
    }
}

void print_object(uintptr_t bad) {
    HeapPlace place;
    if (!find_heap_place(reinterpret_cast<void*>(bad), place)) return;
    core::log(core::LogLevel::Emergency, "The address is {} bytes into the heap's place of {} bytes at {#x}",
              bad - reinterpret_cast<uintptr_t>(place.begin), place.size, reinterpret_cast<uintptr_t>(place.begin));
}

enum class Kind : u8 { Read, Write };

[[gnu::noinline]] void report(std::string_view what, uintptr_t bad, usize size, std::string_view access, uintptr_t pc) {
    if (core::is_panicking()) return;
    core::Symbol symbol = core::find_symbol(pc);
    core::log(core::LogLevel::Emergency, "BUG: KASAN: {} in {}+{#x}", what, symbol.name, symbol.offset);
    core::log(core::LogLevel::Emergency, "{} of {} bytes at {#x}", access, size, bad);
    print_object(bad);
    print_shadow(bad);
    core::panic("KASAN: {} in {}: {} of {} bytes at {#x}", what, symbol.name, access, size, bad);
}

[[gnu::always_inline]] inline void check(uintptr_t address, usize size, Kind kind, void* caller) {
    if (size == 0) return;
    if (uintptr_t bad = first_bad(address, size)) [[unlikely]]
        report(kind_of(bad), bad, size, kind == Kind::Write ? "write" : "read", reinterpret_cast<uintptr_t>(caller));
}

} // namespace

u64 shadow_size(u64 frames) { return frames * (arch::page_size / granule); }

void start(void* memory, u64 first_frame, u64 frames) {
    shadow = static_cast<u8*>(memory);
    std::memset(shadow, 0, shadow_size(frames));
    covered_begin = reinterpret_cast<uintptr_t>(arch::phys_to_virt(PhysAddr{first_frame << arch::page_shift}));
    covered_size = frames << arch::page_shift;
}

void allow(const void* begin, usize size) {
    if (!is_covered(reinterpret_cast<uintptr_t>(begin), size)) return;
    u8* at = shadow_of(begin);
    std::memset(at, 0, size / granule);
    if (size % granule) at[size / granule] = static_cast<u8>(size % granule);
}

void forbid(const void* begin, usize size, Poison why) {
    if (is_covered(reinterpret_cast<uintptr_t>(begin), size))
        std::memset(shadow_of(begin), static_cast<u8>(why), size / granule);
}

void hand_out(const void* object, usize size, usize room) {
    forbid(object, room, Poison::Redzone);
    allow(object, size);
}

void* take_back(void* object, usize room) {
    if (!is_covered(reinterpret_cast<uintptr_t>(object), room)) return object;
    if (*shadow_of(object) == static_cast<u8>(Poison::FreeObject))
        report("double free", reinterpret_cast<uintptr_t>(object), room, "free",
               reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
    forbid(object, room, Poison::FreeObject);
    if (room > largest_quarantined) return object;
    core::InterruptSpinGuard guard(quarantine_lock);
    return std::exchange(quarantine[next_in_quarantine++ % quarantine_slots], object);
}

} // namespace linnet::mm::kasan

// The names are the compiler's.
#define CHECKS(size)                                                                                                   \
    extern "C" void __asan_load##size##_noabort(unsigned long);                                                        \
    extern "C" void __asan_load##size##_noabort(unsigned long address) {                                               \
        linnet::mm::kasan::check(address, size, linnet::mm::kasan::Kind::Read, __builtin_return_address(0));           \
    }                                                                                                                  \
    extern "C" void __asan_store##size##_noabort(unsigned long);                                                       \
    extern "C" void __asan_store##size##_noabort(unsigned long address) {                                              \
        linnet::mm::kasan::check(address, size, linnet::mm::kasan::Kind::Write, __builtin_return_address(0));          \
    }
CHECKS(1)
CHECKS(2)
CHECKS(4)
CHECKS(8)
CHECKS(16)

extern "C" {
void __asan_loadN_noabort(unsigned long, unsigned long);
void __asan_storeN_noabort(unsigned long, unsigned long);
void __asan_handle_no_return();
void* __asan_memcpy(void*, const void*, unsigned long);
void* __asan_memmove(void*, const void*, unsigned long);
void* __asan_memset(void*, int, unsigned long);

void __asan_loadN_noabort(unsigned long address, unsigned long size) {
    linnet::mm::kasan::check(address, size, linnet::mm::kasan::Kind::Read, __builtin_return_address(0));
}
void __asan_storeN_noabort(unsigned long address, unsigned long size) {
    linnet::mm::kasan::check(address, size, linnet::mm::kasan::Kind::Write, __builtin_return_address(0));
}
void __asan_handle_no_return() {}

// What instrumented code calls for memcpy, memmove and memset.
void* __asan_memcpy(void* to, const void* from, unsigned long size) {
    using namespace linnet::mm::kasan;
    check(reinterpret_cast<unsigned long>(from), size, Kind::Read, __builtin_return_address(0));
    check(reinterpret_cast<unsigned long>(to), size, Kind::Write, __builtin_return_address(0));
    return memcpy(to, from, size);
}
void* __asan_memmove(void* to, const void* from, unsigned long size) {
    using namespace linnet::mm::kasan;
    check(reinterpret_cast<unsigned long>(from), size, Kind::Read, __builtin_return_address(0));
    check(reinterpret_cast<unsigned long>(to), size, Kind::Write, __builtin_return_address(0));
    return memmove(to, from, size);
}
void* __asan_memset(void* to, int byte, unsigned long size) {
    using namespace linnet::mm::kasan;
    check(reinterpret_cast<unsigned long>(to), size, Kind::Write, __builtin_return_address(0));
    return memset(to, byte, size);
}
}

#endif
