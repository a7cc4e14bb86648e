// The sleeping locks, used by several threads at once.
#include "threads.hpp"

#include <core/mutex.hpp>
#include <gtest/gtest.h>
#include <random>

namespace {

using namespace linnet;
using namespace linnet::core;

TEST(RwMutex, WritersAreAloneAndReadersSeeNoHalfOfAWrite) {
    static RwMutex mutex;
    static u64 first = 0, second = 0; // equal whenever nobody writes
    static std::atomic<u64> written{0};
    test::on_threads([](unsigned self) {
        std::mt19937 random(self);
        for (int i = 0; i < 20000; ++i) {
            const u32 kind = random() % 4;
            if (kind == 0 || (kind == 1 && mutex.try_lock())) {
                if (kind == 0) mutex.lock();
                ASSERT_EQ(first, second);
                first++;
                if (random() % 64 == 0) std::this_thread::yield();
                second++;
                written++;
                mutex.unlock();
            } else if (kind == 2 || (kind == 3 && mutex.try_lock_shared())) {
                if (kind == 2) mutex.lock_shared();
                ASSERT_EQ(first, second);
                if (random() % 64 == 0) std::this_thread::yield();
                mutex.unlock_shared();
            }
        }
    });
    EXPECT_EQ(first, written.load());
    EXPECT_EQ(second, written.load());
    EXPECT_TRUE(mutex.try_lock()) << "somebody is said to hold or to want it";
}

TEST(RwMutex, ReadersHoldItTogether) {
    static RwMutex mutex;
    static std::atomic<unsigned> inside{0};
    static std::atomic<bool> is_held{false};
    test::on_threads([](unsigned self) {
        if (self == 0) {
            mutex.lock();
            is_held = true;
            for (int i = 0; i < 1000; ++i) std::this_thread::yield(); // most of them are asleep by then
            mutex.unlock();
        }
        while (!is_held) std::this_thread::yield();
        ReadGuard guard(mutex);
        ++inside;
        while (inside != test::thread_count) std::this_thread::yield();
    });
    EXPECT_TRUE(mutex.try_lock());
}

/// One thread takes a lock again as soon as it has given it up; the others get it nevertheless.
template <typename Take, typename Leave>
void is_handed_over(Take take, Leave leave) {
    RwMutex mutex;
    std::atomic<unsigned> waiting{test::thread_count - 1};
    test::on_threads([&](unsigned self) {
        if (self != 0) {
            take(mutex);
            leave(mutex);
            waiting--;
            return;
        }
        while (waiting != 0) {
            mutex.lock();
            mutex.unlock();
        }
    });
    EXPECT_TRUE(mutex.try_lock());
}

TEST(RwMutex, IsHandedToAWriterWhoHasWaitedLong) {
    is_handed_over([](RwMutex& mutex) { mutex.lock(); }, [](RwMutex& mutex) { mutex.unlock(); });
}

TEST(RwMutex, IsHandedToReadersWhoHaveWaitedLong) {
    is_handed_over([](RwMutex& mutex) { mutex.lock_shared(); }, [](RwMutex& mutex) { mutex.unlock_shared(); });
}

TEST(RwMutex, AWriterComesBetweenReaders) {
    static RwMutex mutex;
    static std::atomic<bool> has_written{false};
    test::on_threads([](unsigned self) {
        if (self == 0) {
            mutex.lock();
            has_written = true;
            mutex.unlock();
            return;
        }
        // Somebody reads all the time.
        mutex.lock_shared();
        while (!has_written) {
            std::this_thread::yield();
            mutex.unlock_shared();
            mutex.lock_shared();
        }
        mutex.unlock_shared();
    });
    EXPECT_TRUE(mutex.try_lock());
}

TEST(Mutex, CountsRightAndKnowsItsOwner) {
    static Mutex mutex;
    static u64 count = 0;
    constexpr int rounds = 20000;
    test::on_threads([](unsigned self) {
        std::mt19937 random(self);
        for (int i = 0; i < rounds; ++i) {
            ASSERT_FALSE(mutex.is_held_by_current());
            if (random() % 2 == 0 || !mutex.try_lock()) mutex.lock();
            ASSERT_TRUE(mutex.is_held_by_current());
            count++;
            if (random() % 64 == 0) std::this_thread::yield();
            mutex.unlock();
        }
    });
    EXPECT_EQ(count, u64{test::thread_count} * rounds);
}

} // namespace
