// Events of the system "exceptions": page faults of programs and of the kernel. Only architectures that tell of them
// (arch/fault_watch.hpp) have them.
#include <arch/fault_watch.hpp>

#include "record_events.hpp"
#include "trace_text.hpp"

namespace linnet::trace {

namespace {

struct FaultRecord {
    RecordHead head;
    u64 address;
    u64 ip;
    u64 error_code;
};
constexpr EventField fields[] = {
    TRACE_FIELD(FaultRecord, address, "unsigned long address"),
    TRACE_FIELD(FaultRecord, ip, "unsigned long ip"),
    TRACE_FIELD(FaultRecord, error_code, "unsigned long error_code"),
};
constexpr std::string_view print_format =
    R"("address=%ps ip=%ps error_code=0x%lx", (void *)REC->address, (void *)REC->ip, REC->error_code)";

void print(TextSink sink, std::span<const u8> bytes) {
    const auto record = record_of<FaultRecord>(bytes);
    sink("address=");
    print_function(sink, record.address);
    sink(" ip=");
    print_function(sink, record.ip);
    format_to(sink, " error_code={#x}", record.error_code);
}

void on_fault(const arch::SeenPageFault& fault);

/// Both events hang on one word. trace_lock held.
void switch_watcher(bool on) {
    static u32 users = 0;
    users += on ? 1 : ~u32{0};
    arch::page_fault_watcher.store(users ? on_fault : nullptr, std::memory_order_relaxed);
}

constexpr RecordEventInfo user_info = {
    .system = "exceptions",
    .name = "page_fault_user",
    .fields = fields,
    .print_format = print_format,
    .print = print,
    .size = sizeof(FaultRecord),
    .switch_source = switch_watcher,
};
constexpr RecordEventInfo kernel_info = {
    .system = "exceptions",
    .name = "page_fault_kernel",
    .fields = fields,
    .print_format = print_format,
    .print = print,
    .size = sizeof(FaultRecord),
    .switch_source = switch_watcher,
};
constinit RecordEvent user_event(user_info), kernel_event(kernel_info);

void on_fault(const arch::SeenPageFault& fault) {
    RecordEvent& event = fault.in_kernel ? kernel_event : user_event;
    if (!event.is_wanted()) return;
    FaultRecord record{.head = {}, .address = fault.address, .ip = fault.pc, .error_code = fault.error_code};
    event.emit_record(record);
}

} // namespace

Result<void> register_exception_events_locked() {
    if (!arch::tells_of_page_faults) return {};
    TRY(register_event_locked(kernel_event));
    return register_event_locked(user_event);
}

} // namespace linnet::trace
