// The file of an event: reading it, switching it, mapping its buffer.
#include "perf_file.hpp"

#include <abi/linux/poll.hpp>
#include <bit>
#include <lib/array_list.hpp>
#include <mm/usercopy.hpp>
#include <new>
#include <process/process.hpp>
#include <process/rlimit.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>

namespace linnet::trace {

const char PerfFile::tag = 0;

PerfFile::~PerfFile() {
    RemovedEvents gone;
    {
        core::MutexGuard guard(events_lock);
        while (PerfEvent* copy = event_.copies.first()) {
            copy->remove_locked();
            gone.push_back(*copy);
        }
        event_.remove_locked();
        gone.push_back(event_);
    }
    delete_all(gone);
}

namespace {

/// perf_event_open(2), "Reading results". Has room for all there is to say.
using Words = ArrayList<u64>;

void put_times(Words& out, u64 format, const PerfEvent::Reading& reading) {
    if (format & abi::PERF_FORMAT_TOTAL_TIME_ENABLED) MUST(out.try_push(reading.enabled_ns));
    if (format & abi::PERF_FORMAT_TOTAL_TIME_RUNNING) MUST(out.try_push(reading.running_ns));
}

void put_identity(Words& out, u64 format, const PerfEvent& event) {
    if (format & abi::PERF_FORMAT_ID) MUST(out.try_push(event.id));
    if (format & abi::PERF_FORMAT_LOST) MUST(out.try_push(event.lost.load(std::memory_order_relaxed)));
}

void put_reading(Words& out, PerfEvent& event) {
    const u64 format = event.attributes.read_format;
    if (!(format & abi::PERF_FORMAT_GROUP)) {
        const PerfEvent::Reading own = event.read_locked();
        MUST(out.try_push(own.value));
        put_times(out, format, own);
        return put_identity(out, format, event);
    }
    PerfEvent& leader = *event.leader;
    const PerfEvent::Reading of_leader = leader.read_locked();
    MUST(out.try_push(1 + leader.member_count));
    put_times(out, format, of_leader);
    MUST(out.try_push(of_leader.value));
    put_identity(out, format, leader);
    for (PerfEvent& member : leader.members) {
        MUST(out.try_push(member.read_locked().value));
        put_identity(out, format, member);
    }
}

} // namespace

Result<usize> PerfFile::read(vfs::IoBuffer& to, u64) {
    Words words;
    {
        core::MutexGuard guard(events_lock);
        if (event_.leader->is_in_error) return 0;
        TRY(words.try_reserve(most_words(1 + event_.leader->member_count)));
        put_reading(words, event_);
    }
    const auto bytes = std::as_bytes(words.span());
    if (to.remaining() < bytes.size()) return error(Errno::ENOSPC);
    TRY(to.copy_out({reinterpret_cast<const u8*>(bytes.data()), bytes.size()}));
    return bytes.size();
}

u32 PerfFile::poll() {
    core::MutexGuard guard(events_lock);
    if (event_.has_ended && event_.copies.is_empty()) return abi::POLLHUP;
    PerfBuffer* buffer = event_.buffer.get();
    if (!buffer || buffer->was_unmapped()) return abi::POLLHUP; // nothing will ever come
    return buffer->take_news() ? abi::POLLIN : 0;
}

template <typename Act>
void PerfFile::on_each(u64 flags, Act act) {
    core::MutexGuard guard(events_lock);
    if (!(flags & abi::PERF_IOC_FLAG_GROUP)) return act(event_);
    PerfEvent& leader = *event_.leader;
    act(leader);
    for (PerfEvent& member : leader.members) act(member);
}

Result<long> PerfFile::ioctl(u32 command, u64 argument) {
    switch (command) {
    case abi::PERF_EVENT_IOC_ENABLE:
        on_each(argument, [](PerfEvent& event) { event.switch_locked(true); });
        return 0;
    case abi::PERF_EVENT_IOC_DISABLE:
        on_each(argument, [](PerfEvent& event) { event.switch_locked(false); });
        return 0;
    case abi::PERF_EVENT_IOC_RESET:
        on_each(argument, [](PerfEvent& event) { event.reset_locked(); });
        return 0;
    case abi::PERF_EVENT_IOC_ID:
        TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{argument}).copy_out(event_.id)));
        return 0;
    case abi::PERF_EVENT_IOC_PERIOD:
        return set_period(TRY((mm::UserPtr<mm::In, u64>(VirtAddr{argument}).copy_in())));
    case abi::PERF_EVENT_IOC_SET_FILTER:
        return set_filter(argument);
    case abi::PERF_EVENT_IOC_REFRESH:
        return refresh(argument);
    case abi::PERF_EVENT_IOC_SET_OUTPUT:
        return set_output(argument);
    case abi::PERF_EVENT_IOC_PAUSE_OUTPUT:
        return pause_output(argument != 0);
    default:
        return error(Errno::ENOTTY);
    }
}

Result<long> PerfFile::set_period(u64 asked) {
    const bool is_rate = event_.has(abi::PERF_ATTR_FREQ);
    if (!event_.takes_samples() || asked == 0) return error(Errno::EINVAL);
    if (is_rate ? asked > highest_sample_rate() : asked >> 63) return error(Errno::EINVAL);
    core::MutexGuard guard(events_lock);
    event_.set_period_locked(asked);
    for (PerfEvent& copy : event_.copies) copy.set_period_locked(asked);
    return 0;
}

Result<long> PerfFile::set_filter(u64 argument) {
    const mm::OwnedString text = TRY(mm::UserString(VirtAddr{argument}).copy_in(Filter::longest_text));
    core::MutexGuard guard(events_lock);
    TRY(event_.set_filter_locked(text.view()));
    return 0;
}

Result<long> PerfFile::refresh(u64 samples) {
    if (event_.has(abi::PERF_ATTR_INHERIT) || !event_.takes_samples()) return error(Errno::EINVAL);
    core::MutexGuard guard(events_lock);
    event_.switch_on_for_locked(samples);
    return 0;
}

Result<long> PerfFile::pause_output(bool on) {
    core::MutexGuard guard(events_lock);
    if (!event_.buffer || event_.buffer->data_pages() == 0) return error(Errno::EINVAL);
    event_.buffer->pause(on);
    return 0;
}

Result<long> PerfFile::set_output(u64 argument) {
    NullableRefPtr<vfs::File> other;
    if (argument != ~u64{0}) {
        other = NullableRefPtr<vfs::File>(TRY(process::current().own_files().get(static_cast<int>(argument))));
        if (other->kind() != &PerfFile::tag) return error(Errno::EBADF);
    }
    core::MutexGuard guard(events_lock);
    TRY(redirect_locked(event_, other ? &static_cast<PerfFile&>(*other).event_ : nullptr));
    return 0;
}

Result<void> redirect_locked(PerfEvent& event, PerfEvent* to) {
    const bool is_mapped = event.mapped && !event.mapped->was_unmapped();
    if (!to) {
        if (is_mapped) return error(Errno::EINVAL);
        event.direct_locked({});
        return {};
    }
    const auto clock = [](const PerfEvent& of) {
        return of.has(abi::PERF_ATTR_USE_CLOCKID) ? of.attributes.clockid : -1;
    };
    const bool same_place = event.target.is_on_one_cpu ? to->target.is_on_one_cpu && event.target.cpu == to->target.cpu
                                                       : !to->target.is_on_one_cpu && &event.context == &to->context;
    if (to == &event || !same_place || clock(event) != clock(*to) || is_mapped || !to->buffer ||
        event.has(abi::PERF_ATTR_WRITE_BACKWARD) != to->has(abi::PERF_ATTR_WRITE_BACKWARD))
        return error(Errno::EINVAL);
    event.direct_locked(to->buffer);
    return {};
}

/// Each user may have some pages without further ado; what is more counts against RLIMIT_MEMLOCK.
Result<RefPtr<PerfBuffer>> PerfFile::make_buffer(u64 data_pages, bool overwrites) {
    process::Thread& thread = process::current();
    const u64 pages = 1 + data_pages;
    RefPtr<process::UserAccount> account(thread.account);
    const u64 free = free_buffer_pages() * std::popcount(core::online_cpus());
    const u64 after = account->perf_pages.load(std::memory_order_relaxed) + pages;
    const u64 limit = thread.process().limits.soft(abi::RLIMIT_MEMLOCK);
    if (after > free && !may_lock_any_memory(thread) && limit != ~u64{0} && after - free > limit >> arch::page_shift)
        return error(Errno::EPERM);
    return PerfBuffer::create({.data_pages = data_pages,
                               .overwrites = overwrites,
                               .goes_backward = event_.has(abi::PERF_ATTR_WRITE_BACKWARD),
                               .watermark = event_.has(abi::PERF_ATTR_WATERMARK) ? event_.attributes.wakeup_events : 0},
                              std::move(account), pages);
}

Result<RefPtr<mm::VmObject>> PerfFile::mmap(const vfs::MapFileRequest& request) {
    if (!request.shared || request.offset != 0) return error(Errno::EINVAL);
    if (event_.has(abi::PERF_ATTR_INHERIT) && !event_.target.is_on_one_cpu) return error(Errno::EINVAL);
    const u64 pages = (request.length + arch::page_size - 1) >> arch::page_shift, data_pages = pages - 1;
    if (data_pages != 0 && !std::has_single_bit(data_pages)) return error(Errno::EINVAL);
    core::MutexGuard guard(events_lock);
    if (event_.buffer && !event_.buffer->was_unmapped()) {
        if (event_.buffer->data_pages() != data_pages) return error(Errno::EINVAL);
    } else {
        RefPtr<PerfBuffer> fresh = TRY(make_buffer(data_pages, !request.writable));
        event_.direct_locked(NullableRefPtr<PerfBuffer>(std::move(fresh)));
    }
    event_.mapped = event_.buffer;
    return RefPtr<mm::VmObject>(*event_.buffer);
}

} // namespace linnet::trace
