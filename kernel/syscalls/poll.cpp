// poll(2) and select(2). One routine asks all files; only when none is ready are observers made, the files
// asked again, and the thread put to sleep until one of them is notified.
#include "wait_time.hpp"

#include <abi/linux/prctl.hpp>
#include <optional>
#include <process/thread.hpp>
#include <syscalls/poll.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::syscalls {

namespace {

using process::Thread;
using vfs::EventObserver;
using vfs::EventWait;

/// One file while the thread sleeps: the reference keeps the source alive.
struct Watch {
    NullableRefPtr<vfs::File> file;
    std::optional<EventObserver> observer;
};

/// The working storage of one call: on the stack for few files, on the heap for many.
template <typename T, usize Few>
class Storage {
public:
    Result<std::span<T>> make(usize count) {
        if (count <= Few) return std::span<T>(few_, count);
        many_.reset(new (std::nothrow) T[count]);
        if (!many_) return error(Errno::ENOMEM);
        return std::span<T>(many_.get(), count);
    }

private:
    T few_[Few]{};
    OwnPtr<T[]> many_;
};

u32 ask(vfs::File& file, const abi::pollfd& request) {
    return file.poll() & (static_cast<u16>(request.events) | vfs::events_always_reported);
}

/// Asks every file once; returns how many have something to report.
int ask_all(vfs::FdTable& files, std::span<abi::pollfd> fds) {
    int ready = 0;
    for (abi::pollfd& request : fds) {
        request.revents = 0;
        if (request.fd < 0) continue;
        Result<vfs::FileRef> file = files.use(request.fd);
        request.revents = static_cast<i16>(file ? ask(**file, request) : abi::POLLNVAL);
        if (request.revents != 0) ++ready;
    }
    return ready;
}

void watch(vfs::FdTable& files, std::span<const abi::pollfd> fds, std::span<Watch> watches, EventWait& wait) {
    for (usize i = 0; i < fds.size(); ++i) {
        if (fds[i].fd < 0) continue;
        Result<RefPtr<vfs::File>> file = files.get(fds[i].fd);
        if (!file) continue;
        watches[i].file = std::move(*file);
        if (vfs::EventSource* source = watches[i].file->event_source_of_caller())
            watches[i].observer.emplace(*source, static_cast<u16>(fds[i].events), wait);
    }
}

int ask_watched(std::span<abi::pollfd> fds, std::span<Watch> watches) {
    int ready = 0;
    for (usize i = 0; i < fds.size(); ++i) {
        if (!watches[i].file) continue;
        fds[i].revents = static_cast<i16>(ask(*watches[i].file, fds[i]));
        if (fds[i].revents != 0) ++ready;
    }
    return ready;
}

/// Fills revents; returns how many files are ready, 0 after the deadline, RestartNoHandler when a signal
/// came.
Result<int> wait_for_files(Thread& thread, std::span<abi::pollfd> fds, core::Deadline deadline) {
    vfs::FdTable& files = thread.own_files();
    if (int ready = ask_all(files, fds)) return ready;
    if (!deadline.is_never() && core::monotonic_ns() >= deadline.ns) return 0;
    EventWait wait;
    Storage<Watch, 4> storage;
    std::span<Watch> watches = TRY(storage.make(fds.size()));
    watch(files, fds, watches, wait);
    for (;;) {
        wait.reset();
        if (int ready = ask_watched(fds, watches)) return ready;
        switch (wait.sleep(core::Sleep::Interruptible, deadline)) {
        case core::WaitResult::Ready:
            break;
        case core::WaitResult::Interrupted:
            return error(Errno::RestartNoHandler);
        case core::WaitResult::TimedOut:
            return ask_watched(fds, watches);
        }
    }
}

Result<int> poll_user(Thread& thread, PollFds fds, u32 count, core::Deadline deadline) {
    if (count > vfs::current_open_file_limit()) return error(Errno::EINVAL);
    Storage<abi::pollfd, 16> storage;
    std::span<abi::pollfd> requests = TRY(storage.make(count));
    TRY(fds.copy_in(requests));
    const int ready = TRY(wait_for_files(thread, requests, deadline));
    for (usize i = 0; i < requests.size(); ++i) {
        constexpr usize offset = offsetof(abi::pollfd, revents);
        mm::UserPtr<mm::Out, i16> revents(fds.element(i).address() + offset);
        TRY(revents.copy_out(requests[i].revents));
    }
    return ready;
}

/// restart_syscall(2) after a stop: the same files, the deadline as it was.
Result<long> resume_poll(Thread& thread) {
    const auto& data = thread.restart.data;
    PollFds fds(VirtAddr{data[0]});
    Result<int> ready = poll_user(thread, fds, static_cast<u32>(data[1]), core::Deadline{data[2]});
    if (!ready && ready.error() == Errno::RestartNoHandler) return error(Errno::RestartBlock);
    return ready;
}

// What each set of select(2) asks for, and what makes a file count as ready in it.
constexpr u32 readable_events = abi::POLLRDNORM | abi::POLLRDBAND | abi::POLLIN | abi::POLLHUP | abi::POLLERR;
constexpr u32 writable_events = abi::POLLWRBAND | abi::POLLWRNORM | abi::POLLOUT | abi::POLLERR;
constexpr u32 exceptional_events = abi::POLLPRI;

struct SelectSet {
    FdSet user;
    u32 events;
    ArrayList<u64> words;
};

Result<void> copy_set_in(SelectSet& set, usize words) {
    if (set.user.is_null()) return {};
    TRY(set.words.try_resize(words));
    return set.user.copy_in(set.words.span());
}

bool has_bit(const SelectSet& set, usize fd) { return !set.words.is_empty() && (set.words[fd / 64] >> (fd % 64) & 1); }

Result<ArrayList<abi::pollfd>> requests_of(std::span<SelectSet> sets, usize count) {
    ArrayList<abi::pollfd> requests;
    for (usize fd = 0; fd < count; ++fd) {
        u32 events = 0;
        for (const SelectSet& set : sets)
            if (has_bit(set, fd)) events |= set.events;
        if (events != 0) TRY(requests.try_push({static_cast<i32>(fd), static_cast<i16>(events), 0}));
    }
    return requests;
}

/// Turns the answers into bits; the sum over the sets is what select returns. EBADF for a closed descriptor.
Result<int> fill_sets(std::span<SelectSet> sets, std::span<const abi::pollfd> answers) {
    int total = 0;
    for (const abi::pollfd& answer : answers)
        if (static_cast<u16>(answer.revents) & abi::POLLNVAL) return error(Errno::EBADF);
    for (SelectSet& set : sets) {
        ArrayList<u64> asked;
        std::swap(asked, set.words);
        TRY(set.words.try_resize(asked.size()));
        for (const abi::pollfd& answer : answers) {
            const usize fd = static_cast<usize>(answer.fd);
            if (asked.is_empty() || !(asked[fd / 64] >> (fd % 64) & 1)) continue;
            if (!(static_cast<u16>(answer.revents) & set.events)) continue;
            set.words[fd / 64] |= u64{1} << (fd % 64);
            ++total;
        }
    }
    return total;
}

Result<int> select_user(Thread& thread, int count, FdSet readable, FdSet writable, FdSet exceptional,
                        core::Deadline deadline) {
    if (count < 0) return error(Errno::EINVAL);
    // Descriptors that can't be open are not looked at, as on Linux.
    const usize limit = std::min<usize>(static_cast<usize>(count), vfs::current_open_file_limit());
    SelectSet sets[] = {
        {readable, readable_events, {}}, {writable, writable_events, {}}, {exceptional, exceptional_events, {}}};
    for (SelectSet& set : sets) TRY(copy_set_in(set, divide_up<usize>(limit, 64)));
    ArrayList<abi::pollfd> requests = TRY(requests_of(sets, limit));
    TRY(wait_for_files(thread, requests.span(), deadline));
    const int total = TRY(fill_sets(sets, requests.span()));
    for (SelectSet& set : sets)
        if (!set.user.is_null()) TRY(set.user.copy_out(std::span<const u64>(set.words.span())));
    return total;
}

/// The time left goes back to the caller, unless its personality(2) wants it to stay; a pointer that can't be written
/// doesn't undo the call.
template <typename Pointer, typename T>
void report_time_left(Thread& thread, Pointer timeout, const T& left) {
    if (!timeout.is_null() && !(thread.personality & abi::STICKY_TIMEOUTS)) (void)timeout.copy_out(left);
}

} // namespace

Result<long> sys_poll(Thread& thread, PollFds fds, u32 count, int timeout_ms) {
    const core::Deadline deadline = deadline_after_ms(timeout_ms);
    Result<int> ready = poll_user(thread, fds, count, deadline);
    if (ready || ready.error() != Errno::RestartNoHandler) return ready;
    thread.restart = {resume_poll, {fds.address().value, count, deadline.ns}};
    return error(Errno::RestartBlock);
}

Result<long> sys_ppoll(Thread& thread, PollFds fds, u32 count, TimespecInOut timeout, SigSetIn mask, u64 set_size) {
    core::Deadline deadline = core::Deadline::never();
    if (!timeout.is_null()) deadline = TRY(deadline_after(TRY(timeout.copy_in())));
    TRY(install_mask(thread, mask, set_size));
    Result<int> ready = poll_user(thread, fds, count, deadline);
    remove_mask(thread, ready);
    report_time_left(thread, timeout, time_left(deadline));
    return ready;
}

Result<long> sys_select(Thread& thread, int count, FdSet readable, FdSet writable, FdSet exceptional,
                        TimevalInOut timeout) {
    core::Deadline deadline = core::Deadline::never();
    if (!timeout.is_null()) {
        const abi::timeval time = TRY(timeout.copy_in());
        if (time.tv_sec < 0 || time.tv_usec < 0) return error(Errno::EINVAL);
        // select(2) takes microseconds beyond a second.
        deadline = TRY(deadline_after({time.tv_sec + time.tv_usec / 1'000'000, time.tv_usec % 1'000'000 * 1000}));
    }
    Result<int> ready = select_user(thread, count, readable, writable, exceptional, deadline);
    const abi::timespec left = time_left(deadline);
    report_time_left(thread, timeout, abi::timeval{left.tv_sec, left.tv_nsec / 1000});
    return ready;
}

Result<long> sys_pselect6(Thread& thread, int count, FdSet readable, FdSet writable, FdSet exceptional,
                          TimespecInOut timeout, mm::UserPtr<mm::In, SigSetArgument> mask) {
    SigSetArgument set{0, sizeof(SigSet)};
    if (!mask.is_null()) set = TRY(mask.copy_in());
    core::Deadline deadline = core::Deadline::never();
    if (!timeout.is_null()) deadline = TRY(deadline_after(TRY(timeout.copy_in())));
    TRY(install_mask(thread, SigSetIn(VirtAddr{set.address}), set.size));
    Result<int> ready = select_user(thread, count, readable, writable, exceptional, deadline);
    remove_mask(thread, ready);
    report_time_left(thread, timeout, time_left(deadline));
    return ready;
}

} // namespace linnet::syscalls
