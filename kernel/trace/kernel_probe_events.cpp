// Dynamic events of the kernel's functions (kprobe_events).
#include <arch/usercopy.hpp>
#include <core/panic.hpp>
#include <cstring>
#include <mm/address_space.hpp>
#include <new>

#include "perf_moment.hpp"
#include "probe_events.hpp"
#include "recording.hpp"

namespace linnet::trace {

namespace {

/// Composed with interrupts off, by one hit at a time on each CPU.
constinit std::atomic<u8*> buffers[core::CpuMask::max_cpus] = {};

class KernelPlace final : public FetchPlace {
public:
    using FetchPlace::FetchPlace;
    bool read_kernel(u64 address, std::span<u8> to) const override {
        return arch::copy_kernel_nofault(to.data(), address, to.size());
    }
    /// With interrupts off a page that isn't there makes the copy fail.
    bool read_user(u64 address, std::span<u8> to) const override {
        return core::current_thread().user_context && mm::current_address_space() &&
               arch::is_user_range({address}, to.size()) &&
               arch::arch_copy_from_user(to.data(), reinterpret_cast<const void*>(address), to.size()) == 0;
    }
    bool read_stack(u64 index, u64& value) const override {
        return read_kernel(registers.sp() + index * sizeof value, {reinterpret_cast<u8*>(&value), sizeof value});
    }
};

class KernelEventProbe final : public EventProbe, private probe::KernelProbeClient {
public:
    KernelEventProbe(ProbeTexts texts, const ProbeCommand& command, u64 address)
        : EventProbe(std::move(texts), command.is_return, nullptr, address),
          KernelProbeClient(command.is_return ? Wants::Returns : Wants::Entries), given_offset_(command.offset),
          given_most_active_(command.most_active) {
        most_active = command.most_active;
    }
    Result<void> connect_locked() override;
    void disconnect_locked() override { probe::remove_kernel_probe(*this); }
    void show_profile(TextSink sink) const override {
        format_to(sink, "  {-44} {15} {15}\n", texts_.name, hits_.load(std::memory_order_relaxed),
                  missed.load(std::memory_order_relaxed));
    }

private:
    bool on_hit(arch::ProbeRegisters registers) override { return record(registers, registers.pc(), 0); }
    bool on_return(arch::ProbeRegisters registers, u64 function, u64 caller) override {
        return record(registers, function, caller);
    }
    bool record(arch::ProbeRegisters registers, u64 first, u64 second);
    void show_kind(TextSink sink) const override {
        EventProbe::show_kind(sink);
        if (given_most_active_) format_to(sink, "{}", given_most_active_);
    }
    std::string_view place_suffix(std::span<char, 32> buffer) const override {
        if (texts_.target.empty()) return format_into(buffer, "{#x}", given_offset_);
        return given_offset_ ? format_into(buffer, "+{}", given_offset_) : std::string_view();
    }

    const u64 given_offset_;
    const u32 given_most_active_;
};

Result<void> KernelEventProbe::connect_locked() {
    for (u32 cpu = 0; cpu < core::cpu_count(); ++cpu) {
        if (buffers[cpu].load(std::memory_order_relaxed)) continue;
        u8* buffer = new (std::nothrow) u8[longest_record];
        if (!buffer) return error(Errno::ENOMEM);
        buffers[cpu].store(buffer, std::memory_order_release);
    }
    return probe::add_kernel_probe(*this, offset_);
}

bool KernelEventProbe::record(arch::ProbeRegisters registers, u64 first, u64 second) {
    if (is_recording_here()) return false;
    hits_.fetch_add(1, std::memory_order_relaxed);
    u8* buffer = buffers[core::this_cpu().number].load(std::memory_order_relaxed);
    const KernelPlace place(registers);
    const Moment moment{.thread = core::current_thread(),
                        .in_kernel = true,
                        .pc = registers.pc(),
                        .frame = arch::frame_pointer(registers)};
    event->emit(compose({buffer, longest_record}, place, first, second), &moment);
    return true;
}

void print_symbol(TextSink sink, u64 address, bool with_offset) {
    const core::Symbol symbol = core::find_symbol(address);
    if (symbol.name.empty()) return format_to(sink, "{#x}", address);
    sink(symbol.name);
    if (with_offset) format_to(sink, "+{#x}", symbol.offset);
}

/// The usual name: kind, function, offset; what can't be in a name is an underscore.
std::string_view usual_name(const ProbeCommand& command, std::span<char, 64> buffer) {
    const char kind[] = {command.is_return ? 'r' : 'p', '\0'};
    std::string_view made =
        command.target.empty()
            ? format_into(buffer, "{}_{#x}", std::string_view(kind), command.offset)
            : format_into(buffer, "{}_{}_{}", std::string_view(kind), command.target.substr(0, 40), command.offset);
    for (usize i = 0; i < made.size(); ++i) {
        const char one[] = {'a', buffer[i]};
        if (!is_probe_name({one, 2})) buffer[i] = '_';
    }
    return made;
}

/// Symbols of values become addresses.
Result<void> resolve(FetchArgument& what, CommandError& why) {
    if (what.symbol.empty()) return {};
    const u64 address = probe::find_kernel_function(what.symbol);
    if (address == 0) {
        why.message = "Invalid probed address or symbol";
        return error(Errno::ENOENT);
    }
    what.value += address;
    what.symbol = {};
    return {};
}

} // namespace

void print_kernel_place(TextSink sink, u64 first, u64 second, bool is_return) {
    sink("(");
    if (is_return) {
        print_symbol(sink, second, true);
        sink(" <- ");
    }
    print_symbol(sink, first, !is_return);
    sink(")");
}

Result<OwnPtr<EventProbe>> make_kernel_probe(ProbeCommand& command, CommandError& why) {
    u64 address = command.offset;
    if (!command.target.empty()) {
        const u64 function = probe::find_kernel_function(command.target);
        if (function == 0) {
            why.message = "Invalid probed address or symbol";
            return error(Errno::EINVAL);
        }
        address += function;
    }
    using Wants = probe::KernelProbeClient::Wants;
    if (const auto checked = probe::check_kernel_place(address, command.is_return ? Wants::Returns : Wants::Entries);
        !checked) {
        if (command.is_return && core::find_symbol(address).offset != 0)
            why.message = "Return probe must be on function entry";
        else
            why.message = checked.error() == Errno::EILSEQ ? "Probe point is not an instruction boundary"
                                                           : "Failed to register probe event";
        return error(checked.error() == Errno::ENOENT ? Errno::EINVAL : checked.error());
    }
    for (FetchArgument& argument : command.arguments.span()) TRY(resolve(argument, why));
    char buffer[64];
    ProbeTexts texts = TRY(ProbeTexts::create(command, command.group.empty() ? "kprobes" : command.group,
                                              command.name.empty() ? usual_name(command, buffer) : command.name));
    return OwnPtr<EventProbe>(TRY(try_make<KernelEventProbe>(std::move(texts), command, address)));
}

} // namespace linnet::trace
