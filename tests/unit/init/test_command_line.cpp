// The kernel command line: which words are the kernel's, which are init's, sizes and quotes, and hostile text.
#include "command_line.hpp"
#include "mutate.hpp"

#include <core/log.hpp>
#include <core/panic.hpp>
#include <gtest/gtest.h>

namespace linnet::core {
namespace {
int log_level = -1;
i64 timeout = -1;
} // namespace
void set_console_log_level(u8 level) { log_level = level; }
void set_panic_timeout(i64 seconds) { timeout = seconds; }
} // namespace linnet::core

namespace {

using namespace linnet;
using init::CommandLine;

CommandLine parsed(std::string_view text) {
    auto line = CommandLine::parse(text);
    EXPECT_TRUE(line.has_value());
    return std::move(*line);
}
std::string joined(const ArrayList<std::string_view>& words) {
    std::string text;
    for (auto word : words) text.append("<").append(word).append(">");
    return text;
}

TEST(CommandLine, OursAndInits) {
    auto line = parsed("console=ttyS0 rdinit=/a init=/b console=hvc0 ro word name=value mod.param=1 -- rest x=y quiet");
    EXPECT_EQ(line.console, "hvc0"); // the last one counts
    EXPECT_EQ(line.rdinit, "/a");
    EXPECT_TRUE(line.rdinit_given);
    EXPECT_EQ(line.init, "/b");
    EXPECT_TRUE(line.root.is_read_only);
    EXPECT_EQ(joined(line.init_arguments), "<word><rest><x=y><quiet>");
    EXPECT_EQ(joined(line.environment), "<name=value>");
}

TEST(CommandLine, Nothing) {
    for (const char* text : {"", " ", "\t\n ", "--", "-- ", "ro rw"}) {
        auto line = parsed(text);
        EXPECT_EQ(line.rdinit, "/init") << text;
        EXPECT_FALSE(line.rdinit_given);
        EXPECT_TRUE(line.init_arguments.is_empty() && line.environment.is_empty());
    }
}

TEST(CommandLine, Root) {
    EXPECT_TRUE(parsed("").root.is_read_only); // as on Linux
    EXPECT_FALSE(parsed("ro rw").root.is_read_only);
    EXPECT_TRUE(parsed("rw ro").root.is_read_only);
    auto line = parsed("root=PARTUUID=1-2 rootfstype=ext4,vfat rootflags=errors=panic,acl rootdelay=3 rootwait");
    EXPECT_EQ(line.root.device, "PARTUUID=1-2");
    EXPECT_EQ(line.root.types, "ext4,vfat");
    EXPECT_EQ(line.root.flags, "errors=panic,acl");
    EXPECT_EQ(line.root.delay_seconds, 3);
    EXPECT_TRUE(line.root.waits);
    EXPECT_EQ(line.root.wait_seconds, 0);
    line = parsed("rootwait=7");
    EXPECT_TRUE(line.root.waits);
    EXPECT_EQ(line.root.wait_seconds, 7);
    line = parsed("root= rootdelay=x rootwait=-");
    EXPECT_EQ(line.root.device, "");
    EXPECT_EQ(line.root.delay_seconds, 0);
}

TEST(CommandLine, Quotes) {
    auto line = parsed("\"two words\" name=\"a b\" \"other=c d\" rdinit=\"/my init\" open=\"never closed x");
    EXPECT_EQ(joined(line.init_arguments), "<two words>");
    EXPECT_EQ(joined(line.environment), "<name=\"a b\"><other=c d><open=\"never closed x>");
    EXPECT_EQ(line.rdinit, "/my init");
}

TEST(CommandLine, Effects) {
    parsed("loglevel=3 panic=-1");
    EXPECT_EQ(core::log_level, 3);
    EXPECT_EQ(core::timeout, -1);
    parsed("panic=10 quiet");
    EXPECT_EQ(core::log_level, 4);
    EXPECT_EQ(core::timeout, 10);
    init::apply_early_words("panic=7 mem=1 -- panic=8");
    EXPECT_EQ(core::timeout, 7);
    EXPECT_EQ(parsed("maxcpus=2").max_cpus, 2u);
    EXPECT_EQ(parsed("maxcpus=0").max_cpus, 1u);
    EXPECT_EQ(parsed("nosmp").max_cpus, 1u);
    EXPECT_EQ(parsed("mem=64M").memory_limit, 64u << 20);
}

TEST(CommandLine, NumbersOutOfRangeAreNotCut) {
    parsed("loglevel=256");
    EXPECT_EQ(core::log_level, 255);
    parsed("loglevel=-1");
    EXPECT_EQ(core::log_level, 0);
}

TEST(CommandLine, Sizes) {
    auto size = [](std::string_view text) {
        u64 value = 12345;
        return init::parse_size(text, value) ? value : ~u64{0};
    };
    EXPECT_EQ(size("0"), 0u);
    EXPECT_EQ(size("4096"), 4096u);
    EXPECT_EQ(size("0x10"), 16u);
    EXPECT_EQ(size("0X10k"), 16384u);
    EXPECT_EQ(size("1K"), 1024u);
    EXPECT_EQ(size("3g"), u64{3} << 30);
    for (const char* bad : {"", "x", "0x", "M", "1KB", "1 K", "-1", "+1", "99999999999999999999", "0x10000000000000000",
                            "17179869184G", "1T2", "12a"})
        EXPECT_EQ(size(bad), ~u64{0}) << bad;
    EXPECT_EQ(init::early_memory_limit("a mem=1M mem=2M -- mem=3M"), 2u << 20);
    EXPECT_EQ(init::early_memory_limit("mem=lots"), ~u64{0});
}

TEST(CommandLine, NoTextLeadsOutside) {
    std::string_view good =
        "console=ttyS0,115200 rdinit=\"/init x\" mem=0x40000000K maxcpus=4 panic=-1 w \"q=1 2\" -- a=b c";
    std::span bytes(reinterpret_cast<const u8*>(good.data()), good.size());
    std::mt19937 random(6);
    for (int round = 0; round < 30000; ++round) {
        auto text = test::damaged(bytes, random);
        constexpr char likely[] = "\" =-.\t0";
        for (unsigned i = random() % 4; i > 0 && !text.empty(); --i)
            text[random() % text.size()] = static_cast<u8>(likely[random() % 7]);
        test::Exact exact(text);
        std::string_view view(reinterpret_cast<const char*>(exact.data.get()), exact.size);
        auto line = parsed(view);
        for (auto word : line.init_arguments)
            EXPECT_TRUE(word.data() >= view.data() && word.data() + word.size() <= view.data() + view.size());
        (void)init::early_memory_limit(view);
    }
}

} // namespace
