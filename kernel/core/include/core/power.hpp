// Power-off, reboot and halt: drivers register how; arch's firmware calls are the fallback.
#pragma once

#include <core/time.hpp>
#include <lib/intrusive_list.hpp>

namespace linnet::core {

/// What is to be finished before the machine ends in order: output that a device has not taken yet would be lost.
class EndTask {
public:
    ListNode node;
    /// In a thread; sleeps until all is done, or the deadline.
    virtual void finish(Deadline deadline) = 0;

protected:
    ~EndTask() = default;
};
/// Tasks live for ever.
void add_end_task(EndTask& task);
/// Before the three below, where there is time for it: not in a panic. Sleeps for five seconds at most.
void finish_before_end();

using PowerHandler = void (*)();
void set_power_off_handler(PowerHandler handler);
void set_reboot_handler(PowerHandler handler);
[[noreturn]] void power_off();
[[noreturn]] void reboot();
[[noreturn]] void halt();

} // namespace linnet::core
