// arch: loongarch64
// What debuggers of LoongArch ask for besides general registers: words of PTRACE_PEEKUSER, which ltrace goes by,
// the register sets of breakpoints and watchpoints, which say how many the CPU has (QEMU's has none), and that of
// binary translation.
#include <cstring>

#include "tracee.hpp"

using namespace tracee;

namespace {

constexpr unsigned long first_argument_word = 32, pc_word = 33, bad_address_word = 34, words = 35;
constexpr int breaks = 0xa05, watches = 0xa06, translation = 0xa04;

/// struct user_watch_state_v2 of asm/ptrace.h, which older headers lack.
struct DebugSet {
    unsigned long info;
    struct {
        unsigned long address, mask;
        unsigned control, padding;
    } slots[14];
};
static_assert(sizeof(DebugSet) == 344);

unsigned long word_of(pid_t pid, unsigned long index) {
    unsigned long word = 0xabc;
    CHECK_EQ(call(PTRACE_PEEKUSER, pid, index, &word), 0);
    return word;
}

/// The index counts words, not bytes.
void reads_words(pid_t pid) {
    const Registers registers = registers_of(pid);
    for (unsigned long i = 1; i < 32; ++i) CHECK_EQ(word_of(pid, i), registers.regs[i]);
    CHECK_EQ(word_of(pid, first_argument_word), registers.orig_a0);
    CHECK_EQ(word_of(pid, pc_word), registers.csr_era);
    CHECK_EQ(word_of(pid, bad_address_word), registers.csr_badv);
    unsigned long word = 0xabc;
    for (unsigned long none : {words, 44ul, 45ul, 8 * words, 1ul << 32, ~0ul})
        CHECK_ERRNO(call(PTRACE_PEEKUSER, pid, none, &word), EIO);
    CHECK_EQ(word, 0xabcul);
    CHECK_ERRNO(call(PTRACE_PEEKUSER, pid, pc_word, 8ul), EFAULT);
}

void writes_words(pid_t pid) {
    for (unsigned long i : {1ul, 4ul, 31ul, first_argument_word, pc_word, bad_address_word}) {
        const unsigned long before = word_of(pid, i);
        CHECK_EQ(call(PTRACE_POKEUSER, pid, i, 0x1234 + i), 0);
        CHECK_EQ(word_of(pid, i), 0x1234 + i);
        if (i == pc_word) CHECK_EQ(registers_of(pid).csr_era, 0x1234 + i);
        if (i == first_argument_word) CHECK_EQ(registers_of(pid).orig_a0, 0x1234 + i);
        if (i == bad_address_word) CHECK_EQ(registers_of(pid).csr_badv, 0x1234 + i);
        CHECK_EQ(call(PTRACE_POKEUSER, pid, i, before), 0);
    }
    Registers registers = registers_of(pid);
    const unsigned long bad = registers.csr_badv;
    registers.csr_badv = bad + 1;
    set_registers(pid, registers);
    CHECK_EQ(registers_of(pid).csr_badv, bad + 1);
    for (unsigned long none : {words, 44ul, 8 * words, ~0ul}) CHECK_ERRNO(call(PTRACE_POKEUSER, pid, none, 1), EIO);
}

/// struct user_lbt_state: what binary translation adds, whether or not the CPU has it. Any values are kept.
struct TranslationSet {
    unsigned long scratch[4];
    unsigned flags, top;
};
static_assert(sizeof(TranslationSet) == 40);

/// Bytes of the set that were moved.
template <typename Set>
long move(pid_t pid, long request, int type, Set& set, size_t size) {
    iovec io = {&set, size};
    errno = 0;
    return call(request, pid, (unsigned long)type, &io) == 0 ? long(io.iov_len) : -1;
}

void no_breakpoints(pid_t pid) {
    for (int type : {breaks, watches}) {
        DebugSet set;
        memset(&set, 0xcc, sizeof set);
        CHECK_EQ(move(pid, PTRACE_GETREGSET, type, set, sizeof set), long(sizeof set));
        const DebugSet none = {};
        CHECK_EQ(memcmp(&set, &none, sizeof set), 0);
        for (size_t size : {0ul, 4ul, 8ul, 12ul, 200ul})
            CHECK_EQ(move(pid, PTRACE_GETREGSET, type, set, size), long(size));
        CHECK_ERRNO(move(pid, PTRACE_GETREGSET, type, set, 10), EINVAL);

        // What the CPU has can't be changed, and is not looked at.
        set.info = 5;
        for (size_t size : {0ul, 4ul, 8ul}) CHECK_EQ(move(pid, PTRACE_SETREGSET, type, set, size), long(size));
        CHECK_EQ(move(pid, PTRACE_GETREGSET, type, set, sizeof set), long(sizeof set));
        CHECK_EQ(set.info, 0ul);
        for (size_t size : {16ul, 24ul, 28ul, 32ul, sizeof set})
            CHECK_ERRNO(move(pid, PTRACE_SETREGSET, type, set, size), EOPNOTSUPP);
        set.slots[0] = {0x1000, 0, 0x10, 0};
        CHECK_ERRNO(move(pid, PTRACE_SETREGSET, type, set, 32), EOPNOTSUPP);
        set.slots[0].address = 0xffff000000001000;
        CHECK_ERRNO(move(pid, PTRACE_SETREGSET, type, set, 32), EINVAL);
        CHECK_EQ(move(pid, PTRACE_GETREGSET, type, set, sizeof set), long(sizeof set));
        CHECK_EQ(memcmp(&set, &none, sizeof set), 0);
    }
}

bool holds(pid_t pid, const TranslationSet& wanted) {
    TranslationSet set;
    memset(&set, 0xcc, sizeof set);
    CHECK_EQ(move(pid, PTRACE_GETREGSET, translation, set, sizeof set), long(sizeof set));
    return memcmp(&set, &wanted, sizeof set) == 0;
}

void translation_registers(pid_t pid) {
    CHECK(holds(pid, {}));
    TranslationSet set = {{1, 2, ~0ul, 4}, 0xffffffff, 0x87654321};
    CHECK_EQ(move(pid, PTRACE_SETREGSET, translation, set, sizeof set), long(sizeof set));
    CHECK(holds(pid, set));
    const TranslationSet other = {{11, 12, 13, 14}, 15, 16};
    TranslationSet from = other;
    CHECK_EQ(move(pid, PTRACE_SETREGSET, translation, from, 16), 16);
    set.scratch[0] = 11, set.scratch[1] = 12;
    CHECK(holds(pid, set));
    CHECK_EQ(move(pid, PTRACE_SETREGSET, translation, from, 32), 32);
    memcpy(set.scratch, other.scratch, sizeof set.scratch);
    CHECK(holds(pid, set));
    CHECK_ERRNO(move(pid, PTRACE_SETREGSET, translation, from, 36), EINVAL);
    CHECK_ERRNO(move(pid, PTRACE_SETREGSET, translation, from, 10), EINVAL);
    CHECK_EQ(move(pid, PTRACE_GETREGSET, translation, from, 0), 0);
    struct {
        TranslationSet set;
        unsigned long more;
    } larger = {other, 5};
    CHECK_EQ(move(pid, PTRACE_SETREGSET, translation, larger, sizeof larger), long(sizeof set));
    CHECK(holds(pid, other));
}

void bad_address() {
    const pid_t pid = start([] { *(volatile int*)0x123450 = 1; });
    resume(pid);
    CHECK_EQ(wait_status(pid), stopped(SIGSEGV));
    CHECK_EQ(registers_of(pid).csr_badv, 0x123450ul);
    CHECK_EQ(word_of(pid, bad_address_word), 0x123450ul);
    end(pid);
}

} // namespace

int main() {
    const pid_t pid = start([] {});
    reads_words(pid);
    writes_words(pid);
    no_breakpoints(pid);
    translation_registers(pid);
    finish(pid);
    bad_address();
    return check::result();
}
