// arch: aarch64
// Scalable vectors (Linux's documentation, "Scalable Vector Extension support for AArch64 Linux"): kept over interrupts
// and switches, forgotten by system calls, in signal frames, by length with prctl(2), and as a tracer sees them.
#include "asleep.hpp"
#include "tracee.hpp"

#include <algorithm>
#include <asm/hwcap.h>
#include <asm/sigcontext.h>
#include <cstring>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <ucontext.h>
#include <vector>

using namespace tracee;

namespace {

constexpr size_t most = 256; // bytes of a vector, by the architecture
constexpr unsigned z_count = 32, p_count = 17;

/// Z0–Z31, P0–P15, FFR, as signal frames have them.
struct Image {
    alignas(16) unsigned char bytes[z_count * most + p_count * (most / 8)];
};
size_t image_size(size_t length) { return z_count * length + p_count * (length / 8); }

/// Vectors in which every byte says where it is and whose it is; FFR must be a run of ones.
Image pattern(size_t length, unsigned seed) {
    Image image = {};
    for (size_t i = 0; i < image_size(length) - length / 8; i++)
        image.bytes[i] = static_cast<unsigned char>(i * 7 + i / 251 + seed * 13 + 1);
    const size_t ffr = image_size(length) - length / 8;
    for (size_t i = 0; i < length / 16; i++) image.bytes[ffr + i] = 0xff;
    return image;
}

/// What a system call leaves.
Image only_low_parts(const Image& image, size_t length) {
    Image low = {};
    for (unsigned z = 0; z < z_count; z++) memcpy(low.bytes + z * length, image.bytes + z * length, 16);
    return low;
}

#define FOR_Z(op)                                                                                                      \
    #op " z0, [%0]; " #op " z1, [%0, #1, mul vl]; " #op " z2, [%0, #2, mul vl]; " #op " z3, [%0, #3, mul vl]; " #op    \
        " z4, [%0, #4, mul vl]; " #op " z5, [%0, #5, mul vl]; " #op " z6, [%0, #6, mul vl]; " #op                      \
        " z7, [%0, #7, mul vl]; " #op " z8, [%0, #8, mul vl]; " #op " z9, [%0, #9, mul vl]; " #op                      \
        " z10, [%0, #10, mul vl]; " #op " z11, [%0, #11, mul vl]; " #op " z12, [%0, #12, mul vl]; " #op                \
        " z13, [%0, #13, mul vl]; " #op " z14, [%0, #14, mul vl]; " #op " z15, [%0, #15, mul vl]; " #op                \
        " z16, [%0, #16, mul vl]; " #op " z17, [%0, #17, mul vl]; " #op " z18, [%0, #18, mul vl]; " #op                \
        " z19, [%0, #19, mul vl]; " #op " z20, [%0, #20, mul vl]; " #op " z21, [%0, #21, mul vl]; " #op                \
        " z22, [%0, #22, mul vl]; " #op " z23, [%0, #23, mul vl]; " #op " z24, [%0, #24, mul vl]; " #op                \
        " z25, [%0, #25, mul vl]; " #op " z26, [%0, #26, mul vl]; " #op " z27, [%0, #27, mul vl]; " #op                \
        " z28, [%0, #28, mul vl]; " #op " z29, [%0, #29, mul vl]; " #op " z30, [%0, #30, mul vl]; " #op                \
        " z31, [%0, #31, mul vl]; "
#define FOR_P(op, at)                                                                                                  \
    #op " p0, [" at "]; " #op " p1, [" at ", #1, mul vl]; " #op " p2, [" at ", #2, mul vl]; " #op " p3, [" at          \
        ", #3, mul vl]; " #op " p4, [" at ", #4, mul vl]; " #op " p5, [" at ", #5, mul vl]; " #op " p6, [" at          \
        ", #6, mul vl]; " #op " p7, [" at ", #7, mul vl]; " #op " p8, [" at ", #8, mul vl]; " #op " p9, [" at          \
        ", #9, mul vl]; " #op " p10, [" at ", #10, mul vl]; " #op " p11, [" at ", #11, mul vl]; " #op " p12, [" at     \
        ", #12, mul vl]; " #op " p13, [" at ", #13, mul vl]; " #op " p14, [" at ", #14, mul vl]; " #op " p15, [" at    \
        ", #15, mul vl]; "
#define LOAD "addvl x9, %0, #31; addvl x9, x9, #1; ldr p0, [x9, #16, mul vl]; wrffr p0.b; " FOR_P(ldr, "x9") FOR_Z(ldr)
#define STORE "addvl x9, %1, #31; addvl x9, x9, #1; " FOR_P(str, "x9") "rdffr p0.b; str p0, [x9, #16, mul vl]; "
#define STORE_Z "mov x9, %0; mov %0, %1; " FOR_Z(str) "mov %0, x9; "
#define SVE_REGISTERS                                                                                                  \
    "memory", "cc", "x8", "x9", "x10", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",       \
        "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",       \
        "v27", "v28", "v29", "v30", "v31"

/// Loads all registers, spins until `flag` is set, and stores them.
void hold(const Image& from, Image& to, const volatile int& flag) {
    asm volatile(".arch_extension sve; " LOAD "1: ldr w10, [%2]; cbz w10, 1b; " STORE STORE_Z
                 :
                 : "r"(&from), "r"(&to), "r"(&flag)
                 : SVE_REGISTERS);
}
/// The same around a system call without arguments.
void hold_over_call(const Image& from, Image& to, long number) {
    asm volatile(".arch_extension sve; mov x10, %2; " LOAD
                 "mov x8, x10; mov x10, x0; svc #0; mov x0, x10; " STORE STORE_Z
                 :
                 : "r"(&from), "r"(&to), "r"(number)
                 : SVE_REGISTERS, "x0");
}
size_t length_now() {
    size_t bytes;
    asm volatile(".arch_extension sve; rdvl %0, #1" : "=r"(bytes));
    return bytes;
}
bool equal(const Image& a, const Image& b, size_t length) { return memcmp(a.bytes, b.bytes, image_size(length)) == 0; }

int set_length(unsigned long wanted) { return prctl(PR_SVE_SET_VL, wanted, 0, 0, 0); }
int get_length() { return prctl(PR_SVE_GET_VL, 0, 0, 0, 0); }

/// All lengths there are, by trying.
std::vector<size_t> lengths() {
    std::vector<size_t> all;
    const int before = get_length() & PR_SVE_VL_LEN_MASK;
    for (unsigned bytes = 16; bytes <= most; bytes += 16)
        if ((set_length(bytes) & PR_SVE_VL_LEN_MASK) == int(bytes)) all.push_back(bytes);
    set_length((unsigned long)before);
    return all;
}

void test_capabilities() {
    CHECK(getauxval(AT_HWCAP) & HWCAP_SVE);
    unsigned long features, versions;
    asm volatile("mrs %0, id_aa64pfr0_el1" : "=r"(features));
    CHECK_EQ(features >> 32 & 15, 1ul);
    asm volatile("mrs %0, S3_0_C0_C4_4" : "=r"(versions));
    CHECK_EQ(versions & 15, (getauxval(AT_HWCAP2) & HWCAP2_SVE2) ? 1ul : 0ul);
    CHECK_EQ(versions >> 44 & 15, (getauxval(AT_HWCAP2) & HWCAP2_SVEI8MM) ? 1ul : 0ul);
    CHECK_EQ(int(length_now()), get_length());
    CHECK_EQ(get_length(), 64);
}

volatile int released;

void test_switches() {
    released = 0;
    constexpr int threads = 12;
    struct Holder {
        pthread_t thread;
        int index;
        size_t length;
        Image held;
    };
    static Holder holders[threads];
    static const std::vector<size_t> all = lengths();
    static std::atomic<int> ready;
    ready = 0;
    for (int i = 0; i < threads; i++) {
        holders[i].index = i;
        holders[i].length = all[size_t(i) % all.size()];
        CHECK_EQ(pthread_create(
                     &holders[i].thread, nullptr,
                     [](void* argument) -> void* {
                         Holder& holder = *static_cast<Holder*>(argument);
                         set_length(holder.length);
                         ready++;
                         hold(pattern(holder.length, unsigned(holder.index)), holder.held, released);
                         return nullptr;
                     },
                     &holders[i]),
                 0);
    }
    CHECK(check::eventually([] { return ready == threads; }));
    for (int i = 0; i < 300; i++) check::nap();
    released = 1;
    for (Holder& holder : holders) {
        CHECK_EQ(pthread_join(holder.thread, nullptr), 0);
        CHECK(equal(holder.held, pattern(holder.length, unsigned(holder.index)), holder.length));
    }
}

void test_calls() {
    for (size_t length : lengths()) {
        CHECK_EQ(set_length(length), int(length));
        const Image before = pattern(length, 5);
        const Image expected = only_low_parts(before, length);
        Image after;
        for (int i = 0; i < 3; i++) {
            memset(&after, 0x77, sizeof after);
            hold_over_call(before, after, i == 0 ? SYS_getppid : i == 1 ? SYS_sched_yield : 4711);
            CHECK(equal(after, expected, length));
        }
    }
    set_length(64);
}

/// The record of a kind in a frame, and in what it has besides.
_aarch64_ctx* record_of(void* context, uint32_t magic) {
    auto* at = reinterpret_cast<char*>(static_cast<ucontext_t*>(context)->uc_mcontext.__reserved);
    for (;;) {
        auto* head = reinterpret_cast<_aarch64_ctx*>(at);
        if (head->magic == magic) return head;
        if (head->magic == 0) return nullptr;
        at += head->size;
        if (head->magic == EXTRA_MAGIC) {
            const auto* extra = reinterpret_cast<extra_context*>(head);
            CHECK_EQ(extra->datap, (unsigned long)(at + 16)); // behind the last record
            CHECK_EQ(extra->size % 16, 0u);
            at = reinterpret_cast<char*>(extra->datap);
        }
    }
}
sve_context* sve_of(void* context) { return reinterpret_cast<sve_context*>(record_of(context, SVE_MAGIC)); }

volatile int alarms;
size_t length_in_frame, size_in_frame;
void begin() {
    alarms = 0;
    size_in_frame = 0;
    released = 0;
}
void (*spoil)(void* context);

/// Counts where it found vectors in use: timers also fire shortly before and after.
void on_alarm(int, siginfo_t*, void* context) {
    const sve_context* sve = sve_of(context);
    length_in_frame = sve ? sve->vl : 0;
    const size_t size = sve ? sve->head.size : 0;
    size_in_frame = std::max(size_in_frame, size);
    Image other = pattern(length_now(), 99), ignored;
    const int set = 1;
    hold(other, ignored, set);
    if (size <= sizeof *sve) return;
    if (spoil) spoil(context);
    alarms = alarms + 1;
    if (alarms == 3) released = 1;
}

/// Handlers change all registers, and what they interrupted has its own again.
void test_handlers() {
    check::handle(SIGALRM, on_alarm);
    for (size_t length : lengths()) {
        CHECK_EQ(set_length(length), int(length));
        begin();
        const itimerval soon = {{0, 3000}, {0, 3000}}, never = {};
        const Image before = pattern(length, 3);
        Image after = {};
        setitimer(ITIMER_REAL, &soon, nullptr);
        hold(before, after, released);
        setitimer(ITIMER_REAL, &never, nullptr);
        CHECK(equal(before, after, length));
        CHECK_EQ(length_in_frame, length);
        CHECK_EQ(size_in_frame, (16 + image_size(length) + 15) / 16 * 16);
    }
    set_length(64);
    // After a call there is nothing but the length.
    begin();
    raise(SIGALRM);
    CHECK_EQ(length_in_frame, 64u);
    CHECK_EQ(size_in_frame, 16u);
}

/// What a handler writes into the frame is there afterwards; the low parts are those of the FPSIMD record.
void test_changed_frames() {
    for (size_t length : {size_t(64), lengths().back()}) {
        set_length(length);
        spoil = [](void* context) {
            sve_context* sve = sve_of(context);
            auto* image = reinterpret_cast<unsigned char*>(sve) + 16;
            image[3 * sve->vl + 16] = 0xa5; // Z3, above V3
            image[4 * sve->vl] = 0xa5;      // below
            auto* fpsimd = reinterpret_cast<fpsimd_context*>(record_of(context, FPSIMD_MAGIC));
            reinterpret_cast<unsigned char*>(&fpsimd->vregs[5])[1] = 0x5a;
        };
        begin();
        const itimerval soon = {{0, 3000}, {0, 3000}}, never = {};
        Image before = pattern(length, 3), after = {};
        setitimer(ITIMER_REAL, &soon, nullptr);
        hold(before, after, released);
        setitimer(ITIMER_REAL, &never, nullptr);
        spoil = nullptr;
        before.bytes[3 * length + 16] = 0xa5;
        before.bytes[5 * length + 1] = 0x5a;
        CHECK(equal(before, after, length));
    }
    set_length(64);
}

/// Frames that can't be: the program dies of SIGSEGV.
void test_bad_frames() {
    void (*const ways[])(void*) = {
        [](void* context) { sve_of(context)->vl = 32; },
        [](void* context) { sve_of(context)->vl = 0; },
        [](void* context) { sve_of(context)->head.size = 32; },
        [](void* context) { sve_of(context)->head.size = 0xfffffff0; },
        [](void* context) { sve_of(context)->head.size = 8; },
        [](void* context) { reinterpret_cast<extra_context*>(record_of(context, EXTRA_MAGIC))->datap += 16; },
        [](void* context) { reinterpret_cast<extra_context*>(record_of(context, EXTRA_MAGIC))->datap = ~15ul; },
        [](void* context) { reinterpret_cast<extra_context*>(record_of(context, EXTRA_MAGIC))->size = 16; },
        [](void* context) { reinterpret_cast<extra_context*>(record_of(context, EXTRA_MAGIC))->size = ~15u; },
        [](void* context) { record_of(context, FPSIMD_MAGIC)->magic = EXTRA_MAGIC; },
    };
    for (auto way : ways) {
        const int status = check::in_child([&] {
            set_length(lengths().back());
            spoil = way;
            begin();
            const itimerval soon = {{0, 3000}, {0, 3000}};
            Image after;
            setitimer(ITIMER_REAL, &soon, nullptr);
            hold(pattern(length_now(), 3), after, released);
            return 5;
        });
        CHECK(check::died_of(status, SIGSEGV));
    }
}

/// The program again, which says its length by its status.
int length_after_exec(unsigned long wanted) {
    return check::code_of(check::in_child([&] {
        if (set_length(wanted) < 0) return 250;
        execl("/proc/self/exe", "sve", "length", nullptr);
        return 251;
    }));
}

void test_lengths() {
    const std::vector<size_t> all = lengths();
    CHECK_GE(all.size(), 1u);
    CHECK_EQ(all.front(), 16u);
    for (unsigned long bad : {0ul, 1ul, 15ul, 8208ul, 65520ul, 64ul | 1 << 16, 64ul | 1 << 19, 64ul | 1ul << 40})
        CHECK_ERRNO(set_length(bad), EINVAL);
    CHECK_EQ(set_length(8192), int(all.back()));
    CHECK_EQ(get_length(), int(all.back()));
    CHECK_EQ(length_now(), all.back());
    CHECK_EQ(set_length(32 | PR_SVE_VL_INHERIT), 32 | PR_SVE_VL_INHERIT);
    CHECK_EQ(get_length(), 32 | PR_SVE_VL_INHERIT);
    check::run_in_child([] { CHECK_EQ(get_length(), 32 | PR_SVE_VL_INHERIT); });
    CHECK_EQ(set_length(16 | PR_SVE_SET_VL_ONEXEC), 16);
    CHECK_EQ(get_length(), 32);
    check::run_in_child([] { CHECK_EQ(length_now(), 32u); });
    CHECK_EQ(set_length(64), 64);
    CHECK_EQ(length_after_exec(32), 64);
    CHECK_EQ(length_after_exec(32 | PR_SVE_VL_INHERIT), 32);
    CHECK_EQ(length_after_exec(32 | PR_SVE_SET_VL_ONEXEC), 32);
    CHECK_EQ(length_after_exec(16 | PR_SVE_SET_VL_ONEXEC | PR_SVE_VL_INHERIT), 16);
}

/// The register set NT_ARM_SVE.
struct Header { // struct user_sve_header, whose file does not go together with sys/user.h
    uint32_t size, max_size;
    uint16_t vl, max_vl, flags, reserved;
};
struct Set {
    Header header;
    unsigned char payload[16384];
};
constexpr int nt_sve = 0x405;

long get_set(pid_t child, Set& set, size_t size = sizeof(Set)) {
    iovec io = {&set, size};
    return call(PTRACE_GETREGSET, child, nt_sve, &io) == 0 ? long(io.iov_len) : -1;
}
long put_set(pid_t child, Set& set, size_t size) {
    iovec io = {&set, size};
    return call(PTRACE_SETREGSET, child, nt_sve, &io);
}
size_t status_at(size_t length) { return (16 + image_size(length) + 15) / 16 * 16 - 16; }

void test_tracers() {
    static Image held;
    const size_t longest = lengths().back();
    const pid_t child = start([] {
        released = 0;
        check::handle(SIGUSR1, [](int) { released = 1; });
        hold(pattern(64, 8), held, released);
        CHECK_EQ(length_now(), 64u);
        Image expected = pattern(64, 8);
        expected.bytes[6 * 64 + 40] = 0x11;
        CHECK(equal(held, expected, 64));
        raise(SIGUSR2);
        CHECK_EQ(get_length(), 32 | PR_SVE_VL_INHERIT);
    });
    static Set set;
    const long whole = long(16 + status_at(most) + 16); // with zeros behind what there is
    memset(&set, 0xee, sizeof set);
    CHECK_EQ(get_set(child, set), whole);
    CHECK_EQ(set.header.size, 16u + 528);
    CHECK_EQ(set.header.max_size, unsigned(16 + status_at(longest) + 16));
    CHECK_EQ(set.header.vl, 64);
    CHECK_EQ(set.header.max_vl, longest);
    CHECK_EQ(set.header.flags, 0);
    resume(child);
    for (int i = 0; i < 50; i++) check::nap();
    kill(child, SIGWINCH);
    CHECK_EQ(wait_status(child), stopped(SIGWINCH));
    memset(&set, 0xee, sizeof set);
    const long full = long(16 + status_at(64) + 16);
    CHECK_EQ(get_set(child, set), whole);
    CHECK_EQ(set.header.size, full);
    CHECK_EQ(set.header.flags, 1);
    CHECK(memcmp(set.payload, pattern(64, 8).bytes, image_size(64)) == 0);
    CHECK_EQ(get_set(child, set, 16), 16l);
    // What can't be leaves all as it is.
    Set wrong = set;
    wrong.header.vl = 17;
    CHECK_ERRNO(put_set(child, wrong, size_t(full)), EINVAL);
    wrong = set;
    wrong.header.flags = 0x8001;
    CHECK_ERRNO(put_set(child, wrong, size_t(full)), EINVAL);
    CHECK_ERRNO(put_set(child, set, 8), EINVAL);
    CHECK_EQ(get_set(child, wrong), whole);
    // After a part nothing is said of the rest.
    set.payload[6 * 64 + 40] = 0x11;
    CHECK_EQ(put_set(child, set, 16 + 6 * 64 + 48), 0);
    CHECK_EQ(put_set(child, set, size_t(full)), 0);
    kill(child, SIGUSR1);
    resume(child);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    resume(child, SIGUSR1);
    CHECK_EQ(wait_status(child), stopped(SIGUSR2));
    // The length alone, and what is inherited.
    set.header.vl = 32;
    set.header.flags = 2;
    CHECK_EQ(put_set(child, set, 16), 0);
    CHECK_EQ(get_set(child, set), whole);
    CHECK_EQ(set.header.vl, 32);
    CHECK_EQ(set.header.flags, 2);
    finish(child);
}

/// Registers that a tracer sets by the old set lose what it does not have.
void test_short_set() {
    static Image held;
    const pid_t child = start([] {
        released = 0;
        check::handle(SIGUSR1, [](int) { released = 1; });
        hold(pattern(64, 8), held, released);
        Image expected = only_low_parts(pattern(64, 8), 64);
        expected.bytes[2 * 64] = 0x42;
        CHECK(equal(held, expected, 64));
    });
    resume(child);
    for (int i = 0; i < 50; i++) check::nap();
    kill(child, SIGUSR1);
    CHECK_EQ(wait_status(child), stopped(SIGUSR1));
    user_fpsimd_struct registers;
    iovec io = {&registers, sizeof registers};
    CHECK_EQ(call(PTRACE_GETREGSET, child, NT_PRFPREG, &io), 0);
    reinterpret_cast<unsigned char*>(&registers.vregs[2])[0] = 0x42;
    CHECK_EQ(call(PTRACE_SETREGSET, child, NT_PRFPREG, &io), 0);
    resume(child, SIGUSR1);
    CHECK_EQ(check::code_of(wait_status(child)), 0);
}

} // namespace

int main(int count, char**) {
    if (count > 1) return int(length_now());
    test_capabilities();
    test_lengths();
    test_calls();
    test_switches();
    test_handlers();
    test_changed_frames();
    test_bad_frames();
    test_tracers();
    test_short_set();
    return check::result();
}
