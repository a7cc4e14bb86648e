// timeout: 180
// rseq(2): restartable sequences are left for their abort handlers by preemption, migration, signals and membarrier;
// the numbers in the area; what is refused and what is inherited. needs-linux: 6.3
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "affinity.hpp"
#include "asleep.hpp"
#include "machine.hpp"

using namespace check;

namespace {

struct alignas(32) Area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t sequence;
    uint32_t flags, node_id, mm_cid, padding;
};
struct alignas(32) Descriptor {
    uint32_t version, flags;
    uint64_t start, length, abort;
};

#define SIGNATURE 0x53053053
#define TEXT(x) TEXT_(x)
#define TEXT_(x) #x

constexpr int unregister = 1;
thread_local Area own;

int do_rseq(Area* area, unsigned size, int flags, unsigned signature) {
    return int(syscall(SYS_rseq, area, size, flags, signature));
}
void enter() { CHECK_OK(do_rseq(&own, sizeof own, 0, SIGNATURE)); }

// `*field` is compared with `index` inside; then the counter is loaded, some time passes and it is stored.
#define DESCRIPTOR ".pushsection .data.rseq_cs, \"aw\"\n.balign 32\n3: .long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
#define FAILURE(jump)                                                                                                  \
    ".pushsection .text.rseq_failure, \"ax\"\n.balign 4\n.long " TEXT(SIGNATURE) "\n4: " jump "\n.popsection\n"

/// True when it was counted; false when the sequence was left.
bool increment(uint64_t* counter, const uint32_t* field, long index, std::atomic<long>& aborts) {
#if defined(__x86_64__)
    asm volatile goto(DESCRIPTOR "leaq 3b(%%rip), %%rax\nmovq %%rax, (%0)\n"
                                 "1: cmpl %k3, (%2)\njne %l[changed]\n"
                                 "movq (%1), %%rax\nmovl $300, %%ecx\n5: decl %%ecx\njnz 5b\n"
                                 "addq $1, %%rax\nmovq %%rax, (%1)\n2:\n" FAILURE("jmp %l[aborted]")
                      :
                      : "r"(&own.sequence), "r"(counter), "r"(field), "r"(index)
                      : "memory", "cc", "rax", "rcx"
                      : changed, aborted);
#elif defined(__aarch64__)
    asm volatile goto(DESCRIPTOR "adrp x9, 3b\nadd x9, x9, :lo12:3b\nstr x9, [%0]\n"
                                 "1: ldr w9, [%2]\ncmp w9, %w3\nb.ne %l[changed]\n"
                                 "ldr x9, [%1]\nmov x10, #300\n5: subs x10, x10, #1\nb.ne 5b\n"
                                 "add x9, x9, #1\nstr x9, [%1]\n2:\n" FAILURE("b %l[aborted]")
                      :
                      : "r"(&own.sequence), "r"(counter), "r"(field), "r"(index)
                      : "memory", "cc", "x9", "x10"
                      : changed, aborted);
#elif defined(__riscv)
    asm volatile goto(DESCRIPTOR "lla t0, 3b\nsd t0, (%0)\n"
                                 "1: lw t0, (%2)\nbeq t0, %3, 6f\nj %l[changed]\n6:\n"
                                 "ld t0, (%1)\nli t1, 300\n5: addi t1, t1, -1\nbnez t1, 5b\n"
                                 "addi t0, t0, 1\nsd t0, (%1)\n2:\n" FAILURE("j %l[aborted]")
                      :
                      : "r"(&own.sequence), "r"(counter), "r"(field), "r"(index)
                      : "memory", "t0", "t1"
                      : changed, aborted);
#elif defined(__loongarch__)
    asm volatile goto(DESCRIPTOR "la.pcrel $t0, 3b\nst.d $t0, %0, 0\n"
                                 "1: ld.w $t0, %2, 0\nbeq $t0, %3, 6f\nb %l[changed]\n6:\n"
                                 "ld.d $t0, %1, 0\nli.w $t1, 300\n5: addi.d $t1, $t1, -1\nbnez $t1, 5b\n"
                                 "addi.d $t0, $t0, 1\nst.d $t0, %1, 0\n2:\n" FAILURE("b %l[aborted]")
                      :
                      : "r"(&own.sequence), "r"(counter), "r"(field), "r"(index)
                      : "memory", "$t0", "$t1"
                      : changed, aborted);
#endif
    return true;
aborted:
    aborts++;
changed:
    return false;
}

/// Spins in a sequence with that descriptor until it is left for the handler behind the signature. The descriptor is
/// completed here; what is in it already is added. The sequence begins right behind the instruction that names the
/// descriptor, since the kernel forgets one it finds named elsewhere; `inside` is set in it.
[[gnu::noinline]] bool spin(Descriptor& descriptor, std::atomic<bool>* inside = nullptr) {
    std::atomic<bool> nobody_looks;
    if (!inside) inside = &nobody_looks;
    uint64_t start, end, abort;
#if defined(__x86_64__)
    asm("leaq rseq_spin(%%rip), %0\nleaq rseq_spin_end(%%rip), %1\nleaq rseq_spin_abort(%%rip), %2"
        : "=r"(start), "=r"(end), "=r"(abort));
#elif defined(__aarch64__)
    asm("adr %0, rseq_spin\nadr %1, rseq_spin_end\nadr %2, rseq_spin_abort" : "=r"(start), "=r"(end), "=r"(abort));
#elif defined(__riscv)
    asm("lla %0, rseq_spin\nlla %1, rseq_spin_end\nlla %2, rseq_spin_abort" : "=r"(start), "=r"(end), "=r"(abort));
#elif defined(__loongarch__)
    asm("la.pcrel %0, rseq_spin\nla.pcrel %1, rseq_spin_end\nla.pcrel %2, rseq_spin_abort"
        : "=r"(start), "=r"(end), "=r"(abort));
#endif
    descriptor.start += start;
    descriptor.length += end - start;
    if (!descriptor.abort) descriptor.abort = abort;
#if defined(__x86_64__)
    asm volatile("movq %0, (%1)\nrseq_spin: movb %b3, (%2)\n5: jmp 5b\n"
                 "rseq_spin_end: ud2\n.long " TEXT(SIGNATURE) "\nrseq_spin_abort:\n" ::"r"(&descriptor),
                 "r"(&own.sequence), "r"(inside), "r"(1)
                 : "memory");
#elif defined(__aarch64__)
    asm volatile("str %0, [%1]\nrseq_spin: strb %w3, [%2]\n5: b 5b\n"
                 "rseq_spin_end: udf #0\n.long " TEXT(SIGNATURE) "\nrseq_spin_abort:\n" ::"r"(&descriptor),
                 "r"(&own.sequence), "r"(inside), "r"(1)
                 : "memory");
#elif defined(__riscv)
    asm volatile("sd %0, (%1)\nrseq_spin: sb %3, (%2)\n5: j 5b\n"
                 "rseq_spin_end: unimp\n.balign 4\n.long " TEXT(SIGNATURE) "\nrseq_spin_abort:\n" ::"r"(&descriptor),
                 "r"(&own.sequence), "r"(inside), "r"(1)
                 : "memory");
#elif defined(__loongarch__)
    asm volatile("st.d %0, %1, 0\nrseq_spin: st.b %3, %2, 0\n5: b 5b\n"
                 "rseq_spin_end: break 0\n.long " TEXT(SIGNATURE) "\nrseq_spin_abort:\n" ::"r"(&descriptor),
                 "r"(&own.sequence), "r"(inside), "r"(1)
                 : "memory");
#endif
    return true;
}

// ---- counters ----

constexpr int workers = 8, counts = 4000;
struct alignas(64) Counter {
    uint64_t value;
};
Counter counters[1024];
std::atomic<long> aborts, counted;
std::atomic<uint32_t> highest;
bool by_memory;

void* count_up(void*) {
    enter();
    const uint32_t* field = by_memory ? &own.mm_cid : &own.cpu_id;
    // However fast the machine is, some are interrupted.
    for (int done = 0; done < counts || (aborts == 0 && done < 1000 * counts);) {
        const uint32_t index = __atomic_load_n(field, __ATOMIC_RELAXED);
        uint32_t before = highest;
        while (before < index && !highest.compare_exchange_weak(before, index)) {
        }
        if (increment(&counters[index].value, field, long(index), aborts)) done++, counted++;
    }
    CHECK_OK(do_rseq(&own, sizeof own, unregister, SIGNATURE));
    return nullptr;
}

/// Nothing is lost although nobody locks anything.
void count_per(bool memory) {
    by_memory = memory;
    highest = 0;
    aborts = counted = 0;
    memset(counters, 0, sizeof counters);
    pthread_t threads[workers];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, count_up, nullptr);
    for (pthread_t& thread : threads) pthread_join(thread, nullptr);
    uint64_t sum = 0;
    for (Counter& counter : counters) sum += counter.value;
    CHECK_EQ(sum, uint64_t(counted));
    CHECK_GE(sum, uint64_t(workers) * counts);
    CHECK_GT(aborts.load(), 0);
    CHECK_LT(highest.load(), unsigned(sysconf(_SC_NPROCESSORS_CONF)));
}

// ---- leaving ----

std::atomic<uint64_t> seen_pc, seen_sequence;
std::atomic<int> signals;

void on_signal(int, siginfo_t*, void* context) {
    seen_pc = machine::pc(*static_cast<ucontext_t*>(context));
    seen_sequence = own.sequence;
    signals++;
}

void start_alarms() {
    const itimerval often = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &often, nullptr);
}

void by_signal() {
    handle(SIGALRM, on_signal);
    start_alarms();
    for (int i = 0; i < 5; ++i) {
        Descriptor descriptor = {};
        CHECK(spin(descriptor));
        CHECK_EQ(own.sequence, 0u);
    }
    // Preemption alone may have ended it each time; a handler that interrupts it sees it left.
    CHECK(eventually([] {
        Descriptor descriptor = {};
        const int before = signals;
        spin(descriptor);
        return signals > before && seen_pc == descriptor.abort && seen_sequence == 0;
    }));
    const itimerval off = {};
    setitimer(ITIMER_REAL, &off, nullptr);
}

template <typename F>
void is_killed(F change) {
    const int status = in_child([&] {
        handle(SIGALRM, on_signal);
        start_alarms();
        Descriptor descriptor = {};
        change(descriptor);
        spin(descriptor);
        _Exit(2);
    });
    CHECK(died_of(status, SIGSEGV));
}

void bad_descriptors() {
    static const uint32_t code[2] = {0x12345678, 0};
    is_killed([](Descriptor& bad) { bad.version = 1; });
    is_killed([](Descriptor& bad) { bad.abort = uint64_t(&code[1]); }); // another signature
    is_killed([](Descriptor& bad) { bad.length = ~0ull - 4095; });
    is_killed([](Descriptor& bad) { bad.abort = ~0ull - 4095; });
    const int status = in_child([] {
        handle(SIGALRM, on_signal);
        start_alarms();
        __atomic_store_n(&own.sequence, 8, __ATOMIC_SEQ_CST); // no such descriptor
        for (;;) asm volatile("" ::: "memory");
    });
    CHECK(died_of(status, SIGSEGV));
}

/// The mask of the handler that a signal is to run does not hold back the fault that is found on the way to it: it
/// comes behind that handler, which puts things right. A preemption just before finds it by itself, and that is the
/// end; so one of some tries must do.
void fault_and_handler() {
    bool survived = false;
    for (int i = 0; i < 20 && !survived; ++i) {
        const int status = in_child([] {
            static volatile int faults;
            struct sigaction action = {};
            action.sa_handler = [](int) { faults = faults + 1; };
            CHECK_OK(sigaction(SIGSEGV, &action, nullptr));
            action.sa_handler = [](int) { __atomic_store_n(&own.sequence, 0, __ATOMIC_SEQ_CST); };
            sigaddset(&action.sa_mask, SIGSEGV);
            CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
            __atomic_store_n(&own.sequence, 8, __ATOMIC_SEQ_CST); // no such descriptor
            kill(getpid(), SIGUSR1);
            _Exit(faults == 1 && result() == 0 ? 0 : 3);
        });
        survived = status == 0;
        CHECK(survived || died_of(status, SIGSEGV));
    }
    CHECK(survived);
}

std::atomic<bool> inside, stop;
std::atomic<long> left;

void* spin_again(void*) {
    enter();
    stay_on(1);
    while (!stop) {
        Descriptor descriptor = {};
        spin(descriptor, &inside);
        inside = false; // before it is counted: who sees the number and then `inside` sees the next sequence
        left++;
    }
    return nullptr;
}

void by_membarrier() {
    constexpr int barrier = 1 << 7, registration = 1 << 8, on_cpu = 1;
    auto membarrier = [](int command, int flags = 0, int cpu = 0) {
        return syscall(SYS_membarrier, command, flags, cpu);
    };
    CHECK_ERRNO(membarrier(barrier), EPERM);
    CHECK_OK(membarrier(registration));
    CHECK_EQ(membarrier(1 << 9) & registration, registration);
    CHECK_ERRNO(membarrier(barrier, 2), EINVAL);
    CHECK_ERRNO(membarrier(registration, on_cpu), EINVAL);
    CHECK_EQ(membarrier(barrier, on_cpu, 5000), 0);
    pthread_t thread;
    pthread_create(&thread, nullptr, spin_again, nullptr);
    for (int flags : {0, on_cpu}) {
        for (int i = 0; i < 20; ++i) {
            const long before = left;
            CHECK(eventually([] { return inside.load(); }));
            CHECK_EQ(membarrier(barrier, flags, 1), 0);
            CHECK(eventually([&] { return left > before; }));
        }
    }
    stop = true;
    CHECK(eventually([&] { return membarrier(barrier) == 0 && pthread_tryjoin_np(thread, nullptr) == 0; }));
}

// ---- registration ----

void registration() {
    static Area other, twice[2];
    CHECK_ERRNO(do_rseq(&other, 31, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(do_rseq(&other, 0, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(do_rseq(reinterpret_cast<Area*>(reinterpret_cast<char*>(&twice) + 8), 32, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(do_rseq(&other, 32, 2, SIGNATURE), EINVAL);
    CHECK_ERRNO(do_rseq(&other, 32, unregister, SIGNATURE), EINVAL);
    CHECK_ERRNO(do_rseq(reinterpret_cast<Area*>(machine::kernel_address & ~31ull), 32, 0, SIGNATURE), EFAULT);
    CHECK_OK(do_rseq(twice, 64, 0, SIGNATURE)); // longer ones, for what is to come
    CHECK_EQ(twice[0].cpu_id, twice[0].cpu_id_start);
    CHECK_OK(do_rseq(twice, 64, unregister, SIGNATURE));
    CHECK_EQ(twice[0].cpu_id, ~0u);
    CHECK_EQ(twice[0].cpu_id_start, 0u);
    enter();
    CHECK_ERRNO(do_rseq(&own, 32, 0, SIGNATURE), EBUSY);
    CHECK_ERRNO(do_rseq(&own, 32, 0, SIGNATURE + 1), EPERM);
    CHECK_ERRNO(do_rseq(&other, 32, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(do_rseq(&own, 32, unregister, SIGNATURE + 1), EPERM);
    CHECK_ERRNO(do_rseq(&other, 32, unregister, SIGNATURE), EINVAL);
    CHECK_EQ(in_child([] {
                 CHECK_ERRNO(do_rseq(&own, 32, 0, SIGNATURE), EBUSY); // a copy of the memory keeps it
                 _Exit(result());
             }),
             0);
    CHECK_GE(getauxval(27), 28u); // AT_RSEQ_FEATURE_SIZE
    CHECK_GE(getauxval(28), 32u); // AT_RSEQ_ALIGN
}

void numbers() {
    on_each_cpu(
        [](int cpu) {
            CHECK_EQ(__atomic_load_n(&own.cpu_id, __ATOMIC_RELAXED), unsigned(cpu));
            CHECK_EQ(__atomic_load_n(&own.cpu_id_start, __ATOMIC_RELAXED), unsigned(cpu));
            CHECK_EQ(own.node_id, 0u);
            CHECK_LT(own.mm_cid, 4u);
        },
        4);
}

} // namespace

int main(int count, char** arguments) {
    // The C library leaves the registration to us.
    if (count == 1) {
        setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
        execl("/proc/self/exe", arguments[0], "first", nullptr);
        CHECK(false);
    }
    registration();
    if (!strcmp(arguments[1], "first")) { // another program has none
        execl("/proc/self/exe", arguments[0], "second", nullptr);
        CHECK(false);
    }
    numbers();
    by_signal();
    bad_descriptors();
    fault_and_handler();
    count_per(false);
    count_per(true);
    by_membarrier();
    return result();
}
