// N_TTY, the keys that edit a line before it is read: erase, word erase, kill, reprint, and how that looks on
// the screen.
#include <tty/line_discipline.hpp>

namespace linnet::tty {

using namespace abi;

namespace {
bool is_control(u8 c) { return c < 0x20 || c == 0x7f; }
bool is_word_part(u8 c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c >= 0x80;
}
} // namespace

void LineDiscipline::erase(EraseKind kind) {
    if (head_ == canon_head_) return;
    if (kind == EraseKind::Line && !(has_local(ECHO) && has_local(ECHOE) && has_local(ECHOK) && has_local(ECHOKE)))
        return erase_whole_line_without_picture();
    usize alphanumerics = 0;
    while (head_ != canon_head_ && erase_one(kind, alphanumerics) && kind != EraseKind::Character) {
    }
    if (head_ == canon_head_ && has_local(ECHO)) finish_erasing();
}

void LineDiscipline::erase_whole_line_without_picture() {
    head_ = canon_head_;
    if (!has_local(ECHO)) return;
    finish_erasing();
    echo(termios_.c_cc[VKILL]);
    if (has_local(ECHOK)) echo_raw('\n');
}

/// Takes the last character off the line; false when a word ends before it.
bool LineDiscipline::erase_one(EraseKind kind, usize& alphanumerics) {
    usize at = head_;
    u8 c;
    do {
        c = input_[slot(--at)];
    } while (is_continuation(c) && at != canon_head_);
    if (is_continuation(c)) return false; // half a character isn't erased
    if (kind == EraseKind::Word) {
        if (is_word_part(c))
            ++alphanumerics;
        else if (alphanumerics > 0)
            return false;
    }
    usize width = head_ - at;
    head_ = at;
    if (has_local(ECHO)) show_erasure(kind, c, width);
    return true;
}

void LineDiscipline::show_erasure(EraseKind kind, u8 c, usize width) {
    if (has_local(ECHOPRT)) {
        if (!is_erasing_) echo_raw('\\');
        is_erasing_ = true;
        echo(c);
        for (usize i = 1; i < width; ++i) echo_raw(input_[slot(head_ + i)]);
        return;
    }
    if (kind == EraseKind::Character && !has_local(ECHOE)) return echo(termios_.c_cc[VERASE]);
    if (c == '\t') return erase_tab_on_screen();
    if (is_control(c) && has_local(ECHOCTL)) echo_text("\b \b");
    if (!is_control(c) || has_local(ECHOCTL)) echo_text("\b \b");
}

/// A tab covered as many columns as led to the next multiple of eight: they follow from what stands before
/// it.
void LineDiscipline::erase_tab_on_screen() {
    usize columns = 0;
    bool after_tab = false;
    for (usize at = head_; at != canon_head_ && !after_tab;) {
        u8 c = input_[slot(--at)];
        if (c == '\t')
            after_tab = true;
        else if (is_control(c))
            columns += has_local(ECHOCTL) ? 2 : 0;
        else if (!is_continuation(c))
            ++columns;
    }
    if (!after_tab) columns += canon_column_;
    for (usize back = 8 - columns % 8; back > 0; --back) echo_raw('\b');
}

void LineDiscipline::finish_erasing() {
    if (!is_erasing_) return;
    echo_raw('/');
    is_erasing_ = false;
}

void LineDiscipline::reprint() {
    finish_erasing();
    echo(termios_.c_cc[VREPRINT]);
    echo_raw('\n');
    for (usize at = canon_head_; at != head_; ++at) echo(input_[slot(at)]);
}

} // namespace linnet::tty
