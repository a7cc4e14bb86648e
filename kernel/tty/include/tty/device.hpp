// Terminals as devices: what serial and console drivers register, and which of them is the console.
#pragma once

#include <tty/terminal.hpp>
#include <vfs/device.hpp>

namespace linnet::tty {

/// Makes a terminal of a device: its node in /dev, its place in /sys/class/tty. `driver` lives for ever.
/// `name` as Linux has it ("ttyS0", "hvc0", "ttyAMA0").
Result<RefPtr<Terminal>> register_terminal(TerminalDriver& driver, std::string_view name, vfs::DeviceNumber number);

/// What console= said: "ttyS0,115200n8". Without it, or when no terminal has that name, the first registered
/// terminal is the console. May be called before the terminals exist.
void choose_console(std::string_view words);
/// Whether console= named this terminal.
bool is_chosen_console(std::string_view name);
/// Says that a device is about to tell which terminals it has: its driver registers them later.
void expect_terminals();
/// Sleeps until the terminal that console= named is there, or the deadline; not at all when console= named none or no
/// driver expects any.
void wait_for_chosen_console(core::Deadline deadline);
/// The terminal behind /dev/console, or null.
NullableRefPtr<Terminal> console();

/// Registers /dev/tty, /dev/console, /dev/ptmx and the devpts file system; after vfs and pseudo are
/// initialised.
Result<void> initialise();

} // namespace linnet::tty
