// execve(2). A program is built wholly in a new address space (program.hpp); then, past the point of no
// return, the other threads of the process die, the caller becomes its leader, and the new image replaces the
// old one.
//
// Locks: none held while building; take_over() uses tree_lock and signal_lock as process.hpp says.
#include <abi/linux/fcntl.hpp>
#include <abi/linux/mman.hpp>
#include <abi/linux/prctl.hpp>
#include <algorithm>
#include <mm/allocation_faults.hpp>
#include <mm/usercopy.hpp>
#include <process/binary_formats.hpp>
#include <process/futex.hpp>
#include <process/futex_pi.hpp>
#include <process/process.hpp>
#include <process/ptrace.hpp>
#include <process/session.hpp>
#include <process/tracepoints.hpp>
#include <process/user_account.hpp>
#include <process/user_probes.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/inode.hpp>
#include <vfs/operations.hpp>

#include "core_dump.hpp"
#include "internal.hpp"
#include "process_timers.hpp"
#include "program.hpp"

namespace linnet::process {
namespace {

constexpr usize header_size = 256; // what is looked at to tell the format; also the longest #! line
constexpr unsigned max_script_depth = 5;
constexpr u64 extra_stack = 128 << 10; // mapped below the strings from the start
constinit std::atomic<VdsoMapper> vdso_mapper{nullptr};

struct Header {
    u8 bytes[header_size] = {};
    usize size = 0;
    [[nodiscard]] bool is_script() const { return size >= 2 && bytes[0] == '#' && bytes[1] == '!'; }
};

Result<Header> read_header(vfs::File& file) {
    Header header;
    vfs::IoBuffer buffer = vfs::IoBuffer::kernel(std::span<u8>(header.bytes));
    header.size = TRY(vfs::read(file, buffer, 0));
    return header;
}

struct ScriptLine {
    std::string_view interpreter;
    std::string_view argument; // empty: none
};

/// execve(2), "Interpreter scripts": `#!interpreter [optional-arg]`.
Result<ScriptLine> parse_script_line(const Header& header) {
    std::string_view text{reinterpret_cast<const char*>(header.bytes) + 2, header.size - 2};
    text = text.substr(0, text.find('\0'));
    usize end = text.find('\n');
    bool is_cut = end == std::string_view::npos && header.size == header_size;
    std::string_view line = text.substr(0, end);
    constexpr std::string_view blanks = " \t";
    usize begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return error(Errno::ENOEXEC);
    line = line.substr(begin);
    usize name_end = line.find_first_of(blanks);
    if (name_end == std::string_view::npos) {
        if (is_cut) return error(Errno::ENOEXEC); // the interpreter's name may go on
        return ScriptLine{line, {}};
    }
    std::string_view argument = line.substr(name_end);
    usize argument_begin = argument.find_first_not_of(blanks);
    argument = argument_begin == std::string_view::npos ? std::string_view{} : argument.substr(argument_begin);
    argument = argument.substr(0, argument.find_last_not_of(blanks) + 1);
    return ScriptLine{line.substr(0, name_end), argument};
}

/// The file that runs next, and by which path it is known.
struct Executable {
    RefPtr<vfs::File> file;
    std::string_view path;
    OwnPtr<char[]> path_storage; // of an interpreter's

    /// An interpreter takes the file's place.
    Result<void> become(RefPtr<vfs::File> interpreter, std::string_view name) {
        OwnPtr<char[]> storage(new (std::nothrow) char[name.size()]);
        if (!storage) return error(Errno::ENOMEM);
        std::copy_n(name.data(), name.size(), storage.get());
        path = {storage.get(), name.size()};
        path_storage = std::move(storage);
        file = std::move(interpreter);
        return {};
    }
};

/// `interpreter file [first argument] arguments`: what the format's flags say goes to the program.
Result<void> use_format(const BinaryFormat& format, Executable& at, Program& program, StringBlock& arguments) {
    if (format.keeps_first_argument)
        program.keeps_first_argument = true;
    else
        arguments.remove_first();
    TRY(arguments.prepend(at.path));
    TRY(arguments.prepend(format.interpreter()));
    RefPtr<vfs::File> interpreter = TRY(format.open_interpreter());
    if (format.uses_file_credentials) program.uses_descriptor_credentials = true;
    if (format.passes_descriptor && !program.descriptor) program.descriptor = NullableRefPtr<vfs::File>(at.file);
    return at.become(std::move(interpreter), format.interpreter());
}

Result<void> use_script_line(const Header& header, Executable& at, StringBlock& arguments) {
    const ScriptLine line = TRY(parse_script_line(header));
    arguments.remove_first();
    TRY(arguments.prepend(at.path));
    if (!line.argument.empty()) TRY(arguments.prepend(line.argument));
    TRY(arguments.prepend(line.interpreter));
    RefPtr<vfs::File> interpreter = TRY(vfs::open_executable(nullptr, line.interpreter));
    return at.become(std::move(interpreter), line.interpreter);
}

/// Follows registered formats and `#!` lines until the file is a program, rewriting the arguments at each.
Result<Header> resolve_interpreters(Executable& at, Program& program, StringBlock& arguments) {
    for (unsigned depth = 0;; ++depth) {
        TRY(at.file->inode().deny_write_access()); // ETXTBSY comes before any look at what is in it
        at.file->inode().allow_write_access();
        Header header = TRY(read_header(*at.file));
        NullableRefPtr<const BinaryFormat> format = find_binary_format({header.bytes, header.size}, at.path);
        if (!format && !header.is_script()) return header;
        if (depth == max_script_depth) return error(Errno::ELOOP);
        const bool has_descriptor = static_cast<bool>(program.descriptor);
        TRY(format ? use_format(*format, at, program, arguments) : use_script_line(header, at, arguments));
        // Only a program can take a descriptor over, as on Linux.
        if (has_descriptor) return error(Errno::ENOEXEC);
    }
}

/// The stack's mapping, large enough for what build_stack() puts on it and some more.
Result<void> map_stack(Program& program, u32 personality, const StringBlock& arguments,
                       const StringBlock& environment) {
    VirtAddr top = mm::choose_layout(*program.space, program.randomisation, personality);
    u64 pointers = (arguments.count() + environment.count() + 128) * sizeof(u64);
    u64 size = arguments.bytes().size() + environment.bytes().size() + pointers + 8192 + 4096 + 4096;
    size = align_up(size + extra_stack, arch::page_size);
    mm::MapRequest request;
    request.address = top - size;
    request.length = size;
    request.prot = abi::PROT_READ | abi::PROT_WRITE;
    request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_GROWSDOWN | abi::MAP_FIXED;
    request.vma_flags = mm::vma_stack;
    TRY(program.space->map(request));
    program.stack = top;
    return {};
}

/// MMAP_PAGE_ZERO of personality(2), for programs that read through null pointers. As on Linux nothing says that it
/// couldn't be mapped: low addresses need CAP_SYS_RAWIO.
void map_page_zero(Program& program) {
    mm::MapRequest request;
    request.length = arch::page_size;
    request.prot = abi::PROT_READ | abi::PROT_EXEC;
    request.flags = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS | abi::MAP_FIXED;
    request.may_be_low = program.credentials->effective.has(vfs::Capability::SysRawio);
    (void)program.space->map(request);
}

struct Requester {
    const vfs::Credentials& credentials;
    const ResourceLimits* limits; // null: a kernel thread starts PID 1
    u32 personality = 0;
    Distrust distrust{};
};

void copy_limits(mm::AddressSpace& space, const ResourceLimits& limits, const vfs::Credentials& who) {
    space.limits.address_space = limits.soft(abi::RLIMIT_AS);
    space.limits.data = limits.soft(abi::RLIMIT_DATA);
    space.limits.stack = limits.soft(abi::RLIMIT_STACK);
    space.limits.locked = who.effective.has(vfs::Capability::IpcLock) ? ~u64{0} : limits.soft(abi::RLIMIT_MEMLOCK);
}

/// Everything that can fail: the new address space with program, interpreter and stack.
Result<Program> prepare_program(RefPtr<vfs::File> file, std::string_view display_path, StringBlock& arguments,
                                StringBlock& environment, const Requester& who) {
    Program program(TRY(mm::AddressSpace::create()));
    usize name_begin = display_path.rfind('/') + 1; // npos + 1 is 0
    std::string_view name = display_path.substr(name_begin).substr(0, sizeof(program.name) - 1);
    std::copy_n(name.data(), name.size(), program.name);

    if (arguments.count() == 0) TRY(arguments.append("")); // Linux since 5.18: argv[0] always exists
    Executable found{std::move(file), display_path, {}};
    Header header = TRY(resolve_interpreters(found, program, arguments));
    vfs::File& privileged = program.uses_descriptor_credentials ? *program.descriptor : *found.file;
    TRY(apply_file_credentials(program, who.credentials, privileged, who.distrust));
    program.executable = std::move(found.file);
    const u32 personality = program.is_secure ? who.personality & ~abi::PER_CLEAR_ON_SETID : who.personality;
    program.randomisation = mm::randomisation_of(personality);
    if (who.limits) copy_limits(*program.space, *who.limits, *program.credentials);
    TRY(map_stack(program, personality, arguments, environment));
    TRY(load_elf(program, {header.bytes, header.size}));
    if (personality & abi::MMAP_PAGE_ZERO) map_page_zero(program);
    program.space->layout.vdso = TRY(map_vdso(*program.space));
    TRY(build_stack(program, display_path, arguments, environment));
    const auto may_read = [&](vfs::File& of) {
        return of.inode().check_permission(4, *program.credentials).has_value();
    };
    const bool is_readable = may_read(*program.executable) && (!program.descriptor || may_read(*program.descriptor));
    const bool has_own_ids = who.credentials.euid == who.credentials.uid && who.credentials.egid == who.credentials.gid;
    program.space->dumpable = has_own_ids && is_readable && !program.is_protected ? 1 : dumpable_with_other_rights();
    TRY(program.executable->inode().deny_write_access());
    return program;
}

bool is_only_thread(const Process& process) {
    return process.living_threads.load() == 1 && process.awaited_threads.load() == 0;
}

/// Kills the other threads and waits until they are gone, and until who traced them has waited for them, too
/// (ptrace(2), "execve(2) under ptrace"). EAGAIN when the process is dying already or another thread is at the same;
/// then this one has been ordered to die.
Result<void> kill_other_threads(Thread& self) {
    Process& process = self.process();
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        if (process.group_exiting || process.exec_thread) return error(Errno::EAGAIN);
        if (is_only_thread(process)) return {};
        process.exec_thread = &self;
        for (Thread& thread : process.threads)
            if (&thread != &self && !thread.is_dead()) order_exit(thread);
    }
    core::WaitResult result = core::wait_until(process.thread_exit, core::Sleep::Killable, core::Deadline::never(),
                                               [&] { return is_only_thread(process); });
    core::InterruptSpinGuard guard(process.signal_lock);
    process.exec_thread = nullptr;
    return result == core::WaitResult::Ready ? Result<void>{} : error(Errno::EAGAIN);
}

/// A thread that didn't lead its process takes the dead leader's place and id.
void become_leader(Thread& self) {
    Process& process = self.process();
    NullableRefPtr<Thread> old_leader, tracee; // dropped without locks
    core::InterruptSpinGuard tree(tree_lock);
    core::InterruptSpinGuard guard(process.signal_lock);
    if (process.leader_ == &self) return;
    old_leader = NullableRefPtr<Thread>(&self);
    std::swap(process.leader_, old_leader);
    process.dead_threads_usage.add(usage_of(*old_leader));
    process.threads.remove(*old_leader);
    tracee = untrace_locked(*old_leader);
    old_leader->account->tasks.fetch_sub(1, std::memory_order_relaxed);
    for (Process& child : process.children)
        if (child.parent_tid == self.tid()) child.parent_tid = process.pid();
    self.record->set_thread(nullptr);
    old_leader->record->set_thread(nullptr);
    std::swap(self.record, old_leader->record);
    self.record->set_thread(&self);
    self.start_time_ns = old_leader->start_time_ns;
    guard.unlock();
    tree.unlock();
    forget_thread();
}

/// Parts that others still share are copied now, so that the new program has its own.
Result<void> unshare_parts(Thread& self) {
    Process& process = self.process();
    if (self.own_files().ref_count() > 1) {
        NullableRefPtr<vfs::FdTable> mine = TRY(self.own_files().clone());
        self.exchange_files(std::move(mine));
    }
    if (process.actions->ref_count() > 1) {
        NullableRefPtr<SignalActions> mine = TRY(process.actions->copy());
        core::InterruptSpinGuard guard(process.signal_lock);
        std::swap(process.actions, mine);
        guard.unlock();
    }
    return {};
}

void reset_thread_state(Thread& self, Program& program) {
    Process& process = self.process();
    process.actions->reset_handlers();
    self.signals.alternate_stack = {.ss_sp = 0, .ss_flags = abi::SS_DISABLE, .padding = 0, .ss_size = 0};
    self.restart = {};
    self.rseq = {};
    self.robust_list = self.clear_child_tid = {};
    if (program.is_secure) self.personality &= ~abi::PER_CLEAR_ON_SETID;
    {
        core::InterruptSpinGuard guard(tree_lock);
        if (program.is_secure || program.is_protected) self.parent_death_signal = 0;
        process.has_executed = true;
        process.executions.fetch_add(1, std::memory_order_relaxed);
        process.exit_signal = abi::SIGCHLD;
    }
    tracepoints::renaming(self, program.name);
    self.set_name(program.name);
}

/// The interpreter of a registered format gets the file that it is to run open.
Result<void> install_descriptor(Thread& self, Program& program) {
    const int fd = TRY(self.own_files().reserve());
    self.own_files().install(fd, RefPtr<vfs::File>(std::move(program.descriptor)), vfs::CloseOnExec::No);
    const auto number = static_cast<u64>(fd);
    mm::ExecLayout& layout = program.space->layout;
    if (program.descriptor_index < layout.auxv_words) layout.auxv[program.descriptor_index] = number;
    return mm::copy_to_user(program.descriptor_word, &number, sizeof number);
}

/// As long as it lives, nobody begins to share the caller's directory context; and it knows whether somebody outside of
/// the process does: such a one could change directories under a program that has more rights.
class DirectoryClaim {
public:
    explicit DirectoryClaim(Thread& self) : directory_(self.own_fs()) {
        directory_.begin_exec();
        core::InterruptSpinGuard guard(self.process().signal_lock);
        is_shared_ = directory_.is_used_outside([&self](const vfs::FsContext& directory) {
            u32 users = 0;
            for (const Thread& thread : self.process().threads) users += thread.uses(directory);
            return users;
        });
    }
    DirectoryClaim(const DirectoryClaim&) = delete;
    ~DirectoryClaim() { directory_.end_exec(); }
    [[nodiscard]] bool is_shared() const { return is_shared_; }

private:
    vfs::FsContext& directory_; // the caller's for as long as it executes
    bool is_shared_;
};

/// As long as it lives, nobody begins to trace the process: whether the tracer may see what the program may is decided.
class TracerClaim {
public:
    explicit TracerClaim(Process& process) : process_(process) {
        core::InterruptSpinGuard guard(process_.signal_lock);
        ++process_.executing;
    }
    TracerClaim(const TracerClaim&) = delete;
    ~TracerClaim() {
        {
            core::InterruptSpinGuard guard(process_.signal_lock);
            --process_.executing;
        }
        process_.executed.wake_all();
    }

private:
    Process& process_;
};

/// Past the point of no return: the old image goes.
Result<void> take_over(Thread& self, Program& program) {
    become_leader(self);
    TRY(unshare_parts(self));
    Process& process = self.process();
    drop_posix_timers(process);
    release_futexes(self); // in the old memory, which others may share
    process.note_peak(self.own_address_space());
    program.space->dump_filter = self.own_address_space().dump_filter.load();
    program.space->huge_pages_disabled = self.own_address_space().huge_pages_disabled.load();
    if (u32 rules = self.own_address_space().write_execute_rules.load(); !(rules & abi::PR_MDWE_NO_INHERIT))
        program.space->write_execute_rules.store(rules);
    self.exchange_address_space(program.space);
    begin_pi_locks(self);
    release_vfork_parent(self);
    {
        NullableRefPtr<vfs::File> old = process.exchange_executable(std::move(program.executable));
        if (old) old->inode().allow_write_access();
    }
    reset_thread_state(self, program);
    self.set_credentials(RefPtr<const vfs::Credentials>(program.credentials));
    self.own_files().close_marked();
    if (program.descriptor) TRY(install_descriptor(self, program));
    self.registers.reset_for_exec(program.entry, program.stack);
    if (self.probes) user_probes->on_exec(self);
    if (ThreadObserver* observer = self.observer.load(std::memory_order_acquire)) observer->on_exec();
    return {};
}

} // namespace

Result<bool> needs_interpreter(vfs::File& file, std::string_view path) {
    const Header header = TRY(read_header(file));
    return header.is_script() || find_binary_format({header.bytes, header.size}, path);
}

void set_vdso_mapper(VdsoMapper mapper) { vdso_mapper.store(mapper); }

Result<VirtAddr> map_vdso(mm::AddressSpace& space) {
    VdsoMapper mapper = vdso_mapper.load();
    return mapper ? mapper(space) : Result<VirtAddr>(VirtAddr{});
}

namespace {

Result<void> execute_untold(Thread& self, RefPtr<vfs::File> file, std::string_view display_path, StringBlock& arguments,
                            StringBlock& environment) {
    const DirectoryClaim directory(self);
    const TracerClaim tracer(self.process());
    Requester who{.credentials = self.own_credentials(),
                  .limits = &self.process().limits,
                  .personality = self.personality,
                  .distrust = {.no_new_privileges = self.no_new_privileges,
                               .shares_directory = directory.is_shared(),
                               .is_traced = has_lesser_tracer(self)}};
    Program program = TRY(prepare_program(std::move(file), display_path, arguments, environment, who));
    // Who comes too late for that dies alone, ordered to by the thread that was first, or with all the others.
    Result<void> done = kill_other_threads(self);
    const bool is_alone = done.has_value();
    if (is_alone) done = take_over(self, program);
    if (self.process().pid() != 1) mm::mark_new_program();
    if (is_alone && !done)
        begin_group_exit(self.process(), abi::SIGKILL); // the loop's edge sees it before user code can
    if (program.executable) program.executable->inode().allow_write_access(); // not handed over
    return done;
}

} // namespace

Result<void> execute(Thread& self, RefPtr<vfs::File> file, std::string_view display_path, StringBlock& arguments,
                     StringBlock& environment) {
    const Pid old_tid = self.tid();
    TRY(execute_untold(self, std::move(file), display_path, arguments, environment));
    tracepoints::exec(self, display_path, old_tid);
    stop_after_exec(self, old_tid);
    return {};
}

// ---- PID 1 ----

namespace {

/// Group and session 0, in which PID 1 and the kernel's helpers start, as on Linux: so PID 1 may call setsid().
Result<RefPtr<ProcessGroup>> group_zero() {
    static constinit core::Mutex lock;
    core::MutexGuard guard(lock);
    if (NullableRefPtr<ProcessGroup> found = find_group(0)) return RefPtr<ProcessGroup>(std::move(found));
    RefPtr<PidRecord> none = TRY(PidRecord::allocate_exactly(0));
    RefPtr<Session> session = TRY(Session::create(none));
    RefPtr<ProcessGroup> group = TRY(ProcessGroup::create(none, session));
    core::InterruptSpinGuard tree(tree_lock);
    session->publish();
    group->publish();
    return group;
}

/// A process that nobody forked: of root, with one thread that is not yet started.
Result<RefPtr<Process>> create_process(Program& program) {
    RefPtr<ProcessGroup> group = TRY(group_zero());
    RefPtr<PidRecord> record = TRY(PidRecord::allocate());
    RefPtr<Process> process = TRY(Process::create(record, TRY(SignalActions::create())));
    RefPtr<Thread> thread = TRY(Thread::create(record));
    RefPtr<UserAccount> account = TRY(UserAccount::of(0));
    thread->fs_ = TRY(vfs::current_fs().clone());
    thread->address_space_ = program.space;
    thread->credentials_ = program.credentials;
    process->exchange_executable(std::move(program.executable));
    thread->set_name(program.name);
    thread->registers.reset_for_exec(program.entry, program.stack);
    process->exit_signal = abi::SIGCHLD;
    account->tasks.fetch_add(1, std::memory_order_relaxed);
    core::InterruptSpinGuard tree(tree_lock);
    process->group = group;
    group->members.push_back(*process);
    process->leader_ = thread;
    adopt_thread(*process, *thread, account);
    return process;
}

} // namespace

Result<RefPtr<Process>> create_init(std::string_view path, std::span<const std::string_view> arguments,
                                    std::span<const std::string_view> environment) {
    StringBlock::Budget budget = string_budget(8 << 20);
    StringBlock argument_block(budget);
    StringBlock environment_block(budget);
    for (std::string_view text : arguments) TRY(argument_block.append(text));
    for (std::string_view text : environment) TRY(environment_block.append(text));

    RefPtr<vfs::File> file = TRY(vfs::open_executable(nullptr, path));
    Program program = TRY(prepare_program(std::move(file), path, argument_block, environment_block,
                                          {.credentials = vfs::kernel_credentials(), .limits = nullptr}));
    NullableRefPtr<vfs::FdTable> files = TRY(vfs::current_files().clone()); // 0, 1 and 2 on the console, if opened
    RefPtr<Process> process = TRY(create_process(program));
    RefPtr<Thread> thread(process->leader_);
    thread->files_ = std::move(files);
    set_init_process(*process);
    start_user_thread(*thread);
    return process;
}

Result<void> start_helper(std::span<const char> arguments, RefPtr<vfs::File> input) {
    StringBlock::Budget budget = string_budget(8 << 20);
    StringBlock argument_block(budget);
    StringBlock environment_block(budget);
    const std::string_view path(arguments.data());
    for (std::string_view rest(arguments.data(), arguments.size()); !rest.empty();) {
        const std::string_view argument = rest.substr(0, rest.find('\0'));
        TRY(argument_block.append(argument));
        rest.remove_prefix(argument.size() + 1);
    }
    NullableRefPtr<vfs::FdTable> files = TRY(vfs::FdTable::create());
    TRY(files->add(std::move(input), vfs::CloseOnExec::No));
    RefPtr<vfs::File> file = TRY(vfs::open_executable(nullptr, path));
    Program program = TRY(prepare_program(std::move(file), path, argument_block, environment_block,
                                          {.credentials = vfs::kernel_credentials(), .limits = nullptr}));
    ScopeGuard give_back([&] {
        if (program.executable) program.executable->inode().allow_write_access();
    });
    RefPtr<Process> process = TRY(create_process(program));
    constexpr abi::rlimit64 core_limit{.rlim_cur = limit_of_helpers, .rlim_max = limit_of_helpers};
    TRY(process->limits.set(abi::RLIMIT_CORE, core_limit, ResourceLimits::Raise::Allowed));
    RefPtr<Thread> thread(process->leader_);
    thread->files_ = std::move(files);
    process->ref(); // as being a child is a reference: it goes when the process is released
    start_user_thread(*thread);
    return {};
}

} // namespace linnet::process
