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
#include <lib/hit_way.hpp>
#include <mm/kernel_area.hpp>

#pragma clang section text = ".text.noprobe"

namespace linnet::probe {

namespace {

/// What is to be written, and where the text lies in another mapping, from `begin` on.
struct Changes {
    const TextChange* first;
    const TextChange* end;
    u8* alias;
    u64 begin;
};

/// In one store, as far as whoever executes it is concerned.
void write(u8* to, const TextChange& change) {
    u32 code = 0;
    std::memcpy(&code, change.bytes, change.size < sizeof code ? change.size : sizeof code);
    switch (change.size) {
    case 1:
        __atomic_store_n(to, static_cast<u8>(code), __ATOMIC_RELEASE);
        break;
    case 2:
        __atomic_store_n(reinterpret_cast<u16*>(to), static_cast<u16>(code), __ATOMIC_RELEASE);
        break;
    case 4:
        __atomic_store_n(reinterpret_cast<u32*>(to), code, __ATOMIC_RELEASE);
        break;
    default: // a slot, which nobody executes
        std::memcpy(to, change.bytes, change.size);
    }
    arch::synchronise_instruction_cache(reinterpret_cast<void*>(change.address), change.size);
}

class Patch {
public:
    Patch(const Changes& changes, u32 others) : changes_(changes), awaited_(others) {}

    /// On the only CPU, or on each of the others: the last that comes writes.
    HIT_WAY_BEGINS void meet() {
        if (awaited_.load(std::memory_order_relaxed) == 0 || awaited_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            if (leave_waiting(State::Writing)) write_all();
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
    void write_all() {
        for (const TextChange* change = changes_.first; change != changes_.end; ++change)
            write(changes_.alias + (change->address - changes_.begin), *change);
        state_.store(State::Done, std::memory_order_release);
    }

    const Changes& changes_;
    std::atomic<u32> awaited_;
    std::atomic<State> state_{State::Waiting};
};

/// Whether all CPUs came.
bool write_in_a_meeting(const Changes& changes) {
    core::PreemptionGuard stay;
    const u64 others = core::online_cpus() & ~(u64{1} << core::this_cpu().number);
    Patch patch(changes, static_cast<u32>(std::popcount(others)));
    if (others)
        core::run_on_cpus(others, [](void* context) { static_cast<Patch*>(context)->meet(); }, &patch);
    else
        patch.meet();
    arch::synchronise_instruction_stream();
    return patch.is_done();
}

} // namespace

Result<void> write_kernel_text(std::span<const TextChange> list) {
    if (list.empty()) return {};
    const u64 begin = list.front().address, end = list.back().address + list.back().size;
    const VirtAddr alias = TRY(mm::map_text({begin - arch::kernel_image_offset}, end - begin));
    const Changes changes{.first = list.data(),
                          .end = list.data() + list.size(),
                          .alias = reinterpret_cast<u8*>(alias.value),
                          .begin = begin};
    // A CPU that waits for the others may have been interrupted with a lock that another one wants while it takes no
    // interrupts: then all go apart again, and meet another time.
    while (!write_in_a_meeting(changes)) {
    }
    mm::unmap_device(alias);
    return {};
}

void wait_for_kernel_hits() {
    core::run_on_cpus(~u64{0}, [](void*) {}, nullptr);
}

} // namespace linnet::probe
