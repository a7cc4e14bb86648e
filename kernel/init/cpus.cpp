// Starting the other CPUs. Each gets an idle thread, whose stack it arrives on.
#include "cpus.hpp"

#include <arch/smp.hpp>
#include <boot/boot_info.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <mm/init.hpp>

namespace linnet::init {
namespace {

constexpr u64 start_timeout_ns = 5 * core::ns_per_second;

Result<void> start(core::Cpu& cpu) {
    core::Thread* idle = TRY(core::create_kernel_thread("idle", [](void*) { core::run_idle_loop(); }, nullptr));
    idle->cpu = &cpu;
    idle->last_cpu = cpu.number;
    idle->on_cpu.store(true);
    cpu.idle_thread = idle;
    cpu.current = idle;
    mm::initialise_cpu(cpu);
    return arch::start_cpu(cpu);
}

} // namespace

void discover_cpus(u64 max_cpus) {
    auto known = boot::boot_info().all_cpus();
    u32 count = 0;
    for (const boot::CpuInfo& info : known) {
        if (count >= max_cpus || count >= core::CpuMask::max_cpus) break;
        core::cpu(count++).hardware_id = info.hardware_id;
    }
    core::set_cpu_count(count > 0 ? count : 1);
}

void start_other_cpus() {
    for (u32 i = 1; i < core::cpu_count(); ++i) {
        core::Cpu& cpu = core::cpu(i);
        Result<void> started = start(cpu);
        if (!started) {
            core::log_error("CPU {} (id {#x}) can't be started: error {}", i, cpu.hardware_id, started.error());
            continue;
        }
        u64 give_up = core::monotonic_ns() + start_timeout_ns;
        while (!cpu.online.load(std::memory_order_acquire) && core::monotonic_ns() < give_up) arch::relax();
        if (!cpu.online.load()) core::log_error("CPU {} (id {#x}) doesn't answer", i, cpu.hardware_id);
    }
    core::log_info("smp: {} of {} CPUs online", std::popcount(core::online_cpus()), core::cpu_count());
}

} // namespace linnet::init

namespace linnet::hooks {

void secondary_cpu(arch::CpuHeader& header) {
    auto& cpu = static_cast<core::Cpu&>(header);
    arch::initialise_cpu(cpu);
    if (core::IrqController* controller = core::root_controller()) controller->initialise_secondary();
    arch::initialise_timer();
    core::current_thread().run_clock.start(arch::read_counter());
    core::set_online(cpu);
    core::run_idle_loop();
}

} // namespace linnet::hooks
