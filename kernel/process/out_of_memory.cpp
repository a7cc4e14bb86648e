// Out of memory: the process that holds most memory dies, not the kernel.
#include <core/log.hpp>
#include <core/mutex.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <mm/statistics.hpp>
#include <process/out_of_memory.hpp>
#include <process/process.hpp>

namespace linnet::process {
namespace {

constexpr u64 patience_ns = 1'000'000'000; // for a victim to go before another is chosen
constexpr u64 pause_ns = 2'000'000;

/// Who was killed last, and when; chosen by one thread at a time. A mutex: looking for a victim takes locks
/// itself.
constinit core::Mutex choice_lock;
constinit NullableRefPtr<Process> last_victim;
constinit u64 last_kill_ns = 0;

u64 resident_pages(Process& process) {
    NullableRefPtr<Thread> thread = process.any_living_thread();
    if (!thread) return 0;
    NullableRefPtr<mm::AddressSpace> space = thread->address_space();
    if (!space) return 0;
    // One that is dying already gives its memory back by itself.
    if (space->out_of_memory.load()) return 0;
    mm::AddressSpaceStatistics statistics = space->statistics();
    return statistics.anonymous + statistics.shared + statistics.page_tables;
}

/// What the choice compares: the memory held, moved by oom_score_adj thousandths of all memory; 0 is never
/// chosen.
u64 badness(Process& process) {
    const i64 adjustment = process.oom_score_adj.load(std::memory_order_relaxed);
    constexpr i64 never = -1000;
    const u64 pages = adjustment == never ? 0 : resident_pages(process);
    if (pages == 0) return 0;
    const i64 points = static_cast<i64>(pages) + adjustment * static_cast<i64>(mm::memory_statistics().total) / 1000;
    return points > 1 ? static_cast<u64>(points) : 1;
}

/// Kills the largest; false when there is nobody to kill. choice_lock held.
bool kill_largest_locked() {
    NullableRefPtr<Process> victim;
    u64 most = 0;
    for (NullableRefPtr<Process> process = next_process(2); process; process = next_process(process->pid() + 1)) {
        u64 points = process->exit_state.load() == ExitState::Alive ? badness(*process) : 0;
        if (points > most) most = points, victim = process;
    }
    if (!victim) return false;
    NullableRefPtr<Thread> thread = victim->any_living_thread();
    NullableRefPtr<mm::AddressSpace> space = thread ? thread->address_space() : nullptr;
    if (!space) return true; // gone meanwhile, and its memory with it
    core::log_error("Out of memory: Killed process {} ({}) resident {} kB", victim->pid(), thread->name(),
                    resident_pages(*victim) * arch::page_size / 1024);
    space->out_of_memory = true;
    begin_group_exit(*victim, abi::SIGKILL);
    last_victim = std::move(victim);
    last_kill_ns = core::monotonic_ns();
    return true;
}

bool choose_victim() {
    core::MutexGuard guard(choice_lock);
    bool still_dying = last_victim && last_victim->exit_state.load() == ExitState::Alive &&
                       core::monotonic_ns() - last_kill_ns < patience_ns;
    return still_dying || kill_largest_locked();
}

bool handle_out_of_memory(mm::AddressSpace& asking) {
    // The chosen one gets no second chance: it must die to make room.
    if (asking.out_of_memory.load() || core::current_thread().has_fatal_signal()) return false;
    // Fault injection: memory is not short, and nobody else is to blame.
    if (core::current_thread().allocations_may_fail) return false;
    if (!choose_victim() || asking.out_of_memory.load()) return false;
    core::sleep_for(pause_ns);
    return true;
}

} // namespace

void initialise_out_of_memory() { mm::set_out_of_memory_handler(handle_out_of_memory); }

} // namespace linnet::process
