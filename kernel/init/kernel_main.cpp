// From the architecture's first C++ call to PID 1: the order in which the rooms wake up.
//
// kernel_main() runs on the boot thread, which may not sleep: it ends as CPU 0's idle thread. What may sleep (drivers
// that wait, unpacking the initramfs, starting PID 1) happens in the `init` kernel thread.
#include <abi/linux/utsname.hpp>
#include <arch/hooks.hpp>
#include <arch/platform.hpp>
#include <boot/boot_info.hpp>
#include <boot/fdt.hpp>
#include <core/irq.hpp>
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <core/work_queue.hpp>
#include <cstring>
#include <drivers/driver.hpp>
#include <mm/allocation_faults.hpp>
#include <mm/huge_pool.hpp>
#include <mm/init.hpp>
#include <mm/knobs.hpp>
#include <process/exec.hpp>
#include <process/process.hpp>
#include <syscalls/table.hpp>
#include <trace/perf_event.hpp>
#include <vdso/vdso.hpp>

#include "command_line.hpp"
#include "cpus.hpp"
#include "file_systems.hpp"
#include "first_process.hpp"
#include "planted_fault.hpp"

namespace linnet::init {
namespace {

constinit CommandLine* command_line = nullptr;

/// Drops RAM above the limit of mem=.
void limit_memory(boot::BootInfo& info, u64 limit) {
    u64 total = 0;
    usize kept = 0;
    for (usize i = 0; i < info.usable_count && total < limit; ++i) {
        boot::MemoryRegion& region = info.usable[i];
        if (region.size > limit - total) region.size = align_down(limit - total, arch::page_size);
        total += region.size;
        if (region.size > 0) kept = i + 1;
    }
    info.usable_count = kept;
}

void parse_handover(const boot::Handoff& handoff) {
    boot::BootInfo& info = boot::mutable_boot_info();
    Result<void> parsed = boot::parse(handoff, info);
    apply_early_words(info.command_line);
    if (!parsed) core::panic("the boot loader's tables are unusable (error {})", parsed.error());
    limit_memory(info, early_memory_limit(info.command_line));
}

/// Boot loaders put random bytes into the device tree, where there is one. Nobody else is to see them, nor those that
/// the image's address came from.
void seed_from_device_tree() {
    auto chosen = boot::device_tree().find_path("/chosen");
    if (!chosen) return;
    if (auto seed = chosen->property("rng-seed")) core::add_entropy(*seed, static_cast<u32>(seed->size()) * 8);
    for (std::string_view name : {"rng-seed", "kaslr-seed"}) {
        auto seed = chosen->property(name);
        // The tree lies in RAM, which the direct map shows writable.
        if (seed) std::memset(const_cast<u8*>(seed->data()), 0, seed->size());
    }
}

void initialise_core() {
    core::this_cpu().idle_thread = &core::current_thread();
    core::set_online(core::this_cpu());
    discover_cpus(command_line->max_cpus);
    core::initialise_scheduler();
    core::seed_random();
    seed_from_device_tree();
    core::initialise_time();
}

void start_vdso() {
    MUST(vdso::initialise()); // at boot there is memory for two pages
    process::set_vdso_mapper([](mm::AddressSpace& space) -> Result<VirtAddr> {
        vdso::Placement placement = TRY(vdso::map_into(space));
        space.layout.signal_trampoline = placement.signal_trampoline;
        return placement.image;
    });
}

void run_init_thread(void*) {
    core::initialise_work_queues();
    mm::start_khugepaged();
    MUST(mm::start_reclaim()); // at boot there is memory
    start_other_cpus();
    MUST(start_file_systems(*command_line)); // at boot there is memory
    for (auto stage : {drivers::Stage::Console, drivers::Stage::Clock, drivers::Stage::Power, drivers::Stage::Bus,
                       drivers::Stage::Device})
        drivers::probe_drivers(stage);
    MUST(trace::register_hardware_counters(vfs::pseudo::sys().root())); // at boot there is memory
    if (command_line->strace) syscalls::enable_tracing();
    MUST(fill_root()); // the root is empty and in memory
    open_console();
    start_vdso();
#ifdef LINNET_DEBUG
    mm::check_kernel_mappings();
#endif
    plant_fault(command_line->planted_fault);
    if (std::string_view word = command_line->transparent_hugepage; !word.empty() && !mm::set_huge_page_mode(word))
        core::log_warning("transparent_hugepage={}: not understood", word);
    if (command_line->huge_pages > 0) mm::resize_huge_pool(command_line->huge_pages);
    if (!command_line->fail_allocations.empty() &&
        !mm::set_allocation_faults(command_line->fail_allocations, mm::FaultScope::Programs))
        core::log_warning("linnet.fail_allocations={}: not understood", command_line->fail_allocations);
    start_first_process(*command_line);
    core::exit_current();
}

} // namespace
} // namespace linnet::init

namespace linnet::hooks {

void kernel_main(const boot::Handoff& handoff) {
    using namespace init;
    arch::initialise_cpu(core::this_cpu());
    arch::index_exception_table();
    parse_handover(handoff);
    mm::initialise(boot::boot_info());
    // At boot there is memory for a few words; they are needed as long as the kernel runs.
    command_line = new (std::nothrow) CommandLine(MUST(CommandLine::parse(boot::boot_info().command_line)));
    VERIFY(command_line);
    core::log(core::LogLevel::Notice, "Linnet, a Linux-compatible kernel ({})",
              std::string_view(arch::hardware_capabilities().machine));
    core::log(core::LogLevel::Notice, "Command line: {}", boot::boot_info().command_line);
    initialise_core();
    process::initialise();
    drivers::probe_drivers(drivers::Stage::InterruptController);
    if (!core::root_controller()) core::panic("no interrupt controller was found");
    arch::initialise_timer();
    arch::enable_interrupts();
    MUST(core::start_kernel_thread("init", run_init_thread, nullptr)); // at boot there is memory
    core::run_idle_loop();
}

} // namespace linnet::hooks
