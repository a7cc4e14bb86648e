// mount(2)'s options.
#include <gtest/gtest.h>
#include <options.hpp>

using namespace linnet;
using fs::P9Options;

namespace {

TEST(P9Options, Known) {
    P9Options options;
    ASSERT_TRUE(options.parse("trans=virtio,version=9p2000.L,msize=8192,cache=mmap,access=any,uname=me,aname=/there"));
    EXPECT_EQ(options.message_size, 8192u);
    EXPECT_TRUE(options.maps_writable);
    EXPECT_EQ(options.user, "me");
    EXPECT_EQ(options.tree, "/there");
    ASSERT_TRUE(options.parse("cache=none"));
    EXPECT_FALSE(options.maps_writable);
    EXPECT_TRUE(P9Options().parse(""));
    EXPECT_TRUE(P9Options().parse(",,"));
}

TEST(P9Options, Refused) {
    for (const char* text : {"msize=", "msize=4095", "msize=x", "msize=99999999999", "msize", "cache=loose",
                             "version=9p2000", "trans=tcp", "access=user", "nonsense", "cache"})
        EXPECT_EQ(P9Options().parse(text).error(), Errno::EINVAL) << text;
}

} // namespace
