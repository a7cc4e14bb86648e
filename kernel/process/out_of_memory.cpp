// Out of memory: the process that holds most memory dies, not the kernel.
#include <core/log.hpp>
#include <mm/address_space.hpp>
#include <mm/statistics.hpp>
#include <process/out_of_memory.hpp>
#include <process/process.hpp>

namespace linnet::process {
namespace {

constinit std::atomic<bool> choosing{false};

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

bool kill_largest() {
    NullableRefPtr<Process> victim;
    u64 most = 0;
    for (NullableRefPtr<Process> process = next_process(2); process; process = next_process(process->pid() + 1)) {
        u64 pages = process->exit_state.load() == ExitState::Alive ? resident_pages(*process) : 0;
        if (pages > most) most = pages, victim = process;
    }
    if (!victim) return false;
    NullableRefPtr<Thread> thread = victim->any_living_thread();
    NullableRefPtr<mm::AddressSpace> space = thread ? thread->address_space() : nullptr;
    if (!space) return true; // gone meanwhile, and its memory with it
    core::log_error("Out of memory: Killed process {} ({}) resident {} kB", victim->pid(), thread->name(),
                    most * arch::page_size / 1024);
    space->out_of_memory = true;
    begin_group_exit(*victim, abi::SIGKILL);
    return true;
}

bool handle_out_of_memory(mm::AddressSpace& asking) {
    // The chosen one gets no second chance: it must die to make room.
    if (asking.out_of_memory.load()) return false;
    if (choosing.exchange(true)) return true; // somebody else is at it
    bool found = kill_largest();
    choosing = false;
    return found && !asking.out_of_memory.load();
}

} // namespace

void initialise_out_of_memory() { mm::set_out_of_memory_handler(handle_out_of_memory); }

} // namespace linnet::process
