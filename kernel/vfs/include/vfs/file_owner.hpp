// FileOwner: who is told by a signal that something happened to a file (fcntl(2), F_SETOWN, F_SETSIG, O_ASYNC).
//
// Files announce events in any context, with locks held; the signal is sent by deferred work soon after. What happens
// in between is kept, as far as there is room; what there is no room for is told by a plain SIGIO, as when real-time
// signals can't be queued (fcntl(2), F_SETSIG).
#pragma once

#include <core/mutex.hpp>
#include <core/work_queue.hpp>
#include <vfs/event_source.hpp>
#include <vfs/identity.hpp>

namespace linnet::vfs {

class FileOwner : public RefCounted<FileOwner> {
public:
    enum class Kind : u8 { Thread, Process, Group };
    struct Owner {
        NullableRefPtr<ProcessIdentity> who; // null: nobody
        Kind kind = Kind::Process;
        u32 uid = 0, euid = 0; // of who set it, and so on whose behalf the signals are sent
    };

    static Result<RefPtr<FileOwner>> create();

    void set(Owner owner);
    Owner get();
    /// F_SETSIG; 0: SIGIO without more.
    std::atomic<int> signal{0};
    /// O_ASYNC: tells the owner of what `source` announces, as descriptor `fd`, until stop().
    void start(EventSource& source, int fd);
    void stop();

private:
    struct Waiter : core::WaitQueue::Waiter {
        FileOwner* owner = nullptr;
    };
    struct DeferredWork : core::Work {
        explicit DeferredWork(FileOwner& file_owner)
            : Work([](core::Work& work) { static_cast<DeferredWork&>(work).owner.tell(); }), owner(file_owner) {}
        FileOwner& owner;
    };
    static constexpr u32 room = 16;

    FileOwner() : work_(*this) {}
    void note(u32 events);
    void tell();

    core::Mutex configuration_; // start, stop, set; before every other lock
    core::SpinLock owner_lock_;
    Owner owner_;
    EventSource* source_ = nullptr;
    int fd_ = -1;
    Waiter waiter_;
    core::InterruptSpinLock noted_lock_;
    u32 noted_[room] = {};
    u32 noted_count_ = 0;
    bool overflowed_ = false;
    DeferredWork work_;
};

class File;

/// F_SETOWN_EX, F_SETOWN (negative: a group). ESRCH when nothing bears the number, EINVAL.
Result<void> set_file_owner(File& file, FileOwner::Kind kind, i32 number);
Result<void> set_file_owner(File& file, i32 process_or_group);
struct FileOwnerNumber {
    FileOwner::Kind kind = FileOwner::Kind::Process;
    i32 number = 0; // 0: nobody, or gone
    u32 uid = 0, euid = 0;
    /// As F_GETOWN shows it.
    [[nodiscard]] i32 as_one() const { return kind == FileOwner::Kind::Group ? -number : number; }
};
FileOwnerNumber file_owner_number(File& file);
/// F_SETSIG, F_GETSIG.
Result<void> set_file_signal(File& file, int signal);
int file_signal(File& file);
/// O_ASYNC, set by way of descriptor `fd`. ENOTTY: this kind of file tells nobody.
Result<void> set_async(File& file, bool on, int fd);
/// Tells the owner, if there is one, of events by way of descriptor `fd`. May sleep.
void tell_owner(File& file, u32 events, int fd);
/// The file is going.
void forget_owner(File& file);

/// Hook of process: sends the signal, if whoever set the owner may. `signal` 0: SIGIO without more.
void send_ready_signal(const FileOwner::Owner& owner, int signal, u32 events, int fd);
/// Hook of process: what bears the number; null: nothing does.
NullableRefPtr<ProcessIdentity> find_owner(FileOwner::Kind kind, i32 number);

} // namespace linnet::vfs
