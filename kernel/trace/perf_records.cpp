// Composing records and handing them to buffers.
#include "perf_records.hpp"
#include "recording.hpp"

#include <algorithm>
#include <arch/sampled_registers.hpp>
#include <arch/usercopy.hpp>
#include <bit>
#include <cstring>
#include <mm/address_space.hpp>
#include <new>
#include <process/process.hpp>

namespace linnet::trace {

using abi::PerfRecord;

namespace {

/// Room for the values of the largest group that may be read, for the deepest chain, and for all else that is asked
/// for.
constexpr usize scratch_words = 0xffff / sizeof(u64); // the most that a record's head can say
constexpr usize longest_trailer = 6;
constinit std::atomic<u64*> scratch[core::CpuMask::max_cpus] = {};

constexpr u64 halves(u64 low, u64 high) { return (low & 0xffff'ffff) | high << 32; }

/// Puts words together in this CPU's room. Interrupts off as long as it lives.
class Composer {
public:
    Composer(PerfRecord type, u16 misc)
        : words_(scratch[core::this_cpu().number].load(std::memory_order_relaxed), scratch_words), type_(type),
          misc_(misc) {}
    void put(u64 word) {
        if (used_ < words_.size()) words_[used_++] = word;
    }
    void put(std::span<const u64> words) {
        for (u64 word : words) put(word);
    }
    /// What is not used yet, but for `spare` words; use() says how much of it was.
    std::span<u64> rest(usize spare) {
        const usize free = words_.size() - used_;
        return words_.subspan(used_, free > spare ? free - spare : 0);
    }
    void use(usize words) { used_ += words; }
    std::span<const u64> finish() {
        words_[0] = u64{static_cast<u32>(type_)} | u64{misc_} << 32 | u64{used_ * sizeof(u64)} << 48;
        return words_.first(used_);
    }
    static bool is_ready() { return scratch[core::this_cpu().number].load(std::memory_order_relaxed); }

private:
    std::span<u64> words_;
    usize used_ = 1; // the header
    PerfRecord type_;
    u16 misc_;
};

/// What identifies a record that is no sample (sample_id_all). Returns how many words.
usize trailer_of(const PerfEvent& event, core::Thread& subject, std::span<u64, longest_trailer> to) {
    if (!event.has(abi::PERF_ATTR_SAMPLE_ID_ALL)) return 0;
    const u64 type = event.attributes.sample_type;
    usize used = 0;
    if (type & abi::PERF_SAMPLE_TID) to[used++] = ids_of(subject);
    if (type & abi::PERF_SAMPLE_TIME) to[used++] = event.time_of_record();
    if (type & abi::PERF_SAMPLE_ID) to[used++] = event.shown_id();
    if (type & abi::PERF_SAMPLE_STREAM_ID) to[used++] = event.id;
    if (type & abi::PERF_SAMPLE_CPU) to[used++] = core::this_cpu().number;
    if (type & abi::PERF_SAMPLE_IDENTIFIER) to[used++] = event.shown_id();
    return used;
}

bool hand_over(PerfEvent& event, core::Thread& subject, std::span<const u64> record) {
    PerfBuffer* buffer = event.buffer.get();
    if (!buffer) return false;
    u64 lost[3 + longest_trailer];
    const usize length = 3 + trailer_of(event, subject, std::span<u64, longest_trailer>(lost + 3, longest_trailer));
    lost[0] = u64{static_cast<u32>(PerfRecord::Lost)} | u64{length * sizeof(u64)} << 48;
    lost[1] = event.shown_id();
    return buffer->write(record, std::span<u64>(lost, length));
}

void put_values(Composer& to, PerfEvent& event) {
    const u64 format = event.attributes.read_format;
    const auto put_times = [&](const PerfEvent::Reading& reading) {
        if (format & abi::PERF_FORMAT_TOTAL_TIME_ENABLED) to.put(reading.enabled_ns);
        if (format & abi::PERF_FORMAT_TOTAL_TIME_RUNNING) to.put(reading.running_ns);
    };
    const auto put_identity = [&](const PerfEvent& of) {
        if (format & abi::PERF_FORMAT_ID) to.put(of.shown_id());
        if (format & abi::PERF_FORMAT_LOST) to.put(of.lost.load(std::memory_order_relaxed));
    };
    // Where a sample is taken, the group counts, if it does.
    if (!(format & abi::PERF_FORMAT_GROUP)) {
        (void)event.sync_guarded();
        const PerfEvent::Reading reading = event.read_guarded();
        to.put(reading.value);
        put_times(reading);
        put_identity(event);
        return;
    }
    PerfEvent& leader = *event.leader;
    (void)leader.sync_guarded();
    const PerfEvent::Reading reading = leader.read_guarded();
    to.put(1 + leader.member_count);
    put_times(reading);
    to.put(reading.value);
    put_identity(leader);
    for (PerfEvent& member : leader.members) {
        (void)member.sync_guarded();
        to.put(member.read_guarded().value);
        put_identity(member);
    }
}

void put_chain(Composer& to, const PerfEvent& event, const Moment& moment) {
    std::span<u64> room = to.rest(1);
    if (room.empty()) return;
    ChainOptions options{.kernel = !event.has(abi::PERF_ATTR_EXCLUDE_CALLCHAIN_KERNEL),
                         .user = !event.has(abi::PERF_ATTR_EXCLUDE_CALLCHAIN_USER)};
    options.most = event.attributes.sample_max_stack ? event.attributes.sample_max_stack : deepest_chain();
    const usize words = call_chain(moment, options, room.subspan(1));
    room[0] = words;
    to.use(1 + words);
}

/// Behind their number, up to the next word.
void put_raw(Composer& to, std::span<const u8> bytes) {
    const usize words = (sizeof(u32) + bytes.size() + sizeof(u64) - 1) / sizeof(u64);
    const std::span<u64> room = to.rest(8); // what comes behind
    if (words > room.size()) return to.put(sizeof(u32));
    std::ranges::fill(room.first(words), 0);
    const auto size = static_cast<u32>(words * sizeof(u64) - sizeof(u32));
    memcpy(room.data(), &size, sizeof size);
    memcpy(reinterpret_cast<u8*>(room.data()) + sizeof size, bytes.data(), bytes.size());
    to.use(words);
}

/// What samples say of a program is that of who runs. Null: there is none.
const arch::UserContext* program_of(const Moment& moment) {
    return &moment.thread == &core::current_thread() ? moment.thread.user_context : nullptr;
}

void put_registers(Composer& to, u64 wanted, const Moment& moment) {
    const arch::UserContext* program = program_of(moment);
    to.put(program ? abi::PERF_SAMPLE_REGS_ABI_64 : abi::PERF_SAMPLE_REGS_ABI_NONE);
    if (!program) return;
    const abi::linux_user_regs registers = program->to_user_regs();
    for (; wanted != 0; wanted &= wanted - 1)
        to.put(arch::sampled_register(registers, static_cast<unsigned>(std::countr_zero(wanted))));
}

/// As many bytes as are asked for, or fit; how many of them could be read stands behind.
void put_stack(Composer& to, u64 wanted, const Moment& moment) {
    const arch::UserContext* program = program_of(moment);
    constexpr usize spare = 8; // what comes before and behind
    const u64 words = program ? std::min<u64>(wanted / sizeof(u64), to.rest(spare).size()) : 0;
    to.put(words * sizeof(u64));
    if (words == 0) return;
    const VirtAddr from = program->sp();
    const std::span<u64> bytes = to.rest(0).first(words);
    std::ranges::fill(bytes, 0);
    u64 size = 0;
    if (from < arch::user_address_end && mm::current_address_space()) {
        size = std::min<u64>(bytes.size_bytes(), arch::user_address_end - from);
        // With interrupts off a page that isn't there ends the copy.
        size -= arch::arch_copy_from_user(bytes.data(), reinterpret_cast<const void*>(from.value), size);
    }
    to.use(words);
    to.put(size);
}

} // namespace

u64 ids_of(core::Thread& thread) {
    if (!thread.user_context) return 0;
    auto& task = static_cast<process::Thread&>(thread);
    return halves(static_cast<u32>(task.process().pid()), static_cast<u32>(task.tid()));
}

Result<void> prepare_records_locked() {
    for (u32 i = 0; i < core::cpu_count(); ++i) {
        if (scratch[i].load(std::memory_order_relaxed)) continue;
        u64* words = new (std::nothrow) u64[scratch_words];
        if (!words) return error(Errno::ENOMEM);
        scratch[i].store(words, std::memory_order_release);
    }
    return {};
}

bool write_sample_guarded(PerfEvent& event, const Moment& moment, u64 period) {
    const u64 type = event.attributes.sample_type;
    Composer record(PerfRecord::Sample, moment.in_kernel ? abi::PERF_MISC_KERNEL : abi::PERF_MISC_USER);
    if (type & abi::PERF_SAMPLE_IDENTIFIER) record.put(event.shown_id());
    if (type & abi::PERF_SAMPLE_IP) record.put(moment.instruction());
    if (type & abi::PERF_SAMPLE_TID) record.put(ids_of(moment.thread));
    if (type & abi::PERF_SAMPLE_TIME) record.put(event.time_of_record());
    if (type & abi::PERF_SAMPLE_ADDR) record.put(moment.address.value);
    if (type & abi::PERF_SAMPLE_ID) record.put(event.shown_id());
    if (type & abi::PERF_SAMPLE_STREAM_ID) record.put(event.id);
    if (type & abi::PERF_SAMPLE_CPU) record.put(core::this_cpu().number);
    if (type & abi::PERF_SAMPLE_PERIOD) record.put(period);
    if (type & abi::PERF_SAMPLE_READ) put_values(record, event);
    if (type & abi::PERF_SAMPLE_CALLCHAIN) put_chain(record, event, moment);
    if (type & abi::PERF_SAMPLE_RAW) put_raw(record, moment.raw);
    if (type & abi::PERF_SAMPLE_REGS_USER) put_registers(record, event.attributes.sample_regs_user, moment);
    if (type & abi::PERF_SAMPLE_STACK_USER) put_stack(record, event.attributes.sample_stack_user, moment);
    // Of these hardware would know more.
    if (type & abi::PERF_SAMPLE_WEIGHT) record.put(0);
    if (type & abi::PERF_SAMPLE_DATA_SRC) record.put(abi::PERF_MEM_NA);
    if (type & abi::PERF_SAMPLE_TRANSACTION) record.put(0);
    return hand_over(event, moment.thread, record.finish());
}

void write_record_guarded(PerfEvent& event, const SideRecord& side) {
    if (!event.buffer || !Composer::is_ready()) return;
    Composer record(side.type, side.misc);
    record.put(side.body);
    u64 trailer[longest_trailer];
    record.put(std::span<const u64>(trailer, trailer_of(event, side.subject, trailer)));
    (void)hand_over(event, side.subject, record.finish());
}

void write_record(const SideRecord& record, FunctionRef<bool(const PerfEvent&)> wants) {
    const auto state = arch::save_and_disable_interrupts();
    const u32 cpu = core::this_cpu().number;
    for (PerfContext* context : {PerfContext::find(core::current_thread()), PerfContext::find_cpu(cpu)}) {
        if (!context) continue;
        RecordingGuard guard(context->lock);
        for (PerfEvent& event : context->events)
            if (wants(event) && event.is_live_guarded(cpu)) write_record_guarded(event, record);
    }
    arch::restore_interrupts(state);
}

} // namespace linnet::trace
