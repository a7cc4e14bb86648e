// /dev/hvcN: the terminals over console ports of virtio-console.
//
// Input is handed to the terminal by the work queue, because line editing may sleep; output goes straight into the
// port's buffers. A port that console= names shows the kernel log as well.
#include <core/log.hpp>
#include <core/panic.hpp>
#include <core/work_queue.hpp>
#include <lib/own_ptr.hpp>
#include <tty/device.hpp>

#include "console.hpp"

namespace linnet::drivers {
namespace {

constexpr u32 hvc_major = 229; // Linux's number (devices.txt)

class PortTerminal final : public PortListener, public tty::TerminalDriver, public core::LogConsole {
public:
    explicit PortTerminal(VirtioPort& port, core::InterruptSpinLock& lock) : port_(port), lock_(lock) {}

    Result<void> attach(u32 number) {
        char text[16];
        std::string_view name = format_into(text, "hvc{}", number);
        RefPtr<tty::Terminal> terminal = TRY(tty::register_terminal(*this, name, {hvc_major, number}));
        terminal->ref(); // never given back: ports stay
        terminal_ = terminal.get();
        port_.set_listener(*this);
        core::queue_work(input_work_); // what came before we listened
        if (tty::is_chosen_console(name)) core::replay_log_on(*this);
        return {};
    }

    // PortListener
    void has_input() override { core::queue_work(input_work_); }
    void has_room() override { terminal_->output_has_room(); }

    // TerminalDriver
    usize write(std::span<const u8> bytes) override { return port_.write_bytes(bytes); }
    usize write_room() override { return port_.write_room(); }
    usize pending_output() override { return port_.bytes_under_way(); }
    void input_has_room() override { core::queue_work(input_work_); }

    // LogConsole
    void write(std::string_view text) override {
        if (core::is_panicking()) return send_lines(text); // a stopped CPU may hold the lock
        core::InterruptSpinGuard guard(lock_);
        send_lines(text);
    }

private:
    struct InputWork : core::Work {
        explicit InputWork(PortTerminal& owner)
            : Work([](core::Work& work) { static_cast<InputWork&>(work).terminal.pass_input(); }), terminal(owner) {}
        PortTerminal& terminal;
    };

    void pass_input() {
        port_.read_bytes([this](std::span<const u8> bytes) { return terminal_->receive(bytes); });
    }

    void send_lines(std::string_view text) {
        while (!text.empty()) {
            usize end = text.find('\n');
            send(text.substr(0, end));
            if (end == text.npos) return;
            send("\r\n");
            text.remove_prefix(end + 1);
        }
    }
    void send(std::string_view text) { port_.send_polled({reinterpret_cast<const u8*>(text.data()), text.size()}); }

    VirtioPort& port_;
    core::InterruptSpinLock& lock_; // the device's, which guards the port
    tty::Terminal* terminal_ = nullptr;
    InputWork input_work_{*this};
};

constinit std::atomic<u32> terminal_count{0};

} // namespace

Result<void> attach_terminal(VirtioPort& port) {
    auto terminal = TRY(try_make<PortTerminal>(port, port.console_lock()));
    TRY(terminal->attach(terminal_count.fetch_add(1)));
    (void)terminal.release(); // the terminal layer and the port know it for good
    return {};
}

} // namespace linnet::drivers
