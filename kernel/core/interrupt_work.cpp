// What CPUs put off until they take interrupts: a list for each, which only the CPU itself adds to.
#include <arch/smp.hpp>
#include <core/interrupt_work.hpp>

namespace linnet::core {

void raise_interrupt_work(InterruptWork& work) {
    if (work.is_pending.exchange(true, std::memory_order_acq_rel)) return;
    const arch::InterruptState state = arch::save_and_disable_interrupts();
    Cpu& self = this_cpu();
    // Only probes of the kernel could come in between.
    InterruptWork* first = self.interrupt_work.load(std::memory_order_relaxed);
    do work.next = first;
    while (!self.interrupt_work.compare_exchange_weak(first, &work, std::memory_order_release));
    if (!first) arch::send_ipi(self);
    arch::restore_interrupts(state);
}

void run_interrupt_work(Cpu& self) {
    InterruptWork* work = self.interrupt_work.exchange(nullptr, std::memory_order_acquire);
    while (work) {
        InterruptWork* const next = work->next;
        // Whoever waits sees the one or the other until all is done.
        work->is_running.store(true);
        work->is_pending.store(false);
        work->function(*work);
        work->is_running.store(false, std::memory_order_release);
        work = next;
    }
}

void finish_interrupt_work(InterruptWork& work) {
    while (work.is_pending.load() || work.is_running.load()) arch::relax();
}

} // namespace linnet::core
