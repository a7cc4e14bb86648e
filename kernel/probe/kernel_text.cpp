// Changing the kernel's own text, which nobody may write: by a mapping of the page elsewhere, while all other CPUs wait
// in code that is on no page that can be probed.
//
// They wait for two reasons. Processors want each CPU that executes modified code to synchronise its instruction stream
// behind the change. And an emulator that is just translating the page while it is written may keep what it has read:
// so nobody fetches from it meanwhile.
#include "kernel_probe.hpp"

#include <arch/mmu.hpp>
#include <core/sched.hpp>
#include <cstring>
#include <mm/kernel_area.hpp>

#pragma clang section text = ".text.noprobe"

namespace linnet::probe {

namespace {

class Patch {
public:
    /// `to` is `text` in another mapping.
    Patch(u8* to, void* text, std::span<const u8> bytes, u32 others)
        : to_(to), text_(text), bytes_(bytes), awaited_(others) {}

    /// On the only CPU, or on each of the others: the last that comes writes.
    void meet() {
        if (awaited_.load(std::memory_order_relaxed) == 0 || awaited_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            if (leave_waiting(State::Writing)) write();
        }
        for (u32 turns = 0; state_.load(std::memory_order_acquire) <= State::Writing; ++turns) {
            if (turns > patience) (void)leave_waiting(State::GivenUp);
            arch::relax();
        }
        arch::synchronise_instruction_stream();
    }
    [[nodiscard]] bool is_done() const { return state_.load(std::memory_order_acquire) == State::Done; }

private:
    enum class State : u8 { Waiting, Writing, Done, GivenUp };
    static constexpr u32 patience = 1 << 22;

    bool leave_waiting(State next) {
        State expected = State::Waiting;
        return state_.compare_exchange_strong(expected, next, std::memory_order_acq_rel);
    }
    /// In one store, as far as whoever executes it is concerned.
    void write() {
        u32 code = 0;
        std::memcpy(&code, bytes_.data(), std::min(bytes_.size(), sizeof code));
        switch (bytes_.size()) {
        case 1:
            __atomic_store_n(to_, static_cast<u8>(code), __ATOMIC_RELEASE);
            break;
        case 2:
            __atomic_store_n(reinterpret_cast<u16*>(to_), static_cast<u16>(code), __ATOMIC_RELEASE);
            break;
        case 4:
            __atomic_store_n(reinterpret_cast<u32*>(to_), code, __ATOMIC_RELEASE);
            break;
        default: // a slot, which nobody executes
            std::memcpy(to_, bytes_.data(), bytes_.size());
        }
        arch::synchronise_instruction_cache(text_, bytes_.size());
        state_.store(State::Done, std::memory_order_release);
    }

    u8* to_;
    void* text_;
    std::span<const u8> bytes_;
    std::atomic<u32> awaited_;
    std::atomic<State> state_{State::Waiting};
};

/// Whether all CPUs came.
bool write_in_a_meeting(u8* to, void* text, std::span<const u8> bytes) {
    core::PreemptionGuard stay;
    const u64 others = core::online_cpus() & ~(u64{1} << core::this_cpu().number);
    Patch patch(to, text, bytes, static_cast<u32>(std::popcount(others)));
    if (others)
        core::run_on_cpus(others, [](void* context) { static_cast<Patch*>(context)->meet(); }, &patch);
    else
        patch.meet();
    arch::synchronise_instruction_stream();
    return patch.is_done();
}

} // namespace

Result<void> write_kernel_text(u64 address, std::span<const u8> bytes) {
    const VirtAddr alias = TRY(mm::map_text({address - arch::kernel_image_offset}, bytes.size()));
    // A CPU that waits for the others may have been interrupted with a lock that another one wants while it takes no
    // interrupts: then all go apart again, and meet another time.
    while (!write_in_a_meeting(reinterpret_cast<u8*>(alias.value), reinterpret_cast<void*>(address), bytes)) {
    }
    mm::unmap_device(alias);
    return {};
}

void wait_for_kernel_hits() {
    core::run_on_cpus(~u64{0}, [](void*) {}, nullptr);
}

} // namespace linnet::probe
