// Where a core goes: a new file, or a program that the kernel starts with the core as its standard input (core(5),
// "Piping core dumps to a program").
#include "core_dump.hpp"

#include <abi/linux/fcntl.hpp>
#include <abi/linux/stat.hpp>
#include <core/sched.hpp>
#include <process/exec.hpp>
#include <vfs/inode.hpp>
#include <vfs/operations.hpp>
#include <vfs/pipe.hpp>

namespace linnet::process {
namespace {

/// Programs that take cores now.
constinit std::atomic<u64> running_helpers{0};

bool may_be_core_file(const vfs::File& file, u32 owner) {
    constexpr u32 permissions_that_matter = 0677;
    const vfs::Inode& inode = file.inode();
    return inode.is_regular() && inode.link_count() == 1 && inode.uid() == owner &&
           (inode.mode() & permissions_that_matter) == 0600;
}

/// The way to a program's start: the kernel thread that makes it has the kernel's rights and root directory.
struct HelperStart : RefCounted<HelperStart> {
    std::span<const char> arguments; // the dumping thread's, who waits
    NullableRefPtr<vfs::File> input;
    Result<void> result{};
    std::atomic<bool> is_done{false};
    core::WaitQueue done;
};

void run_helper_start(void* context) {
    RefPtr<HelperStart> start = RefPtr<HelperStart>::adopt(*static_cast<HelperStart*>(context));
    start->result = start_helper(start->arguments, RefPtr<vfs::File>(std::move(start->input)));
    start->is_done.store(true, std::memory_order_release);
    start->done.wake_all();
}

Result<void> start_program(std::span<const char> arguments, RefPtr<vfs::File> input) {
    auto* made = new (std::nothrow) HelperStart;
    if (!made) return error(Errno::ENOMEM);
    RefPtr<HelperStart> start = RefPtr<HelperStart>::adopt(*made);
    start->arguments = arguments;
    start->input = NullableRefPtr<vfs::File>(std::move(input));
    start->ref(); // the thread's
    if (auto started = core::start_kernel_thread("coredump", run_helper_start, start.get()); !started) {
        start->unref();
        return error(started.error());
    }
    (void)core::wait_until(start->done, core::Sleep::Deep, core::Deadline::never(),
                           [&] { return start->is_done.load(std::memory_order_acquire); });
    return start->result;
}

/// Until nobody can read any more: so long the helper may look at /proc/PID.
void wait_for_readers_to_go(vfs::Pipe& pipe) {
    vfs::EventWait wait;
    vfs::EventObserver observer(pipe.events, 0, wait);
    for (;;) {
        wait.reset();
        if (pipe.readers() == 0) return;
        if (wait.sleep(core::Sleep::Killable, core::Deadline::never()) != core::WaitResult::Ready) return;
    }
}

} // namespace

Result<CoreTarget> CoreTarget::open(const CoreDump& dump, const CoreName& name) {
    if (name.is_pipe) return open_pipe(dump, name.text.span());
    return open_file(dump, {name.text.begin(), name.text.size()});
}

Result<CoreTarget> CoreTarget::open_file(const CoreDump& dump, std::string_view path) {
    const bool only_for_root = dump.dumpable == 2;
    vfs::OpenRequest request{.path = path,
                             .flags = abi::O_CREAT | abi::O_WRONLY | abi::O_NOFOLLOW | abi::O_LARGEFILE | abi::O_EXCL,
                             .mode = 0600};
    RefPtr<vfs::Credentials> who = TRY(vfs::Credentials::copy(dump.self.own_credentials()));
    vfs::Path root;
    if (only_for_root) {
        // What may hold another's secrets goes where the administrator said, not where the program stands.
        if (!path.starts_with('/')) return error(Errno::EPERM);
        who->fsuid = 0;
        root = vfs::initial_fs()->root();
        request.start = &root;
        request.lookup_flags = vfs::lookup_in_root;
    } else {
        (void)vfs::unlink(nullptr, path); // an older one makes room
    }
    RefPtr<vfs::File> file = TRY(vfs::open(request, *who));
    if (!may_be_core_file(*file, who->fsuid)) return error(Errno::EPERM);
    return CoreTarget(dump, std::move(file), {});
}

Result<CoreTarget> CoreTarget::open_pipe(const CoreDump& dump, std::span<const char> arguments) {
    if (arguments.empty()) return error(Errno::ENOENT);
    // A helper that dies must not start another.
    if (dump.limit == limit_of_helpers) return error(Errno::ELOOP);
    const u64 count = running_helpers.fetch_add(1) + 1;
    ScopeGuard give_up([] { running_helpers.fetch_sub(1); });
    const u64 most = core_pipe_limit.load();
    if (most != 0 && count > most) return error(Errno::EAGAIN);
    vfs::PipeEnds ends = TRY(vfs::create_pipe(0));
    // A pipe's inode has its pipe attached from the start.
    RefPtr<vfs::InodeAttachment> attached = TRY(
        ends.writer->inode().attachment([]() -> Result<RefPtr<vfs::InodeAttachment>> { return error(Errno::EIO); }));
    NullableRefPtr<vfs::Pipe> pipe(static_cast<vfs::Pipe*>(attached.get()));
    TRY(start_program(arguments, std::move(ends.reader)));
    give_up.dismiss();
    return CoreTarget(dump, std::move(ends.writer), std::move(pipe));
}

CoreTarget::~CoreTarget() {
    if (!pipe_) return;
    file_ = {}; // the helper sees the end
    if (core_pipe_limit.load() != 0) wait_for_readers_to_go(*pipe_);
    running_helpers.fetch_sub(1);
}

Result<CoreWriter> CoreTarget::writer() const {
    constexpr u64 unlimited = ~u64{0};
    const auto kind = pipe_ ? CoreWriter::Kind::Pipe : CoreWriter::Kind::File;
    return CoreWriter::create(dump_.self, RefPtr<vfs::File>(file_), kind, pipe_ ? unlimited : dump_.limit);
}

} // namespace linnet::process
