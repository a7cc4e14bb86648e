// Open files in messages (unix(7), SCM_RIGHTS).
//
// A file in a message is often a socket with messages of its own, so that letting go of one could let go of a chain of
// any length, each from within the end of the one before. So a thread that is letting go already only notes what
// else is to go, and whoever began does one after the other.
#include "unix/garbage.hpp"

#include <core/sched.hpp>
#include <net/message.hpp>
#include <vfs/current.hpp>

namespace linnet::net {

namespace {

/// A thread that is letting go of files; on its stack.
struct Releaser {
    ListNode node;
    core::Thread* thread = &core::current_thread();
    IntrusiveList<FileRights, &FileRights::node> waiting; // used by that thread only
};

constinit core::LockClass releasers_class{"releasers of files in messages"};
constinit core::SpinLock releasers_lock{releasers_class};
constinit IntrusiveList<Releaser, &Releaser::node> releasers;

/// The current thread, if it is one of them.
Releaser* current_releaser() {
    core::SpinGuard guard(releasers_lock);
    for (Releaser& releaser : releasers)
        if (releaser.thread == &core::current_thread()) return &releaser;
    return nullptr;
}

} // namespace

void FileRights::operator delete(FileRights* rights, std::destroying_delete_t) {
    rights->land();
    if (Releaser* outer = current_releaser()) return outer->waiting.push_back(*rights);
    Releaser releaser;
    {
        core::SpinGuard guard(releasers_lock);
        releasers.push_back(releaser);
    }
    for (; rights; rights = releaser.waiting.pop_front()) {
        rights->~FileRights();
        ::operator delete(rights);
    }
    core::SpinGuard guard(releasers_lock);
    releasers.remove(releaser);
}

Result<void> FileRights::add(RefPtr<vfs::File> file) {
    if (files_.size() >= abi::SCM_MAX_FD) return error(Errno::EINVAL);
    return files_.try_push(std::move(file));
}

Result<void> FileRights::put_in_flight() {
    collect_garbage_if_much();
    user_ = vfs::current_user_charge();
    if (user_ && user_->descriptors_in_flight.load() > vfs::current_open_file_limit() &&
        !vfs::current_credentials().has(vfs::Capability::SysResource) &&
        !vfs::current_credentials().has(vfs::Capability::SysAdmin)) {
        user_ = nullptr;
        return error(Errno::ETOOMANYREFS);
    }
    if (user_) user_->descriptors_in_flight.fetch_add(files_.size());
    enter_flight(files());
    is_in_flight_ = true;
    return {};
}

void FileRights::land() {
    if (!is_in_flight_) return;
    is_in_flight_ = false;
    leave_flight(files());
    if (user_) user_->descriptors_in_flight.fetch_sub(files_.size());
    user_ = nullptr;
}

Result<OwnPtr<FileRights>> FileRights::duplicate() {
    OwnPtr<FileRights> copy = TRY(try_make<FileRights>());
    TRY(copy->files_.try_reserve(files_.size()));
    // Behind a collection that is under way: it may have counted these files' references already.
    core::MutexGuard guard(flight_lock());
    for (RefPtr<vfs::File>& file : files_) TRY(copy->add(file));
    return copy;
}

} // namespace linnet::net
