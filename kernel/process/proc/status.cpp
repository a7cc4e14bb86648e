// /proc/PID/status and limits (proc_pid_status(5), proc_pid_limits(5)).
#include "task.hpp"

#include "figures.hpp"
#include <mm/address_space.hpp>
#include <process/ptrace.hpp>
#include <process/session.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>

namespace linnet::process::proc {

namespace {

std::string_view state_name(char letter) {
    switch (letter) {
    case 'R':
        return "R (running)";
    case 'S':
        return "S (sleeping)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 't':
        return "t (tracing stop)";
    default:
        return "Z (zombie)";
    }
}

void put_octal(TextSink sink, u32 value) {
    char digits[12];
    usize at = sizeof(digits);
    do {
        digits[--at] = static_cast<char>('0' + value % 8);
        value /= 8;
    } while (value);
    while (at > sizeof(digits) - 4) digits[--at] = '0';
    sink({digits + at, sizeof(digits) - at});
}

void show_identity(const Task& task, TextSink sink) {
    char name[Thread::name_size];
    task.thread->copy_name(name);
    format_to(sink, "Name:\t{}\n", std::string_view(name));
    if (NullableRefPtr<vfs::FsContext> fs = task.representative()->fs()) {
        sink("Umask:\t");
        put_octal(sink, fs->umask());
        sink("\n");
    }
    format_to(sink, "State:\t{}\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\n",
              state_name(state_letter(task)), task.process->pid(), task.thread->tid(), task.process->parent_pid(),
              tracer_of(*task.thread));
    RefPtr<const vfs::Credentials> who = task.thread->credentials();
    format_to(sink, "Uid:\t{}\t{}\t{}\t{}\n", who->uid, who->euid, who->suid, who->fsuid);
    format_to(sink, "Gid:\t{}\t{}\t{}\t{}\n", who->gid, who->egid, who->sgid, who->fsgid);
    NullableRefPtr<vfs::FdTable> files = task.representative()->files();
    format_to(sink, "FDSize:\t{}\nGroups:\t", files ? align_up<usize>(files->open_count(), 64) : 0);
    for (u32 group : who->groups()) format_to(sink, "{} ", group);
    NullableRefPtr<ProcessGroup> group = task.process->process_group();
    NullableRefPtr<Session> session = task.process->session();
    format_to(sink, "\nNStgid:\t{}\nNSpid:\t{}\nNSpgid:\t{}\nNSsid:\t{}\nKthread:\t0\n", task.process->pid(),
              task.thread->tid(), group ? group->pgid() : 0, session ? session->sid() : 0);
}

void show_memory(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return;
    const mm::AddressSpaceStatistics memory = space->statistics();
    const auto line = [&](std::string_view name, u64 pages) {
        format_to(sink, "{}:\t{8} kB\n", name, pages * (arch::page_size / 1024));
    };
    line("VmPeak", memory.peak_total);
    line("VmSize", memory.total);
    line("VmLck", memory.locked);
    line("VmPin", 0);
    line("VmHWM", memory.peak_resident);
    line("VmRSS", memory.resident());
    line("RssAnon", memory.anonymous);
    line("RssFile", memory.file);
    line("RssShmem", memory.shared);
    line("VmData", memory.data);
    line("VmStk", memory.stack);
    const u64 program = program_text_pages(*space, memory);
    line("VmExe", program);
    line("VmLib", memory.text - program);
    line("VmPTE", memory.page_tables);
    line("VmSwap", 0);
    line("HugetlbPages", memory.hugetlb);
    format_to(sink, "CoreDumping:\t{}\nTHP_enabled:\t{}\n", task.process->core_dumper.load() ? 1 : 0,
              space->huge_pages_disabled.load() ? 0 : 1);
}

void show_signals(const Task& task, TextSink sink) {
    const SignalSets sets = signal_sets(task);
    u64 queued = 0;
    if (Result<RefPtr<UserAccount>> account = UserAccount::of(task.process->credentials()->uid))
        queued = (*account)->queued_signals.load(std::memory_order_relaxed);
    format_to(sink, "Threads:\t{}\nSigQ:\t{}/{}\n", task.process->thread_count(), queued,
              task.process->limits.soft(abi::RLIMIT_SIGPENDING));
    format_to(sink, "SigPnd:\t{016x}\nShdPnd:\t{016x}\nSigBlk:\t{016x}\nSigIgn:\t{016x}\nSigCgt:\t{016x}\n",
              sets.pending, sets.shared_pending, sets.blocked, sets.ignored, sets.caught);
}

/// "0-3" for a set of CPU numbers.
void put_cpu_list(TextSink sink, u64 bits) {
    bool first = true;
    for (u32 cpu = 0; cpu < 64;) {
        if (!(bits >> cpu & 1)) {
            ++cpu;
            continue;
        }
        u32 last = cpu;
        while (last + 1 < 64 && (bits >> (last + 1) & 1)) ++last;
        if (!first) sink(",");
        first = false;
        if (last > cpu)
            format_to(sink, "{}-{}", cpu, last);
        else
            format_to(sink, "{}", cpu);
        cpu = last + 1;
    }
}

void show_rights(const Task& task, TextSink sink) {
    RefPtr<const vfs::Credentials> who = task.thread->credentials();
    format_to(sink, "CapInh:\t{016x}\nCapPrm:\t{016x}\nCapEff:\t{016x}\nCapBnd:\t{016x}\nCapAmb:\t{016x}\n",
              who->inheritable.bits, who->permitted.bits, who->effective.bits, who->bounding.bits, who->ambient.bits);
    format_to(sink, "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0\n",
              task.thread->no_new_privileges.load() ? 1 : 0);
    const u32 cpus = core::cpu_count();
    const u64 all = cpus >= 64 ? ~u64{0} : (u64{1} << cpus) - 1;
    const u64 allowed = task.thread->affinity.value() & all;
    format_to(sink, "Cpus_allowed:\t{x}\nCpus_allowed_list:\t", allowed);
    put_cpu_list(sink, allowed);
    sink("\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    format_to(sink, "voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n", task.thread->voluntary_switches,
              task.thread->involuntary_switches);
}

struct LimitName {
    u32 resource;
    std::string_view name;
    std::string_view unit;
};
constexpr LimitName limit_names[] = {
    {abi::RLIMIT_CPU, "Max cpu time", "seconds"},         {abi::RLIMIT_FSIZE, "Max file size", "bytes"},
    {abi::RLIMIT_DATA, "Max data size", "bytes"},         {abi::RLIMIT_STACK, "Max stack size", "bytes"},
    {abi::RLIMIT_CORE, "Max core file size", "bytes"},    {abi::RLIMIT_RSS, "Max resident set", "bytes"},
    {abi::RLIMIT_NPROC, "Max processes", "processes"},    {abi::RLIMIT_NOFILE, "Max open files", "files"},
    {abi::RLIMIT_MEMLOCK, "Max locked memory", "bytes"},  {abi::RLIMIT_AS, "Max address space", "bytes"},
    {abi::RLIMIT_LOCKS, "Max file locks", "locks"},       {abi::RLIMIT_SIGPENDING, "Max pending signals", "signals"},
    {abi::RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"}, {abi::RLIMIT_NICE, "Max nice priority", ""},
    {abi::RLIMIT_RTPRIO, "Max realtime priority", ""},    {abi::RLIMIT_RTTIME, "Max realtime timeout", "us"},
};

void put_limit(TextSink sink, u64 value) {
    if (value == abi::RLIM_INFINITY)
        format_to(sink, "{-20} ", std::string_view("unlimited"));
    else {
        char text[24];
        format_to(sink, "{-20} ", format_into(text, "{}", value));
    }
}

} // namespace

Result<void> show_status(const Task& task, TextSink sink) {
    show_identity(task, sink);
    show_memory(task, sink);
    show_signals(task, sink);
    show_rights(task, sink);
    return {};
}

Result<void> show_limits(const Task& task, TextSink sink) {
    sink("Limit                     Soft Limit           Hard Limit           Units     \n");
    for (const LimitName& limit : limit_names) {
        format_to(sink, "{-25} ", limit.name);
        put_limit(sink, task.process->limits.soft(limit.resource));
        put_limit(sink, task.process->limits.hard(limit.resource));
        if (!limit.unit.empty()) format_to(sink, "{-10}", limit.unit);
        sink("\n");
    }
    return {};
}

} // namespace linnet::process::proc
