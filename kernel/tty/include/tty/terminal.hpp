// Terminal: a device with a line discipline, settings, a window size and, when it controls a session, a
// foreground process group. Serial ports, virtio consoles and the slave sides of ptys are Terminals over
// different TerminalDrivers.
//
// Locks:
//
//     Terminal::lock_           line discipline, settings, window size; sleeping; held around the driver's
//     calls
//       Terminal::control_lock_ session and foreground group; spinning
//       the driver's own locks
//     Terminal::raw_lock_       bytes that came in interrupt context and wait for the work queue; taken alone
#pragma once

#include <core/mutex.hpp>
#include <core/work_queue.hpp>
#include <process/session.hpp>
#include <string_view>
#include <tty/line_discipline.hpp>
#include <vfs/event_source.hpp>

namespace linnet::tty {

/// The device below a terminal. write(), write_room() and the notices are called with the terminal's lock
/// held, in thread context.
class TerminalDriver {
public:
    /// Takes what fits now; returns how many bytes that was.
    virtual usize write(std::span<const u8> bytes) = 0;
    virtual usize write_room() = 0;
    /// Bytes taken but not yet sent (TIOCOUTQ, tcdrain).
    virtual usize pending_output() { return 0; }
    virtual void discard_output() {}
    /// The reader has made room: input that receive() did not take may come again. No lock held.
    virtual void input_has_room() {}
    /// May change what the device can't do (ptys have no parity).
    virtual void settings_changed(abi::termios2& /*settings*/, const abi::termios2& /*before*/) {}
    virtual void input_flushed() {}
    virtual void flow_changed(bool /*stopped*/) {}
    /// The first file of the terminal was opened, the last was closed. No lock held.
    virtual void opened() {}
    virtual void closed() {}
    /// What a session leader's exit does to the line: a real one is hung up.
    [[nodiscard]] virtual bool is_pty() const { return false; }
    /// Nobody holds the other end of the line any more (a pty's master).
    [[nodiscard]] virtual bool is_cut_off() const { return false; }
    /// The terminal is gone; a driver made for it alone deletes itself.
    virtual void terminal_destroyed() {}

protected:
    ~TerminalDriver() = default;
};

class Terminal final : public RefCounted<Terminal>, public process::ControllingTerminal, private LineDisciplineHost {
public:
    /// `driver` outlives the terminal. `name` is what /proc and ttyname use, e.g. "ttyS0" or "pts/3".
    static Result<RefPtr<Terminal>> create(TerminalDriver& driver, std::string_view name, u64 device);

    [[nodiscard]] std::string_view name() const { return {name_, name_length_}; }
    [[nodiscard]] vfs::EventSource& events() { return events_; }
    void ref() const override { RefCounted<Terminal>::ref(); }
    void unref() const override { RefCounted<Terminal>::unref(); }

    [[nodiscard]] bool is_cut_off() const { return driver_.is_cut_off(); }

    // ---- from the driver ----
    /// Input in any context, interrupts included; processed soon by a work queue. Returns how many bytes were
    /// taken.
    usize receive_later(std::span<const u8> bytes);
    /// Input in thread context, processed now (ptys).
    usize receive(std::span<const u8> bytes);
    /// Whether receive() would take a byte.
    bool has_input_room();
    /// The device can take output again. Any context; the second form in thread context, at once.
    void output_has_room();
    void resume_device_output();
    void hang_up() override;
    /// A new window size; SIGWINCH to the foreground group when it differs.
    void set_window_size(const abi::winsize& size);

    // ---- from files ----
    /// Counts files; a file is dead when the terminal's generation is not the one it was opened in.
    u32 open_file();
    void close_file();
    [[nodiscard]] u32 generation() const { return generation_.load(std::memory_order_acquire); }
    [[nodiscard]] u32 open_files() const { return open_files_.load(std::memory_order_acquire); }

    /// How a read waits (termios(3), "Canonical and noncanonical mode").
    struct ReadMode {
        bool canonical = true;
        u8 minimum = 1; // VMIN
        u8 tenths = 0;  // VTIME
    };
    ReadMode read_mode();
    /// One step of a read; EAGAIN when there is nothing yet.
    Result<LineDiscipline::ReadStep> read(std::span<u8> out);
    /// Output of a program; EAGAIN when nothing could be taken.
    Result<usize> write(std::span<const u8> bytes);
    u32 poll();

    abi::termios2 settings();
    enum class When : u8 { Now, AfterOutput, AfterOutputFlushingInput };
    /// Waits for output first where `when` says so.
    Result<void> set_settings(const abi::termios2& settings, When when);
    abi::winsize window_size();
    usize readable_bytes();
    usize unsent_bytes();
    enum class Queues : u8 { Input, Output, Both };
    void flush(Queues queues);
    enum class Flow : u8 { Stopped, Running };
    void set_flow(Flow flow);
    /// tcdrain(3).
    Result<void> wait_until_sent();
    void send_flow_character(usize which);
    /// Whether output of background processes is refused (TOSTOP).
    bool stops_background_output();

    // ---- job control (job_control.cpp) ----
    void session_leader_exited(process::Session& session) override;
    u64 device_number() const override { return device_; }
    process::Pid foreground_group() const override;
    void send_to_foreground(int signo) { signal_foreground(signo); }
    /// The current process does something that only the foreground may: SIGTTIN or SIGTTOU to its group when
    /// it isn't.
    Result<void> check_foreground(int signo);
    /// TIOCSCTTY; Steal takes it from another session (CAP_SYS_ADMIN is checked).
    enum class Taking : u8 { IfFree, Steal };
    Result<void> become_controlling(Taking taking);
    /// Opened without O_NOCTTY by a session leader that has no terminal.
    void become_controlling_if_free();
    Result<void> release_controlling();                   // TIOCNOTTY
    Result<void> set_foreground_group(process::Pid pgid); // TIOCSPGRP
    Result<process::Pid> session_id() const;              // TIOCGSID
    [[nodiscard]] bool controls_current() const;

    std::atomic<bool> exclusive{false}; // TIOCEXCL

private:
    static constexpr usize raw_capacity = 4096;
    Terminal(TerminalDriver& driver, std::string_view name, u64 device);
    friend class RefCounted<Terminal>;
    ~Terminal() { driver_.terminal_destroyed(); }

    // LineDisciplineHost
    usize transmit_room() override;
    usize transmit(std::span<const u8> bytes) override;
    void signal_foreground(int signo) override;
    void discard_output() override;
    void stop_output() override;
    void start_output() override;
    bool is_output_stopped() const override { return stopped_; }

    void process_raw_input();
    /// Takes the terminal away from its session; returns the foreground group it had.
    NullableRefPtr<process::ProcessGroup> detach_session();
    NullableRefPtr<process::ProcessGroup> foreground() const;

    TerminalDriver& driver_;
    core::Mutex lock_;
    LineDiscipline line_;
    abi::winsize window_{};
    bool stopped_ = false;
    vfs::EventSource events_;
    std::atomic<u32> generation_{0};
    std::atomic<u32> open_files_{0};

    mutable core::SpinLock control_lock_;
    NullableRefPtr<process::Session> session_;
    NullableRefPtr<process::ProcessGroup> foreground_;

    struct TerminalWork : core::Work {
        explicit TerminalWork(Terminal& owner, Function work) : Work(work), terminal(owner) {}
        Terminal& terminal;
    };
    core::InterruptSpinLock raw_lock_;
    TerminalWork input_work_;
    TerminalWork output_work_;
    usize raw_head_ = 0;
    usize raw_tail_ = 0;
    std::array<u8, raw_capacity> raw_{};

    const u64 device_;
    u8 name_length_ = 0;
    char name_[15] = {};
};

} // namespace linnet::tty
