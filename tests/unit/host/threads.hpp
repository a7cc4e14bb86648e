// Work on several kernel threads at once, each on a CPU of its own.
#pragma once

#include <barrier>
#include <lib/types.hpp>
#include <thread>
#include <vector>

namespace linnet::test {

inline constexpr unsigned thread_count = 4;

/// Calls work(0) … work(3), each on a thread of its own, all beginning together.
template <typename F>
void on_threads(F work) {
    std::barrier start(thread_count);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < thread_count; ++i)
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            work(i);
        });
    for (auto& thread : threads) thread.join();
}

} // namespace linnet::test
