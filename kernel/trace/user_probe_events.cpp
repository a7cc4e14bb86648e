// Dynamic events of programs (uprobe_events).
#include <algorithm>
#include <cstring>
#include <mm/usercopy.hpp>
#include <new>
#include <process/process.hpp>
#include <vfs/lookup.hpp>

#include "perf_moment.hpp"
#include "probe_events.hpp"

namespace linnet::trace {

namespace {

/// Of the current program; pages may have to be got.
class UserPlace final : public FetchPlace {
public:
    UserPlace(arch::ProbeRegisters at, u64 begins) : FetchPlace(at) { file_begins = begins; }
    bool read_kernel(u64 address, std::span<u8> to) const override { return read_user(address, to); }
    bool read_user(u64 address, std::span<u8> to) const override {
        return arch::is_user_range({address}, to.size()) &&
               mm::copy_from_user(to.data(), {address}, to.size()).has_value();
    }
    bool read_stack(u64 index, u64& value) const override {
        return read_user(registers.sp() + index * sizeof value, {reinterpret_cast<u8*>(&value), sizeof value});
    }
};

class UserEventProbe final : public EventProbe, private probe::UserProbeClient {
public:
    UserEventProbe(ProbeTexts texts, const ProbeCommand& command, RefPtr<mm::VmObject> text)
        : EventProbe(std::move(texts), command.is_return, &*text, command.offset),
          UserProbeClient(command.is_return ? Wants::Returns : Wants::Entries, Telling::MaySleep),
          text_(std::move(text)) {}
    Result<void> connect_locked() override { return probe::add_user_probe(*this, *text_, offset_); }
    void disconnect_locked() override { probe::remove_user_probe(*this); }
    void show_profile(TextSink sink) const override {
        format_to(sink, "  {} {-44} {15}\n", texts_.target, texts_.name, hits_.load(std::memory_order_relaxed));
    }

private:
    void on_entry(VirtAddr address) override { record(address.value, 0); }
    void on_return(VirtAddr function) override { record(function.value, process::current().registers.pc().value); }
    void record(u64 function, u64 caller);
    std::string_view place_suffix(std::span<char, 32> buffer) const override {
        return format_into(buffer, ":0x{016x}", offset_);
    }

    const RefPtr<mm::VmObject> text_;
};

/// Values are fetched first, for that may sleep.
void UserEventProbe::record(u64 function, u64 caller) {
    hits_.fetch_add(1, std::memory_order_relaxed);
    constexpr usize usual = 512;
    u8 on_stack[usual];
    OwnPtr<u8[]> larger;
    std::span<u8> buffer(on_stack);
    const bool has_texts = std::any_of(texts_.values.begin(), texts_.values.end(),
                                       [](const ProbeValue& value) { return value.what.type.is_text(); });
    if (has_texts || texts_.fixed_size > usual) {
        larger = OwnPtr<u8[]>(new (std::nothrow) u8[longest_record]);
        if (!larger) return;
        buffer = {larger.get(), longest_record};
    }
    const UserPlace place(arch::probe_registers(process::current().registers), function - offset_);
    const std::span<u8> made = compose(buffer, place, function, caller);
    const auto state = arch::save_and_disable_interrupts();
    const Moment moment = Moment::of_user_code();
    event->emit(made, &moment);
    arch::restore_interrupts(state);
}

/// The usual name: kind, file, offset.
std::string_view usual_name(const ProbeCommand& command, std::span<char, 64> buffer) {
    std::string_view file = command.target.substr(command.target.find_last_of('/') + 1);
    // Up to what can't be in a name, as on Linux.
    usize length = 0;
    while (length < std::min<usize>(file.size(), 32)) {
        const char one[] = {'a', file[length]};
        if (!is_probe_name({one, 2})) break;
        ++length;
    }
    return format_into(buffer, "{}_{}_{#x}", command.is_return ? "r" : "p", file.substr(0, length), command.offset);
}

} // namespace

void print_user_place(TextSink sink, u64 first, u64 second, bool is_return) {
    if (is_return) return format_to(sink, "({#x} <- {#x})", second, first);
    format_to(sink, "({#x})", first);
}

Result<OwnPtr<EventProbe>> make_user_probe(ProbeCommand& command, CommandError& why) {
    const auto found = vfs::lookup(command.target);
    if (!found) {
        why = {.message = "Failed to find the given file", .position = why.position};
        return error(found.error());
    }
    vfs::Inode& inode = *found->inode();
    mm::VmObject* pages = inode.is_regular() ? inode.pages() : nullptr;
    if (!pages) {
        why = {.message = "Not a regular file", .position = why.position};
        return error(Errno::EINVAL);
    }
    char buffer[64];
    ProbeTexts texts = TRY(ProbeTexts::create(command, command.group.empty() ? "uprobes" : command.group,
                                              command.name.empty() ? usual_name(command, buffer) : command.name));
    return OwnPtr<EventProbe>(TRY(try_make<UserEventProbe>(std::move(texts), command, RefPtr<mm::VmObject>(*pages))));
}

} // namespace linnet::trace
