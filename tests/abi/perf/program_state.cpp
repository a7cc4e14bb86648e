// perf_event_open(2): a program's registers and stack in samples (PERF_SAMPLE_REGS_USER, PERF_SAMPLE_STACK_USER).
#include <asm/perf_regs.h>
#include <cstring>
#include <pthread.h>
#include <string>
#include <sys/mman.h>

#include "check.hpp"
#include "perf_ring.hpp"

using namespace check;
using namespace memory;
using namespace perf;

namespace {

#if defined(__x86_64__)
constexpr unsigned sp_number = PERF_REG_X86_SP, pc_number = PERF_REG_X86_IP;
#elif defined(__aarch64__)
constexpr unsigned sp_number = PERF_REG_ARM64_SP, pc_number = PERF_REG_ARM64_PC;
#elif defined(__riscv)
constexpr unsigned sp_number = PERF_REG_RISCV_SP, pc_number = PERF_REG_RISCV_PC;
#else
constexpr unsigned sp_number = PERF_REG_LOONGARCH_R3, pc_number = PERF_REG_LOONGARCH_PC;
#endif
#if defined(__x86_64__)
constexpr uint64_t no_register = 1 << PERF_REG_X86_DS;
#else
constexpr uint64_t no_register = 1ull << 63;
#endif
constexpr uint64_t abi_64 = 2;
constexpr uint64_t magic = 0x6c69'6e6e'6574'2121;

perf_event_attr faults(uint64_t sample_type, uint64_t registers, uint32_t stack) {
    perf_event_attr attributes = software(PERF_COUNT_SW_PAGE_FAULTS, 1, sample_type);
    attributes.sample_regs_user = registers;
    attributes.sample_stack_user = stack;
    return attributes;
}

struct State {
    uint64_t address = 0, abi = 0, sp = 0, pc = 0, size = 0, read = 0;
    std::string stack;
};

/// What the sample of the fault at `place` says, with both registers and that much of the stack.
[[gnu::noinline]] State at_fault(volatile char* place, uint32_t wanted) {
    constexpr uint64_t registers = 1ull << sp_number | 1ull << pc_number;
    perf_event_attr attributes =
        faults(PERF_SAMPLE_ADDR | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER, registers, wanted);
    const int event = opened(open_event(&attributes));
    Ring ring(event, 64);
    uint64_t marks[4] = {magic, magic + 1, magic + 2, magic + 3};
    asm volatile("" : : "r"(marks) : "memory"); // all of it in memory, in one place
    *place = 1;
    asm volatile("" : : "r"(marks) : "memory");
    CHECK_OK(ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
    State state;
    for (const Record& record : ring.take(PERF_RECORD_SAMPLE)) {
        const std::vector<uint64_t>& words = record.words; // the address, the ABI, both registers, the size
        REQUIRE(words.size() >= 5);
        if (words[0] != uint64_t(place)) continue;
        const bool sp_first = sp_number < pc_number;
        state = {words[0], words[1], words[sp_first ? 2 : 3], words[sp_first ? 3 : 2], words[4], 0, {}};
        if (state.size == 0) continue;
        REQUIRE(words.size() * 8 == 5 * 8 + state.size + sizeof state.read);
        state.read = words.back();
        state.stack.assign(reinterpret_cast<const char*>(&words[5]), state.read);
    }
    ring.unmap();
    close(event);
    return state;
}

bool holds_marks(const State& state) {
    const uint64_t marks[4] = {magic, magic + 1, magic + 2, magic + 3};
    return state.stack.find(std::string(reinterpret_cast<const char*>(marks), sizeof marks)) != std::string::npos;
}

volatile char* fresh() {
    char* place = map(page);
    madvise(place, page, MADV_NOHUGEPAGE);
    return place;
}

void both() {
    volatile char* place = fresh();
    const State state = at_fault(place, 1024);
    CHECK_EQ(state.address, uint64_t(place));
    CHECK_EQ(state.abi, abi_64);
    const auto here = uint64_t(__builtin_frame_address(0));
    CHECK(state.sp < here && here - state.sp < 65536);
    CHECK(state.pc >= uint64_t(&at_fault) && state.pc < uint64_t(&at_fault) + 65536);
    CHECK_EQ(state.size, 1024u);
    CHECK_EQ(state.read, 1024u);
    CHECK(holds_marks(state));
    const State none = at_fault(fresh(), 0);
    CHECK_EQ(none.abi, abi_64);
    CHECK_EQ(none.size, 0u);
}

/// Of a stack that ends there is no more than that.
void short_stack() {
    constexpr size_t size = 256 << 10;
    char* area = static_cast<char*>(mmap(nullptr, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_OK(mprotect(area + size, size, PROT_READ | PROT_WRITE));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK_EQ(pthread_attr_setstack(&attributes, area + size, size), 0);
    static State state;
    pthread_t thread;
    CHECK_EQ(pthread_create(
                 &thread, &attributes,
                 [](void*) -> void* {
                     state = at_fault(fresh(), 0xfff8);
                     return nullptr;
                 },
                 nullptr),
             0);
    pthread_join(thread, nullptr);
    const auto top = uint64_t(area + 2 * size);
    CHECK(state.sp < top && state.sp > top - size);
    CHECK_GT(state.size, 0xf000u);
    CHECK_LE(state.read, top - state.sp);
    CHECK_GT(state.read, top - state.sp - 64);
    CHECK(holds_marks(state));
    munmap(area, 3 * size);
}

void refused() {
    const auto open_with = [](uint64_t type, uint64_t registers, uint32_t stack) {
        perf_event_attr attributes = faults(type, registers, stack);
        return open_event(&attributes);
    };
    CHECK_ERRNO(open_with(PERF_SAMPLE_REGS_USER, 0, 0), EINVAL);
    CHECK_ERRNO(open_with(PERF_SAMPLE_REGS_USER, no_register, 0), EINVAL);
    CHECK_ERRNO(open_with(PERF_SAMPLE_STACK_USER, 0, 1028), EINVAL);
    CHECK_ERRNO(open_with(PERF_SAMPLE_STACK_USER, 0, 0x10000), EINVAL);
}

} // namespace

int main() {
    both();
    short_stack();
    refused();
    return check::result();
}
