// Lines of kprobe_events and uprobe_events: what good ones say, where bad ones are refused, and that random ones do no
// harm.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

#include "probe_command.hpp"

using namespace linnet;
using namespace linnet::trace;

namespace {

int register_number(std::string_view name) { return name == "ax" ? 10 : name == "sp" ? 20 : -1; }
int argument_register(unsigned number) { return number < 6 ? static_cast<int>(number) : -1; }
constexpr CommandSyntax of_kernel{false, register_number, argument_register},
    of_programs{true, register_number, argument_register};

struct Parsed {
    ProbeCommand command;
    CommandError why;
    Errno code{};
};
Parsed parse(std::string_view line, const CommandSyntax& syntax = of_kernel) {
    Parsed made;
    const auto done = parse_probe_command(line, syntax, made.command, made.why);
    if (!done) made.code = done.error();
    return made;
}

TEST(ProbeCommand, Places) {
    const Parsed plain = parse("p vfs_read");
    EXPECT_EQ(plain.code, Errno{});
    EXPECT_EQ(plain.command.target, "vfs_read");
    EXPECT_FALSE(plain.command.is_return);
    const Parsed named = parse("r12:group/event linnet::vfs::File::read+0");
    EXPECT_EQ(named.code, Errno{});
    EXPECT_EQ(named.command.group, "group");
    EXPECT_EQ(named.command.name, "event");
    EXPECT_EQ(named.command.target, "linnet::vfs::File::read");
    EXPECT_EQ(named.command.most_active, 12u);
    EXPECT_EQ(parse("p vfs_read+0x10").command.offset, 16u);
    EXPECT_EQ(parse("p 0xffffffff81000000").command.offset, 0xffff'ffff'8100'0000);
    EXPECT_TRUE(parse("p:x vfs_read%return").command.is_return);
    const Parsed program = parse("p:mine/x /usr/bin/a:b:0x1234 %ax", of_programs);
    EXPECT_EQ(program.command.target, "/usr/bin/a:b");
    EXPECT_EQ(program.command.offset, 0x1234u);
    const Parsed removal = parse("-:group/event");
    EXPECT_TRUE(removal.command.is_removal);
    EXPECT_EQ(removal.command.name, "event");
    const Parsed one = parse("-:group/event vfs_read+16 a=%ax:u16 arg2=\\\"two words\"");
    EXPECT_EQ(one.command.target, "vfs_read+16");
    ASSERT_EQ(one.command.arguments.size(), 2u);
    EXPECT_EQ(one.command.arguments[1].text, "arg2=\\\"two words\"");
}

TEST(ProbeCommand, Values) {
    const Parsed made =
        parse("p f a=%ax:u16 $stack2 +8(-u16(%sp)):string \\-5:s8 b=@0x100 c=%ax:b3@4/32 d=+0(%ax):x8[4]");
    ASSERT_EQ(made.code, Errno{});
    const auto values = made.command.arguments.span();
    ASSERT_EQ(values.size(), 7u);
    EXPECT_EQ(values[0].name, "a");
    EXPECT_EQ(values[0].text, "%ax:u16");
    EXPECT_EQ(values[0].value, 10u);
    EXPECT_EQ(values[0].type.size, 2);
    EXPECT_EQ(values[1].source, FetchArgument::Source::StackWord);
    ASSERT_EQ(values[2].step_count, 2);
    EXPECT_EQ(values[2].steps[0].offset, -16); // the inner one first
    EXPECT_TRUE(values[2].steps[0].is_user);
    EXPECT_EQ(values[2].steps[1].offset, 8);
    EXPECT_TRUE(values[2].type.is_text());
    EXPECT_EQ(values[3].value, ~u64{4});
    EXPECT_EQ(values[4].step_count, 1);
    EXPECT_EQ(values[5].type.bit_size, 3);
    EXPECT_EQ(values[5].type.bit_offset, 4);
    EXPECT_EQ(values[6].type.count, 4);
}

TEST(ProbeCommand, Refusals) {
    for (const char* line : {"",
                             "p",
                             "q f",
                             "p: f",
                             "p:a-b f",
                             "p:1a f",
                             "p:/a f",
                             "r0 f",
                             "r5000 f",
                             "p5 f",
                             "p f+",
                             "p f+x",
                             "r 0x100",
                             "- x",
                             "p f %no",
                             "p f x=",
                             "p f =%ax",
                             "p f x=%ax x=%ax",
                             "p f common_pid=%ax",
                             "p f $retval",
                             "p f $argx",
                             "p f $arg0",
                             "p f $stackx",
                             "p f %ax:u7",
                             "p f %ax:string",
                             "p f %ax:b9@0/8",
                             "p f %ax:b1@8/8",
                             "p f %ax:u8[2]",
                             "p f +0(%ax):u8[0]",
                             "p f +0(%ax):u8[65]",
                             "p f +0(%ax",
                             "p f +0%ax)",
                             "p f +x(%ax)",
                             "p f \\",
                             "p f \\\"a",
                             "p f @",
                             "p f @+8",
                             "p f $comm:u8",
                             "p module:f"})
        EXPECT_NE(parse(line).code, Errno{}) << line;
    for (const char* line : {"p a:0x1", "p /a", "p /a:", "p /a:x", "r5 /a:0x1", "p /a:0x1 @f", "p /a:0x1(0x2)"})
        EXPECT_NE(parse(line, of_programs).code, Errno{}) << line;
    const Parsed refused = parse("p:x f a=%ax b=%no");
    EXPECT_STREQ(refused.why.message, "Invalid register name");
    EXPECT_EQ(refused.why.position, 14u);
    std::string nested = "p f ";
    for (int i = 0; i < 20; ++i) nested += "+0(";
    EXPECT_NE(parse(nested + "%ax" + std::string(20, ')')).code, Errno{});
    std::string many = "p f";
    for (int i = 0; i < 129; ++i) many += " %ax";
    EXPECT_EQ(parse(many).code, Errno::E2BIG);
}

/// On blocks of exactly the line's size.
TEST(ProbeCommand, RandomLines) {
    const std::string good =
        "p:group/event name+16 a=%ax:u16 b=+8(-u16(%sp)):string c=\\\"t e\" d=@sym+8:x8[4] $stack2 $comm";
    std::mt19937 random(1);
    for (int i = 0; i < 200'000; ++i) {
        std::string line = good.substr(0, 1 + random() % good.size());
        for (unsigned changes = random() % 4; changes; --changes)
            line[random() % line.size()] = good[random() % good.size()];
        const std::unique_ptr<char[]> block(new char[line.size()]);
        std::memcpy(block.get(), line.data(), line.size());
        (void)parse({block.get(), line.size()}, i % 2 ? of_kernel : of_programs);
    }
}

} // namespace
