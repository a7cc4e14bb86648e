// The trace as text: what `trace` and `trace_pipe` show.
#pragma once

#include "tracer.hpp"

namespace linnet::trace {

/// The name of the function at the address, as %ps; the address when there is none.
void print_function(TextSink sink, u64 address);

/// The buffers of one CPU or of all.
struct CpuRange {
    u32 first = 0;
    u32 end = 0;
    static CpuRange all() { return {0, core::cpu_count()}; }
    static CpuRange one(u32 cpu) { return {cpu, cpu + 1}; }
    [[nodiscard]] u32 count() const { return end - first; }
};

/// Text of limited size: what does not fit is cut.
class LineBuffer {
public:
    static constexpr usize capacity = 32 * 1024;
    /// No entry is longer, so it need not be begun with less.
    static constexpr usize longest_entry = 24 * 1024;

    Result<void> prepare();
    void add(std::string_view piece);
    /// Whether another entry certainly fits.
    [[nodiscard]] bool has_room() const { return capacity - end_ >= longest_entry; }
    [[nodiscard]] std::string_view text() const { return {bytes_.get() + begin_, end_ - begin_}; }
    void drop(usize size);
    void clear() { begin_ = end_ = 0; }

private:
    OwnPtr<char[]> bytes_;
    usize begin_ = 0, end_ = 0;
};

/// Reads entries in the order of their times and prints them. Who leaves them is shown what was there when it began: a
/// reader that is traced itself would never come to the end.
class TraceReader {
public:
    enum class Taking : u8 { Leaves, Takes }; // the entries it reads

    /// ENOMEM.
    Result<void> begin(CpuRange cpus, Taking taking);
    /// Prints one entry; false: there is no more. trace_lock held.
    bool print_next_locked(TextSink sink);
    /// What stands above all entries.
    void print_head(TextSink sink) const;

private:
    struct Side {
        RingBuffer::Place place;
        u64 lost = 0;
        bool is_started = false;
    };
    std::optional<RingBuffer::Entry> peek(u32 cpu, std::span<u8> to);

    CpuRange cpus_;
    Taking taking_ = Taking::Leaves;
    OwnPtr<Side[]> sides_;
    OwnPtr<u8[]> record_; // a page
    bool annotates_ = false;
    u64 printed_ = 0;
    u64 last_time_ = 0; // of the entries that are shown
};

} // namespace linnet::trace
