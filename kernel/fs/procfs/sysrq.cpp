// /proc/sysrq-trigger: what root asks of the kernel itself, by one letter (Linux's documentation, "sysrq"): b reboots
// at once, c crashes, o powers off. The crash is a real fault of the kernel, so that it proves the way from a fault to
// the panic's backtrace. Other letters do nothing, as on Linux.
#include "procfs.hpp"

#include <core/log.hpp>
#include <core/power.hpp>

namespace linnet::fs {

namespace {

/// Nothing is mapped in a process's first page, and no kernel access goes there.
[[gnu::noinline]] void sysrq_crash() {
    u64* volatile nowhere = reinterpret_cast<u64*>(sizeof(u64));
    *static_cast<volatile u64*>(nowhere) = 0;
}

Result<void> show_nothing(TextSink) { return error(Errno::EIO); }

Result<void> store_request(std::string_view text) {
    if (text.empty()) return {};
    switch (text[0]) {
    case 'b':
        core::log_info("sysrq: Resetting");
        core::reboot();
    case 'c':
        core::log_info("sysrq: Trigger a crash");
        sysrq_crash();
        break;
    case 'o':
        core::log_info("sysrq: Power Off");
        core::finish_before_end();
        core::power_off();
    default:
        break;
    }
    return {};
}

} // namespace

Result<void> add_sysrq(vfs::pseudo::Directory& root) {
    return root.add_text("sysrq-trigger", show_nothing, 0200, store_request);
}

} // namespace linnet::fs
