// Terminal: the meeting point of device, line discipline and files.
#include <abi/linux/signal.hpp>
#include <algorithm>
#include <process/process.hpp>
#include <process/signal.hpp>
#include <tty/terminal.hpp>

namespace linnet::tty {

using namespace abi;

Terminal::Terminal(TerminalDriver& driver, std::string_view name, u64 device)
    : driver_(driver), line_(*this, default_termios()),
      input_work_(*this, [](core::Work& work) { static_cast<TerminalWork&>(work).terminal.process_raw_input(); }),
      output_work_(*this, [](core::Work& work) { static_cast<TerminalWork&>(work).terminal.resume_device_output(); }),
      device_(device), name_length_(static_cast<u8>(std::min(name.size(), sizeof(name_)))) {
    std::copy_n(name.begin(), name_length_, name_);
}

Result<RefPtr<Terminal>> Terminal::create(TerminalDriver& driver, std::string_view name, u64 device) {
    auto* terminal = new (std::nothrow) Terminal(driver, name, device);
    if (!terminal) return error(Errno::ENOMEM);
    return adopt_ref(*terminal);
}

// ---- input ----

usize Terminal::receive_later(std::span<const u8> bytes) {
    usize taken = 0;
    {
        core::InterruptSpinGuard guard(raw_lock_);
        while (taken < bytes.size() && raw_head_ - raw_tail_ < raw_capacity)
            raw_[raw_head_++ % raw_capacity] = bytes[taken++];
    }
    if (taken > 0) core::queue_work(input_work_);
    return taken;
}

void Terminal::process_raw_input() {
    bool progress = false;
    for (;;) {
        core::MutexGuard guard(lock_);
        std::array<u8, 256> chunk;
        usize count = 0;
        {
            core::InterruptSpinGuard raw_guard(raw_lock_);
            while (count < chunk.size() && raw_tail_ + count != raw_head_)
                chunk[count] = raw_[(raw_tail_ + count) % raw_capacity], ++count;
        }
        const usize used = line_.receive(std::span(chunk).first(count));
        {
            core::InterruptSpinGuard raw_guard(raw_lock_);
            raw_tail_ += used;
        }
        if (used > 0) progress = true;
        if (used < count || count == 0) break; // full: the next read starts this again
    }
    if (progress) {
        events_.notify(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
        driver_.input_has_room();
    }
}

usize Terminal::receive(std::span<const u8> bytes) {
    usize used;
    {
        core::MutexGuard guard(lock_);
        used = line_.receive(bytes);
    }
    if (used > 0) events_.notify(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
    return used;
}

bool Terminal::has_input_room() {
    core::MutexGuard guard(lock_);
    return line_.can_take_byte();
}

// ---- output ----

void Terminal::output_has_room() { core::queue_work(output_work_); }

void Terminal::resume_device_output() {
    {
        core::MutexGuard guard(lock_);
        line_.resume_output();
    }
    events_.notify(POLLOUT | POLLWRNORM);
}

usize Terminal::transmit_room() { return stopped_ ? 0 : driver_.write_room(); }
usize Terminal::transmit(std::span<const u8> bytes) { return stopped_ ? 0 : driver_.write(bytes); }
void Terminal::discard_output() { driver_.discard_output(); }

void Terminal::stop_output() {
    if (stopped_) return;
    stopped_ = true;
    driver_.flow_changed(true);
}

void Terminal::start_output() {
    if (!stopped_) return;
    stopped_ = false;
    driver_.flow_changed(false);
    line_.resume_output();
    events_.notify(POLLOUT | POLLWRNORM);
}

// ---- files ----

u32 Terminal::open_file() {
    if (open_files_.fetch_add(1) == 0) driver_.opened();
    return generation();
}

void Terminal::close_file() {
    if (open_files_.fetch_sub(1) == 1) driver_.closed();
}

Terminal::ReadMode Terminal::read_mode() {
    core::MutexGuard guard(lock_);
    return {line_.is_canonical(), line_.termios().c_cc[VMIN], line_.termios().c_cc[VTIME]};
}

Result<LineDiscipline::ReadStep> Terminal::read(std::span<u8> out) {
    LineDiscipline::ReadStep step;
    bool more_raw;
    {
        core::MutexGuard guard(lock_);
        if (!line_.is_readable()) return error(Errno::EAGAIN);
        step = line_.read(out);
        core::InterruptSpinGuard raw_guard(raw_lock_);
        more_raw = raw_tail_ != raw_head_;
    }
    if (more_raw) core::queue_work(input_work_);
    driver_.input_has_room();
    return step;
}

Result<usize> Terminal::write(std::span<const u8> bytes) {
    core::MutexGuard guard(lock_);
    const usize used = line_.write(bytes);
    if (used == 0 && !bytes.empty()) return error(Errno::EAGAIN);
    return used;
}

u32 Terminal::poll() {
    core::MutexGuard guard(lock_);
    const termios2& settings = line_.termios();
    const bool counts = settings.c_cc[VTIME] == 0 && settings.c_cc[VMIN] > 0;
    u32 mask = 0;
    if (line_.is_readable(counts ? settings.c_cc[VMIN] : 1)) mask |= POLLIN | POLLRDNORM;
    if (transmit_room() > 0) mask |= POLLOUT | POLLWRNORM;
    return mask;
}

termios2 Terminal::settings() {
    core::MutexGuard guard(lock_);
    return line_.termios();
}

Result<void> Terminal::set_settings(const termios2& settings, When when) {
    if (when != When::Now) TRY(wait_until_sent());
    if (when == When::AfterOutputFlushingInput) flush(Queues::Input);
    {
        core::MutexGuard guard(lock_);
        const termios2 before = line_.termios();
        termios2 fresh = settings;
        fresh.c_line = N_TTY;
        driver_.settings_changed(fresh, before);
        line_.set_termios(fresh);
        // Without IXON nothing could start the output again.
        if (!(fresh.c_iflag & IXON) && (before.c_iflag & IXON)) start_output();
    }
    events_.notify(POLLIN | POLLRDNORM);
    return {};
}

winsize Terminal::window_size() {
    core::MutexGuard guard(lock_);
    return window_;
}

void Terminal::set_window_size(const winsize& size) {
    {
        core::MutexGuard guard(lock_);
        if (std::memcmp(&window_, &size, sizeof(size)) == 0) return;
        window_ = size;
    }
    signal_foreground(SIGWINCH);
}

usize Terminal::readable_bytes() {
    core::MutexGuard guard(lock_);
    return line_.available();
}

usize Terminal::unsent_bytes() {
    core::MutexGuard guard(lock_);
    return driver_.pending_output();
}

void Terminal::flush(Queues queues) {
    {
        core::MutexGuard guard(lock_);
        if (queues != Queues::Output) {
            line_.flush_input();
            driver_.input_flushed();
            core::InterruptSpinGuard raw_guard(raw_lock_);
            raw_tail_ = raw_head_;
        }
        if (queues != Queues::Input) driver_.discard_output();
    }
    driver_.input_has_room();
    events_.notify(POLLOUT | POLLWRNORM);
}

void Terminal::set_flow(Flow flow) {
    core::MutexGuard guard(lock_);
    if (flow == Flow::Stopped)
        stop_output();
    else
        start_output();
}

void Terminal::send_flow_character(usize which) {
    core::MutexGuard guard(lock_);
    const u8 c = line_.termios().c_cc[which];
    if (c != 0) driver_.write({&c, 1});
}

Result<void> Terminal::wait_until_sent() {
    return vfs::try_then_wait(events_, POLLOUT, vfs::Blocking::Wait, [this]() -> Result<void> {
        core::MutexGuard guard(lock_);
        if (driver_.pending_output() > 0) return error(Errno::EAGAIN);
        return {};
    });
}

bool Terminal::stops_background_output() {
    core::MutexGuard guard(lock_);
    return (line_.termios().c_lflag & TOSTOP) != 0;
}

} // namespace linnet::tty
