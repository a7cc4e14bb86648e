// Splitting of path strings.
#include <gtest/gtest.h>
#include <lib/path_string.hpp>
#include <string>
#include <vector>

namespace {

using linnet::PathComponent;
using linnet::PathSplitter;

std::vector<std::string> split(std::string_view path) {
    std::vector<std::string> names;
    PathSplitter splitter(path);
    PathComponent component;
    while (splitter.next(component)) {
        names.emplace_back(component.name);
        EXPECT_EQ(component.hash, linnet::hash_name(component.name));
    }
    EXPECT_TRUE(splitter.is_empty());
    return names;
}

using Names = std::vector<std::string>;

TEST(PathString, Components) {
    EXPECT_EQ(split(""), Names{});
    EXPECT_EQ(split("/"), Names{});
    EXPECT_EQ(split("////"), Names{});
    EXPECT_EQ(split("a"), Names{"a"});
    EXPECT_EQ(split("/a//b/c/"), (Names{"a", "b", "c"}));
    EXPECT_EQ(split("..//."), (Names{"..", "."}));
    EXPECT_EQ(split(std::string(5000, 'x')), Names{std::string(5000, 'x')});
}

TEST(PathString, Kinds) {
    using Kind = PathComponent::Kind;
    PathSplitter splitter("./../.../.a/..b/a");
    const Kind expected[] = {Kind::Dot, Kind::DotDot, Kind::Name, Kind::Name, Kind::Name, Kind::Name};
    PathComponent component;
    for (Kind kind : expected) {
        ASSERT_TRUE(splitter.next(component));
        EXPECT_EQ(component.kind, kind) << component.name;
    }
    EXPECT_FALSE(splitter.next(component));
}

TEST(PathString, OnlySlashes) {
    EXPECT_TRUE(PathSplitter("").has_only_slashes());
    EXPECT_TRUE(PathSplitter("/").has_only_slashes());
    EXPECT_TRUE(PathSplitter("///").has_only_slashes());
    EXPECT_FALSE(PathSplitter("a").has_only_slashes());
    EXPECT_FALSE(PathSplitter("/a").has_only_slashes());
    EXPECT_FALSE(PathSplitter("//a").has_only_slashes());
    EXPECT_FALSE(PathSplitter("a/").has_only_slashes());
}

// A name's bytes may be anything but '/' and NUL.
TEST(PathString, AnyBytes) {
    std::string name;
    for (int c = 1; c < 256; ++c)
        if (c != '/') name += static_cast<char>(c);
    EXPECT_EQ(split("/" + name + "/" + name), (Names{name, name}));
}

} // namespace
