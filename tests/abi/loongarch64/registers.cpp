// arch: loongarch64
// FP and vector registers: they survive switches, fork and handlers; the signal frame's records; frames
// forged by hostile programs, which must end in a signal to the program and nothing else.
#include "check.hpp"

#include <csignal>
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

constexpr unsigned long hwcap_lsx = 1 << 4, hwcap_lasx = 1 << 5;
constexpr uint32_t lasx_magic = 0x41535801;

struct Header {
    uint32_t magic, size;
    uint64_t padding;
};

struct alignas(32) Vector {
    uint64_t words[4];
    bool operator==(const Vector&) const = default;
};

static Vector vector_of(uint64_t seed) { return {{seed * 3, seed * 5, seed * 7, seed * 11}}; }

/// Whether the registers hold through 100 system calls of this kind and some time.
static bool vectors_hold(uint64_t seed, long call) {
    Vector in[2] = {vector_of(seed), vector_of(~seed)}, out[2];
    uint64_t condition, fcsr;
    asm volatile("xvld $xr3, %[in], 0\n\txvld $xr30, %[in], 32\n\t"
                 "li.w $t0, 1\n\tmovgr2cf $fcc5, $t0\n\t"
                 "li.w $t0, 0x200\n\tmovgr2fcsr $fcsr0, $t0\n\t" // rounding upwards
                 "li.w $s7, 100\n"
                 "1: move $a7, %[call]\n\tsyscall 0\n\taddi.d $s7, $s7, -1\n\tbnez $s7, 1b\n\t"
                 "li.w $s7, 20000\n"
                 "2: addi.d $s7, $s7, -1\n\tbnez $s7, 2b\n\t"
                 "xvst $xr3, %[out], 0\n\txvst $xr30, %[out], 32\n\t"
                 "movcf2gr %[condition], $fcc5\n\tmovfcsr2gr %[fcsr], $fcsr0\n\tmovgr2fcsr $fcsr0, $zero"
                 : [condition] "=&r"(condition), [fcsr] "=&r"(fcsr)
                 : [in] "r"(in), [out] "r"(out), [call] "r"(call)
                 : "a0", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "s7", "$f3", "$f30", "$fcc5",
                   "memory");
    return in[0] == out[0] && in[1] == out[1] && condition == 1 && fcsr == 0x200;
}

static void* run(void* argument) {
    auto seed = reinterpret_cast<uint64_t>(argument) * 0x9e3779b97f4a7c15;
    bool good = true;
    for (int round = 0; round < 40 && good; ++round) good = vectors_hold(seed + round, SYS_sched_yield);
    return good ? nullptr : argument;
}

static void check_threads() {
    pthread_t threads[12];
    for (uintptr_t i = 0; i < 12; ++i) REQUIRE(pthread_create(&threads[i], nullptr, run, (void*)(i + 1)) == 0);
    for (auto& thread : threads) {
        void* result;
        pthread_join(thread, &result);
        CHECK(result == nullptr);
    }
}

static void check_fork_copies() {
    Vector in = vector_of(0x1234567), out{};
    long child;
    asm volatile("xvld $xr9, %[in], 0\n\t"
                 "li.w $a0, 17\n\tmove $a1, $zero\n\tli.w $a7, 220\n\tsyscall 0\n\t" // clone(SIGCHLD)
                 "move %[child], $a0\n\t"
                 "xvst $xr9, %[out], 0"
                 : [child] "=&r"(child)
                 : [in] "r"(&in), [out] "r"(&out)
                 : "a0", "a1", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "$f9", "memory");
    bool good = in.words[0] == out.words[0]; // Linux copies no more than the FP part
    if (child == 0) _exit(good ? 0 : 1);
    int status;
    waitpid(pid_t(child), &status, 0);
    CHECK_EQ(status, 0);
    CHECK(good);
}

static volatile bool record_good, aligned;
static Vector replacement = vector_of(77);

static void edit_and_clobber(int, siginfo_t*, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    auto* at = reinterpret_cast<unsigned char*>(machine.__extcontext);
    Header header, end;
    memcpy(&header, at, sizeof header);
    memcpy(&end, at + header.size, sizeof end);
    record_good = header.magic == lasx_magic && header.size >= sizeof header + 32 * 32 + 12 && end.magic == 0 &&
                  end.size == 0 && (machine.__flags & 1);
    aligned = uintptr_t(at + sizeof header) % 32 == 0 && uintptr_t(__builtin_frame_address(0)) % 16 == 0;
    memcpy(at + sizeof header + 32 * 31, &replacement, sizeof replacement); // the handler's word for xr31
    asm volatile("xvldi $xr0, 255\n\txvldi $xr15, 255\n\txvldi $xr31, 255" ::: "$f0", "$f15", "$f31");
    machine.__gregs[23] += 1; // s0
}

static void check_handler() {
    struct sigaction action = {};
    action.sa_sigaction = edit_and_clobber;
    action.sa_flags = SA_SIGINFO;
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    Vector in[2] = {vector_of(1), vector_of(2)}, out[3];
    uint64_t edited;
    asm volatile("xvld $xr0, %[in], 0\n\txvld $xr15, %[in], 32\n\txvld $xr31, %[in], 0\n\t"
                 "li.w $s0, 41\n\t"
                 "move $a0, %[pid]\n\tli.w $a1, %[signal]\n\tli.w $a7, %[kill]\n\tsyscall 0\n\t"
                 "move %[edited], $s0\n\t"
                 "xvst $xr0, %[out], 0\n\txvst $xr15, %[out], 32\n\txvst $xr31, %[out], 64"
                 : [edited] "=&r"(edited)
                 : [in] "r"(in), [out] "r"(out), [pid] "r"(long(getpid())), [signal] "i"(SIGUSR1), [kill] "i"(SYS_kill)
                 : "a0", "a1", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "s0", "$f0", "$f15", "$f31",
                   "memory");
    CHECK_EQ(edited, 42u);
    CHECK(out[0] == in[0]);
    CHECK(out[1] == in[1]);
    CHECK(out[2] == replacement);
    CHECK(bool(record_good));
    CHECK(bool(aligned));
}

enum class Forgery { KernelPc, OddPc, Stack, Magic, Size, Causes };
static Forgery forgery;

static void forge(int, siginfo_t*, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    auto* at = reinterpret_cast<unsigned char*>(machine.__extcontext);
    auto* header = reinterpret_cast<Header*>(at);
    uint32_t all_causes = 0x1f00001f;
    switch (forgery) {
    case Forgery::KernelPc:
        machine.__pc = 0x9000000000200000;
        break;
    case Forgery::OddPc:
        machine.__pc = 0xfffffffffffffffd;
        break;
    case Forgery::Stack:
        asm volatile("li.w $sp, 16\n\tli.w $a7, 139\n\tsyscall 0");
        break;
    case Forgery::Magic:
        header->magic = 0x12345678;
        break;
    case Forgery::Size:
        header->size = 0xfffffff0;
        break;
    case Forgery::Causes:
        memcpy(at + sizeof(Header) + 32 * 32 + 8, &all_causes, 4);
        break;
    }
}

/// How a child ends that returns through a forged frame: its wait status.
static int run_forgery(Forgery kind) {
    pid_t child = fork();
    if (child == 0) {
        forgery = kind;
        struct sigaction action = {};
        action.sa_sigaction = forge;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGUSR1, &action, nullptr);
        raise(SIGUSR1);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static int signal_of(Forgery kind) {
    int status = run_forgery(kind);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int main() {
    unsigned long hwcap = getauxval(AT_HWCAP);
    CHECK(hwcap & 1); // CPUCFG
    if (!(hwcap & hwcap_lasx) || !(hwcap & hwcap_lsx)) check::skip("the CPU has no LASX");
    CHECK(vectors_hold(99, SYS_getppid));
    check_fork_copies();
    check_threads();
    check_handler();
    CHECK_EQ(signal_of(Forgery::KernelPc), SIGBUS);
    CHECK_EQ(signal_of(Forgery::OddPc) != 0, true);
    CHECK_EQ(signal_of(Forgery::Stack), SIGSEGV);
    CHECK_EQ(signal_of(Forgery::Magic), SIGSEGV);
    CHECK_EQ(signal_of(Forgery::Size), SIGSEGV);
    int causes = signal_of(Forgery::Causes); // Linux raises what the frame says; ignoring it does no harm either
    CHECK(causes == 0 || causes == SIGFPE);
    return check::result();
}
