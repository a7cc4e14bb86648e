// The line discipline against termios(3): lines, editing, echo, signals, flow control, output processing, full queues,
// and random settings and input.
#include <abi/linux/signal.hpp>
#include <gtest/gtest.h>
#include <tty/line_discipline.hpp>

namespace {

using namespace linnet;
using namespace linnet::abi;
using tty::LineDiscipline;

struct Screen final : tty::LineDisciplineHost {
    std::string shown;
    std::vector<int> signals;
    usize room = 1 << 20;
    bool stopped = false;
    int discards = 0;

    usize transmit_room() override { return stopped ? 0 : room; }
    usize transmit(std::span<const u8> bytes) override {
        EXPECT_FALSE(stopped && !bytes.empty());
        usize count = std::min(bytes.size(), room);
        shown.append(bytes.begin(), bytes.begin() + static_cast<isize>(count));
        return room -= count, count;
    }
    void signal_foreground(int signo) override { signals.push_back(signo); }
    void discard_output() override { ++discards; }
    void stop_output() override { stopped = true; }
    void start_output() override { stopped = false; }
    [[nodiscard]] bool is_output_stopped() const override { return stopped; }
};

struct Tty : testing::Test {
    Screen screen;
    LineDiscipline line{screen, tty::default_termios()};

    usize type(std::string_view text) { return line.receive({reinterpret_cast<const u8*>(text.data()), text.size()}); }
    /// One read, as read(2) does it.
    std::string read(usize size = 1000) {
        std::unique_ptr<u8[]> bytes(new u8[size]);
        auto step = line.read({bytes.get(), size});
        return {bytes.get(), bytes.get() + step.count};
    }
    void print(std::string_view text) {
        EXPECT_EQ(line.write({reinterpret_cast<const u8*>(text.data()), text.size()}), text.size());
    }
    std::string shown() { return std::exchange(screen.shown, {}); }
    template <typename F>
    void change(F edit) {
        termios2 settings = line.termios();
        edit(settings);
        line.set_termios(settings);
    }
    void raw() {
        change([](auto& t) { t.c_lflag &= ~(ICANON | ECHO | ISIG | IEXTEN), t.c_iflag = 0; });
    }
};

TEST_F(Tty, AReadGivesALine) {
    type("one");
    EXPECT_FALSE(line.is_readable());
    EXPECT_EQ(line.available(), 0u);
    type("\rtwo\r");
    EXPECT_TRUE(line.is_readable());
    EXPECT_EQ(line.available(), 8u);
    EXPECT_EQ(read(), "one\n"); // not more than a line, though there is more
    EXPECT_EQ(read(2), "tw");
    EXPECT_EQ(read(), "o\n");
    EXPECT_FALSE(line.is_readable());
    EXPECT_EQ(shown(), "one\r\ntwo\r\n");
}

TEST_F(Tty, EndOfFile) {
    type("ab\4");
    EXPECT_EQ(read(), "ab");
    EXPECT_FALSE(line.is_readable());
    type("\4");
    EXPECT_TRUE(line.is_readable());
    EXPECT_EQ(line.available(), 0u);
    EXPECT_EQ(read(), "");
    EXPECT_FALSE(line.is_readable());
    // It goes with the bytes before it even where they just fit.
    type("ab\4c\r");
    EXPECT_EQ(read(2), "ab");
    EXPECT_EQ(read(), "c\n");
}

TEST_F(Tty, Editing) {
    type("abc\x7f\x7fx\r");
    EXPECT_EQ(read(), "ax\n");
    EXPECT_EQ(shown(), "abc\b \b\b \bx\r\n");
    type("one two  \x17"
         "2\r");
    EXPECT_EQ(read(), "one 2\n");
    shown();
    type("wrong\x15right\r");
    EXPECT_EQ(read(), "right\n");
    EXPECT_EQ(shown(), "wrong"
                       "\b \b\b \b\b \b\b \b\b \b"
                       "right\r\n");
    type("\x7f\x17\x15"); // nothing to erase
    EXPECT_EQ(shown(), "");
    type("done\r");
    type("\x7f\x15"); // a finished line isn't touched
    EXPECT_EQ(read(), "done\n");
}

TEST_F(Tty, ControlCharactersAndTabsOnTheScreen) {
    type("\x16\x03"
         "a\r"); // literally, though it is the interrupt key
    EXPECT_EQ(read(), "\x03"
                      "a\n");
    EXPECT_EQ(shown(), "^\b^Ca\r\n");
    EXPECT_TRUE(screen.signals.empty());
    type("\x01\x7f");
    EXPECT_EQ(shown(), "^A\b \b\b \b");
    type("ab\t\x7f");
    EXPECT_EQ(shown(), "ab\t\b\b\b\b\b\b");
    type("\x12");
    EXPECT_EQ(shown(), "^R\r\nab");
}

TEST_F(Tty, Utf8IsErasedWhole) {
    change([](auto& t) { t.c_iflag |= IUTF8; });
    type("a\xc3\xa4\x7f"
         "b\r");
    EXPECT_EQ(read(), "ab\n");
    EXPECT_EQ(shown(), "a\xc3\xa4\b \bb\r\n");
}

TEST_F(Tty, Signals) {
    type("lost\x03");
    type("\x1a\x1c");
    EXPECT_EQ(screen.signals, (std::vector<int>{SIGINT, SIGTSTP, SIGQUIT}));
    EXPECT_EQ(screen.discards, 3);
    type("kept\r");
    EXPECT_EQ(read(), "kept\n");
    change([](auto& t) { t.c_lflag |= NOFLSH; });
    type("half\x03 whole\r");
    EXPECT_EQ(read(), "half whole\n");
    change([](auto& t) { t.c_cc[VINTR] = 0; });
    screen.signals.clear();
    type(std::string_view("\0\3\r", 3)); // neither the old key nor NUL
    EXPECT_TRUE(screen.signals.empty());
    EXPECT_EQ(read(), std::string_view("\0\3\n", 3));
}

TEST_F(Tty, FlowControl) {
    type("\x13"
         "ab");
    EXPECT_TRUE(screen.stopped);
    EXPECT_EQ(shown(), "");
    const u8 more[] = {'x'};
    EXPECT_EQ(line.write(more), 0u);
    type("\x11");
    EXPECT_FALSE(screen.stopped);
    EXPECT_EQ(shown(), "ab");
    change([](auto& t) { t.c_iflag |= IXANY; });
    type("\x13"
         "c");
    EXPECT_FALSE(screen.stopped);
}

TEST_F(Tty, Raw) {
    raw();
    type("a\r\x03\x7f\x04");
    EXPECT_EQ(line.available(), 5u);
    EXPECT_FALSE(line.is_readable(6));
    EXPECT_TRUE(line.is_readable(5));
    EXPECT_EQ(read(2), "a\r");
    EXPECT_EQ(read(), "\x03\x7f\x04");
    EXPECT_EQ(shown(), "");
}

TEST_F(Tty, InputFlags) {
    change([](auto& t) { t.c_iflag = INLCR | IGNCR | ISTRIP | IUCLC, t.c_lflag = IEXTEN; });
    type("A\r\n\xe2");
    EXPECT_EQ(read(), "a\rb");
    change([](auto& t) { t.c_iflag = PARMRK; });
    type("\xff");
    EXPECT_EQ(read(), "\xff\xff");
    line.receive_break();
    EXPECT_EQ(read(), std::string_view("\xff\0\0", 3));
    change([](auto& t) { t.c_iflag = BRKINT; });
    line.receive_break();
    EXPECT_EQ(screen.signals, std::vector<int>{SIGINT});
}

TEST_F(Tty, ChangesOfModeKeepTheInput) {
    type("half");
    raw();
    EXPECT_TRUE(line.is_readable());
    EXPECT_EQ(read(2), "ha");
    change([](auto& t) { t.c_lflag |= ICANON; });
    EXPECT_TRUE(line.is_readable());
    EXPECT_EQ(read(), "lf");
    type("x");
    line.flush_input();
    type("y\n");
    EXPECT_EQ(read(), "y\n");
}

TEST_F(Tty, Output) {
    print("a\nb\tc\n");
    EXPECT_EQ(shown(), "a\r\nb\tc\r\n");
    change([](auto& t) { t.c_oflag = OPOST | XTABS | OLCUC | OCRNL; });
    print("\rab\tc");
    EXPECT_EQ(shown(), "\nAB      C");
    change([](auto& t) { t.c_oflag = 0; });
    print("a\n");
    EXPECT_EQ(shown(), "a\n");
}

TEST_F(Tty, OutputWaitsForRoom) {
    screen.room = 5;
    const std::string_view text = "ab\ncd\n";
    std::span bytes(reinterpret_cast<const u8*>(text.data()), text.size());
    usize used = line.write(bytes);
    EXPECT_EQ(used, 4u);
    EXPECT_EQ(shown(), "ab\r\nc"); // never half of a pair
    screen.room = 1;
    EXPECT_EQ(line.write(bytes.subspan(used)), 1u);
    screen.room = 1;
    EXPECT_EQ(line.write(bytes.subspan(used + 1)), 0u);
    screen.room = 2;
    EXPECT_EQ(line.write(bytes.subspan(used + 1)), 1u);
    EXPECT_EQ(shown(), "d\r\n");
}

TEST_F(Tty, AFullQueueKeepsTheLineEnd) {
    std::string flood(10000, 'x');
    type(flood);
    EXPECT_TRUE(line.can_take_byte()); // or nobody could ever end the line
    type("\r");
    std::string got = read(20000);
    EXPECT_EQ(got.back(), '\n');
    EXPECT_LE(got.size(), LineDiscipline::input_capacity);
    EXPECT_GE(got.size(), LineDiscipline::input_capacity - 2);
    raw();
    usize used = type(flood);
    EXPECT_LT(used, flood.size());
    EXPECT_FALSE(line.can_take_byte());
    EXPECT_EQ(line.available(), used);
    EXPECT_EQ(read(100).size(), 100u);
    EXPECT_TRUE(line.can_take_byte());
}

/// Whatever the settings, the input, the reader and the device do: nothing is read that wasn't typed, and no buffer
/// overflows.
TEST_F(Tty, RandomSettingsAndInput) {
    std::mt19937 random(10);
    constexpr char likely[] = "ab \t\r\n\x7f\x15\x17\x03\x04\x11\x13\x16\x12\xff\xc3\xa4";
    usize typed = 0, got = 0;
    for (int step = 0; step < 40000; ++step) {
        switch (random() % 8) {
        case 0:
            change([&](auto& t) {
                t.c_iflag = random() % 2 ? t.c_iflag : static_cast<u32>(random());
                t.c_oflag = random() % 2 ? t.c_oflag : static_cast<u32>(random());
                t.c_lflag ^= 1u << (random() % 17);
                t.c_cc[random() % std::size(t.c_cc)] = static_cast<u8>(likely[random() % (sizeof likely)]);
            });
            break;
        case 1:
            screen.room = random() % 64;
            line.resume_output();
            break;
        case 2:
            line.receive_break();
            typed += 3;
            break;
        case 3:
            got += read(random() % 100 + 1).size();
            break;
        case 4: {
            std::vector<u8> out(random() % 300);
            for (u8& byte : out) byte = static_cast<u8>(likely[random() % (sizeof likely)]);
            EXPECT_LE(line.write(out), out.size());
            break;
        }
        default: {
            std::string text(random() % (step % 50 == 0 ? 6000 : 40), 0);
            for (char& c : text) c = random() % 8 ? likely[random() % (sizeof likely)] : static_cast<char>(random());
            usize used = type(text);
            EXPECT_LE(used, text.size());
            typed += used * 2; // PARMRK doubles
            break;
        }
        }
        EXPECT_LE(line.available(), LineDiscipline::input_capacity);
        EXPECT_LE(got, typed);
        if (line.is_readable()) EXPECT_TRUE(line.is_canonical() || line.available() > 0);
        screen.shown.clear();
    }
    EXPECT_GT(got, 1000u);
}

} // namespace
