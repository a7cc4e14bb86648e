// Filters of trace events: what they accept, what they say, and that nothing foreign harms the parser.
#include <cstring>
#include <filter.hpp>
#include <gtest/gtest.h>
#include <mutate.hpp>
#include <string>

namespace {

using linnet::trace::EventField;
using linnet::trace::Filter;
using linnet::trace::FilterError;
using linnet::trace::matches_glob;
using linnet::trace::RecordHead;

struct Record {
    RecordHead head{.type = 30, .flags = 0, .preempt_count = 0, .pid = 42};
    char comm[16] = "worker";
    linnet::i32 number = -5;
    linnet::u32 where = 0;
    linnet::u64 large = 0xffff'0000'1234'5678;
    char path[8] = "/bin/sh";
};

constexpr EventField fields[] = {
    {"char comm[16]", offsetof(Record, comm), 16, false},
    {"int number", offsetof(Record, number), 4, true},
    {"__data_loc char[] path", offsetof(Record, where), 4, false},
    {"unsigned long large", offsetof(Record, large), 8, false},
    {"unsigned long many[6]", offsetof(Record, large), 8, false},
};

linnet::Result<linnet::OwnPtr<Filter>> parse(std::string_view text, FilterError& why) {
    return Filter::parse(
        text,
        [](linnet::trace::FieldVisitor visit) {
            for (const EventField& field : fields) visit(field);
        },
        why);
}

bool holds(std::string_view text) {
    FilterError why;
    auto filter = parse(text, why);
    EXPECT_TRUE(filter) << text << ": " << (why.message ? why.message : "?");
    if (!filter) return false;
    Record record;
    record.where = offsetof(Record, path) | 8u << 16;
    return (*filter)->matches({reinterpret_cast<const linnet::u8*>(&record), sizeof record}, {.cpu = 2, .comm = "me"});
}

std::string refused(std::string_view text) {
    FilterError why;
    auto filter = parse(text, why);
    EXPECT_FALSE(filter) << text;
    return why.message ? why.message : "";
}

TEST(TraceFilter, Comparisons) {
    EXPECT_TRUE(holds("number == -5"));
    EXPECT_TRUE(holds("number < 0"));
    EXPECT_FALSE(holds("number > 0"));
    EXPECT_TRUE(holds("number >= -5 && number <= -5"));
    EXPECT_TRUE(holds("large > 0x7fffffffffffffff"));
    EXPECT_TRUE(holds("large & 0x8"));
    EXPECT_FALSE(holds("large & 0x80"));
    EXPECT_TRUE(holds("common_pid==42"));
    EXPECT_TRUE(holds("common_pid != 052 || common_pid == 052"));
    EXPECT_TRUE(holds("cpu == 2"));
    EXPECT_TRUE(holds("CPU!=1"));
    EXPECT_TRUE(holds("COMM == \"me\""));
}

TEST(TraceFilter, Texts) {
    EXPECT_TRUE(holds("comm == \"worker\""));
    EXPECT_TRUE(holds("comm == 'worker'"));
    EXPECT_FALSE(holds("comm != \"worker\""));
    EXPECT_TRUE(holds("comm ~ \"w*r\""));
    EXPECT_FALSE(holds("comm ~ \"w\""));
    EXPECT_TRUE(holds("path == \"/bin/sh\""));
    EXPECT_TRUE(holds("path ~ \"*bin*\""));
}

TEST(TraceFilter, Combinations) {
    EXPECT_TRUE(holds("number == 1 || number == 2 && cpu == 0 || common_pid == 42"));
    EXPECT_FALSE(holds("(number == 1 || common_pid == 42) && cpu == 0"));
    EXPECT_TRUE(holds("!(number == 1) && !(cpu == 0)"));
    EXPECT_TRUE(holds("((((cpu == 2))))"));
}

TEST(TraceFilter, Refused) {
    EXPECT_EQ(refused("foo == 1"), "Field not found");
    EXPECT_EQ(refused("number =="), "Invalid value (did you forget quotes)?");
    EXPECT_EQ(refused("number == x"), "Invalid value (did you forget quotes)?");
    EXPECT_EQ(refused("number == 99999999999999999999"), "Invalid value (did you forget quotes)?");
    EXPECT_EQ(refused("comm > 3"), "Invalid operator");
    EXPECT_EQ(refused("comm == 3"), "Expecting string field");
    EXPECT_EQ(refused("comm == \"x"), "Missing closing quote");
    EXPECT_EQ(refused("number ~ 3"), "Expecting string field");
    EXPECT_EQ(refused("many == 1"), "Field not found");
    EXPECT_EQ(refused("(number == 1"), "Missing closing ')'");
    EXPECT_EQ(refused("number == 1)"), "Too many ')'");
    EXPECT_EQ(refused(std::string(5000, '(')), "");
    EXPECT_EQ(refused(std::string(3000, '(')), "Too many '('");
    EXPECT_EQ(refused(std::string(3000, '!')), "Too many '('");
    EXPECT_EQ(refused(std::string(12, '(')), "Too many '('");
    EXPECT_EQ(refused(std::string(11, '(')), "Missing field name and/or value");
    refused("");
    refused("&& number == 1");
    refused("number == 1 &&");
    std::string many = "cpu==1";
    for (int i = 0; i < 600; ++i) many += "||cpu==1";
    refused(many);
}

TEST(TraceFilter, Globs) {
    EXPECT_TRUE(matches_glob("*", ""));
    EXPECT_TRUE(matches_glob("a*b*c", "aXXbYYc"));
    EXPECT_FALSE(matches_glob("a*b*c", "aXXbYY"));
    EXPECT_TRUE(matches_glob("a?c", "abc"));
    EXPECT_TRUE(matches_glob("[a-c]x", "bx"));
    EXPECT_FALSE(matches_glob("[!a-c]x", "bx"));
    EXPECT_TRUE(matches_glob("\\*", "*"));
    EXPECT_TRUE(matches_glob("[", "["));
    EXPECT_FALSE(matches_glob("", "a"));
}

TEST(TraceFilter, Fuzz) {
    const std::string good = "(number == -5 || comm ~ \"w[a-o]*\") && !(large & 0x80) && path != '/x' && COMM==\"me\"";
    std::mt19937 random(7);
    const auto below = [&](size_t limit) { return random() % limit; };
    Record record;
    for (int round = 0; round < 20000; ++round) {
        std::string text = good;
        const int changes = 1 + int(below(4));
        for (int i = 0; i < changes; ++i) {
            constexpr char letters[] = "()!&|=<>~\"' *?[]x0-9";
            const auto at = below(text.size());
            if (below(3) == 0)
                text.erase(at, 1 + below(3));
            else
                text.insert(at, 1, letters[below(sizeof letters - 1)]);
            if (text.empty()) text = "c";
        }
        FilterError why;
        auto filter = parse(text, why);
        record.where = linnet::u32(below(~0u));
        if (filter)
            (void)(*filter)->matches({reinterpret_cast<const linnet::u8*>(&record), below(sizeof record + 1)}, {});
    }
}

} // namespace
