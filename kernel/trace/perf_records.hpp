// The records that events write into buffers (perf_event_open(2), "The ring-buffer layout").
#pragma once

#include <mm/address_space.hpp>

#include "perf_event.hpp"
#include "perf_moment.hpp"

namespace linnet::trace {

/// Room to compose records in, one piece for each CPU. ENOMEM. Events_lock held.
Result<void> prepare_records_locked();

/// A sample of an event, with what its attributes ask for. False: it found no room. The event's context is locked.
bool write_sample_guarded(PerfEvent& event, const Moment& moment, u64 period);

/// A record of anything else: what stands between its header and what attributes append to it.
struct SideRecord {
    abi::PerfRecord type;
    u16 misc = 0;
    std::span<const u64> body;
    core::Thread& subject; // who it is said to come from
};
void write_record_guarded(PerfEvent& event, const SideRecord& record);
/// Writes it for each event of the current thread and this CPU that `wants` it. Any context.
void write_record(const SideRecord& record, FunctionRef<bool(const PerfEvent&)> wants);

/// Process and thread id, 0 of the kernel's threads; as the two halves of a word.
u64 ids_of(core::Thread& thread);

} // namespace linnet::trace
