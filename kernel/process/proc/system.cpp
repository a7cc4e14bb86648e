// /proc's files about the whole system that only this room can write: self, loadavg, stat, version,
// sys/kernel.
#include "task.hpp"

#include <abi/linux/fs.hpp>
#include <core/irq.hpp>
#include <core/random.hpp>
#include <core/sched.hpp>
#include <core/timer.hpp>
#include <process/accounting.hpp>
#include <process/core_dump.hpp>
#include <process/out_of_memory.hpp>
#include <process/proc_nodes.hpp>
#include <process/system_name.hpp>
#include <vfs/current.hpp>

namespace linnet::process {

namespace {

// ---- load averages ----
// Every five seconds the number of runnable threads flows into three averages that decay over 1, 5 and 15
// minutes, in fixed point with 11 bits (the constants are 2^11 / exp(5 s / interval)).

constexpr u64 load_shift = 11;
constexpr u64 load_one = 1 << load_shift;
constexpr u64 load_decay[3] = {1884, 2014, 2037};
constexpr u64 load_interval_ns = 5 * core::ns_per_second;
constinit std::atomic<u64> loads[3] = {};

void sample_load(core::Timer& timer) {
    const u64 runnable = core::runnable_threads() * load_one;
    for (int i = 0; i < 3; ++i) {
        const u64 old = loads[i].load(std::memory_order_relaxed);
        u64 fresh = old * load_decay[i] + runnable * (load_one - load_decay[i]);
        if (runnable >= old) fresh += load_one - 1; // rounds up while it rises, so that it arrives
        loads[i].store(fresh / load_one, std::memory_order_relaxed);
    }
    core::arm_timer(timer, core::monotonic_ns() + load_interval_ns);
}
constinit core::Timer load_timer(sample_load);

} // namespace

LoadAverages load_averages() {
    LoadAverages result;
    for (int i = 0; i < 3; ++i) result.values[i] = loads[i].load(std::memory_order_relaxed) << (16 - load_shift);
    return result;
}

namespace proc {

namespace {

using vfs::pseudo::Directory;

Result<void> show_loadavg(TextSink sink) {
    for (const auto& load : loads) {
        const u64 value = load.load(std::memory_order_relaxed) + load_one / 200;
        format_to(sink, "{}.{02} ", value >> load_shift, (value & (load_one - 1)) * 100 >> load_shift);
    }
    format_to(sink, "{}/{} {}\n", core::runnable_threads(), thread_count(), last_pid());
    return {};
}

u64 hundredths(u64 counter_ticks) { return core::ticks_to_ns(counter_ticks) / (core::ns_per_second / 100); }

struct CpuFigures {
    u64 user = 0, system = 0, idle = 0;
};

/// What is neither user code nor idleness is the kernel's time. A CPU that idles now has not yet been charged
/// for it.
CpuFigures figures_of(core::Cpu& cpu) {
    const u64 now = arch::read_counter();
    CpuFigures figures;
    figures.user = core::user_ticks(cpu);
    figures.idle = cpu.idle_ticks;
    if (const u64 since = cpu.idle_thread->run_clock.since(); cpu.current == cpu.idle_thread && now > since)
        figures.idle += now - since;
    const u64 elapsed = now - core::boot_counter();
    const u64 known = figures.user + figures.idle;
    figures.system = elapsed > known ? elapsed - known : 0;
    return figures;
}

void show_cpu(TextSink sink, const CpuFigures& figures) {
    format_to(sink, " {} 0 {} {} 0 0 0 0 0 0\n", hundredths(figures.user), hundredths(figures.system),
              hundredths(figures.idle));
}

/// The sum, then how often each interrupt came.
void show_interrupts(TextSink sink) {
    u64 total = 0;
    core::Irq last = 0;
    for (u32 i = 0; i < core::cpu_count(); ++i) total += core::interrupt_count(core::cpu(i));
    for (core::Irq irq = 0; irq < core::max_irqs; ++irq)
        core::for_each_irq_user(irq, [&](const core::IrqUser&) { last = irq; });
    format_to(sink, "intr {}", total);
    for (core::Irq irq = 0; irq <= last; ++irq) {
        u64 count = 0;
        for (u32 i = 0; i < core::cpu_count(); ++i) count += core::irq_count(core::cpu(i), irq);
        format_to(sink, " {}", count);
    }
    sink("\n");
}

/// The sum, then Linux's ten kinds; fs/procfs/interrupts.cpp says which there are.
void show_softirqs(TextSink sink) {
    u64 balances = 0, expiries = 0;
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        balances += core::cpu(i).interrupts.balances;
        expiries += core::cpu(i).interrupts.expiries;
    }
    format_to(sink, "softirq {} 0 0 0 0 0 0 0 {} {} 0\n", balances + expiries, balances, expiries);
}

/// Version 15 of what "Scheduler Statistics" of Linux's documentation describes. There is one domain of all CPUs, and
/// nothing is counted of it.
Result<void> show_schedstat_of_system(TextSink sink) {
    format_to(sink, "version 15\ntimestamp {}\n", core::monotonic_ns() / (core::ns_per_second / 100));
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        core::Cpu& cpu = core::cpu(i);
        if (!cpu.online.load()) continue;
        const core::QueueCounts counts = core::queue_counts(cpu);
        const CpuFigures figures = figures_of(cpu);
        format_to(sink, "cpu{} {} 0 {} {} {} {}", i, counts.yields, counts.schedules, counts.idles, counts.wake_ups,
                  counts.local_wake_ups);
        format_to(sink, " {} {} {}\n", core::ticks_to_ns(figures.user + figures.system),
                  core::ticks_to_ns(counts.waited_ticks), counts.slices);
    }
    return {};
}

Result<void> show_stat_of_system(TextSink sink) {
    CpuFigures total;
    u64 switches = 0;
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        core::Cpu& cpu = core::cpu(i);
        if (!cpu.online.load()) continue;
        const CpuFigures figures = figures_of(cpu);
        total.user += figures.user;
        total.system += figures.system;
        total.idle += figures.idle;
        switches += cpu.context_switches;
    }
    sink("cpu ");
    show_cpu(sink, total);
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        core::Cpu& cpu = core::cpu(i);
        if (!cpu.online.load()) continue;
        format_to(sink, "cpu{}", i);
        show_cpu(sink, figures_of(cpu));
    }
    const u64 boot_time = core::realtime_offset_ns() / core::ns_per_second;
    show_interrupts(sink);
    format_to(sink, "ctxt {}\nbtime {}\nprocesses {}\n", switches, boot_time, last_pid());
    format_to(sink, "procs_running {}\nprocs_blocked 0\n", core::runnable_threads());
    show_softirqs(sink);
    return {};
}

Result<void> show_version(TextSink sink) {
    const abi::new_utsname names = system_name();
    format_to(sink, "{} version {} (linnet@linnet) (clang version 19, LLD 19) {}\n", std::string_view(names.sysname),
              std::string_view(names.release), std::string_view(names.version));
    return {};
}

/// One field of uname(2) as a file of /proc/sys/kernel.
template <auto Field>
Result<void> show_name(TextSink sink) {
    const abi::new_utsname names = system_name();
    format_to(sink, "{}\n", std::string_view(names.*Field));
    return {};
}

std::string_view without_newline(std::string_view text) { return text.substr(0, text.find('\n')); }
Result<void> store_host_name(std::string_view text) { return set_host_name(without_newline(text)); }
Result<void> store_domain_name(std::string_view text) { return set_domain_name(without_newline(text)); }

Result<void> show_pid_limit(TextSink sink) {
    format_to(sink, "{}\n", pid_limit());
    return {};
}
Result<void> store_pid_limit(std::string_view text) {
    return set_pid_limit(static_cast<Pid>(TRY(vfs::pseudo::parse_number(text, highest_pid_limit))));
}

template <u64 Value>
Result<void> show_constant(TextSink sink) {
    format_to(sink, "{}\n", Value);
    return {};
}

/// /proc/self and /proc/thread-self: a link that differs by who reads it.
enum class SelfKind : u8 { Process, Thread };
class SelfLink final : public vfs::pseudo::Node {
public:
    explicit SelfLink(SelfKind kind)
        : Node(vfs::pseudo::proc().superblock(), vfs::pseudo::proc().next_inode_number(), abi::S_IFLNK | 0777),
          kind_(kind) {}
    Result<vfs::LinkTarget> read_link() override {
        Thread* self = current_or_null();
        if (!self) return error(Errno::ENOENT);
        constexpr usize longest = 32;
        OwnPtr<char[]> storage(new (std::nothrow) char[longest]);
        if (!storage) return error(Errno::ENOMEM);
        const std::span<char> buffer(storage.get(), longest);
        const std::string_view text = kind_ == SelfKind::Process
                                          ? format_into(buffer, "{}", self->process().pid())
                                          : format_into(buffer, "{}/task/{}", self->process().pid(), self->tid());
        return vfs::LinkTarget{text, std::move(storage)};
    }

private:
    const SelfKind kind_;
};

Result<void> add_self(std::string_view name, SelfKind kind) {
    auto* link = new (std::nothrow) SelfLink(kind);
    if (!link) return error(Errno::ENOMEM);
    return vfs::pseudo::proc().root().add(name, RefPtr<vfs::pseudo::Node>::adopt(*link));
}

Result<void> add_kernel_names(Directory& kernel) {
    using Names = abi::new_utsname;
    TRY(kernel.add_text("ostype", show_name<&Names::sysname>));
    TRY(kernel.add_text("osrelease", show_name<&Names::release>));
    TRY(kernel.add_text("version", show_name<&Names::version>));
    TRY(kernel.add_text("hostname", show_name<&Names::nodename>, 0644, store_host_name));
    TRY(kernel.add_text("domainname", show_name<&Names::domainname>, 0644, store_domain_name));
    TRY(kernel.add_text("pid_max", show_pid_limit, 0644, store_pid_limit));
    TRY(kernel.add_text("ngroups_max", show_constant<65536>));
    TRY(kernel.add_text("cap_last_cap", show_constant<vfs::last_capability>));
    return {};
}

} // namespace

Result<void> register_system_nodes() {
    Directory& root = vfs::pseudo::proc().root();
    TRY(add_self("self", SelfKind::Process));
    TRY(add_self("thread-self", SelfKind::Thread));
    TRY(root.add_symlink("mounts", "self/mounts"));
    TRY(root.add_text("loadavg", show_loadavg));
    TRY(root.add_text("stat", show_stat_of_system));
    TRY(root.add_text("schedstat", show_schedstat_of_system));
    TRY(root.add_text("version", show_version));
    TRY(add_kernel_names(*TRY(root.add_path("sys/kernel"))));
    TRY(register_out_of_memory_knobs());
    TRY(register_accounting_knob());
    TRY(register_core_dump_knobs());
    core::arm_timer(load_timer, core::monotonic_ns() + load_interval_ns);
    return {};
}

} // namespace proc
} // namespace linnet::process
