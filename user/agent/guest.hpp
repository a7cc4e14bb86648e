// What PID 1 does about the guest itself: file systems, the port to the host, power. No state.
#pragma once

#include <cstdint>
#include <span>
#include <sys/types.h>

namespace guest {

// Says something on the kernel's console; for what goes wrong before there is a port.
void complain(const char* what, int error);

// Mounts /proc, /sys, /dev and what belongs below it, as far as they are missing.
void mount_file_systems();

// Loads the kernel modules that the host put beside the agent, if any.
void load_modules();

// Opens the virtio port that leads to the host, waiting for it to appear; -1 if it never does.
int open_port();

// Writes a file, with the folders that lead to it; without `append` it is a new one. Returns an errno or 0.
int write_file(const char* path, mode_t mode, bool append, std::span<const uint8_t> contents);

[[noreturn]] void power_off();

} // namespace guest
