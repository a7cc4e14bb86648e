// Appending records to the ring, and waking who reads them.
#include "perf_buffer.hpp"

#include <abi/linux/perf_event.hpp>
#include <abi/linux/poll.hpp>
#include <algorithm>
#include <cstring>
#include <new>

#include "recording.hpp"

namespace linnet::trace {

using abi::perf_event_mmap_page;

namespace {
constinit core::LockClass buffer_class("buffer of performance events");
constinit core::LockClass listeners_class("listeners of performance events");
} // namespace

PerfBuffer::Alarm::Alarm(PerfBuffer& owner)
    : InterruptWork([](core::InterruptWork& work) {
          PerfBuffer& buffer = static_cast<Alarm&>(work).buffer;
          core::InterruptSpinGuard guard(buffer.listeners_lock_);
          for (PerfListener& listener : buffer.listeners_) listener.source.notify(abi::POLLIN);
      }),
      buffer(owner) {}

PerfBuffer::PerfBuffer(const Options& options, RefPtr<process::UserAccount> account, u64 charged)
    : AnonObject((1 + options.data_pages) << arch::page_shift, Commitment::None), options_(options),
      account_(std::move(account)), charged_(charged), lock_(buffer_class), listeners_lock_(listeners_class) {}

PerfBuffer::~PerfBuffer() {
    core::finish_interrupt_work(alarm_);
    account_->perf_pages.fetch_sub(charged_, std::memory_order_relaxed);
}

Result<RefPtr<PerfBuffer>> PerfBuffer::create(const Options& options, RefPtr<process::UserAccount> account,
                                              u64 charged) {
    auto* made = new (std::nothrow) PerfBuffer(options, account, charged);
    if (!made) return error(Errno::ENOMEM);
    account->perf_pages.fetch_add(charged, std::memory_order_relaxed); // its destructor takes them back
    RefPtr<PerfBuffer> buffer = adopt_ref(*made);
    TRY(buffer->fill());
    return buffer;
}

Result<void> PerfBuffer::fill() {
    TRY(pages_.try_reserve(1 + options_.data_pages));
    for (u64 i = 0; i <= options_.data_pages; ++i)
        TRY(pages_.try_push(TRY(AnonObject::get_page(i, arch::Access::Write))));
    auto& control = *pages_[0].data<perf_event_mmap_page>();
    control.capabilities = abi::PERF_CAPABILITY_BIT0_IS_DEPRECATED;
    control.size = __builtin_offsetof(perf_event_mmap_page, reserved);
    control.data_offset = arch::page_size;
    control.data_size = options_.data_pages << arch::page_shift;
    return {};
}

u64 PerfBuffer::size_of_ring() const { return data_pages() << arch::page_shift; }

void PerfBuffer::copy_in(u64 position, std::span<const u64> record) {
    const u64 ring = size_of_ring();
    for (usize done = 0; done < record.size_bytes();) {
        const u64 at = (position + done) & (ring - 1);
        const usize in_page = at & (arch::page_size - 1);
        const usize part = std::min<usize>(record.size_bytes() - done, arch::page_size - in_page);
        auto* page = pages_[1 + (at >> arch::page_shift)].data<u8>();
        memcpy(page + in_page, reinterpret_cast<const u8*>(record.data()) + done, part);
        done += part;
    }
}

bool PerfBuffer::append_locked(std::span<const u64> record) {
    const u64 ring = size_of_ring(), bytes = record.size_bytes();
    if (bytes > ring) return false;
    auto& control = *pages_[0].data<perf_event_mmap_page>();
    if (!options_.overwrites) {
        const u64 unread = head_ - __atomic_load_n(&control.data_tail, __ATOMIC_ACQUIRE);
        // Rubbish in data_tail is as good as a full ring.
        if (unread > ring || ring - unread < bytes) return false;
    }
    if (options_.goes_backward) {
        head_ -= bytes;
        copy_in(head_, record);
    } else {
        copy_in(head_, record);
        head_ += bytes;
    }
    __atomic_store_n(&control.data_head, head_, __ATOMIC_RELEASE);
    return true;
}

bool PerfBuffer::write(std::span<const u64> record, std::span<u64> lost) {
    if (data_pages() == 0 || !is_mapped() || is_paused_.load(std::memory_order_relaxed)) return false;
    RecordingGuard guard(lock_);
    if (lost_ != 0) {
        lost[2] = lost_;
        if (append_locked(lost)) lost_ = 0;
    }
    if (lost_ != 0 || !append_locked(record)) {
        ++lost_;
        return false;
    }
    const u64 moved = options_.goes_backward ? told_at_ - head_ : head_ - told_at_;
    const u64 ring = size_of_ring();
    const u64 watermark = options_.watermark ? std::min(options_.watermark, ring) : ring / 2;
    if (moved > watermark) {
        told_at_ = head_;
        wake_soon_locked();
    }
    return true;
}

void PerfBuffer::count_sample(u32 every) {
    RecordingGuard guard(lock_);
    if (++samples_ < every) return;
    samples_ = 0;
    wake_soon_locked();
}

void PerfBuffer::wake_soon_locked() {
    has_news_.store(true, std::memory_order_release);
    core::raise_interrupt_work(alarm_);
}

void PerfBuffer::add_listener(PerfListener& listener) {
    core::InterruptSpinGuard guard(listeners_lock_);
    listeners_.push_back(listener);
}

void PerfBuffer::remove_listener(PerfListener& listener) {
    core::InterruptSpinGuard guard(listeners_lock_);
    listener.node.unlink();
}

void PerfBuffer::wake() {
    RecordingGuard guard(lock_);
    wake_soon_locked();
}

} // namespace linnet::trace
