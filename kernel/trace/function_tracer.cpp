// What the function tracer records, and when its breakpoints stand.
#include "function_tracer.hpp"

#include <algorithm>
#include <lib/hit_way.hpp>

#include "recording.hpp"
#include "tracer.hpp"

namespace linnet::trace {

namespace {

constinit std::atomic<bool> is_tracing{false}; // current_tracer

struct Lists {
    probe::FunctionSet chosen, excluded;
};
constinit Lists* lists = nullptr; // once functions have been looked for

bool is_excluded_thread(i32 pid) {
    const PidSet* chosen = tracer.function_pids.load(std::memory_order_acquire);
    if (chosen && !chosen->has(pid)) return true;
    const PidSet* excluded = tracer.excluded_function_pids.load(std::memory_order_acquire);
    return excluded && excluded->has(pid);
}

/// In the trap.
RECORD_WAY_BEGINS void record_function(const arch::KernelTrap& trap) {
    if (is_recording_here()) return;
    if (!tracer.is_on.load(std::memory_order_relaxed)) return;
    if (!(tracer.cpus.load(std::memory_order_relaxed) >> core::this_cpu().number & 1)) return;
    RecordingScope scope;
    const bool irqs_were_on = (*trap.status & arch::interrupts_in_status) != arch::interrupts_held;
    const FunctionRecord record{.head = make_head(function_id, irqs_were_on),
                                .ip = trap.registers.pc(),
                                .parent_ip = trap.registers.kernel_return_address()};
    if (is_excluded_thread(record.head.pid)) return;
    remember_thread(core::current_thread());
    write_record_here({reinterpret_cast<const u8*>(&record), sizeof record});
}

/// Hits on the way of a record would only be passed.
bool can_be_traced(const core::Symbol& symbol) {
    return !symbol.is_on_record_way && !symbol.name.starts_with("linnet::trace::");
}

/// Plants what is to be traced, which are no functions while no tracer wants them.
Result<void> listen_locked(const Lists& wanted, bool traces) {
    auto functions = TRY(probe::FunctionSet::create());
    const bool has_chosen = !wanted.chosen.is_empty();
    traces = traces && ftrace_enabled.load() != 0;
    for (u32 number = 0; traces && number < probe::function_entry_count(); ++number)
        if ((!has_chosen || wanted.chosen.has(number)) && !wanted.excluded.has(number)) functions.add(number);
    return probe::listen_to_functions(functions, record_function);
}

} // namespace

constinit std::atomic<u64> ftrace_enabled{1};

void note_ftrace_enabled() {
    core::MutexGuard guard(trace_lock);
    if (is_tracing.load()) (void)listen_locked(*lists, true); // without memory all stays as it was
}

Result<void> prepare_functions_locked() {
    if (lists) return {};
    TRY(probe::find_function_entries(can_be_traced));
    auto chosen = TRY(probe::FunctionSet::create());
    auto excluded = TRY(probe::FunctionSet::create());
    lists = new (std::nothrow) Lists{std::move(chosen), std::move(excluded)};
    return lists ? Result<void>{} : error(Errno::ENOMEM);
}

std::string_view current_tracer_name() { return is_tracing.load() ? "function" : "nop"; }

Result<void> choose_tracer_locked(std::string_view name) {
    const bool traces = name == "function";
    if (!traces && name != "nop") return error(Errno::EINVAL);
    if (traces == is_tracing) return {};
    if (tracer.open_pipes.load(std::memory_order_relaxed) != 0) return error(Errno::EBUSY);
    TRY(expand_buffers_locked());
    TRY(prepare_functions_locked());
    if (traces) clear_buffers_locked();
    TRY(listen_locked(*lists, traces));
    if (!traces) clear_buffers_locked();
    is_tracing = traces;
    return {};
}

void restart_tracer_locked() {
    if (is_tracing.load()) clear_buffers_locked();
}

const probe::FunctionSet& function_list_locked(FunctionList list) {
    return list == FunctionList::Chosen ? lists->chosen : lists->excluded;
}

Result<void> set_function_list_locked(FunctionList list, probe::FunctionSet set) {
    probe::FunctionSet& place = list == FunctionList::Chosen ? lists->chosen : lists->excluded;
    std::swap(place, set);
    const Result<void> listening = is_tracing ? listen_locked(*lists, true) : Result<void>{};
    if (!listening) std::swap(place, set);
    return listening;
}

FunctionName::FunctionName(std::string_view symbol) {
    for (char c : symbol)
        if (c != ' ' && length_ < longest) text_[length_++] = c;
}

} // namespace linnet::trace
