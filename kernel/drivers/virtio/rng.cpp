// virtio-rng (section 5.4): one buffer that the device fills with entropy, asked for again now and then.
#include <core/log.hpp>
#include <core/random.hpp>
#include <core/timer.hpp>
#include <lib/own_ptr.hpp>

#include "virtio.hpp"

namespace linnet::drivers {
namespace {

constexpr usize request_bytes = 64;
constexpr u64 refresh_ns = 60 * core::ns_per_second;

class Rng {
public:
    explicit Rng(VirtioTransport& transport) : transport_(transport) {}
    Result<void> start() {
        TRY(start_virtio_device(transport_, 0));
        TRY(transport_.set_handler(&on_interrupt, this));
        queue_ = TRY(VirtQueue::create(transport_, 0, 8));
        page_ = TRY(mm::allocate_pages(0));
        transport_.set_status(virtio_acknowledge | virtio_driver | virtio_features_ok | virtio_driver_ok);
        request();
        return {};
    }

private:
    void request() {
        core::InterruptSpinGuard guard(lock_);
        if (queue_->add(mm::page_address(*page_), request_bytes, VirtQueue::Direction::FromDevice)) queue_->kick();
    }
    static void on_interrupt(void* context) {
        auto& self = *static_cast<Rng*>(context);
        core::InterruptSpinGuard guard(self.lock_);
        auto used = self.queue_->take_used();
        if (!used || !*used) return;
        usize length = (*used)->length < request_bytes ? (*used)->length : request_bytes;
        // Trusted like Linux trusts it by default: fully.
        core::add_entropy({mm::page_data<const u8>(*self.page_), length}, static_cast<u32>(length * 8));
        core::arm_timer(self.timer_, core::monotonic_ns() + refresh_ns);
    }

    struct RefreshTimer : core::Timer {
        explicit RefreshTimer(Rng& device)
            : Timer([](core::Timer& timer) { static_cast<RefreshTimer&>(timer).rng.request(); }), rng(device) {}
        Rng& rng;
    };
    VirtioTransport& transport_;
    core::InterruptSpinLock lock_;
    VirtQueue* queue_ = nullptr;
    mm::Page* page_ = nullptr;
    RefreshTimer timer_{*this};
};

} // namespace

Result<void> probe_virtio_rng(VirtioTransport& transport) {
    // Interrupts find it from the start on: it lives as long as the kernel, whether it can be used or not.
    TRY(TRY(try_make<Rng>(transport)).release()->start());
    core::log_info("virtio-rng: entropy source");
    return {};
}

} // namespace linnet::drivers
