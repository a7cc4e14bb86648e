// Arm's performance monitors: where their interrupt comes (arm,pmu.yaml). The counters are arch's.
#include <arch_impl/performance_monitor.hpp>
#include <core/log.hpp>
#include <drivers/driver.hpp>

namespace linnet::drivers {

extern const Driver arm_pmu_driver;

namespace {

/// A CPU's counters interrupt that CPU, by one private interrupt. Where each has a shared one of its own, or none is
/// told of, counters are only read.
Result<void> probe(const Device& device) {
    constexpr core::Irq first_shared = 32;
    const auto handle = [](void*) { return arch::handle_counter_overflow(); };
    const Result<Interrupt> interrupt = device.interrupt();
    auto interrupts = arch::CounterInterrupts::No;
    if (interrupt && interrupt->irq < first_shared &&
        core::request_irq(interrupt->irq, interrupt->trigger, handle, nullptr, "arm-pmu"))
        interrupts = arch::CounterInterrupts::Yes;
    arch::enable_performance_monitor(interrupts);
    return {};
}

constexpr const char* names[] = {"arm,armv8-pmuv3"};

} // namespace

constinit const Driver arm_pmu_driver{
    .name = "arm-pmu", .stage = Stage::Device, .compatible = names, .probe = probe, .probe_platform = nullptr};

} // namespace linnet::drivers
