// The hooks by which vfs asks about the current thread (vfs/current.hpp). A kernel thread counts as root in
// the initial directory context.
#include <process/accounting.hpp>
#include <process/process.hpp>
#include <process/user_account.hpp>
#include <vfs/current.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/operations.hpp>

namespace linnet::vfs {
namespace {

/// What kernel threads use, made on first use; never freed.
constinit std::atomic<FsContext*> kernel_fs{nullptr};
constinit std::atomic<FdTable*> kernel_files{nullptr};

} // namespace

const Credentials& current_credentials() {
    process::Thread* thread = process::current_or_null();
    return thread ? thread->own_credentials() : kernel_credentials();
}

FsContext& current_fs() {
    process::Thread* thread = process::current_or_null();
    if (thread && thread->fs_) return thread->own_fs();
    FsContext* shared = kernel_fs.load(std::memory_order_acquire);
    if (!shared) {
        NullableRefPtr<FsContext> fresh = initial_fs();
        if (kernel_fs.compare_exchange_strong(shared, fresh.get())) shared = fresh.release();
    }
    return *shared;
}

FdTable& current_files() {
    process::Thread* thread = process::current_or_null();
    if (thread && thread->files_) return thread->own_files();
    FdTable* shared = kernel_files.load(std::memory_order_acquire);
    if (!shared) {
        NullableRefPtr<FdTable> fresh = MUST(FdTable::create()); // first needed at boot, where the heap has room
        if (kernel_files.compare_exchange_strong(shared, fresh.get())) shared = fresh.release();
    }
    return *shared;
}

u64 current_open_file_limit() {
    process::Thread* thread = process::current_or_null();
    return thread ? thread->process().limits.soft(abi::RLIMIT_NOFILE) : abi::RLIM_INFINITY;
}

u64 current_file_size_limit() {
    process::Thread* thread = process::current_or_null();
    return thread ? thread->process().limits.soft(abi::RLIMIT_FSIZE) : abi::RLIM_INFINITY;
}

namespace {
/// To the current thread, as if it had sent the signal to itself.
void signal_current(int signo) {
    process::Thread* thread = process::current_or_null();
    if (!thread) return;
    abi::siginfo_t info{};
    info.si_signo = signo;
    info.si_code = abi::SI_USER;
    info.kill.pid = thread->process().pid();
    info.kill.uid = thread->own_credentials().uid;
    process::send_signal(*thread, info);
}
} // namespace

void unmounted(const Mount& mount) { process::stop_accounting_through(mount); }

void file_size_limit_exceeded() { signal_current(abi::SIGXFSZ); }
void broken_pipe() { signal_current(abi::SIGPIPE); }

NullableRefPtr<ProcessIdentity> current_process_identity() {
    process::Thread* thread = process::current_or_null();
    if (!thread) return {};
    return thread->process().record;
}

NullableRefPtr<UserCharge> current_user_charge() {
    process::Thread* thread = process::current_or_null();
    if (!thread) return {};
    return thread->account;
}

NullableRefPtr<ProcessIdentity> process_identity(i32 number) {
    NullableRefPtr<process::Process> process = process::find_process(number);
    if (!process) return {};
    return process->record;
}

i32 current_process_id() {
    process::Thread* thread = process::current_or_null();
    return thread ? thread->process().pid() : 0;
}

} // namespace linnet::vfs
