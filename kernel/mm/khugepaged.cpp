// The thread that makes huge pages in the background, by Linux's name for it.
#include "huge_pages.hpp"
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <core/time.hpp>

namespace linnet::mm {

namespace {

/// Without address spaces to look at it sleeps until there is one.
void run_khugepaged(void*) {
    for (;;) {
        const u64 seen = khugepaged_wake_ups.load();
        core::Deadline pause = core::Deadline::never();
        if (transparent_hugepage != huge_never) {
            const CollapseRound round = run_collapse_round();
            const u64 sleep_ms = round.has_memory ? khugepaged_scan_sleep_ms : khugepaged_alloc_sleep_ms;
            if (round.has_work) pause = core::Deadline::after(sleep_ms * 1'000'000);
        }
        auto is_woken = [&] { return khugepaged_wake_ups.load() != seen; };
        (void)core::wait_until(khugepaged_sleep, core::Sleep::Deep, pause, is_woken);
    }
}

} // namespace

void start_khugepaged() {
    VERIFY(core::start_kernel_thread("khugepaged", run_khugepaged, nullptr).has_value()); // at boot there is memory
}

} // namespace linnet::mm
