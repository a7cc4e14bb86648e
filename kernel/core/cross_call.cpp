// Functions run on other CPUs by interrupt. Each CPU has one call slot of its own; `calls_from` of the target says
// which CPUs' slots it must look at.
#include <arch/smp.hpp>
#include <boot/boot_info.hpp>
#include <core/interrupt_work.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <lib/hit_way.hpp>

// On no page that can be probed: a CPU waits here while another changes the kernel's text (probe/kernel_text.cpp).
#pragma clang section text = ".text.noprobe"

namespace linnet::core {
namespace {

struct CallSlot {
    void (*function)(void*) = nullptr;
    void* context = nullptr;
    std::atomic<u64> waiting_for{0};
};

constinit CallSlot slots[boot::BootInfo::max_cpus];

/// Whether there were any.
bool serve_calls(Cpu& self) {
    u64 callers = self.calls_from.exchange(0, std::memory_order_acquire);
    const bool any = callers != 0;
    for (; callers; callers &= callers - 1) {
        CallSlot& slot = slots[std::countr_zero(callers)];
        slot.function(slot.context);
        slot.waiting_for.fetch_and(~(u64{1} << self.number), std::memory_order_release);
    }
    return any;
}

/// Not in anything that the others may be about to change.
HIT_WAY_BEGINS void wait_for_others(const CallSlot& slot, Cpu& self) {
    // Two CPUs may call each other at once, so calls to this one are served while it waits.
    while (slot.waiting_for.load(std::memory_order_acquire) != 0) {
        serve_calls(self);
        arch::relax();
        if (is_panicking()) arch::halt_forever();
    }
}

} // namespace

void run_on_cpus(u64 cpu_bits, void (*function)(void*), void* context) {
    disable_preemption();
    Cpu& self = this_cpu();
    cpu_bits &= online_cpus() & ~(u64{1} << self.number);
    if (cpu_bits) {
        // Interrupts off while the slot is filled and the calls are sent: a handler might make a call of its own.
        arch::InterruptState state = arch::save_and_disable_interrupts();
        CallSlot& slot = slots[self.number];
        slot.function = function;
        slot.context = context;
        slot.waiting_for.store(cpu_bits, std::memory_order_release);
        for (u64 rest = cpu_bits; rest; rest &= rest - 1) {
            Cpu& target = cpu(static_cast<u32>(std::countr_zero(rest)));
            target.calls_from.fetch_or(u64{1} << self.number, std::memory_order_release);
            arch::send_ipi(target);
        }
        wait_for_others(slot, self);
        arch::restore_interrupts(state);
    }
    enable_preemption();
}

void synchronise_all_instruction_streams() {
    auto synchronise = [](void*) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        arch::synchronise_instruction_stream();
    };
    PreemptionGuard guard; // this CPU is the one that the others' list leaves out
    synchronise(nullptr);
    run_on_cpus(online_cpus(), synchronise, nullptr);
}

} // namespace linnet::core

namespace linnet::hooks {

void ipi() {
    using namespace core;
    if (is_panicking()) arch::halt_forever();
    Cpu& self = this_cpu();
    ++self.interrupt_depth;
    ++(serve_calls(self) ? self.interrupts.calls : self.interrupts.reschedules);
    if (self.interrupt_work.load(std::memory_order_relaxed)) run_interrupt_work(self);
    --self.interrupt_depth;
    if (self.must_reschedule.load(std::memory_order_acquire))
        current_thread().pending_work.fetch_or(work_reschedule, std::memory_order_relaxed);
    program_hardware_timer();
}

} // namespace linnet::hooks
