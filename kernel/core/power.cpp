// Power-off and reboot.
#include <arch/platform.hpp>
#include <core/log.hpp>
#include <core/power.hpp>
#include <core/spinlock.hpp>

namespace linnet::core {
namespace {
constinit PowerHandler power_off_handler = nullptr;
constinit PowerHandler reboot_handler = nullptr;
constinit SpinLock tasks_lock;
constinit IntrusiveList<EndTask, &EndTask::node> tasks; // only ever grows: walked without the lock
} // namespace

void add_end_task(EndTask& task) {
    SpinGuard guard(tasks_lock);
    tasks.push_back(task);
}

void finish_before_end() {
    constexpr u64 patience_ns = 5'000'000'000;
    const Deadline deadline = Deadline::after(patience_ns);
    for (EndTask& task : tasks) task.finish(deadline);
}

void set_power_off_handler(PowerHandler handler) { power_off_handler = handler; }
void set_reboot_handler(PowerHandler handler) { reboot_handler = handler; }

void power_off() {
    if (power_off_handler) power_off_handler();
    arch::firmware_power_off();
    log_error("power-off failed: this platform has no known way; halting");
    halt();
}

void reboot() {
    if (reboot_handler) reboot_handler();
    arch::firmware_reboot();
    log_error("reboot failed: this platform has no known way; halting");
    halt();
}

void halt() { arch::halt_forever(); }

} // namespace linnet::core
