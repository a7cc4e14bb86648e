// The system's names. Lock: one leaf lock for the two that change.
#include <algorithm>
#include <arch/cpu.hpp>
#include <core/spinlock.hpp>
#include <process/system_name.hpp>

namespace linnet::process {
namespace {

constexpr std::string_view release = "6.12.0-linnet";
constexpr std::string_view version = "#1 SMP PREEMPT Linnet";

constinit core::SpinLock names_lock;
constinit char host_name[abi::utsname_length + 1] = "(none)";
constinit char domain_name[abi::utsname_length + 1] = "(none)";

void put(char (&field)[abi::utsname_length + 1], std::string_view text) {
    usize length = std::min(text.size(), abi::utsname_length);
    std::copy_n(text.data(), length, field);
    std::fill(field + length, field + sizeof(field), '\0');
}

Result<void> replace(char (&field)[abi::utsname_length + 1], std::string_view text) {
    if (text.size() > abi::utsname_length) return error(Errno::EINVAL);
    core::SpinGuard guard(names_lock);
    put(field, text);
    return {};
}

} // namespace

abi::new_utsname system_name() {
    abi::new_utsname names;
    put(names.sysname, "Linux");
    put(names.release, release);
    put(names.version, version);
    const char* machine = arch::hardware_capabilities().machine;
    put(names.machine, machine ? machine : "unknown");
    core::SpinGuard guard(names_lock);
    std::copy_n(host_name, sizeof(host_name), names.nodename);
    std::copy_n(domain_name, sizeof(domain_name), names.domainname);
    return names;
}

Result<void> set_host_name(std::string_view name) { return replace(host_name, name); }
Result<void> set_domain_name(std::string_view name) { return replace(domain_name, name); }

} // namespace linnet::process
