// The debug registers concern EL0 alone: what the kernel does to watched memory for the program is not reported, as on
// Linux. Nor is an instruction stepped over by itself: the tracer takes a breakpoint away before it goes on.
#include "debug_registers.hpp"

#include <arch/page.hpp>
#include <arch_impl/registers.hpp>
#include <cstring>
#include <new>
#include <utility>

namespace linnet::arch {
namespace {

using Slot = DebugRegisters::Slot;

/// struct user_hwdebug_state.
struct DebugSet {
    u32 info, padding;
    struct Entry {
        u64 address;
        u32 control, padding;
    } entries[DebugRegisters::most];
};
static_assert(sizeof(DebugSet) == 264);

constexpr u32 control_enabled = 1, control_user = 2 << 1;
constexpr unsigned control_access_shift = 3, control_mask_shift = 5;
constexpr u64 mdscr_single_step = 1, mdscr_breakpoints = 1 << 15;

/// A64 instructions are whole words, watched memory double words; the mask says which bytes of one.
constexpr u64 unit(DebugKind kind) { return kind == DebugKind::Break ? 4 : 8; }
u64 register_address(const Slot& slot, DebugKind kind) { return slot.address & ~(unit(kind) - 1); }
u32 register_control(const Slot& slot, DebugKind kind) {
    const u32 bytes = (1u << slot.length) - 1;
    const u32 mask = bytes << (slot.address % unit(kind)) & 0xff;
    return mask << control_mask_shift | u32{slot.access} << control_access_shift | control_user |
           (slot.enabled ? control_enabled : 0);
}

unsigned slot_count(DebugKind kind) {
    const u64 features = READ_SYSTEM_REGISTER(id_aa64dfr0_el1);
    return id_field(features, kind == DebugKind::Break ? 12 : 20) + 1u;
}

Result<void> set_address(Slot& slot, DebugKind kind, u64 address) {
    const u64 aligned = address & ~(unit(kind) - 1);
    if (aligned >= user_address_end.value) return error(Errno::EINVAL);
    slot.address = address;
    return {};
}

Result<void> set_control(Slot& slot, DebugKind kind, u32 control) {
    if (!(control & control_enabled)) { // the rest is not looked at
        slot.enabled = false;
        return {};
    }
    const u32 mask = control >> control_mask_shift & 0xff, access = control >> control_access_shift & 3;
    if (mask == 0 || (access == 0) != (kind == DebugKind::Break)) return error(Errno::EINVAL);
    const unsigned first = static_cast<unsigned>(__builtin_ctz(mask));
    const u32 bytes = mask >> first;
    if (bytes & (bytes + 1)) return error(Errno::EINVAL); // with gaps
    TRY(set_address(slot, kind, slot.address + first));
    slot.length = kind == DebugKind::Break ? 4 : static_cast<u8>(__builtin_popcount(bytes));
    slot.access = static_cast<u8>(access);
    slot.enabled = true;
    return {};
}

/// Of the tracer's bytes what there is of one slot: an address, or that and what to do with it.
Result<void> write_slot(Slot& slot, DebugKind kind, std::span<const u8> from) {
    u64 address;
    if (from.size() < sizeof address) return error(Errno::EINVAL);
    std::memcpy(&address, from.data(), sizeof address);
    slot.is_known = true;
    TRY(set_address(slot, kind, address));
    u32 control;
    if (from.size() < sizeof address + sizeof control) return {};
    std::memcpy(&control, from.data() + sizeof address, sizeof control);
    return set_control(slot, kind, control);
}

template <unsigned N>
void load_slot(const DebugRegisters& debug, unsigned breakpoints, unsigned watchpoints) {
    if (N < breakpoints) {
        const u64 address = register_address(debug.breakpoints[N], DebugKind::Break);
        const u64 control = register_control(debug.breakpoints[N], DebugKind::Break);
        asm volatile("msr dbgbvr%c1_el1, %0" ::"r"(address), "i"(N));
        asm volatile("msr dbgbcr%c1_el1, %0" ::"r"(control & 0x1ff), "i"(N)); // a mask of four bytes
    }
    if (N < watchpoints) {
        const u64 address = register_address(debug.watchpoints[N], DebugKind::Watch);
        const u64 control = register_control(debug.watchpoints[N], DebugKind::Watch);
        asm volatile("msr dbgwvr%c1_el1, %0" ::"r"(address), "i"(N));
        asm volatile("msr dbgwcr%c1_el1, %0" ::"r"(control), "i"(N));
    }
}

} // namespace

DebugRegisters::DebugRegisters() {
    for (Slot& slot : breakpoints) slot.access = 0;
    for (Slot& slot : watchpoints) slot.access = 3;
}

usize debug_set_size() { return sizeof(DebugSet); }

void read_debug_set(UserContext& context, DebugKind kind, std::span<u8> to) {
    DebugSet set = {};
    const u32 architecture = static_cast<u32>(id_field(READ_SYSTEM_REGISTER(id_aa64dfr0_el1), 0)); // 6: ARMv8's first
    set.info = architecture << 8 | slot_count(kind);
    for (unsigned i = 0; context.debug() && i < DebugRegisters::most; ++i) {
        const Slot& slot = context.debug()->of(kind)[i];
        if (slot.is_known) set.entries[i] = {register_address(slot, kind), register_control(slot, kind), 0};
    }
    std::memcpy(to.data(), &set, sizeof set);
}

Result<void> write_debug_set(UserContext& context, DebugKind kind, std::span<const u8> from) {
    constexpr usize header = offsetof(DebugSet, entries);
    if (from.size() <= header) return {};
    if (!context.debug()) {
        context.debug() = new (std::nothrow) DebugRegisters;
        if (!context.debug()) return error(Errno::ENOMEM);
    }
    const unsigned count = slot_count(kind);
    Result<void> done;
    unsigned i = 0;
    for (std::span<const u8> rest = from.subspan(header); done && !rest.empty(); ++i) {
        const usize size = std::min(rest.size(), sizeof(DebugSet::Entry));
        done = i < count ? write_slot(context.debug()->of(kind)[i], kind, rest.first(size)) : error(Errno::ENOSPC);
        rest = rest.subspan(size);
    }
    bool any = false;
    for (DebugKind each : {DebugKind::Break, DebugKind::Watch})
        for (const Slot& slot : context.debug()->of(each)) any |= slot.enabled;
    context.set_has_breakpoints(any);
    return done;
}

void load_debug_state(const UserContext& context, CpuState& cpu) {
    const u8 mode = context.debug_mode();
    if (mode & debug_breakpoints) {
        const unsigned breakpoints = slot_count(DebugKind::Break), watchpoints = slot_count(DebugKind::Watch);
        [&]<unsigned... N>(std::integer_sequence<unsigned, N...>) {
            (load_slot<N>(*context.debug(), breakpoints, watchpoints), ...);
        }(std::make_integer_sequence<unsigned, DebugRegisters::most>());
    }
    const u8 sve = cpu.mode & cpu_mode_sve;
    if ((mode | sve) == cpu.mode) return; // the exception return to user code orders the rest
    cpu.mode = mode | sve;
    WRITE_SYSTEM_REGISTER(mdscr_el1, (mode & debug_step ? mdscr_single_step : 0) |
                                         (mode & debug_breakpoints ? mdscr_breakpoints : 0));
}

} // namespace linnet::arch
