// Where things go in a new image: address-space randomisation, with Linux's entropy on each architecture.
#include "space.hpp"
#include <abi/linux/prctl.hpp>
#include <abi_arch/mman.hpp>
#include <algorithm>
#include <core/random.hpp>

namespace linnet::mm {

constinit Tunable<u64> randomize_va_space{randomise_heap_too};
constinit Tunable<u64> mmap_rnd_bits{abi::mmap_random_bits};
constinit Tunable<u64> legacy_va_layout{0};

namespace {

constexpr u64 stack_spread = u64{1} << (abi::stack_random_bits + arch::page_shift);
constexpr u64 brk_spread = u64{1} << 30;
constexpr u64 smallest_stack_room = u64{128} << 20;
constexpr VirtAddr program_area{align_down(arch::user_address_end.value / 3 * 2, arch::page_size)};

u64 random_pages(u64 pages) { return core::random_below(pages) << arch::page_shift; }
u64 random_mmap_offset() { return random_pages(u64{1} << mmap_rnd_bits); }

/// What is left free below the stack's top, so that it can grow.
u64 stack_room(u64 limit, Randomisation randomisation) {
    const u64 pad = stack_guard_gap + (randomisation == Randomisation::Off ? 0 : stack_spread);
    constexpr u64 most = arch::user_address_end.value / 6 * 5;
    return std::clamp(limit > most - pad ? most : limit + pad, smallest_stack_room, most);
}

} // namespace

Randomisation randomisation_of(u32 personality) {
    const u64 mode = randomize_va_space;
    if (mode == randomise_nothing || (personality & abi::ADDR_NO_RANDOMIZE)) return Randomisation::Off;
    return mode == randomise_all_but_heap ? Randomisation::AllButHeap : Randomisation::On;
}

VirtAddr choose_layout(AddressSpace& space, Randomisation randomisation, u32 personality) {
    const bool is_random = randomisation != Randomisation::Off;
    const u64 stack_limit = space.limits.stack.load(std::memory_order_relaxed);
    const u64 offset = is_random ? random_mmap_offset() : 0;
    space.layout.grows_upwards = (personality & abi::ADDR_COMPAT_LAYOUT) || legacy_va_layout != 0 ||
                                 (abi::unlimited_stack_is_legacy && stack_limit == ~u64{0});
    if (space.layout.grows_upwards)
        space.mmap_base = VirtAddr{align_up(abi::legacy_mmap_base, arch::page_size)} + offset;
    else
        space.mmap_base = page_floor(arch::user_address_end - stack_room(stack_limit, randomisation) - offset);
    return arch::user_address_end - (is_random ? random_pages(stack_spread >> arch::page_shift) : 0);
}

VirtAddr choose_program_base(Randomisation randomisation) {
    return program_area + (randomisation == Randomisation::Off ? 0 : random_mmap_offset());
}

VirtAddr choose_brk_begin(VirtAddr program_end, Randomisation randomisation) {
    VirtAddr begin{align_up(program_end.value, arch::page_size)};
    if (randomisation == Randomisation::On) begin += random_pages(brk_spread >> arch::page_shift);
    return begin;
}

} // namespace linnet::mm
