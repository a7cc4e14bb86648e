// How much chance there is in the addresses of a new program, measured over some hundred executions of itself, with
// randomize_va_space at 0, 1 and 2; ADDR_NO_RANDOMIZE; the legacy layout. Least Linux: 5.18 (the heap's gigabyte).
// needs-linux: 5.18
#include "proc_text.hpp"
#include <cstdint>
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

#if defined(__x86_64__)
constexpr int mmap_bits = 28, stack_bits = 22;
constexpr bool unlimited_is_legacy = false;
#elif defined(__loongarch__)
constexpr int mmap_bits = 12, stack_bits = 9;
constexpr bool unlimited_is_legacy = true;
#else
constexpr int mmap_bits = 18, stack_bits = 18;
constexpr bool unlimited_is_legacy = true;
#endif

const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
const int page_bits = __builtin_ctzll(page);

struct Places {
    uint64_t stack, map, heap, vdso;
};

// What a program started now sees; it is this program, which was told to say so.
Places run(unsigned long persona = 0, bool unlimited_stack = false) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t child = vfork();
    if (child == 0) {
        dup2(ends[1], 100);
        if (unlimited_stack) {
            rlimit none{RLIM_INFINITY, RLIM_INFINITY};
            setrlimit(RLIMIT_STACK, &none);
        }
        if (persona) personality(persona);
        execl("/proc/self/exe", "randomisation", "say", nullptr);
        _exit(1);
    }
    close(ends[1]);
    Places places{};
    CHECK_EQ(read(ends[0], &places, sizeof places), ssize_t(sizeof places));
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return places;
}

int say() {
    int local;
    Places places{};
    places.stack = uint64_t(&local);
    places.map = uint64_t(mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    places.heap = uint64_t(sbrk(0));
    places.vdso = getauxval(AT_SYSINFO_EHDR);
    return write(100, &places, sizeof places) == ssize_t(sizeof places) ? 0 : 1;
}

// How many bits the values spread over: of the largest distance, in pages. A few hundred draws come near the ends.
struct Spread {
    uint64_t least = ~0ull, most = 0, all_ones = ~0ull, any_one = 0;
    void add(uint64_t address) {
        least = address < least ? address : least;
        most = address > most ? address : most;
        all_ones &= address, any_one |= address;
    }
    int bits() const {
        const uint64_t pages = (most - least) / page;
        return pages ? 64 - __builtin_clzll(pages) : 0;
    }
    // Bits of the page number that have been both 0 and 1.
    int changing() const { return __builtin_popcountll((any_one & ~all_ones) / page); }
};

struct Measure {
    Spread stack, map, heap, vdso;
};

Measure measure(int count, unsigned long persona = 0) {
    Measure result;
    for (int i = 0; i < count; i++) {
        const Places places = run(persona);
        result.stack.add(places.stack), result.map.add(places.map);
        result.heap.add(places.heap), result.vdso.add(places.vdso);
    }
    return result;
}

void test_spread() {
    const int heap_bits = 30 - page_bits;
    const Measure found = measure(200);
    printf("bits: stack %d, mmap %d, heap %d, vdso %d\n", found.stack.bits(), found.map.bits(), found.heap.bits(),
           found.vdso.bits());
    // 200 draws cover all but a part in a hundred of the range, so the highest bit and those below are there.
    CHECK_GE(found.stack.bits(), stack_bits);
    CHECK_LE(found.stack.bits(), stack_bits + 1);
    CHECK_GE(found.stack.changing(), stack_bits);
    CHECK_GE(found.map.bits(), mmap_bits);
    CHECK_GE(found.map.changing(), mmap_bits);
    CHECK_GE(found.heap.bits(), heap_bits);
    CHECK_GE(found.heap.changing(), heap_bits);
    CHECK_GE(found.vdso.bits(), mmap_bits < stack_bits ? mmap_bits : stack_bits);
}

bool is_fixed(const Spread& spread) { return spread.least == spread.most; }

void test_modes() {
    const char* const knob = "/proc/sys/kernel/randomize_va_space";
    CHECK_EQ(atoi(read_file(knob)), 2);
    Measure found = measure(8, ADDR_NO_RANDOMIZE);
    CHECK(is_fixed(found.stack) && is_fixed(found.map) && is_fixed(found.heap) && is_fixed(found.vdso));
    CHECK(write_file(knob, "0"));
    found = measure(8);
    CHECK(is_fixed(found.stack) && is_fixed(found.map) && is_fixed(found.heap) && is_fixed(found.vdso));
    CHECK(write_file(knob, "1"));
    found = measure(8);
    CHECK(!is_fixed(found.stack) && !is_fixed(found.map) && !is_fixed(found.vdso) && is_fixed(found.heap));
    CHECK(write_file(knob, "2"));
    CHECK_EQ(atoi(read_file("/proc/sys/vm/mmap_rnd_bits")), mmap_bits);
    CHECK(!write_file("/proc/sys/vm/mmap_rnd_bits", "5") && errno == EINVAL);
    CHECK(!write_file("/proc/sys/vm/mmap_rnd_bits", "60") && errno == EINVAL);
}

// Usually mappings lie below the stack and come one below the other; in the legacy layout they begin at a third (on
// AArch64 a quarter) of the address space, or lower, and go up.
void test_layouts() {
    Places places = run(ADDR_NO_RANDOMIZE);
    CHECK(places.map < places.stack && places.stack - places.map < (1ull << 40));
    places = run(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT);
    CHECK(places.stack - places.map > (1ull << 45));
    places = run(ADDR_NO_RANDOMIZE, true);
    CHECK_EQ(places.stack - places.map > (1ull << 45), true);
    const Places legacy = run(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT);
    CHECK_EQ(places.map >> 32 == legacy.map >> 32, unlimited_is_legacy);
    CHECK(write_file("/proc/sys/vm/legacy_va_layout", "1"));
    places = run(ADDR_NO_RANDOMIZE);
    CHECK(write_file("/proc/sys/vm/legacy_va_layout", "0"));
    CHECK_EQ(places.map >> 32, legacy.map >> 32);
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1 && strcmp(arguments[1], "say") == 0) return say();
    test_spread();
    test_modes();
    test_layouts();
    return check::result();
}
