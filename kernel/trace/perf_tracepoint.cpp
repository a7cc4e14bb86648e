// Performance events on trace events: each counts the records that its thread or CPU emits, as far as its filter lets
// them through, and hands them over in samples (PERF_SAMPLE_RAW).
#include "perf_tracepoint.hpp"

#include <mm/usercopy.hpp>

#include "perf_event.hpp"
#include "perf_file.hpp"
#include "perf_moment.hpp"
#include "recording.hpp"

namespace linnet::trace {

void emit_to_perf(TraceEvent& event, std::span<const u8> record, const FilterContext& where, const Moment* at) {
    Moment moment = at ? *at : Moment::of_kernel_code();
    moment.raw = record;
    for (PerfContext* context : {PerfContext::find(moment.thread), PerfContext::find_cpu(where.cpu)}) {
        if (!context) continue;
        RecordingGuardWithin guard(context->lock);
        for (PerfEvent& each : context->events)
            if (each.traced() == &event) each.count_record_guarded(moment, where);
    }
}

Result<void> check_traced(const abi::perf_event_attr& attributes, process::Thread& caller) {
    const vfs::Credentials& who = caller.own_credentials();
    const bool may_look = who.has(vfs::Capability::Perfmon) || who.has(vfs::Capability::SysAdmin);
    if ((attributes.sample_type & abi::PERF_SAMPLE_RAW) && !may_look) return error(Errno::EPERM);
    core::MutexGuard guard(trace_lock);
    TraceEvent* event = attributes.config <= 0xffff ? find_event_locked(static_cast<u16>(attributes.config)) : nullptr;
    return event && event->is_switchable() ? Result<void>{} : error(Errno::EINVAL);
}

} // namespace linnet::trace
