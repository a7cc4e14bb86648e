// What the tests of the pool of huge pages share.
#pragma once

#include "child.hpp"
#include "memory.hpp"
#include "proc_text.hpp"
#include <atomic>
#include <csetjmp>
#include <csignal>

namespace huge {

using memory::page;
using memory::span; // of a huge page

constexpr int rw = PROT_READ | PROT_WRITE;
constexpr long long pool_size = 4;
static const char* const pool_file = "/proc/sys/vm/nr_hugepages";

// Total, free, reserved, surplus.
struct Pool {
    long long total = proc_text::meminfo("HugePages_Total"), free = proc_text::meminfo("HugePages_Free");
    long long reserved = proc_text::meminfo("HugePages_Rsvd"), surplus = proc_text::meminfo("HugePages_Surp");
};
inline void expect(long long free, long long reserved, int line) {
    const Pool now;
    char what[160];
    if (now.total == pool_size && now.free == free && now.reserved == reserved && now.surplus == 0) return;
    snprintf(what, sizeof what, "total %lld, free %lld (%lld), reserved %lld (%lld), surplus %lld", now.total, now.free,
             free, now.reserved, reserved, now.surplus);
    check::failed("pool", line, what);
}
#define EXPECT_POOL(free, reserved) huge::expect(free, reserved, __LINE__)

inline char* map(size_t count, int flags, int fd = -1, size_t offset = 0, int prot = rw) {
    void* place = mmap(nullptr, count * span, prot, flags, fd, off_t(offset));
    return place == MAP_FAILED ? nullptr : static_cast<char*>(place);
}

inline sigjmp_buf back;
inline int last_signal, last_code;
inline void on_signal(int signal, siginfo_t* info, void*) {
    last_signal = signal;
    last_code = info->si_code;
    siglongjmp(back, 1);
}
enum class Touch { Read, Write };
// 0 when the access succeeds, else the signal.
inline int touch(char* place, Touch how) {
    last_signal = 0;
    if (sigsetjmp(back, 1)) return last_signal;
    auto* byte = reinterpret_cast<volatile char*>(place);
    if (how == Touch::Write)
        *byte = 1;
    else
        (void)*byte;
    return last_signal;
}
inline int read_from(char* place) { return touch(place, Touch::Read); }
inline int write_to(char* place) { return touch(place, Touch::Write); }

using check::run_in_child;

// What threads touch that race against one who takes pages away. Linux has a page back in the pool a moment after it
// has left its place, so there is one to spare: otherwise a thread can meet an empty pool.
constexpr long long race_pages = pool_size - 1;
struct Race {
    char* place;
    std::atomic<bool> is_over{false};
    std::atomic<long> touches{0};
};
inline void* touch_all(void* argument) {
    auto& race = *static_cast<Race*>(argument);
    while (!race.is_over) {
        for (size_t i = 0; i < race_pages; i++) {
            volatile char& byte = race.place[i * span + page];
            const char seen = byte;
            CHECK(seen == 0 || seen == 1);
            byte = 1;
        }
        race.touches++;
    }
    return nullptr;
}

// Fills the pool and takes SIGSEGV and SIGBUS.
inline void set_up() {
    if (proc_text::meminfo("Hugepagesize") < 0) check::skip("no huge pages");
    if (!proc_text::write_file(pool_file, "4")) check::skip("only root may fill the pool");
    if (Pool().total != pool_size) {
        CHECK(proc_text::write_file(pool_file, "0"));
        check::skip("not enough memory in a row");
    }
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}
// All of the pool must be free again.
inline int tear_down() {
    EXPECT_POOL(pool_size, 0);
    CHECK(proc_text::write_file(pool_file, "0"));
    return check::result();
}

} // namespace huge
