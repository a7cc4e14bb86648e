// Reference counts from several threads at once: an object goes exactly once, and whoever finds it before has it whole.
#include "threads.hpp"

#include <gtest/gtest.h>
#include <lib/ref_ptr.hpp>
#include <mutex>
#include <random>

namespace {

using namespace linnet;
using test::on_threads;

struct Object : RefCounted<Object> {
    static inline std::atomic<int> alive{0};
    u64 contents = 42; // plain: what the reference count has to order
    Object() { ++alive; }
    ~Object() { contents = 0, --alive; }
};

TEST(ConcurrentRefPtr, LastOneFrees) {
    for (int round = 0; round < 200; ++round) {
        RefPtr<Object> first = adopt_ref(*new Object);
        NullableRefPtr<Object> own[test::thread_count];
        for (auto& one : own) one = first;
        first = adopt_ref(*new Object);
        on_threads([&](unsigned self) {
            for (int i = 0; i < 20; ++i) {
                NullableRefPtr<Object> copy = own[self];
                ASSERT_EQ(copy->contents, 42u);
            }
            own[self] = nullptr;
        });
        ASSERT_EQ(Object::alive, 1);
    }
    EXPECT_EQ(Object::alive, 0);
}

/// A table that holds no references, as the kernel's pid table: look-ups race with the last reference going.
struct Listed : RefCounted<Listed> {
    static inline std::mutex lock;
    static inline Listed* entry = nullptr;
    static inline std::atomic<int> gone{0};
    u64 contents = 42;
    void last_reference_dropped() {
        {
            std::lock_guard guard(lock);
            if (entry == this) entry = nullptr;
        }
        contents = 0;
        ++gone;
        delete this;
    }
    static NullableRefPtr<Listed> find() {
        std::lock_guard guard(lock);
        return entry && entry->try_ref() ? NullableRefPtr<Listed>::adopt(entry) : nullptr;
    }
};

TEST(ConcurrentRefPtr, LookUpsRaceWithTheEnd) {
    std::atomic<int> made{0};
    on_threads([&](unsigned self) {
        std::mt19937 random(self);
        for (int i = 0; i < 5000; ++i) {
            NullableRefPtr<Listed> found = Listed::find();
            if (found) {
                ASSERT_EQ(found->contents, 42u);
            } else {
                auto fresh = adopt_ref(*new Listed);
                ++made;
                std::lock_guard guard(Listed::lock);
                if (!Listed::entry) Listed::entry = fresh.get();
                found = fresh;
            }
            if (random() % 4 == 0) std::this_thread::yield();
        }
    });
    EXPECT_EQ(made, Listed::gone);
    EXPECT_EQ(Listed::entry, nullptr);
}

} // namespace
