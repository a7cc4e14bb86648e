// Finding the functions whose entries can be noted, and planting breakpoints at many of them at once.
//
// Functions begin with few different instructions, so what is known of those is kept apart: an entry is eight bytes.
#include <algorithm>
#include <cstring>
#include <lib/array_list.hpp>
#include <new>

#include "kernel_probe.hpp"

extern "C" const char kernel_probes_begin[], kernel_probes_end[];

namespace linnet::probe {

namespace {

/// The first instruction of a function, as long as the longest; what lies behind it is 0.
struct Beginning {
    u8 bytes[arch::longest_instruction] = {};
    bool operator==(const Beginning& other) const { return std::memcmp(bytes, other.bytes, sizeof bytes) == 0; }
};

/// What is found goes into these, and stays.
class Finder {
public:
    /// ENOMEM.
    Result<void> reserve(usize most_entries) { return entries_.try_reserve(most_entries); }
    /// Functions that can't have a breakpoint are passed over. ENOMEM.
    Result<void> add_locked(u64 address);
    /// Writes the slots and hands everything over. ENOMEM.
    Result<void> finish_locked();
    ~Finder() {
        for (const ProbedCode& code : codes_)
            if (!is_finished_) give_slot_back_locked(code.slot);
    }

private:
    Result<u16> number_of_locked(const Beginning& beginning, const arch::ProbedInstruction& instruction);

    ArrayList<FunctionEntry> entries_;
    ArrayList<ProbedCode> codes_;
    ArrayList<Beginning> beginnings_; // of the codes
    bool is_finished_ = false;
};

/// ENOSPC: no more different instructions can be kept.
Result<u16> Finder::number_of_locked(const Beginning& beginning, const arch::ProbedInstruction& instruction) {
    const auto* known = std::find(beginnings_.begin(), beginnings_.end(), beginning);
    const auto number = static_cast<usize>(known - beginnings_.begin());
    if (number < beginnings_.size()) return static_cast<u16>(number);
    if (number > 0xffff) return error(Errno::ENOSPC);
    TRY(beginnings_.try_reserve(number + 1));
    TRY(codes_.try_reserve(number + 1));
    ProbedCode code{.instruction = instruction, .slot = TRY(take_slot_locked())};
    std::memcpy(code.original, beginning.bytes, sizeof code.original);
    MUST(codes_.try_push(code)); // reserved
    MUST(beginnings_.try_push(beginning));
    return static_cast<u16>(number);
}

Result<void> Finder::add_locked(u64 address) {
    u8 buffer[arch::longest_instruction] = {};
    const std::span<const u8> text = original_text_locked(address, buffer);
    const auto instruction = arch::decode_kernel_probed(text);
    if (!instruction) return {};
    Beginning beginning;
    std::memcpy(beginning.bytes, text.data(), std::min<usize>(text.size(), instruction->length));
    const Result<u16> code = number_of_locked(beginning, *instruction);
    if (!code && code.error() == Errno::ENOSPC) return {};
    const auto offset = static_cast<u32>(address - core::kernel_text().begin);
    return entries_.try_push({.offset = offset, .code = TRY(code)});
}

Result<void> Finder::finish_locked() {
    ArrayList<TextChange> slots;
    TRY(slots.try_reserve(codes_.size()));
    for (const ProbedCode& code : codes_)
        MUST(slots.try_push({code.slot, code.instruction.slot, code.instruction.slot_length})); // reserved
    std::sort(slots.begin(), slots.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
    OwnPtr<FunctionEntry[]> entries(new (std::nothrow) FunctionEntry[entries_.size()]);
    OwnPtr<ProbedCode[]> codes(new (std::nothrow) ProbedCode[codes_.size()]);
    if (!entries || !codes) return error(Errno::ENOMEM);
    TRY(write_kernel_text(slots.span()));
    std::copy(entries_.begin(), entries_.end(), entries.get());
    std::copy(codes_.begin(), codes_.end(), codes.get());
    function_entries_found = static_cast<u32>(entries_.size());
    function_codes = codes.release();
    function_entries = entries.release();
    is_finished_ = true;
    return {};
}

u64 address_of(const FunctionEntry& entry) { return core::kernel_text().begin + entry.offset; }

} // namespace

Result<void> find_function_entries(bool (*is_wanted)(const core::Symbol& symbol)) {
    core::MutexGuard guard(kernel_probes_lock);
    if (function_entries) return {};
    const auto begin = reinterpret_cast<u64>(kernel_probes_begin), end = reinterpret_cast<u64>(kernel_probes_end);
    Finder finder;
    for (u64 number = 0;; ++number) {
        const core::Symbol symbol = core::symbol_at(number);
        if (symbol.name.empty()) break;
        const u64 address = core::kernel_text().begin + symbol.offset;
        const bool can_be_probed = address >= begin && address < end && !symbol.is_on_hit_way;
        if (can_be_probed && is_wanted(symbol)) TRY(finder.add_locked(address));
    }
    return finder.finish_locked();
}

u32 function_entry_count() { return function_entries_found; }
u64 function_entry_address(u32 number) { return address_of(function_entries[number]); }
bool is_listened_to(u32 number) { return function_entries[number].is_planted(); }

// ---- sets ----

Result<FunctionSet> FunctionSet::create() {
    OwnPtr<u64[]> words(new (std::nothrow) u64[word_count()]());
    if (!words) return error(Errno::ENOMEM);
    return FunctionSet(std::move(words));
}

Result<FunctionSet> FunctionSet::copy() const {
    FunctionSet made = TRY(create());
    std::copy_n(words_.get(), word_count(), made.words_.get());
    return made;
}

bool FunctionSet::is_empty() const {
    return std::all_of(words_.get(), words_.get() + word_count(), [](u64 word) { return word == 0; });
}

// ---- planting ----

namespace {

/// The breakpoints that come and go, in the order of their addresses, apart from those that stand there for a
/// KernelProbe as well. ENOMEM.
Result<ArrayList<TextChange>> changes_locked(const FunctionSet& functions) {
    ArrayList<TextChange> changes;
    for (u32 number = 0; number < function_entries_found; ++number) {
        const FunctionEntry& entry = function_entries[number];
        if (functions.has(number) == entry.is_planted() || find_probe_locked(address_of(entry))) continue;
        const u8* bytes = functions.has(number) ? arch::probe_breakpoint : function_codes[entry.code].original;
        TRY(changes.try_push({address_of(entry), bytes, sizeof arch::probe_breakpoint}));
    }
    return changes;
}

} // namespace

Result<void> listen_to_functions(const FunctionSet& functions, FunctionListener listener) {
    core::MutexGuard guard(kernel_probes_lock);
    const auto changes = TRY(changes_locked(functions));
    auto before = TRY(FunctionSet::create());
    for (u32 number = 0; number < function_entries_found; ++number)
        if (is_listened_to(number)) before.add(number);
    function_listener.store(listener, std::memory_order_release);
    for (u32 number = 0; number < function_entries_found; ++number)
        if (functions.has(number)) function_entries[number].set_planted(true);
    const Result<void> written = write_kernel_text(changes.span());
    // Who has trapped at a breakpoint that is gone is done with it; then nobody looks for it any more.
    wait_for_kernel_hits();
    const FunctionSet& standing = written ? functions : before;
    for (u32 number = 0; number < function_entries_found; ++number)
        function_entries[number].set_planted(standing.has(number));
    return written;
}

} // namespace linnet::probe
