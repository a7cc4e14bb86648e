// Out of memory: the process that holds most memory dies, not the kernel (Linux's documentation, "oom_score_adj";
// proc_sys_vm(5) for the knobs).
//
// Lock order: choice_lock -> whatever looking for a victim takes. Nothing of an address space is locked by who asks.
#include <core/log.hpp>
#include <core/mutex.hpp>
#include <core/panic.hpp>
#include <core/sched.hpp>
#include <mm/address_space.hpp>
#include <mm/knobs.hpp>
#include <mm/statistics.hpp>
#include <process/out_of_memory.hpp>
#include <process/process.hpp>
#include <vfs/credentials.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::process {
namespace {

constexpr u64 patience_ns = 1'000'000'000; // for a victim to go before another is chosen
constexpr u64 pause_ns = 2'000'000;
constexpr i32 never = -1000; // the oom_score_adj that protects
constexpr u64 kib_per_page = arch::page_size / 1024;

constinit std::atomic<u64> panic_on_oom{0};
constinit std::atomic<u64> kill_allocating_task{0};
constinit std::atomic<u64> dump_tasks{1};

/// Who was killed last, and when; chosen by one thread at a time. A mutex: looking for a victim takes locks
/// itself.
constinit core::Mutex choice_lock;
constinit NullableRefPtr<Process> last_victim;
constinit u64 last_kill_ns = 0;

NullableRefPtr<mm::AddressSpace> space_of(Process& process) {
    NullableRefPtr<Thread> thread = process.any_living_thread();
    return thread ? thread->address_space() : nullptr;
}

bool is_in_vfork(Process& process) {
    NullableRefPtr<Thread> thread = process.any_living_thread();
    return thread && thread->vfork_done.load() != nullptr;
}

/// What the choice compares: the memory that would come free, moved by oom_score_adj thousandths of all memory. Nothing
/// for who is never chosen: PID 1, the protected, children of vfork (the memory is their parent's), and the dying.
struct Badness {
    bool may_be_chosen = false;
    i64 points = 0;
};
Badness badness_of(Process& process) {
    const i64 adjustment = process.oom_score_adj.load(std::memory_order_relaxed);
    if (adjustment == never || process.pid() == 1 || is_in_vfork(process)) return {};
    NullableRefPtr<mm::AddressSpace> space = space_of(process);
    if (!space || space->out_of_memory.load()) return {};
    const mm::AddressSpaceStatistics memory = space->statistics();
    return {true, static_cast<i64>(memory.resident() + memory.page_tables) +
                      adjustment * (static_cast<i64>(mm::total_memory_pages()) / 1000)};
}

template <typename Visit>
void for_each_living_process(Visit visit) {
    for (NullableRefPtr<Process> process = next_process(1); process; process = next_process(process->pid() + 1))
        if (process->exit_state.load() == ExitState::Alive) visit(*process);
}

/// Called with choice_lock held: what the machine looked like, for whoever reads the log afterwards.
void log_situation() {
    const mm::MemoryStatistics memory = mm::memory_statistics();
    const Thread& asking = current();
    core::log_warning("{} invoked oom-killer: oom_score_adj={}", asking.name(),
                      current().process().oom_score_adj.load());
    core::log_info("Mem-Info: free:{} anon:{} file:{} shmem:{} slab:{} pagetables:{} stacks:{} kernel:{} of {} pages",
                   memory.free, memory.anonymous, memory.file_cache, memory.shared, memory.slab, memory.page_tables,
                   memory.kernel_stacks, memory.kernel_other, memory.total);
    if (dump_tasks.load() == 0) return;
    core::log_info("Tasks state (memory values in pages):");
    core::log_info("[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents "
                   "oom_score_adj name");
    for_each_living_process([](Process& process) {
        NullableRefPtr<Thread> thread = process.any_living_thread();
        NullableRefPtr<mm::AddressSpace> space = thread ? thread->address_space() : nullptr;
        if (!space) return;
        const mm::AddressSpaceStatistics use = space->statistics();
        char name[Thread::name_size];
        thread->copy_name(name);
        core::log_info("[{7}] {5} {5} {8} {8} {8} {8} {9} {8} {8} {13} {}", thread->tid(), thread->credentials()->uid,
                       process.pid(), use.total, use.resident(), use.anonymous, use.file, use.shared,
                       use.page_tables * arch::page_size, 0, process.oom_score_adj.load(), std::string_view(name));
    });
}

/// The one to kill: the largest, or who asks where the knob says so. choice_lock held.
NullableRefPtr<Process> choose_locked() {
    Process& asking = current().process();
    if (kill_allocating_task.load() != 0 && badness_of(asking).may_be_chosen) return NullableRefPtr<Process>(&asking);
    NullableRefPtr<Process> victim;
    i64 most = 0;
    for_each_living_process([&](Process& process) {
        const Badness badness = badness_of(process);
        if (!badness.may_be_chosen || (victim && badness.points <= most)) return;
        most = badness.points;
        victim = NullableRefPtr<Process>(&process);
    });
    return victim;
}

/// choice_lock held.
void kill_locked(Process& victim) {
    NullableRefPtr<Thread> thread = victim.any_living_thread();
    NullableRefPtr<mm::AddressSpace> space = thread ? thread->address_space() : nullptr;
    if (!space) return; // gone meanwhile, and its memory with it
    const mm::AddressSpaceStatistics use = space->statistics();
    char name[Thread::name_size];
    thread->copy_name(name);
    core::log_error("Out of memory: Killed process {} ({}) total-vm:{}kB, anon-rss:{}kB, file-rss:{}kB, "
                    "shmem-rss:{}kB, UID:{} pgtables:{}kB oom_score_adj:{}",
                    victim.pid(), std::string_view(name), use.total * kib_per_page, use.anonymous * kib_per_page,
                    use.file * kib_per_page, use.shared * kib_per_page, thread->credentials()->uid,
                    use.page_tables * kib_per_page, victim.oom_score_adj.load());
    mm::note_out_of_memory_kill();
    space->out_of_memory = true;
    begin_group_exit(victim, abi::SIGKILL);
    // The memory comes free only when all who have it are gone.
    for_each_process_sharing(*space, [&](Process& other) {
        if (&other != &victim && other.pid() != 1) begin_group_exit(other, abi::SIGKILL);
    });
    last_victim = NullableRefPtr<Process>(&victim);
    last_kill_ns = core::monotonic_ns();
}

/// False when there is nobody to kill.
bool make_room() {
    core::MutexGuard guard(choice_lock);
    const bool still_dying = last_victim && last_victim->exit_state.load() == ExitState::Alive &&
                             core::monotonic_ns() - last_kill_ns < patience_ns;
    if (still_dying) return true;
    log_situation();
    if (panic_on_oom.load() != 0)
        core::panic("Out of memory: {} panic_on_oom is enabled",
                    panic_on_oom.load() == 2 ? "compulsory" : "system-wide");
    NullableRefPtr<Process> victim = choose_locked();
    if (!victim) {
        core::log_error("Out of memory and no killable processes");
        return false;
    }
    kill_locked(*victim);
    return true;
}

bool handle_out_of_memory(mm::AddressSpace& asking) {
    // The chosen one gets no second chance: it must die to make room.
    if (asking.out_of_memory.load() || core::current_thread().has_fatal_signal()) return false;
    // Fault injection: memory is not short, and nobody else is to blame.
    if (core::current_thread().allocations_may_fail) return false;
    if (!current_or_null() || !make_room() || asking.out_of_memory.load()) return false;
    core::sleep_for(pause_ns);
    return true;
}

} // namespace

u64 out_of_memory_score(Process& process) {
    const Badness badness = badness_of(process);
    if (!badness.may_be_chosen) return 0;
    const i64 thousandths = badness.points * 1000 / static_cast<i64>(mm::total_memory_pages());
    const i64 score = (1000 + thousandths) * 2 / 3;
    return score > 0 ? static_cast<u64>(score) : 0;
}

void for_each_process_sharing(const mm::AddressSpace& space, FunctionRef<void(Process&)> visit) {
    for_each_living_process([&](Process& process) {
        NullableRefPtr<mm::AddressSpace> other = space_of(process);
        if (other.get() == &space) visit(process);
    });
}

void initialise_out_of_memory() {
    mm::set_out_of_memory_handler(handle_out_of_memory);
    mm::set_privilege_probe([] {
        Thread* self = current_or_null();
        return !self || self->own_credentials().effective.has(vfs::Capability::SysAdmin);
    });
}

Result<void> register_out_of_memory_knobs() {
    using vfs::pseudo::add_knob;
    vfs::pseudo::Directory& vm = *TRY(vfs::pseudo::proc().root().add_path("sys/vm"));
    TRY(add_knob(vm, "panic_on_oom", {.value = panic_on_oom, .most = 2}));
    TRY(add_knob(vm, "oom_kill_allocating_task", {.value = kill_allocating_task}));
    return add_knob(vm, "oom_dump_tasks", {.value = dump_tasks});
}

} // namespace linnet::process
