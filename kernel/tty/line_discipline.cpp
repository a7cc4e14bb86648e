// N_TTY, the way in: from the device's bytes to the input queue, and from there to the reader.
#include <abi/linux/signal.hpp>
#include <algorithm>
#include <tty/line_discipline.hpp>

namespace linnet::tty {

using namespace abi;

termios2 default_termios() {
    termios2 t{};
    t.c_iflag = ICRNL | IXON;
    t.c_oflag = OPOST | ONLCR;
    t.c_cflag = B38400 | CS8 | CREAD | HUPCL;
    t.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
    t.c_line = N_TTY;
    constexpr auto control = [](char c) { return static_cast<u8>(c & 0x1f); };
    t.c_cc[VINTR] = control('C');
    t.c_cc[VQUIT] = control('\\');
    t.c_cc[VERASE] = 0x7f;
    t.c_cc[VKILL] = control('U');
    t.c_cc[VEOF] = control('D');
    t.c_cc[VMIN] = 1;
    t.c_cc[VSTART] = control('Q');
    t.c_cc[VSTOP] = control('S');
    t.c_cc[VSUSP] = control('Z');
    t.c_cc[VREPRINT] = control('R');
    t.c_cc[VDISCARD] = control('O');
    t.c_cc[VWERASE] = control('W');
    t.c_cc[VLNEXT] = control('V');
    t.c_ispeed = t.c_ospeed = 38400;
    return t;
}

LineDiscipline::LineDiscipline(LineDisciplineHost& host, const termios2& termios) : host_(host), termios_(termios) {}

void LineDiscipline::set_termios(const termios2& termios) {
    bool changes_mode = ((termios.c_lflag ^ termios_.c_lflag) & (ICANON | EXTPROC)) != 0;
    termios_ = termios;
    if (!changes_mode) return;
    // What lies in the queue when canonical mode begins counts as one line; what lies there when it ends is
    // readable.
    marks_.fill(Mark::None);
    canon_head_ = tail_;
    if (is_canonical() && stored() > 0) {
        marks_[slot(head_ - 1)] = Mark::LineEnd;
        canon_head_ = head_;
    }
    next_is_literal_ = is_erasing_ = false;
}

bool LineDiscipline::can_take_byte() const {
    // One slot stays free for the line end, a second one for PARMRK's doubled byte.
    if (stored() + 2 < input_capacity) return true;
    // A full line that nobody can read yet must not block: the editing keys and the line end have to get
    // through.
    return is_canonical() && !has_whole_line();
}

usize LineDiscipline::receive(std::span<const u8> bytes) {
    usize used = 0;
    while (used < bytes.size() && can_take_byte()) receive_byte(bytes[used++]);
    resume_output();
    return used;
}

void LineDiscipline::receive_byte(u8 c) {
    if (has_input(ISTRIP)) c &= 0x7f;
    if (has_input(IUCLC) && has_local(IEXTEN) && c >= 'A' && c <= 'Z') c = static_cast<u8>(c - 'A' + 'a');
    if (has_local(EXTPROC)) return store(c);
    if (next_is_literal_) {
        next_is_literal_ = false;
        return store_plain(c);
    }
    if (handle_flow_control(c)) return;
    if (has_local(ISIG) && handle_signal(c)) return;
    if (host_.is_output_stopped() && has_input(IXON) && has_input(IXANY)) host_.start_output();
    if (c == '\r') {
        if (has_input(IGNCR)) return;
        if (has_input(ICRNL)) c = '\n';
    } else if (c == '\n' && has_input(INLCR)) {
        c = '\r';
    }
    if (is_canonical() && handle_canonical(c)) return;
    store_plain(c);
}

bool LineDiscipline::handle_flow_control(u8 c) {
    if (!has_input(IXON)) return false;
    if (is_control_char(c, VSTART)) return host_.start_output(), true;
    if (is_control_char(c, VSTOP)) return host_.stop_output(), true;
    return false;
}

bool LineDiscipline::handle_signal(u8 c) {
    if (is_control_char(c, VINTR)) return raise_signal(SIGINT, c), true;
    if (is_control_char(c, VQUIT)) return raise_signal(SIGQUIT, c), true;
    if (is_control_char(c, VSUSP)) return raise_signal(SIGTSTP, c), true;
    return false;
}

void LineDiscipline::raise_signal(int signo, u8 c) {
    if (!has_local(NOFLSH)) {
        echo_length_ = 0;
        host_.discard_output();
        flush_input();
    }
    host_.signal_foreground(signo);
    if (has_input(IXON) && host_.is_output_stopped()) host_.start_output();
    if (has_local(ECHO)) echo(c);
}

void LineDiscipline::receive_break() {
    if (has_input(IGNBRK)) return;
    if (has_input(BRKINT)) {
        if (!has_local(NOFLSH)) flush_input();
        host_.signal_foreground(SIGINT);
        return;
    }
    if (!can_take_byte()) return;
    if (has_input(PARMRK)) store(0xff), store(0);
    store(0);
}

/// The characters that mean something in canonical mode only; false when `c` is ordinary.
bool LineDiscipline::handle_canonical(u8 c) {
    if (is_control_char(c, VERASE)) return erase(EraseKind::Character), true;
    if (is_control_char(c, VKILL)) return erase(EraseKind::Line), true;
    if (has_local(IEXTEN)) {
        if (is_control_char(c, VWERASE)) return erase(EraseKind::Word), true;
        if (is_control_char(c, VLNEXT)) {
            next_is_literal_ = true;
            if (has_local(ECHO)) {
                finish_erasing();
                if (has_local(ECHOCTL)) echo_raw('^'), echo_raw('\b');
            }
            return true;
        }
        if (is_control_char(c, VREPRINT) && has_local(ECHO)) return reprint(), true;
    }
    if (c == '\n') {
        if (has_local(ECHO) || has_local(ECHONL)) echo_raw('\n');
        return end_line(c, Mark::LineEnd), true;
    }
    if (is_control_char(c, VEOF)) return end_line(0, Mark::EndOfFile), true;
    if (is_control_char(c, VEOL) || (has_local(IEXTEN) && is_control_char(c, VEOL2))) {
        if (has_local(ECHO)) note_line_start(), echo(c);
        return end_line(c, Mark::LineEnd), true;
    }
    return false;
}

void LineDiscipline::store_plain(u8 c) {
    // The line is full: only a line end may still be stored.
    if (stored() + 2 >= input_capacity) {
        if (has_input(IMAXBEL)) echo_raw('\a');
        return;
    }
    if (has_local(ECHO)) {
        finish_erasing();
        if (c == '\n')
            echo_raw('\n');
        else
            note_line_start(), echo(c);
    }
    // termios(3): with PARMRK a byte 0xff is doubled, so that it can't be taken for a mark.
    if (has_input(PARMRK) && !has_input(ISTRIP) && c == 0xff) store(c);
    store(c);
}

void LineDiscipline::store(u8 c, Mark mark) {
    if (stored() >= input_capacity) return;
    input_[slot(head_)] = c;
    marks_[slot(head_)] = mark;
    ++head_;
}

void LineDiscipline::end_line(u8 c, Mark mark) {
    if (stored() >= input_capacity) return;
    store(c, mark);
    canon_head_ = head_;
}

usize LineDiscipline::available() const {
    if (!is_canonical()) return stored();
    usize count = 0;
    for (usize at = tail_; at != canon_head_; ++at)
        if (marks_[slot(at)] != Mark::EndOfFile) ++count;
    return count;
}

bool LineDiscipline::is_readable(usize minimum) const {
    if (is_canonical() && !has_local(EXTPROC)) return has_whole_line();
    return stored() >= std::max<usize>(minimum, 1);
}

LineDiscipline::ReadStep LineDiscipline::read(std::span<u8> out) {
    ReadStep step;
    const bool by_line = is_canonical() && !has_local(EXTPROC);
    const usize end = by_line ? canon_head_ : head_;
    while (tail_ != end && !step.ends_read) {
        const Mark mark = by_line ? marks_[slot(tail_)] : Mark::None;
        // An end of file is consumed even when the buffer is full just before it, as Linux does: the next
        // read would otherwise return 0 in the middle of the input.
        if (mark != Mark::EndOfFile && step.count == out.size()) break;
        if (mark != Mark::EndOfFile) out[step.count++] = input_[slot(tail_)];
        step.ends_read = mark != Mark::None;
        ++tail_;
    }
    if (!by_line) canon_head_ = tail_;
    return step;
}

void LineDiscipline::flush_input() {
    tail_ = canon_head_ = head_;
    next_is_literal_ = is_erasing_ = false;
}

} // namespace linnet::tty
