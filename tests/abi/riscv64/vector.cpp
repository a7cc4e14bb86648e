// arch: riscv64
// The V registers, vl and vtype are a thread's own: kept when it is preempted and when a handler overwrites them, in
// the signal frame while one runs. A system call may clobber them (the V extension's calling convention), so none is
// made between load and store.
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <ucontext.h>

#include "asleep.hpp"

using namespace check;

namespace {

constexpr unsigned long hwcap_v = 1ul << ('v' - 'a');
constexpr uint32_t v_magic = 0x53465457; // RISCV_V_MAGIC, asm/ucontext.h
constexpr int threads = 8;
constexpr size_t most_bytes = 32 * 256; // registers of up to 2048 bits

struct VectorRegisters {
    alignas(16) unsigned char bytes[most_bytes];
    unsigned long vl = 0, vtype = 0;
};

size_t register_bytes() {
    size_t bytes;
    asm volatile(".option push; .option arch, +v; csrr %0, vlenb; .option pop" : "=r"(bytes));
    return bytes;
}

void load(const VectorRegisters& from, unsigned long length) {
    asm volatile(".option push; .option arch, +v\n"
                 "vl8re8.v v0, (%0); vl8re8.v v8, (%1); vl8re8.v v16, (%2); vl8re8.v v24, (%3)\n"
                 "vsetvli zero, %4, e16, m2, ta, ma\n"
                 ".option pop" ::"r"(from.bytes),
                 "r"(from.bytes + 8 * register_bytes()), "r"(from.bytes + 16 * register_bytes()),
                 "r"(from.bytes + 24 * register_bytes()), "r"(length)
                 : "memory");
}

void store(VectorRegisters& to) {
    asm volatile(".option push; .option arch, +v\n"
                 "csrr %0, vl; csrr %1, vtype\n"
                 "vs8r.v v0, (%2); vs8r.v v8, (%3); vs8r.v v16, (%4); vs8r.v v24, (%5)\n"
                 ".option pop"
                 : "=&r"(to.vl), "=&r"(to.vtype)
                 : "r"(to.bytes), "r"(to.bytes + 8 * register_bytes()), "r"(to.bytes + 16 * register_bytes()),
                   "r"(to.bytes + 24 * register_bytes())
                 : "memory");
}

void fill(VectorRegisters& registers, unsigned seed) {
    for (unsigned char& byte : registers.bytes) {
        seed = seed * 1103515245 + 12345;
        byte = static_cast<unsigned char>(seed >> 16);
    }
}

std::atomic<int> frames_with_vector, handlers;

void clobber(int, siginfo_t*, void* context) {
    // The record lies behind the FP state, where the reserved words of the basic frame were (ucontext's __reserved).
    const auto* words = reinterpret_cast<const uint32_t*>(&static_cast<ucontext_t*>(context)->uc_mcontext);
    const size_t count = (sizeof(mcontext_t) + 64) / sizeof(uint32_t);
    bool found = false;
    for (size_t i = 0; i < count; ++i) found |= words[i] == v_magic;
    frames_with_vector += found;
    ++handlers;
    VectorRegisters rubbish;
    fill(rubbish, 99);
    load(rubbish, 3);
}

unsigned long ticks() {
    unsigned long value;
    asm volatile("rdtime %0" : "=r"(value));
    return value;
}

std::atomic<int> wrong;

void* keep(void* number) {
    VectorRegisters before, after;
    for (int round = 0; round < 40; ++round) {
        fill(before, unsigned(long(number)) * 1000 + unsigned(round));
        const unsigned long length = 1 + (unsigned long)(number);
        load(before, length);
        const unsigned long end = ticks() + 200'000; // 20 ms of QEMU's 10 MHz
        while (ticks() < end) {
        }
        store(after);
        wrong += memcmp(before.bytes, after.bytes, 32 * register_bytes()) != 0;
        wrong += after.vl != length || (after.vtype & 0xff) != 0xc9; // e16, m2, ta, ma
    }
    return nullptr;
}

} // namespace

int main() {
    if (!(getauxval(AT_HWCAP) & hwcap_v)) skip("the CPU has no vector unit");
    handle(SIGALRM, clobber);
    itimerval often = {{0, 3000}, {0, 3000}};
    CHECK_OK(setitimer(ITIMER_REAL, &often, nullptr));
    pthread_t ids[threads];
    for (long i = 0; i < threads; ++i) pthread_create(&ids[i], nullptr, keep, reinterpret_cast<void*>(i));
    for (pthread_t id : ids) pthread_join(id, nullptr);
    often = {};
    CHECK_OK(setitimer(ITIMER_REAL, &often, nullptr));
    CHECK_EQ(wrong.load(), 0);
    CHECK(handlers > 10);
    CHECK(frames_with_vector > 0);
    return result();
}
