// The wire format: what is composed, and what servers may send.
#include <gtest/gtest.h>
#include <memory>
#include <mutate.hpp>
#include <p9/wire.hpp>
#include <vector>

using namespace linnet;
using namespace linnet::p9;

namespace {

std::vector<u8> bytes_of(std::initializer_list<int> values) { return {values.begin(), values.end()}; }

TEST(Wire, ComposesAMessage) {
    u8 room[64];
    Writer writer(room, Type::Walk);
    writer.put(u32{1});
    writer.put(u32{0x01020304});
    writer.put(u16{1});
    writer.put(std::string_view("ab"));
    const auto message = writer.finish();
    ASSERT_TRUE(message);
    set_tag(*message, 0x1234);
    const auto wanted = bytes_of({21, 0, 0, 0, 110, 0x34, 0x12, 1, 0, 0, 0, 4, 3, 2, 1, 1, 0, 2, 0, 'a', 'b'});
    EXPECT_EQ(std::vector<u8>(message->begin(), message->end()), wanted);
}

TEST(Wire, NoticesWhatDoesNotFit) {
    u8 room[16];
    Writer writer(room, Type::Mkdir);
    writer.put(std::string_view("a name of some length"));
    writer.put(u8{1}); // for which there would be room
    EXPECT_EQ(writer.finish().error(), Errno::ENAMETOOLONG);
    std::vector<u8> large(100'000);
    Writer long_text(large, Type::Mkdir);
    long_text.put(std::string_view(std::string(70'000, 'x')));
    EXPECT_EQ(long_text.finish().error(), Errno::ENAMETOOLONG);
}

TEST(Wire, ReadsNothingBehindTheEnd) {
    const auto bytes = bytes_of({5, 0, 'a', 'b'}); // a string that says it is longer
    Reader reader(bytes);
    EXPECT_EQ(reader.text(), "");
    EXPECT_FALSE(reader.finish());
    EXPECT_EQ(reader.get<u64>(), 0u); // and so on
    EXPECT_EQ(reader.qid().path, 0u);
    EXPECT_TRUE(reader.is_at_end());
}

TEST(Wire, OpensAnswers) {
    const auto good = bytes_of({11, 0, 0, 0, 119, 7, 0, 9, 0, 0, 0});
    auto fields = open_answer(good, Type::Write, 7);
    ASSERT_TRUE(fields);
    EXPECT_EQ(fields->get<u32>(), 9u);
    EXPECT_TRUE(fields->finish());
}

TEST(Wire, RefusesWhatIsNoAnswer) {
    const auto outcome = [](std::vector<u8> bytes) { return open_answer(bytes, Type::Write, 7).error(); };
    EXPECT_EQ(outcome({}), Errno::EIO);
    EXPECT_EQ(outcome(bytes_of({7, 0, 0})), Errno::EIO);                            // short
    EXPECT_EQ(outcome(bytes_of({6, 0, 0, 0, 119, 7, 0})), Errno::EIO);              // less than a head
    EXPECT_EQ(outcome(bytes_of({12, 0, 0, 0, 119, 7, 0, 9, 0, 0, 0})), Errno::EIO); // more than came
    EXPECT_EQ(outcome(bytes_of({255, 255, 255, 255, 119, 7, 0, 9, 0, 0, 0})), Errno::EIO);
    EXPECT_EQ(outcome(bytes_of({11, 0, 0, 0, 119, 8, 0, 9, 0, 0, 0})), Errno::EIO); // another's tag
    EXPECT_EQ(outcome(bytes_of({11, 0, 0, 0, 117, 7, 0, 9, 0, 0, 0})), Errno::EIO); // another kind
    EXPECT_EQ(outcome(bytes_of({9, 0, 0, 0, 7, 7, 0, 2, 0})), Errno::EIO);          // half an error
}

TEST(Wire, TellsErrors) {
    const auto outcome = [](int low, int high = 0, int highest = 0) {
        return open_answer(bytes_of({11, 0, 0, 0, 7, 7, 0, low, high, 0, highest}), Type::Write, 7).error();
    };
    EXPECT_EQ(outcome(2), Errno::ENOENT);
    EXPECT_EQ(outcome(0), Errno::EIO);
    EXPECT_EQ(outcome(0, 2), Errno::EIO);      // 512: the kernel's own word for restarting
    EXPECT_EQ(outcome(2, 0, 255), Errno::EIO); // negative
}

/// Whatever comes, nothing is read but what is there (AddressSanitizer looks).
TEST(Wire, SurvivesAnything) {
    const auto good = bytes_of(
        {33, 0, 0, 0, 41, 7, 0, 22, 0, 0, 0, 0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4});
    std::mt19937_64 random(1);
    for (int round = 0; round < 20'000; ++round) {
        std::vector<u8> bytes = good;
        for (int change = 0; change < 4; ++change) bytes[random() % bytes.size()] = static_cast<u8>(random());
        bytes.resize(random() % (bytes.size() + 1));
        const auto exact = std::make_unique<u8[]>(bytes.size());
        std::copy(bytes.begin(), bytes.end(), exact.get());
        auto fields = open_answer({exact.get(), bytes.size()}, Type::Readdir, 7);
        if (!fields) continue;
        Reader entries(fields->get_bytes(fields->get<u32>()));
        while (!entries.is_at_end()) {
            (void)entries.qid();
            (void)entries.get<u64>();
            (void)entries.get<u8>();
            (void)entries.text();
        }
    }
}

} // namespace
