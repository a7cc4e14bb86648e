// N_TTY, the line discipline of terminals: what turns the bytes of a keyboard into lines, signals and echo,
// and the bytes of a program into what the device prints (termios(3)).
//
// Pure logic over fixed buffers: no lock of its own (the Terminal's lock is held around every call), no
// sleeping, no user memory. Everything it needs from outside goes through LineDisciplineHost.
#pragma once

#include <abi/linux/termios.hpp>
#include <array>
#include <lib/types.hpp>
#include <span>

namespace linnet::tty {

/// What the line discipline asks of its terminal. Called with the terminal's lock held.
class LineDisciplineHost {
public:
    /// Bytes that transmit() would take now; 0 while output is stopped.
    virtual usize transmit_room() = 0;
    /// Hands bytes to the device; returns how many it took, at least min(size, transmit_room()).
    virtual usize transmit(std::span<const u8> bytes) = 0;
    /// Sends a signal to the foreground process group.
    virtual void signal_foreground(int signo) = 0;
    /// Forgets output that the device hasn't sent yet.
    virtual void discard_output() = 0;
    /// Ctrl-S and Ctrl-Q.
    virtual void stop_output() = 0;
    virtual void start_output() = 0;
    [[nodiscard]] virtual bool is_output_stopped() const = 0;

protected:
    ~LineDisciplineHost() = default;
};

/// The settings that a new terminal has (what Linux calls tty_std_termios), 80 by 24 undefined.
abi::termios2 default_termios();

class LineDiscipline {
public:
    /// Capacity of the input queue: POSIX's MAX_CANON and MAX_INPUT plus the line end.
    static constexpr usize input_capacity = 4096;

    explicit LineDiscipline(LineDisciplineHost& host, const abi::termios2& termios);

    [[nodiscard]] const abi::termios2& termios() const { return termios_; }
    void set_termios(const abi::termios2& termios);

    // ---- from the device ----
    /// Takes bytes from the device; returns how many were used. Fewer than given means: keep the rest until
    /// something has been read.
    usize receive(std::span<const u8> bytes);
    /// A break condition on the line.
    void receive_break();
    /// The device has room again: sends the echo that had to wait.
    void resume_output();

    // ---- to the program ----
    /// Bytes that a read would give now without waiting for more (FIONREAD).
    [[nodiscard]] usize available() const;
    /// Whether a read has something to return: a line, an end of file or at least `minimum` bytes.
    [[nodiscard]] bool is_readable(usize minimum = 1) const;
    /// One step of a read.
    struct ReadStep {
        usize count = 0;
        bool ends_read = false; // a line end or end of file: the read returns what it has
    };
    ReadStep read(std::span<u8> out);
    void flush_input();

    // ---- from the program ----
    /// Sends bytes through output processing; returns how many of them were used.
    usize write(std::span<const u8> bytes);

    /// Whether receive() would use at least one byte.
    [[nodiscard]] bool can_take_byte() const;
    [[nodiscard]] bool is_canonical() const { return has_local(abi::ICANON); }

private:
    enum class Mark : u8 { None, LineEnd, EndOfFile };
    enum class EraseKind : u8 { Character, Word, Line };

    [[nodiscard]] bool has_input(u32 flag) const { return (termios_.c_iflag & flag) != 0; }
    [[nodiscard]] bool has_output(u32 flag) const { return (termios_.c_oflag & flag) != 0; }
    [[nodiscard]] bool has_local(u32 flag) const { return (termios_.c_lflag & flag) != 0; }
    [[nodiscard]] bool is_control_char(u8 c, usize which) const {
        return c == termios_.c_cc[which] && termios_.c_cc[which] != 0;
    }
    /// Whether `c` continues a UTF-8 character begun before (IUTF8).
    [[nodiscard]] bool is_continuation(u8 c) const { return has_input(abi::IUTF8) && (c & 0xc0) == 0x80; }
    [[nodiscard]] static usize slot(usize position) { return position % input_capacity; }
    [[nodiscard]] usize stored() const { return head_ - tail_; }
    [[nodiscard]] bool has_whole_line() const { return canon_head_ != tail_; }

    // input
    void receive_byte(u8 c);
    bool handle_flow_control(u8 c);
    bool handle_signal(u8 c);
    void raise_signal(int signo, u8 c);
    bool handle_canonical(u8 c);
    void store_plain(u8 c);
    void store(u8 c, Mark mark = Mark::None);
    void end_line(u8 c, Mark mark);

    // editing
    void erase(EraseKind kind);
    void erase_whole_line_without_picture();
    bool erase_one(EraseKind kind, usize& alphanumerics);
    void show_erasure(EraseKind kind, u8 c, usize width);
    void erase_tab_on_screen();
    void finish_erasing();
    void reprint();

    // echo and output
    void note_line_start();
    void echo(u8 c);
    void echo_raw(u8 c);
    void echo_text(const char* text);
    /// Writes what `c` becomes into `out` and moves the column; returns the length, 0 to 8.
    usize process_output(u8 c, std::array<u8, 8>& out);
    [[nodiscard]] usize output_length(u8 c) const;

    LineDisciplineHost& host_;
    abi::termios2 termios_;

    // Positions only grow; slot() maps them into the buffer. tail_ <= canon_head_ <= head_.
    usize head_ = 0;
    usize tail_ = 0;
    usize canon_head_ = 0; // behind the last complete line
    bool next_is_literal_ = false;
    bool is_erasing_ = false; // between the '\' and the '/' of ECHOPRT
    usize column_ = 0;
    usize canon_column_ = 0; // where the line being edited begins
    usize echo_length_ = 0;
    std::array<u8, input_capacity> input_{};
    std::array<Mark, input_capacity> marks_{};
    std::array<u8, 2048> echo_{};
};

} // namespace linnet::tty
