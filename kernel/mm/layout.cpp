// Where things go in a new image: address-space randomisation.
#include "space.hpp"
#include <core/random.hpp>

namespace linnet::mm {

namespace {

// In bytes, as Linux's defaults on x86_64: 28 bits of pages for mappings and programs, 22 for the stack, 32 MiB for the
// heap; on larger pages the same reach.
constexpr u64 mmap_spread = u64{1} << 40;
constexpr u64 stack_spread = u64{1} << 34;
constexpr u64 brk_spread = u64{32} << 20;
constexpr u64 smallest_stack_room = u64{128} << 20;

u64 random_pages(u64 spread) { return core::random_below(spread >> arch::page_shift) << arch::page_shift; }

} // namespace

VirtAddr choose_layout(AddressSpace& space, Randomisation randomisation) {
    bool random = randomisation == Randomisation::On;
    VirtAddr top = arch::user_address_end - (random ? random_pages(stack_spread) : 0);
    u64 room = space.limits.stack.load(std::memory_order_relaxed);
    u64 spread = stack_spread + stack_guard_gap;
    u64 most = arch::user_address_end.value / 6 * 5;
    room = room > most - spread ? most : room + spread;
    if (room < smallest_stack_room) room = smallest_stack_room;
    u64 shift = random ? random_pages(mmap_spread) : 0;
    space.mmap_base = page_floor(arch::user_address_end - room - shift);
    return top;
}

VirtAddr choose_program_base(Randomisation randomisation) {
    u64 base = arch::user_address_end.value / 3 * 2;
    if (randomisation == Randomisation::On) base += random_pages(mmap_spread);
    return page_floor({base});
}

VirtAddr choose_brk_begin(VirtAddr program_end, Randomisation randomisation) {
    VirtAddr begin{align_up(program_end.value, arch::page_size)};
    if (randomisation == Randomisation::On) begin += random_pages(brk_spread);
    return begin;
}

} // namespace linnet::mm
