// Where something happened, and who called: the frames of the kernel and of the program.
#include "perf_moment.hpp"

#include <abi/linux/perf_event.hpp>
#include <arch/platform.hpp>
#include <arch/user_context.hpp>
#include <arch/usercopy.hpp>
#include <mm/address_space.hpp>

namespace linnet::trace {

Moment Moment::of_interrupt() {
    const core::Cpu& cpu = core::this_cpu();
    core::Thread& thread = core::current_thread();
    return {.thread = thread,
            .in_kernel = cpu.interrupted.pc != 0 || !thread.user_context,
            .pc = cpu.interrupted.pc,
            .frame = cpu.interrupted.frame_pointer};
}

Moment Moment::of_user_code(VirtAddr address) { return {.thread = core::current_thread(), .address = address}; }

[[gnu::noinline]] Moment Moment::of_kernel_code(VirtAddr address) {
    arch::StackFrame frame{};
    if (arch::read_stack_frame(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)), frame))
        (void)(arch::read_stack_frame(frame.previous, frame) && arch::read_stack_frame(frame.previous, frame));
    return {.thread = core::current_thread(),
            .in_kernel = true,
            .pc = frame.return_address,
            .frame = frame.previous,
            .address = address};
}

u64 Moment::instruction() const {
    if (in_kernel) return pc;
    return thread.user_context ? thread.user_context->pc().value : 0;
}

namespace {

class Chain {
public:
    Chain(std::span<u64> to, usize most) : to_(to), most_(most) {}
    void mark(u64 marker) {
        if (used_ < to_.size()) to_[used_++] = marker;
    }
    /// False: there is room for no more.
    bool add(u64 address) {
        if (addresses_ == most_ || used_ == to_.size()) return false;
        to_[used_++] = address;
        ++addresses_;
        return true;
    }
    [[nodiscard]] usize used() const { return used_; }

private:
    std::span<u64> to_;
    usize most_;
    usize used_ = 0;
    usize addresses_ = 0;
};

void add_kernel(Chain& chain, const Moment& moment) {
    chain.mark(abi::PERF_CONTEXT_KERNEL);
    if (!chain.add(moment.pc)) return;
    uintptr_t at = moment.frame;
    arch::StackFrame frame{};
    while (at != 0 && arch::read_stack_frame(at, frame) && frame.return_address != 0) {
        if (!chain.add(frame.return_address) || frame.previous <= at) return;
        at = frame.previous;
    }
}

/// Frames are as the program says: what isn't mapped, or does not lead outwards, ends the chain.
void add_user(Chain& chain, const arch::UserContext& registers) {
    chain.mark(abi::PERF_CONTEXT_USER);
    if (!chain.add(registers.pc().value)) return;
    struct Record {
        u64 previous, return_address;
    } record{};
    u64 at = registers.frame_pointer().value;
    for (;;) {
        const VirtAddr place{at + static_cast<u64>(arch::UserContext::frame_record_offset)};
        if (at == 0 || at % sizeof(u64) != 0 || !arch::is_user_range(place, sizeof record)) return;
        // With interrupts off a page that isn't there makes the copy fail.
        if (arch::arch_copy_from_user(&record, reinterpret_cast<const void*>(place.value), sizeof record) != 0) return;
        if (record.return_address == 0 || !chain.add(record.return_address) || record.previous <= at) return;
        at = record.previous;
    }
}

} // namespace

usize call_chain(const Moment& moment, const ChainOptions& options, std::span<u64> to) {
    Chain chain(to, options.most);
    if (options.kernel && moment.in_kernel) add_kernel(chain, moment);
    const arch::UserContext* registers = moment.thread.user_context;
    // The memory at hand is that of who runs.
    const bool is_running = &moment.thread == &core::current_thread();
    if (options.user && registers && is_running && mm::current_address_space()) add_user(chain, *registers);
    return chain.used();
}

} // namespace linnet::trace
