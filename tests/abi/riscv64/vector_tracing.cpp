// arch: riscv64
// The register set NT_RISCV_VECTOR (ptrace(2), PTRACE_GETREGSET): a tracee has it once it has used the vector unit.
// What a system call leaves of the registers is nobody's business; so the tracee stops of breakpoint instructions.
#include <cstddef>
#include <cstring>
#include <sys/auxv.h>

#include "tracee.hpp"

using namespace tracee;

namespace {

constexpr unsigned long vector_set = 0x901;

struct VectorSet {
    unsigned long vstart, vl, vtype, vcsr, vlenb;
    unsigned char bytes[32 * 256]; // registers of up to 2048 bits
};
constexpr size_t header = offsetof(VectorSet, bytes);

long move(pid_t pid, long request, VectorSet& set, size_t size) {
    iovec io = {&set, size};
    errno = 0;
    return call(request, pid, vector_set, &io);
}

constexpr unsigned long bytes_untouched = 0xc0, bad_type = 1ul << 63; // e8, m1, ta, ma; vill

/// All lanes of v1 become `value`; then a stop.
#define VECTOR(text) ".option push; .option arch, +v\n" text "\n.option pop\n"
void use(long value) {
    asm volatile(VECTOR("vsetvli zero, %0, e8, m1, ta, ma\n vmv.v.x v1, %1\n ebreak")::"r"(1000), "r"(value)
                 : "memory");
}
struct Seen {
    unsigned long vl, vtype, vcsr, first_lane;
};
Seen look() {
    Seen seen;
    asm volatile(
        VECTOR("csrr %0, vl\n csrr %1, vtype\n csrr %2, vcsr\n vsetvli zero, %4, e8, m1, ta, ma\n vmv.x.s %3, v1")
        : "=&r"(seen.vl), "=&r"(seen.vtype), "=&r"(seen.vcsr), "=&r"(seen.first_lane)
        : "r"(1)
        : "memory");
    return seen;
}

/// Behind the breakpoint instruction, which is a compressed one.
void pass(pid_t pid) {
    Registers registers = registers_of(pid);
    registers.pc += (peek(pid, (void*)registers.pc) & 3) == 3 ? 4 : 2;
    set_registers(pid, registers);
    resume(pid);
}

VectorSet set_of(pid_t pid, size_t size) {
    VectorSet set = {};
    CHECK_EQ(move(pid, PTRACE_GETREGSET, set, size), 0);
    return set;
}

void values() {
    const pid_t child = start([] {
        use(7);
        Seen seen = look();
        CHECK_EQ(seen.vl, 3ul);
        CHECK_EQ(seen.vtype, bytes_untouched);
        CHECK_EQ(seen.vcsr, 5ul);
        CHECK_EQ(seen.first_lane, 9ul);
        use(8);
        seen = look();
        CHECK_EQ(seen.vl, 0ul);
        CHECK_EQ(seen.vtype, bad_type);
        return check::result();
    });
    static VectorSet scratch;
    for (size_t size : {header, sizeof scratch}) CHECK_ERRNO(move(child, PTRACE_GETREGSET, scratch, size), EINVAL);
    CHECK_ERRNO(move(child, PTRACE_SETREGSET, scratch, header), EINVAL);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));

    const unsigned long width = set_of(child, header).vlenb;
    CHECK_GE(width, 16ul);
    CHECK_EQ(width & (width - 1), 0ul);
    const size_t whole = header + 32 * width;
    VectorSet set = set_of(child, whole);
    CHECK_EQ(set.vl, width); // of 1000 as many as there is room for
    CHECK_EQ(set.vtype, bytes_untouched);
    CHECK_EQ(set.vstart, 0ul);
    for (unsigned long lane = 0; lane < width; ++lane) CHECK_EQ(set.bytes[width + lane], 7);

    // Other registers than the CPU has are refused.
    set.bytes[width] = 9;
    for (unsigned long other : {0ul, width / 2, width * 2, ~0ul}) {
        set.vlenb = other;
        CHECK_ERRNO(move(child, PTRACE_SETREGSET, set, whole), EINVAL);
    }
    set.vlenb = width;
    CHECK_EQ(set_of(child, whole).bytes[width], 7);

    set.vl = 3;
    set.vcsr = 5;
    CHECK_EQ(move(child, PTRACE_SETREGSET, set, header), 0); // registers as they were
    CHECK_EQ(set_of(child, whole).bytes[width], 7);
    CHECK_EQ(set_of(child, whole).vl, 3ul);
    CHECK_EQ(move(child, PTRACE_SETREGSET, set, whole), 0);
    CHECK_EQ(set_of(child, whole).bytes[width], 9);
    pass(child);

    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    set = set_of(child, whole);
    CHECK_EQ(set.bytes[width], 8);
    set.vtype = bad_type;
    set.vl = 0;
    CHECK_EQ(move(child, PTRACE_SETREGSET, set, whole), 0);
    pass(child);
    CHECK_EQ(check::code_of(wait_status(child)), 0);
}

/// Whatever is written is refused, or what the unit makes of it when the same comes from user code.
void nonsense() {
    const pid_t child = start([] {
        for (;;) use(1);
    });
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    VectorSet set = set_of(child, sizeof set);
    unsigned long random = 1;
    for (int i = 0; i < 1000; ++i) {
        for (unsigned long* word : {&set.vstart, &set.vl, &set.vtype, &set.vcsr}) {
            random = random * 6364136223846793005 + 1442695040888963407;
            *word = i % 2 ? random >> (random >> 58) : ~0ul >> (random >> 58);
        }
        const long done = move(child, PTRACE_SETREGSET, set, header + 32 * set.vlenb);
        CHECK(done == 0 || errno == EINVAL);
        pass(child);
        CHECK_EQ(wait_status(child), stopped(SIGTRAP));
    }
    end(child);
}

} // namespace

int main() {
    if (!(getauxval(AT_HWCAP) & 1ul << ('v' - 'a'))) check::skip("the CPU has no vector unit");
    values();
    nonsense();
    return check::result();
}
