// Entries of the trace as text.
#include "trace_text.hpp"

#include <algorithm>
#include <core/panic.hpp>
#include <cstring>
#include <new>

#include "function_tracer.hpp"

namespace linnet::trace {

void print_function(TextSink sink, u64 address) {
    const core::Symbol symbol = core::find_symbol(address);
    if (symbol.name.empty()) return format_to(sink, "{#x}", address);
    sink(FunctionName(symbol.name).text());
}

Result<void> LineBuffer::prepare() {
    if (!bytes_) bytes_ = OwnPtr<char[]>(new (std::nothrow) char[capacity]);
    return bytes_ ? Result<void>{} : error(Errno::ENOMEM);
}

void LineBuffer::add(std::string_view piece) {
    const usize size = std::min(piece.size(), capacity - end_);
    std::copy_n(piece.data(), size, bytes_.get() + end_);
    end_ += size;
}

void LineBuffer::drop(usize size) {
    begin_ += size;
    if (begin_ == end_) clear();
}

namespace {

/// Five characters that say what the CPU was about.
void print_flags(TextSink sink, const RecordHead& head) {
    const auto digit = [](u32 value) { return static_cast<char>(value < 10 ? '0' + value : 'a' + value - 10); };
    const u32 depth = head.preempt_count & 0xf, pinned = head.preempt_count >> 4;
    const char text[] = {head.flags & record_irqs_off ? 'd' : '.', head.flags & record_need_resched ? 'N' : '.',
                         head.flags & record_in_interrupt ? 'h' : '.', depth ? digit(depth) : '.',
                         pinned ? digit(pinned) : '.'};
    sink({text, sizeof text});
}

void print_time(TextSink sink, u64 time) {
    if (!tracer.clock.load(std::memory_order_relaxed)->is_in_ns) return format_to(sink, " {12}: ", time);
    const u64 us = (time + 500) / 1000;
    format_to(sink, " {5}.{06}: ", us / 1'000'000, us % 1'000'000);
}

void print_context(TextSink sink, const RecordHead& head, u32 cpu, u64 time) {
    SavedThread saved;
    const bool is_known = find_saved_thread(head.pid, saved);
    std::string_view comm = head.pid == 0 ? "<idle>" : "<...>";
    if (is_known) comm = {saved.comm, strnlen(saved.comm, sizeof saved.comm)};
    for (usize length = comm.size(); length < 16; ++length) sink(" ");
    char pid[16];
    const std::string_view number = format_into(pid, "{}", head.pid);
    format_to(sink, "{}-{}", comm, number);
    for (usize length = number.size(); length < 8; ++length) sink(" ");
    if (has_option(option_record_tgid)) {
        if (is_known && saved.tgid)
            format_to(sink, "({7}) ", saved.tgid);
        else
            sink("(-------) ");
    }
    format_to(sink, "[{03}] ", cpu);
    if (has_option(option_irq_info)) print_flags(sink, head);
    print_time(sink, time);
}

} // namespace

Result<void> TraceReader::begin(CpuRange cpus, Taking taking) {
    cpus_ = cpus;
    taking_ = taking;
    printed_ = 0;
    annotates_ = false;
    last_time_ = taking == Taking::Leaves ? tracer.now() : ~u64{0};
    sides_ = OwnPtr<Side[]>(new (std::nothrow) Side[cpus.count()]);
    if (!record_) record_ = OwnPtr<u8[]>(new (std::nothrow) u8[arch::page_size]);
    if (!sides_ || !record_) return error(Errno::ENOMEM);
    for (u32 i = 0; i < cpus.count(); ++i) {
        RingBuffer& buffer = tracer.buffers[cpus.first + i];
        sides_[i].place = buffer.begin();
        annotates_ |= taking == Taking::Leaves && buffer.statistics().overrun != 0;
    }
    return {};
}

std::optional<RingBuffer::Entry> TraceReader::peek(u32 cpu, std::span<u8> to) {
    Side& side = sides_[cpu - cpus_.first];
    if (taking_ == Taking::Leaves) return tracer.buffers[cpu].peek(side.place, to);
    u64 lost = 0;
    const auto entry = tracer.buffers[cpu].peek_next(to, lost);
    side.lost += lost;
    return entry;
}

bool TraceReader::print_next_locked(TextSink sink) {
    u32 best = cpus_.end;
    u64 earliest = 0;
    for (u32 cpu = cpus_.first; cpu < cpus_.end; ++cpu) {
        const auto entry = peek(cpu, {});
        if (!entry || entry->time > last_time_ || (best != cpus_.end && entry->time >= earliest)) continue;
        best = cpu;
        earliest = entry->time;
    }
    if (best == cpus_.end) return false;
    Side& side = sides_[best - cpus_.first];
    const auto entry = peek(best, {record_.get(), arch::page_size});
    if (!entry) return true; // emptied meanwhile
    if (taking_ == Taking::Takes)
        tracer.buffers[best].take_next();
    else
        tracer.buffers[best].advance(side.place);
    if (const u64 lost = std::exchange(side.lost, 0)) format_to(sink, "CPU:{} [LOST {} EVENTS]\n", best, lost);
    if (annotates_ && has_option(option_annotate) && !std::exchange(side.is_started, true) && printed_ > 0)
        format_to(sink, "##### CPU {} buffer started ####\n", best);
    ++printed_;
    const std::span<const u8> record(record_.get(), std::min<usize>(entry->size, arch::page_size));
    RecordHead head;
    if (record.size() < sizeof head) return true;
    memcpy(&head, record.data(), sizeof head);
    if (has_option(option_context_info)) print_context(sink, head, best, entry->time);
    if (const TraceEvent* event = find_event_locked(head.type))
        event->print_lines(sink, record);
    else
        format_to(sink, "Unknown type {}\n", head.type);
    return true;
}

void TraceReader::print_head(TextSink sink) const {
    u64 entries = 0, written = 0;
    for (u32 cpu = cpus_.first; cpu < cpus_.end; ++cpu) {
        const RingBuffer::Statistics statistics = tracer.buffers[cpu].statistics();
        entries += statistics.entries;
        written += statistics.entries + statistics.overrun;
    }
    const bool has_tgid = has_option(option_record_tgid);
    const std::string_view gap = has_tgid ? "            " : "  ";
    format_to(sink, "# tracer: {}\n#\n# entries-in-buffer/entries-written: {}/{}   #P:{}\n#\n", current_tracer_name(),
              entries, written, core::cpu_count());
    if (has_option(option_irq_info)) {
        constexpr std::string_view lines[] = {
            "_-----=> irqs-off/BH-disabled", " / _----=> need-resched",    "| / _---=> hardirq/softirq",
            "|| / _--=> preempt-depth",      "||| / _-=> migrate-disable", "|||| /     delay",
        };
        // The first two stand further to the right than the bars below.
        format_to(sink, "#                            {}  {}\n", gap, lines[0]);
        format_to(sink, "#                            {}{}\n", gap, lines[1]);
        for (usize i = 2; i < std::size(lines); ++i)
            format_to(sink, "#                            {}{}\n", gap, lines[i]);
    }
    const bool bars = has_option(option_irq_info);
    format_to(sink, "#           TASK-PID  {} CPU#  {}TIMESTAMP  FUNCTION\n", has_tgid ? "     TGID   " : "  ",
              bars ? "|||||  " : "   ");
    format_to(sink, "#              | |    {}   |   {}|         |\n", has_tgid ? "       |    " : "  ",
              bars ? "|||||     " : "      ");
}

} // namespace linnet::trace
