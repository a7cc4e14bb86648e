// The client against a server that does what each test tells it. The thread that waits lets the server work.
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <p9/client.hpp>
#include <random>
#include <vector>

using namespace linnet;
using namespace linnet::p9;

namespace {

using Bytes = std::vector<u8>;

/// What the waiting thread lets happen; says how the sleep ends.
std::function<core::WaitResult(core::Sleep)> while_waiting;

} // namespace

core::WaitResult core::sleep_until(Sleep sleep, Deadline deadline) {
    if (!while_waiting) std::abort(); // it would wait for ever
    const WaitResult result = while_waiting(sleep);
    return result == WaitResult::Ready && !deadline.is_never() && monotonic_ns() > deadline.ns ? WaitResult::TimedOut
                                                                                               : result;
}

namespace {

/// Composes an answer.
struct Message {
    Bytes bytes;
    Message(u8 type, u16 tag) : bytes{0, 0, 0, 0, type, static_cast<u8>(tag), static_cast<u8>(tag >> 8)} {}
    Message& number(u64 value, usize size) {
        for (usize i = 0; i < size; ++i) bytes.push_back(static_cast<u8>(value >> (8 * i)));
        return *this;
    }
    Message& text(std::string_view value) {
        number(value.size(), 2);
        bytes.insert(bytes.end(), value.begin(), value.end());
        return *this;
    }
    Message& qid(u64 path) { return number(0, 1).number(0, 4).number(path, 8); }
    Bytes done() {
        for (usize i = 0; i < 4; ++i) bytes[i] = static_cast<u8>(bytes.size() >> (8 * i));
        return bytes;
    }
};

struct Asked {
    Request* request;
    u8 type;
    u16 tag;
    Bytes fields;
};

class Server final : public Channel {
public:
    explicit Server(usize room = 100) : Channel("tag"), room_(room) {}
    bool try_send(Request& request) override {
        if (queue.size() == room_) return false;
        const auto& bytes = request.message;
        EXPECT_EQ(bytes.size(), static_cast<usize>(bytes[0] | bytes[1] << 8 | bytes[2] << 16));
        queue.push_back(
            {&request, bytes[4], static_cast<u16>(bytes[5] | bytes[6] << 8), {bytes.begin() + 7, bytes.end()}});
        return true;
    }
    void answer(const Asked& asked, const Bytes& bytes) {
        const usize count = std::min(bytes.size(), asked.request->room.size());
        std::copy_n(bytes.begin(), count, asked.request->room.begin());
        asked.request->answered = count;
        asked.request->completed(*asked.request);
    }
    Asked take() {
        Asked first = queue.front();
        queue.pop_front();
        return first;
    }
    std::deque<Asked> queue;

private:
    usize room_;
};

class P9Client : public testing::Test {
protected:
    void SetUp() override {
        while_waiting = [this](core::Sleep) {
            if (server.queue.empty()) std::abort();
            const Asked asked = server.take();
            types.push_back(asked.type);
            server.answer(asked, serve(asked));
            return core::WaitResult::Ready;
        };
        client = std::move(*Client::connect(server, 8192));
        root = *client->attach("user", "", 0);
        types.clear();
    }
    void TearDown() override {
        root = nullptr;
        if (client) Client::disconnect(std::move(client));
        EXPECT_TRUE(server.queue.empty());
        while_waiting = nullptr;
    }
    Bytes serve(const Asked& asked) {
        if (own) {
            Bytes bytes = own(asked);
            if (!bytes.empty()) return bytes;
        }
        switch (static_cast<Type>(asked.type)) {
        case Type::Version:
            return Message(101, asked.tag).number(8192, 4).text("9P2000.L").done();
        case Type::Attach:
            return Message(105, asked.tag).qid(1).done();
        case Type::Walk:
            if (asked.fields[8] == 0) return Message(111, asked.tag).number(0, 2).done();
            return Message(111, asked.tag).number(1, 2).qid(2).done();
        case Type::Read:
            return Message(117, asked.tag).number(3, 4).number('a', 1).number('b', 1).number('c', 1).done();
        case Type::Write:
            return Message(119, asked.tag).number(asked.fields.size() - 16, 4).done();
        default:
            return Message(static_cast<u8>(asked.type + 1), asked.tag).done();
        }
    }
    Result<usize> read(usize wanted, std::string& to) {
        return client->read(*root, 0, wanted, core::Sleep::Interruptible, [&](std::span<const u8> bytes) {
            to.assign(bytes.begin(), bytes.end());
            return Result<usize>(bytes.size());
        });
    }
    Server server;
    std::function<Bytes(const Asked&)> own; // instead of the usual answer, unless empty
    std::vector<int> types;
    OwnPtr<Client> client;
    NullableRefPtr<Fid> root;
};

TEST_F(P9Client, ReadsAndWrites) {
    std::string text;
    EXPECT_EQ(read(100, text), usize{3});
    EXPECT_EQ(text, "abc");
    Bytes sent, stored;
    own = [&](const Asked& asked) {
        if (asked.type == 118) sent = Bytes(asked.fields.begin() + 16, asked.fields.end());
        return Bytes{};
    };
    const auto fill = [](std::span<u8> place) -> Result<usize> {
        std::fill(place.begin(), place.end(), u8{'x'});
        return place.size() < 5 ? place.size() : usize{5};
    };
    const auto note = [&](std::span<const u8> bytes) { stored.assign(bytes.begin(), bytes.end()); };
    EXPECT_EQ(client->write(*root, 0, 100'000, core::Sleep::Deep, fill, note), usize{5});
    EXPECT_EQ(sent, Bytes(5, 'x'));
    EXPECT_EQ(stored, sent);
}

TEST_F(P9Client, KeepsToTheSizeOfMessages) {
    own = [&](const Asked& asked) {
        EXPECT_LE(asked.request->message.size(), 8192u);
        EXPECT_LE(asked.request->room.size(), 8192u);
        return Bytes{};
    };
    std::string text;
    EXPECT_TRUE(read(1'000'000, text));
    const auto fill = [](std::span<u8> place) -> Result<usize> { return place.size(); };
    EXPECT_EQ(client->write(*root, 0, 1'000'000, core::Sleep::Deep, fill, [](std::span<const u8>) {}),
              usize{8192 - write_head_size});
    EXPECT_EQ(client->make_symlink(*root, "name", std::string(9000, 'x'), 0).error(), Errno::ENAMETOOLONG);
}

TEST_F(P9Client, GivesFidsBackAndUsesTheirNumbersAgain) {
    u32 first;
    {
        auto walked = client->walk(*root, "name");
        ASSERT_TRUE(walked);
        EXPECT_EQ(walked->qid.path, 2u);
        first = walked->fid->number();
    }
    ASSERT_EQ(server.queue.size(), 1u); // the clunk, for which nobody waits
    const u32 other = client->walk(*root, "name")->fid->number();
    EXPECT_NE(other, first);
    std::string text;
    ASSERT_TRUE(read(100, text));
    EXPECT_EQ(types, (std::vector<int>{110, 120, 110, 120, 116}));
    EXPECT_EQ(client->walk(*root, "name")->fid->number(), first);
}

TEST_F(P9Client, TellsTheServersErrors) {
    own = [](const Asked& asked) { return Message(7, asked.tag).number(2, 4).done(); };
    EXPECT_EQ(client->walk(*root, "name").error(), Errno::ENOENT);
    EXPECT_TRUE(server.queue.empty()); // no fid came of it, so none is given back
    EXPECT_EQ(client->make_directory(*root, "name", {0755, 0}).error(), Errno::ENOENT);
    own = nullptr;
}

TEST_F(P9Client, RefusesWhatMakesNoSense) {
    std::string text;
    const auto with = [&](auto make) {
        own = [=](const Asked& asked) { return asked.type == 120 ? Bytes{} : make(asked); };
    };
    with([](const Asked& asked) { return Message(117, asked.tag).number(200, 4).done(); }); // lies about its size
    EXPECT_EQ(read(100, text).error(), Errno::EIO);
    with([](const Asked& asked) { return Message(117, asked.tag).number(3, 4).number(0, 3).done(); });
    EXPECT_EQ(read(2, text).error(), Errno::EIO); // more than was asked for
    with([](const Asked& asked) { return Message(117, static_cast<u16>(asked.tag + 1)).number(0, 4).done(); });
    EXPECT_EQ(read(2, text).error(), Errno::EIO);
    with([](const Asked& asked) { return Message(111, asked.tag).number(2, 2).qid(1).qid(1).done(); });
    EXPECT_EQ(client->walk(*root, "name").error(), Errno::EIO);
    with([](const Asked& asked) { return Message(111, asked.tag).number(0, 2).done(); });
    EXPECT_FALSE(client->walk(*root, "name"));
    with([](const Asked& asked) { return Message(25, asked.tag).number(0x7ff, 8).done(); });
    EXPECT_EQ(client->get_attributes(*root).error(), Errno::EIO);
    with([](const Asked& asked) {
        return Message(41, asked.tag).number(30, 4).qid(1).number(5, 8).number(8, 1).done();
    });
    EXPECT_FALSE(client->read_directory(*root, 0, [](const DirectoryEntry&) { return true; }));
    with([](const Asked& asked) { // an entry from which one would go on for ever
        return Message(41, asked.tag).number(25, 4).qid(1).number(5, 8).number(8, 1).text("a").done();
    });
    EXPECT_FALSE(client->read_directory(*root, 5, [](const DirectoryEntry&) { return true; }));
    with([](const Asked& asked) { return Message(119, asked.tag).number(1000, 4).done(); });
    const auto fill = [](std::span<u8>) -> Result<usize> { return usize{5}; };
    EXPECT_EQ(client->write(*root, 0, 5, core::Sleep::Deep, fill, [](std::span<const u8>) {}).error(), Errno::EIO);
    own = nullptr;
}

TEST_F(P9Client, ListsDirectories) {
    own = [](const Asked& asked) {
        Message message(41, asked.tag);
        if (asked.fields[4] != 0) return message.number(0, 4).done();
        message.number(51, 4).qid(1).number(5, 8).number(8, 1).text("a");
        return message.qid(2).number(9, 8).number(4, 1).text("bc").done();
    };
    std::string names;
    u64 offset = 0;
    const auto take = [&](const DirectoryEntry& entry) {
        names += std::string(entry.name) + ";";
        offset = entry.next_offset;
        return true;
    };
    EXPECT_EQ(client->read_directory(*root, 0, take), true);
    EXPECT_EQ(names, "a;bc;");
    EXPECT_EQ(offset, 9u);
    EXPECT_EQ(client->read_directory(*root, offset, take), false);
    own = nullptr;
}

TEST_F(P9Client, RefusesOtherProtocols) {
    Server other;
    const auto usual = while_waiting;
    const auto with = [&](u32 size, std::string_view version) {
        while_waiting = [&, size](core::Sleep) {
            const Asked asked = other.take();
            EXPECT_EQ(asked.tag, no_tag);
            other.answer(asked, Message(101, asked.tag).number(size, 4).text(version).done());
            return core::WaitResult::Ready;
        };
        return Client::connect(other, 8192).error();
    };
    EXPECT_EQ(with(8192, "unknown"), Errno::EOPNOTSUPP);
    EXPECT_EQ(with(100, "9P2000.L"), Errno::EIO);
    EXPECT_EQ(with(8193, "9P2000.L"), Errno::EIO);
    while_waiting = usual;
}

// ---- signals ----

/// A signal comes while the read waits; then the server does what `then` says with what it was asked.
class Interrupted : public P9Client {
protected:
    Result<usize> read_interrupted(std::function<void()> then) {
        const auto usual = while_waiting;
        bool has_come = false;
        while_waiting = [&](core::Sleep sleep) {
            if (!has_come) {
                has_come = true;
                EXPECT_EQ(sleep, core::Sleep::Interruptible);
                return core::WaitResult::Interrupted;
            }
            EXPECT_EQ(sleep, core::Sleep::Killable);
            then();
            return core::WaitResult::Ready;
        };
        auto result = read(100, text);
        while_waiting = usual;
        return result;
    }
    void expect_flush_of(const Asked& flush, const Asked& asked) {
        EXPECT_EQ(flush.type, 108);
        EXPECT_EQ(flush.fields, (Bytes{static_cast<u8>(asked.tag), static_cast<u8>(asked.tag >> 8)}));
        EXPECT_NE(flush.tag, asked.tag);
    }
    std::string text;
};

TEST_F(Interrupted, TheServerDropsTheRequest) {
    const auto outcome = read_interrupted([&] {
        const Asked asked = server.take(), flush = server.take();
        expect_flush_of(flush, asked);
        server.answer(asked, {});
        server.answer(flush, Message(109, flush.tag).done());
    });
    EXPECT_EQ(outcome.error(), Errno::RestartIfRequested);
}

TEST_F(Interrupted, TheAnswerWasOnItsWay) {
    const auto outcome = read_interrupted([&] {
        const Asked asked = server.take(), flush = server.take();
        server.answer(flush, Message(109, flush.tag).done());
        server.answer(asked, serve(asked));
    });
    EXPECT_EQ(outcome, usize{3});
    EXPECT_EQ(text, "abc");
}

TEST_F(Interrupted, WhatWasNotSentIsTakenBack) {
    Server narrow(0);
    const auto usual = while_waiting;
    while_waiting = [](core::Sleep) { return core::WaitResult::Interrupted; };
    EXPECT_EQ(Client::connect(narrow, 8192).error(), Errno::RestartIfRequested);
    while_waiting = usual;
}

TEST_F(Interrupted, WhoIsKilledLeavesItsMemoryToTheServer) {
    const auto usual = while_waiting;
    while_waiting = [](core::Sleep) { return core::WaitResult::Interrupted; };
    EXPECT_EQ(client->walk(*root, "name").error(), Errno::EINTR);
    while_waiting = usual;
    ASSERT_EQ(server.queue.size(), 2u); // the walk and the flush
    const Asked walk = server.take(), flush = server.take();
    // It writes there later, and nobody uses the number that may stand for something now.
    const u32 lost = walk.fields[4];
    server.answer(walk, serve(walk));
    server.answer(flush, Message(109, flush.tag).done());
    EXPECT_NE(client->walk(*root, "name")->fid->number(), lost);
}

// ---- many at once ----

TEST(P9Requests, WaitForRoom) {
    Server server(2);
    while_waiting = [&](core::Sleep) {
        const Asked asked = server.take();
        const u8 type = static_cast<u8>(asked.type + 1);
        Message message(type, asked.tag);
        if (type == 101) message.number(8192, 4).text("9P2000.L");
        if (type == 105) message.qid(1);
        if (type == 111) message.number(1, 2).qid(2);
        server.answer(asked, message.done());
        return core::WaitResult::Ready;
    };
    OwnPtr<Client> client = std::move(*Client::connect(server, 8192));
    {
        RefPtr<Fid> root = *client->attach("", "", 0);
        std::vector<RefPtr<Fid>> fids;
        for (int i = 0; i < 600; ++i) fids.push_back(client->walk(*root, "name")->fid);
        fids.clear(); // 600 clunks, of which the channel takes two and tags would be for 256
        EXPECT_EQ(server.queue.size(), 2u);
        EXPECT_TRUE(client->walk(*root, "name"));
    }
    Client::disconnect(std::move(client));
    EXPECT_TRUE(server.queue.empty());
    while_waiting = nullptr;
}

TEST(P9Channels, AreClaimedByName) {
    static Server one, other;
    add_channel(one);
    add_channel(other);
    EXPECT_EQ(claim_channel("none").error(), Errno::ENOENT);
    EXPECT_EQ(*claim_channel("tag"), &one);
    EXPECT_EQ(*claim_channel("tag"), &other);
    EXPECT_EQ(claim_channel("tag").error(), Errno::EBUSY);
    release_channel(one);
    EXPECT_EQ(*claim_channel("tag"), &one);
}

} // namespace
