// The file of an event.
#pragma once

#include <vfs/file.hpp>

#include "perf_event.hpp"

namespace linnet::trace {

class PerfFile final : public vfs::File {
public:
    explicit PerfFile(PerfEvent& event)
        : File(vfs::anonymous_inode(), abi::O_RDWR, Positioning::Stream), event_(event) {}
    ~PerfFile() override;

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override;
    Result<long> ioctl(u32 command, u64 argument) override;
    Result<RefPtr<mm::VmObject>> mmap(const vfs::MapFileRequest& request) override;
    u32 poll() override;
    vfs::EventSource* event_source() override { return &event_.listener.source; }
    void describe(TextSink sink) const override { sink("anon_inode:[perf_event]"); }
    const void* kind() const override { return &tag; }

    PerfEvent& event() { return event_; }
    static const char tag;

private:
    template <typename Act>
    void on_each(u64 flags, Act act);
    Result<long> set_period(u64 asked);
    Result<long> set_output(u64 argument);
    Result<long> set_filter(u64 argument);
    Result<long> refresh(u64 samples);
    Result<long> pause_output(bool on);
    Result<RefPtr<PerfBuffer>> make_buffer(u64 data_pages, bool overwrites);

    PerfEvent& event_; // owned
};

/// An event's records go where another's do; null: nowhere. EINVAL: the two do not fit, or there is no buffer.
Result<void> redirect_locked(PerfEvent& event, PerfEvent* to);

/// Pages of buffers that each user may have for each CPU without further ado.
u64 free_buffer_pages();
bool may_lock_any_memory(process::Thread& thread);

/// Words that a read says at most of a group of so many.
constexpr usize most_words(usize events) { return 3 + 3 * events; }

} // namespace linnet::trace
