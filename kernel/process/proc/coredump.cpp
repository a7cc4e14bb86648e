// /proc/PID/coredump_filter (core(5), "Controlling which mappings are written to the core dump").
#include "task.hpp"

#include <mm/address_space.hpp>

namespace linnet::process::proc {

namespace {
constexpr u64 known_bits = 0x1ff;
}

Result<void> show_coredump_filter(const Task& task, TextSink sink) {
    if (NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space())
        format_to(sink, "{08x}\n", space->dump_filter.load());
    return {};
}

Result<void> store_coredump_filter(const Task& task, std::string_view text) {
    const u64 bits = TRY(vfs::pseudo::parse_number(text, 0xffff'ffff));
    NullableRefPtr<mm::AddressSpace> space = task.representative()->address_space();
    if (!space) return error(Errno::ESRCH);
    space->dump_filter = static_cast<u32>(bits & known_bits);
    return {};
}

} // namespace linnet::process::proc
