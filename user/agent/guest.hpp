// What PID 1 does about the guest itself: file systems, the port to the host, power. No state.
#pragma once

namespace guest {

// Says something on the kernel's console; for what goes wrong before there is a port.
void complain(const char* what, int error);

// Mounts /proc, /sys, /dev and what belongs below it, as far as they are missing.
void mount_file_systems();

// Loads the kernel modules that the host put beside the agent, if any.
void load_modules();

// Opens the virtio port that leads to the host, waiting for it to appear; -1 if it never does.
int open_port();

[[noreturn]] void power_off();

} // namespace guest
