// /proc/PID/cmdline, environ, auxv, comm: what exec put on the stack, read where the program may have changed
// it.
#include "task.hpp"

#include <algorithm>
#include <mm/address_space.hpp>
#include <process/tracepoints.hpp>
#include <vfs/current.hpp>

namespace linnet::process::proc {

namespace {

constexpr usize longest = 1 << 20; // of what a program can have passed; a forged range doesn't make us read more

/// Gives the bytes of [begin, end) to `sink` until it has enough.
template <typename Take>
void read_range(mm::AddressSpace& space, VirtAddr begin, VirtAddr end, Take take) {
    u8 chunk[256];
    if (end < begin) return;
    end = std::min(end, begin + longest);
    while (begin < end) {
        const usize size = std::min<usize>(sizeof(chunk), end - begin);
        Result<usize> count = space.read_memory(begin, std::span(chunk).first(size), mm::ForeignAccess::Forced);
        if (!count || *count == 0) return;
        if (!take(std::string_view(reinterpret_cast<const char*>(chunk), *count))) return;
        begin += *count;
    }
}

} // namespace

Result<void> show_cmdline(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return {};
    const mm::ExecLayout& layout = space->layout;
    char last = '\0';
    read_range(*space, layout.arg_begin, layout.arg_end, [&](std::string_view piece) {
        sink(piece);
        last = piece.back();
        return true;
    });
    if (last == '\0') return {};
    // A program that wrote a longer title over its arguments runs on into the environment, up to a NUL.
    read_range(*space, layout.arg_end, layout.env_end, [&](std::string_view piece) {
        const usize end = piece.find('\0');
        sink(piece.substr(0, end));
        return end == std::string_view::npos;
    });
    return {};
}

Result<void> show_environ(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return {};
    read_range(*space, space->layout.env_begin, space->layout.env_end, [&](std::string_view piece) {
        sink(piece);
        return true;
    });
    return {};
}

Result<void> show_auxv(const Task& task, TextSink sink) {
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return {};
    const usize words = std::min(space->layout.auxv_words, mm::ExecLayout::max_auxv);
    sink({reinterpret_cast<const char*>(space->layout.auxv), words * sizeof(u64)});
    return {};
}

Result<void> show_comm(const Task& task, TextSink sink) {
    char name[Thread::name_size];
    task.thread->copy_name(name);
    format_to(sink, "{}\n", std::string_view(name));
    return {};
}

Result<void> store_comm(const Task& task, std::string_view text) {
    Thread* self = current_or_null();
    if (self && &self->process() != task.process.get()) return error(Errno::EINVAL);
    while (text.ends_with('\n')) text.remove_suffix(1);
    text = text.substr(0, Thread::name_size - 1);
    tracepoints::renaming(*task.thread, text);
    task.thread->set_name(text);
    tracepoints::rename(*task.thread);
    return {};
}

} // namespace linnet::process::proc
