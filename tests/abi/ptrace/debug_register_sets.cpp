// arch: aarch64
// What breakpoints and watchpoints may be in the register sets NT_ARM_HW_BREAK and NT_ARM_HW_WATCH, and what of it is
// read back: the address of the word, the bytes of it that matter, "user code only".
#include "hardware_breakpoints.hpp"

using namespace tracee;

namespace {

constexpr int breaks = 0x402, watches = 0x403;
constexpr unsigned on = 1, user = 2 << 1, load = 1 << 3, store = 2 << 3;
constexpr unsigned bytes(unsigned mask) { return mask << 5; }

/// Writes the first `size` bytes of a set that has `address` and `control` in `slot` and is what it was elsewhere.
long put(pid_t pid, int type, unsigned slot, unsigned long address, unsigned control, size_t size = 0) {
    DebugSet set = detail::read_set(pid, type);
    set.slots[slot] = {address, control, 0};
    iovec io = {&set, size ? size : debug_set_size(slot + 1)};
    errno = 0;
    return call(PTRACE_SETREGSET, pid, (unsigned long)type, &io);
}

void expect(pid_t pid, int type, unsigned slot, unsigned long address, unsigned control) {
    const DebugSet set = detail::read_set(pid, type);
    CHECK_EQ(set.slots[slot].address, address);
    CHECK_EQ(set.slots[slot].control, control);
    CHECK_EQ(set.slots[slot].padding, 0u);
}

void counts(pid_t pid) {
    for (int type : {breaks, watches}) {
        const DebugSet set = detail::read_set(pid, type);
        CHECK_GE(set.info >> 8, 6u); // the debug architecture: that of ARMv8 or a later one
        CHECK_GE(set.info & 0xff, breakpoint_slots);
        CHECK_EQ(set.padding, 0u);
        for (const auto& slot : set.slots) CHECK_EQ(slot.address | slot.control | slot.padding, 0ul);
        // Sixteen slots are in the structure; what the CPU has not cannot even be set to nothing.
        CHECK_ERRNO(put(pid, type, 15, 0, 0), ENOSPC);
    }
}

void watchpoints(pid_t pid) {
    const unsigned long at = 0x100000;
    // Whatever was asked for as to the privilege.
    for (unsigned privilege = 0; privilege < 4; ++privilege) {
        CHECK_OK(put(pid, watches, 0, at, bytes(0xff) | store | privilege << 1 | on));
        expect(pid, watches, 0, at, bytes(0xff) | store | user | on);
    }
    CHECK_OK(put(pid, watches, 1, at + 4, bytes(0xf) | load | on));
    expect(pid, watches, 1, at, bytes(0xf0) | load | user | on);
    CHECK_OK(put(pid, watches, 1, at, bytes(0xf0) | load | store | on));
    expect(pid, watches, 1, at, bytes(0xf0) | load | store | user | on);
    CHECK_OK(put(pid, watches, 1, at + 4, bytes(0xf0) | load | on)); // both count
    expect(pid, watches, 1, at + 8, bytes(0xf) | load | user | on);
    for (unsigned bad : {bytes(0xf1) | load, bytes(0) | load, bytes(0xf), bytes(0x5) | store, bytes(0x81) | store}) {
        CHECK_ERRNO(put(pid, watches, 1, at + 16, bad | on), EINVAL);
        expect(pid, watches, 1, at + 16, bytes(0xf) | load | user | on); // the address came first
    }
    CHECK_OK(put(pid, watches, 1, at, bytes(0x5))); // it goes off; the rest is not looked at
    expect(pid, watches, 1, at, bytes(0xf) | load | user);
    for (unsigned long bad : {0xffff000000001000ul, 0x0100000000001000ul, 0x0001000000000000ul})
        for (unsigned enabled : {0u, on}) CHECK_ERRNO(put(pid, watches, 1, bad, bytes(0xf) | load | enabled), EINVAL);
    expect(pid, watches, 1, at, bytes(0xf) | load | user);
    CHECK_OK(put(pid, watches, 1, 0x0000fffffffffff8, bytes(0xff) | load | on));
    expect(pid, watches, 1, 0x0000fffffffffff8, bytes(0xff) | load | user | on);
    // One that was never set is four bytes read or written.
    CHECK_OK(put(pid, watches, 2, 0, 0));
    expect(pid, watches, 2, 0, bytes(0xf) | load | store | user);
    CHECK_OK(put(pid, watches, 3, 0, ~0u));
    expect(pid, watches, 3, 0, bytes(0xff) | load | store | user | on);
}

void breakpoints(pid_t pid) {
    const unsigned long at = 0x200000;
    for (unsigned mask : {0xfu, 0xffu, 0x3u, 0x1u}) { // an instruction is four bytes, whatever the mask
        CHECK_OK(put(pid, breaks, 0, at, bytes(mask) | on));
        expect(pid, breaks, 0, at, bytes(0xf) | user | on);
    }
    for (unsigned kind : {load, store, load | store})
        CHECK_ERRNO(put(pid, breaks, 0, at, bytes(0xf) | kind | on), EINVAL);
    CHECK_OK(put(pid, breaks, 0, at + 2, bytes(0xf) | on));
    expect(pid, breaks, 0, at, bytes(0x3c) | user | on);
    CHECK_ERRNO(put(pid, breaks, 0, 0xffff000000001000, bytes(0xf) | on), EINVAL);
    CHECK_OK(put(pid, breaks, 0, at, 0));
    expect(pid, breaks, 0, at, bytes(0xf) | user);
}

/// As much is set as was given, up to what is wrong.
void parts(pid_t pid) {
    const unsigned long at = 0x300000;
    for (size_t size : {4, 8}) CHECK_OK(put(pid, watches, 0, at, 0, size));
    expect(pid, watches, 0, 0, 0);
    CHECK_ERRNO(put(pid, watches, 0, at, 0, 12), EINVAL); // half an address
    CHECK_ERRNO(put(pid, watches, 0, at, 0, 18), EINVAL); // no multiple of four
    CHECK_OK(put(pid, watches, 0, at, 0, 16));
    expect(pid, watches, 0, at, bytes(0xf) | load | store | user);
    CHECK_OK(put(pid, watches, 0, at + 8, bytes(1) | load | on, 20));
    expect(pid, watches, 0, at + 8, bytes(1) | load | user | on);
    CHECK_ERRNO(put(pid, watches, 0, at + 16, bytes(1) | load | on, 264), ENOSPC); // all that the CPU has is set
    expect(pid, watches, 0, at + 16, bytes(1) | load | user | on);
    CHECK_ERRNO(put(pid, watches, 0, at + 24, bytes(1) | load | on, 4096), ENOSPC);
    expect(pid, watches, 0, at + 24, bytes(1) | load | user | on);
    iovec io = {(void*)8, sizeof(DebugSet)};
    CHECK_ERRNO(call(PTRACE_SETREGSET, pid, (unsigned long)watches, &io), EFAULT);
}

} // namespace

int main() {
    for (auto test : {counts, watchpoints, breakpoints, parts}) {
        const pid_t child = start([] {});
        test(child);
        end(child);
    }
    return check::result();
}
