// What the timer queues need of the rest of core and of the machine: a clock that the tests move, and for each CPU the
// deadline that its hardware timer was programmed for.
#include "timer_machine.hpp"

#include <arch/smp.hpp>
#include <arch/time.hpp>
#include <core/time.hpp>
#include <core/timer.hpp>
#include <thread>

#include "run_queue.hpp"
#include "sched_internal.hpp"

namespace linnet {

std::atomic<u64> test::clock_now{0};
u64 test::programmed[test::timer_cpus];

void test::run_as_cpu(u32 number) { core::current_thread().cpu = &core::cpu(number); }

void test::prepare_timers() {
    static bool done = false;
    if (std::exchange(done, true)) return;
    // A host thread is a CPU from its first look at itself on.
    core::current_thread();
    while (core::cpu_count() < timer_cpus) std::thread([] { core::current_thread(); }).join();
    core::initialise_timers();
}

namespace arch {
void set_timer_deadline(u64 deadline) { test::programmed[core::this_cpu().number] = deadline; }
void send_ipi(CpuHeader&) {}
} // namespace arch

namespace core {
u64 monotonic_ns() { return test::clock_now.load(); }
u64 counter_at(u64 ns) { return ns; }
u32 clock_rate_changes() { return 0; }
void tick(Cpu&, u64) {}
} // namespace core

} // namespace linnet
