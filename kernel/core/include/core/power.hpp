// Power-off, reboot and halt: drivers register how; arch's firmware calls are the fallback.
#pragma once

namespace linnet::core {

using PowerHandler = void (*)();
void set_power_off_handler(PowerHandler handler);
void set_reboot_handler(PowerHandler handler);
[[noreturn]] void power_off();
[[noreturn]] void reboot();
[[noreturn]] void halt();

} // namespace linnet::core
