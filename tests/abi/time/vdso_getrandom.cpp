// The vDSO's getrandom, as glibc 2.41 uses it: what it says of its state, that states and children differ, long
// requests, a signal handler in between. Linux has it on x86_64 since 6.11, on AArch64 and LoongArch since 6.12, on
// RISC-V since 6.16.
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "asleep.hpp"
#include "vdso_function.hpp"

using namespace check;

namespace {

#if defined(__x86_64__)
constexpr int least_minor = 11;
#elif defined(__riscv)
constexpr int least_minor = 16;
#else
constexpr int least_minor = 12;
#endif

struct Parameters {
    uint32_t state_size, mmap_prot, mmap_flags, reserved[13];
};
using GetRandom = ssize_t (*)(void*, size_t, unsigned, void*, size_t);
GetRandom get;
Parameters parameters;
char* states;

bool differ(const void* one, const void* other, size_t size) { return memcmp(one, other, size) != 0; }

void arguments() {
    CHECK_EQ(get(nullptr, 0, 0, &parameters, ~size_t(0)), 0);
    CHECK(parameters.state_size >= 48 && parameters.state_size <= 4096);
    CHECK_EQ(parameters.mmap_prot, unsigned(PROT_READ | PROT_WRITE));
    for (uint32_t word : parameters.reserved) CHECK_EQ(word, 0u);
    void* memory = mmap(nullptr, 65536, int(parameters.mmap_prot), int(parameters.mmap_flags), -1, 0);
    REQUIRE(memory != MAP_FAILED);
    states = static_cast<char*>(memory);
    char bytes[32];
    const size_t size = parameters.state_size;
    CHECK_EQ(get(bytes, 0, 0, states, size), 0);
    CHECK_EQ(get(bytes, 32, 0x100, states, size), -EINVAL); // the kernel says so
    CHECK_EQ(get(bytes, 32, 0, states + 65536 - 8, size), -EFAULT);
    CHECK_EQ(get(bytes, 32, 0, states, size + 8), 32); // by the kernel
    CHECK_EQ(get(bytes, 32, GRND_NONBLOCK, states, size), 32);
}

void contents() {
    const size_t size = parameters.state_size;
    static char one[1 << 16], other[1 << 16];
    for (size_t length :
         {size_t(1), size_t(16), size_t(63), size_t(64), size_t(96), size_t(97), size_t(1000), sizeof one}) {
        memset(one, 0, sizeof one);
        CHECK_EQ(get(one, length, 0, states, size), ssize_t(length));
        for (size_t i = length; i < sizeof one; ++i)
            if (one[i]) REQUIRE(false);
        CHECK_EQ(get(other, length, 0, states, size), ssize_t(length));
        if (length >= 16) CHECK(differ(one, other, length));
        if (length >= 16) CHECK(differ(one + length - 16, other + length - 16, 16));
        CHECK_EQ(get(other, length, 0, states + size, size), ssize_t(length));
        if (length >= 16) CHECK(differ(one, other, length));
    }
    long ones = 0;
    for (char byte : one) ones += __builtin_popcount(static_cast<unsigned char>(byte));
    CHECK(ones > 4 * 65536 - 4000 && ones < 4 * 65536 + 4000); // eleven standard deviations
    // What has been handed out is not in the state any more, nor the same 16 bytes twice in small requests.
    char small[64][16];
    for (auto& each : small) CHECK_EQ(get(each, 16, 0, states, size), 16);
    for (int i = 0; i < 64; ++i) {
        for (int k = 0; k < i; ++k) CHECK(differ(small[i], small[k], 16));
        CHECK(memmem(states, size, small[i], 16) == nullptr);
    }
}

/// A child starts from a key of its own.
void children() {
    const size_t size = parameters.state_size;
    struct Both {
        char bytes[2][32];
    };
    auto& theirs = shared<Both>()->bytes;
    char mine[32];
    for (auto& each : theirs) {
        CHECK_EQ(get(mine, 8, 0, states, size), 8);
        CHECK_EQ(in_child([&] { _Exit(get(each, 32, 0, states, size) == 32 ? 0 : 1); }), 0);
    }
    CHECK_EQ(get(mine, 32, 0, states, size), 32);
    CHECK(differ(theirs[0], theirs[1], 32));
    CHECK(differ(theirs[0], mine, 32));
    CHECK(differ(theirs[1], mine, 32));
}

std::atomic<int> signals;
char in_handler[32], before[32];
void on_signal(int) {
    if (get(in_handler, 32, 0, states, parameters.state_size) == 32 && differ(in_handler, before, 32)) signals++;
    memcpy(before, in_handler, 32);
}

void in_signals() {
    handle(SIGALRM, on_signal);
    const itimerval often = {{0, 2000}, {0, 2000}}, off = {};
    setitimer(ITIMER_REAL, &often, nullptr);
    char bytes[200];
    CHECK(eventually([&] {
        for (int i = 0; i < 100; ++i) CHECK_EQ(get(bytes, sizeof bytes, 0, states, parameters.state_size), 200);
        return signals >= 10;
    }));
    setitimer(ITIMER_REAL, &off, nullptr);
}

} // namespace

int main() {
    get = reinterpret_cast<GetRandom>(vdso_function("getrandom"));
    if (!get) {
        utsname name;
        uname(&name);
        int major = 0, minor = 0;
        sscanf(name.release, "%d.%d", &major, &minor);
        CHECK(major < 6 || (major == 6 && minor < least_minor));
        if (result() == 0) skip("this kernel's vDSO has no getrandom");
        return result();
    }
    arguments();
    contents();
    children();
    in_signals();
    return result();
}
