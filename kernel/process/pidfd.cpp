// pidfds: an anonymous file over a PidRecord, which tells a process from a later one of the same number.
#include <abi/linux/poll.hpp>
#include <process/pidfd.hpp>

#include "internal.hpp"

namespace linnet::process {
namespace {

class PidFd final : public vfs::File {
public:
    PidFd(RefPtr<PidRecord> pid_record, u32 flags)
        : File(vfs::anonymous_inode(), abi::O_RDWR | flags, Positioning::Stream), record(std::move(pid_record)) {}

    u32 poll() override {
        NullableRefPtr<Process> process = record->process();
        bool gone = !process || process->exit_state.load() != ExitState::Alive;
        return gone ? abi::POLLIN | abi::POLLRDNORM : 0;
    }
    vfs::EventSource* event_source() override { return &record->exit_events; }
    void describe(TextSink sink) const override { sink("anon_inode:[pidfd]"); }
    void show_fdinfo(TextSink sink) const override {
        bool alive = static_cast<bool>(record->process());
        format_to(sink, "Pid:\t{}\nNSpid:\t{}\n", alive ? record->number() : -1, alive ? record->number() : -1);
    }
    const void* kind() const override { return &tag; }

    RefPtr<PidRecord> record;
    static const char tag;
};
const char PidFd::tag = 0;

} // namespace

Result<RefPtr<vfs::File>> create_pidfd(RefPtr<PidRecord> record, u32 flags) {
    auto* file = new (std::nothrow) PidFd(std::move(record), flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<vfs::File>(adopt_ref(*file));
}

Result<RefPtr<vfs::File>> PidRecord::open_pidfd(u32 flags) {
    if (!process()) return error(Errno::ESRCH);
    return create_pidfd(RefPtr<PidRecord>(*this), flags);
}

Result<RefPtr<PidRecord>> pidfd_record(vfs::File& file) {
    if (file.kind() != &PidFd::tag) return error(Errno::EBADF);
    return static_cast<PidFd&>(file).record;
}

Result<RefPtr<Process>> process_of_descriptor(vfs::File& file) {
    if (file.kind() != &PidFd::tag) return process_of_folder(file);
    NullableRefPtr<Process> process = static_cast<PidFd&>(file).record->process();
    if (!process) return error(Errno::ESRCH);
    return RefPtr<Process>(std::move(process));
}

} // namespace linnet::process
