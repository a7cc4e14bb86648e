// Signals about files. The work holds a reference from when it is queued until it has run.
#include <algorithm>
#include <limits>
#include <vfs/current.hpp>
#include <vfs/file.hpp>
#include <vfs/file_owner.hpp>

namespace linnet::vfs {

Result<RefPtr<FileOwner>> FileOwner::create() {
    auto* owner = new (std::nothrow) FileOwner;
    if (!owner) return error(Errno::ENOMEM);
    return adopt_ref(*owner);
}

void FileOwner::set(Owner owner) {
    core::SpinGuard guard(owner_lock_);
    std::swap(owner_, owner);
    guard.unlock(); // before the former one goes
}

FileOwner::Owner FileOwner::get() {
    core::SpinGuard guard(owner_lock_);
    return owner_;
}

void FileOwner::start(EventSource& source, int fd) {
    core::MutexGuard guard(configuration_);
    fd_ = fd;
    if (source_) return;
    source_ = &source;
    waiter_.owner = this;
    waiter_.exclusive = false;
    waiter_.callback = [](core::WaitQueue::Waiter& waiter, u32 events) {
        static_cast<Waiter&>(waiter).owner->note(events);
    };
    source.add(waiter_);
}

void FileOwner::stop() {
    core::MutexGuard guard(configuration_);
    if (!source_) return;
    source_->remove(waiter_);
    source_ = nullptr;
}

void FileOwner::note(u32 events) {
    {
        core::InterruptSpinGuard guard(noted_lock_);
        if (noted_count_ < room)
            noted_[noted_count_++] = events;
        else
            overflowed_ = true;
    }
    ref();
    // Queued already, it sees what was just noted. The file has a reference still: this one isn't the last.
    if (!core::queue_work(work_)) unref();
}

void FileOwner::tell() {
    u32 noted[room], count;
    bool overflowed;
    {
        core::InterruptSpinGuard guard(noted_lock_);
        count = std::exchange(noted_count_, 0);
        overflowed = std::exchange(overflowed_, false);
        std::copy(noted_, noted_ + count, noted);
    }
    const Owner owner = get();
    if (owner.who) {
        for (u32 i = 0; i < count; ++i) send_ready_signal(owner, signal.load(), noted[i], fd_);
        if (overflowed) send_ready_signal(owner, 0, 0, fd_);
    }
    unref();
}

// ---- files ----

namespace {

/// The file's owner, made when there is none yet.
Result<FileOwner*> owner_of(File& file) {
    if (FileOwner* existing = file.signal_owner.load(std::memory_order_acquire)) return existing;
    RefPtr<FileOwner> fresh = TRY(FileOwner::create());
    FileOwner* expected = nullptr;
    if (file.signal_owner.compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel))
        return fresh.release();
    return expected;
}

} // namespace

Result<void> set_file_owner(File& file, FileOwner::Kind kind, i32 number) {
    FileOwner* owner = TRY(owner_of(file));
    FileOwner::Owner fresh;
    if (number != 0) {
        fresh.who = find_owner(kind, number);
        if (!fresh.who) return error(Errno::ESRCH);
    }
    fresh.kind = kind;
    fresh.uid = current_credentials().uid;
    fresh.euid = current_credentials().euid;
    owner->set(std::move(fresh));
    return {};
}

Result<void> set_file_owner(File& file, i32 process_or_group) {
    if (process_or_group >= 0) return set_file_owner(file, FileOwner::Kind::Process, process_or_group);
    if (process_or_group == std::numeric_limits<i32>::min()) return error(Errno::EINVAL);
    return set_file_owner(file, FileOwner::Kind::Group, -process_or_group);
}

FileOwnerNumber file_owner_number(File& file) {
    FileOwner* owner = file.signal_owner.load(std::memory_order_acquire);
    if (!owner) return {};
    const FileOwner::Owner now = owner->get();
    FileOwnerNumber result{now.kind, 0, now.uid, now.euid};
    // A number that something else bears by now is none.
    if (now.who && find_owner(now.kind, now.who->process_number()) == now.who)
        result.number = now.who->process_number();
    return result;
}

Result<void> set_file_signal(File& file, int signal) {
    TRY(owner_of(file))->signal.store(signal);
    return {};
}

int file_signal(File& file) {
    FileOwner* owner = file.signal_owner.load(std::memory_order_acquire);
    return owner ? owner->signal.load() : 0;
}

Result<void> set_async(File& file, bool on, int fd) {
    EventSource* source = file.async_source();
    if (!source) return error(Errno::ENOTTY);
    if (on) {
        TRY(owner_of(file))->start(*source, fd);
    } else if (FileOwner* owner = file.signal_owner.load(std::memory_order_acquire)) {
        owner->stop();
    }
    return {};
}

void tell_owner(File& file, u32 events, int fd) {
    FileOwner* owner = file.signal_owner.load(std::memory_order_acquire);
    const FileOwner::Owner now = owner ? owner->get() : FileOwner::Owner{};
    if (now.who) send_ready_signal(now, owner->signal.load(), events, fd);
}

void forget_owner(File& file) {
    FileOwner* owner = file.signal_owner.exchange(nullptr, std::memory_order_acq_rel);
    if (!owner) return;
    owner->stop();
    owner->unref();
}

} // namespace linnet::vfs
