// N_TTY, the way out: output processing (OPOST) with its column, and echo.
#include <algorithm>
#include <tty/line_discipline.hpp>

namespace linnet::tty {

using namespace abi;

namespace {
bool is_control(u8 c) { return c < 0x20 || c == 0x7f; }
} // namespace

usize LineDiscipline::output_length(u8 c) const {
    if (!has_output(OPOST)) return 1;
    if (c == '\n' && has_output(ONLCR)) return 2;
    if (c == '\t' && (termios_.c_oflag & TABDLY) == XTABS) return 8 - column_ % 8;
    if (c == '\r' && has_output(ONOCR) && column_ == 0) return 0;
    return 1;
}

usize LineDiscipline::process_output(u8 c, std::array<u8, 8>& out) {
    out[0] = c;
    if (!has_output(OPOST)) return 1;
    switch (c) {
    case '\n':
        if (has_output(ONLRET)) column_ = 0;
        if (has_output(ONLCR)) {
            column_ = canon_column_ = 0;
            out[0] = '\r', out[1] = '\n';
            return 2;
        }
        canon_column_ = column_;
        return 1;
    case '\r':
        if (has_output(ONOCR) && column_ == 0) return 0;
        if (has_output(OCRNL)) {
            out[0] = '\n';
            if (has_output(ONLRET)) column_ = canon_column_ = 0;
        } else {
            column_ = canon_column_ = 0;
        }
        return 1;
    case '\t': {
        usize spaces = 8 - column_ % 8;
        column_ += spaces;
        if ((termios_.c_oflag & TABDLY) != XTABS) return 1;
        std::fill_n(out.begin(), spaces, u8{' '});
        return spaces;
    }
    case '\b':
        if (column_ > 0) --column_;
        return 1;
    default:
        if (!is_control(c)) {
            if (has_output(OLCUC) && c >= 'a' && c <= 'z') out[0] = static_cast<u8>(c - 'a' + 'A');
            if (!is_continuation(c)) ++column_;
        }
        return 1;
    }
}

usize LineDiscipline::write(std::span<const u8> bytes) {
    resume_output();
    if (echo_length_ > 0) return 0; // echo came first
    if (!has_output(OPOST)) return host_.transmit(bytes.first(std::min(bytes.size(), host_.transmit_room())));
    std::array<u8, 256> batch;
    usize used = 0;
    while (used < bytes.size()) {
        const usize room = std::min(host_.transmit_room(), batch.size());
        usize length = 0;
        const usize before = used;
        while (used < bytes.size() && length + output_length(bytes[used]) <= room) {
            std::array<u8, 8> out;
            usize count = process_output(bytes[used++], out);
            std::copy_n(out.begin(), count, batch.begin() + static_cast<isize>(length));
            length += count;
        }
        if (used == before) break;
        host_.transmit(std::span(batch).first(length));
    }
    return used;
}

void LineDiscipline::resume_output() {
    if (echo_length_ == 0) return;
    usize room = std::min(host_.transmit_room(), echo_length_);
    if (room == 0) return;
    usize sent = host_.transmit(std::span(echo_).first(room));
    std::copy(echo_.begin() + static_cast<isize>(sent), echo_.begin() + static_cast<isize>(echo_length_),
              echo_.begin());
    echo_length_ -= sent;
}

void LineDiscipline::note_line_start() {
    if (head_ == canon_head_) canon_column_ = column_;
}

void LineDiscipline::echo(u8 c) {
    if (has_local(ECHOCTL) && is_control(c) && c != '\t') {
        echo_raw('^');
        return echo_raw(c ^ 0x40);
    }
    echo_raw(c);
}

/// Echo that finds no room is dropped: the device has been stopped for 2,048 typed characters.
void LineDiscipline::echo_raw(u8 c) {
    if (echo_length_ + 8 > echo_.size()) resume_output();
    if (echo_length_ + 8 > echo_.size()) return;
    std::array<u8, 8> out;
    usize count = process_output(c, out);
    std::copy_n(out.begin(), count, echo_.begin() + static_cast<isize>(echo_length_));
    echo_length_ += count;
}

void LineDiscipline::echo_text(const char* text) {
    for (; *text; ++text) echo_raw(static_cast<u8>(*text));
}

} // namespace linnet::tty
