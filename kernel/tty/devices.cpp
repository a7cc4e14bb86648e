// /dev/tty, /dev/console and the terminals that drivers register.
//
// Lock: registry_lock guards the table and the console's name; a leaf.
#include "pty.hpp"
#include "terminal_file.hpp"

#include <abi/linux/stat.hpp>
#include <algorithm>
#include <core/log.hpp>
#include <core/wait_queue.hpp>
#include <process/process.hpp>
#include <tty/device.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::tty {

namespace {

constexpr u32 tty_aux_major = 5;
constexpr usize max_terminals = 32;

constinit core::SpinLock registry_lock;
constinit Terminal* terminals[max_terminals] = {}; // each counted, never let go
constinit usize terminal_count = 0;
constinit char console_name[16] = {};
constinit usize console_name_length = 0;
constinit std::atomic<bool> more_terminals_may_come{false};
constinit core::WaitQueue terminal_came;

NullableRefPtr<Terminal> find_terminal(u64 device) {
    core::SpinGuard guard(registry_lock);
    for (usize i = 0; i < terminal_count; ++i)
        if (terminals[i]->device_number() == device) return NullableRefPtr<Terminal>(terminals[i]);
    return nullptr;
}

class RegisteredTerminals final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "ttyS"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber number, const vfs::Path& path, u32 flags) override {
        NullableRefPtr<Terminal> terminal = find_terminal(number.encoded());
        if (!terminal) return error(Errno::ENXIO);
        return open_terminal(path, flags, RefPtr<Terminal>(std::move(terminal)), FileKind::Ordinary);
    }
};

/// Minor 0: the caller's own terminal. Minor 1: the console.
class AuxiliaryTerminals final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "/dev/tty"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber number, const vfs::Path& path, u32 flags) override {
        if (number.minor == 1) {
            NullableRefPtr<Terminal> terminal = console();
            if (!terminal) return error(Errno::ENODEV);
            return open_terminal(path, flags, RefPtr<Terminal>(std::move(terminal)), FileKind::Console);
        }
        if (!process::current_or_null()) return error(Errno::ENXIO);
        NullableRefPtr<process::Session> session = process::current().process().session();
        NullableRefPtr<process::ControllingTerminal> own = session ? session->terminal() : nullptr;
        if (!own) return error(Errno::ENXIO);
        // Terminal is the only kind of controlling terminal there is.
        RefPtr<Terminal> terminal(static_cast<Terminal&>(*own));
        return open_terminal(path, flags | abi::O_NOCTTY, std::move(terminal), FileKind::Ordinary);
    }
};

/// /sys/class/tty/console/active: which terminal the console is.
Result<void> show_active_console(TextSink sink) {
    if (NullableRefPtr<Terminal> terminal = console()) format_to(sink, "{}\n", terminal->name());
    return {};
}

constinit RegisteredTerminals registered_terminals;
constinit AuxiliaryTerminals auxiliary_terminals;

} // namespace

Result<RefPtr<Terminal>> register_terminal(TerminalDriver& driver, std::string_view name, vfs::DeviceNumber number) {
    RefPtr<Terminal> terminal = TRY(Terminal::create(driver, name, number.encoded()));
    TRY(vfs::register_character_device(number.major, number.minor, 1, registered_terminals));
    {
        core::SpinGuard guard(registry_lock);
        if (terminal_count == max_terminals) return error(Errno::ENOSPC);
        terminal->ref();
        terminals[terminal_count++] = terminal.get();
    }
    terminal_came.wake_all();
    TRY(vfs::announce_device(name, abi::S_IFCHR | 0600, number, "tty"));
    return terminal;
}

void expect_terminals() { more_terminals_may_come.store(true, std::memory_order_release); }

void choose_console(std::string_view words) {
    const std::string_view name = words.substr(0, words.find(','));
    core::SpinGuard guard(registry_lock);
    console_name_length = std::min(name.size(), sizeof(console_name));
    std::copy_n(name.begin(), console_name_length, console_name);
}

void wait_for_chosen_console(core::Deadline deadline) {
    auto has_come = [] {
        core::SpinGuard guard(registry_lock);
        const std::string_view wanted(console_name, console_name_length);
        return wanted.empty() || std::any_of(terminals, terminals + terminal_count,
                                             [&](const Terminal* terminal) { return terminal->name() == wanted; });
    };
    if (has_come() || !more_terminals_may_come.load(std::memory_order_acquire)) return;
    core::log_info("tty: waiting for the console");
    if (core::wait_until(terminal_came, core::Sleep::Deep, deadline, has_come) != core::WaitResult::Ready)
        core::log_warning("tty: there is no terminal of the name that console= has");
}

bool is_chosen_console(std::string_view name) {
    core::SpinGuard guard(registry_lock);
    return name == std::string_view(console_name, console_name_length);
}

NullableRefPtr<Terminal> console() {
    core::SpinGuard guard(registry_lock);
    const std::string_view wanted(console_name, console_name_length);
    for (usize i = 0; i < terminal_count; ++i)
        if (terminals[i]->name() == wanted) return NullableRefPtr<Terminal>(terminals[i]);
    return NullableRefPtr<Terminal>(terminal_count > 0 ? terminals[0] : nullptr);
}

Result<void> initialise() {
    TRY(vfs::register_character_device(tty_aux_major, 0, 2, auxiliary_terminals));
    TRY(vfs::announce_device("tty", abi::S_IFCHR | 0666, {tty_aux_major, 0}, "tty"));
    TRY(vfs::announce_device("console", abi::S_IFCHR | 0600, {tty_aux_major, 1}, "tty"));
    RefPtr<vfs::pseudo::Directory> console_class = TRY(vfs::pseudo::sys().root().add_path("class/tty/console"));
    TRY(console_class->add_text("active", show_active_console));
    return initialise_ptys();
}

} // namespace linnet::tty
