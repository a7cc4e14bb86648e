// Events of perf_event_open(2) that count and sample records of trace events (PERF_TYPE_TRACEPOINT).
#pragma once

#include <abi/linux/perf_event.hpp>
#include <process/thread.hpp>

#include "event.hpp"

namespace linnet::trace {

/// Counts the record for the performance events of the current thread and this CPU that ask for it. Interrupts off.
/// `at` may be null: at the tracepoint.
void emit_to_perf(TraceEvent& event, std::span<const u8> record, const FilterContext& where, const Moment* at);

/// Whether there is such an event, and `caller` may have its records in samples. EINVAL, EPERM.
Result<void> check_traced(const abi::perf_event_attr& attributes, process::Thread& caller);

} // namespace linnet::trace
