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

// Makes the file system that root= of the kernel's command line names the root, if it names one, as rootfstype=,
// rootflags=, ro and rw say; what is mounted already moves along. False: it can't, which has been told.
bool enter_root_on_disk();

// The program that init= names takes this one's place, with the arguments and the environment that the kernel gave us.
// Comes back when there is no such word, or, having told, when it can't be executed.
void execute_own_init(char** arguments);

// Opens the virtio port that leads to the host, waiting for it to appear; -1 if it never does.
int open_port();

// Writes a file, with the folders that lead to it; without `append` it is a new one. Returns an errno or 0.
// Mounts the folder of the host that has this tag, on a folder that is made if need be. An errno, or 0.
int mount_share(const char* tag, const char* path, bool read_only);

int write_file(const char* path, mode_t mode, bool append, std::span<const uint8_t> contents);

// Kills everything but ourselves and reaps it, so that nothing of a command lives on into the next one.
void kill_all();

// A root on a disk is left clean.
[[noreturn]] void power_off();

} // namespace guest
