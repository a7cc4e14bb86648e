// How a system call gets into the table.
//
// A family header (syscalls/<family>.hpp) declares its functions, `Result<long> sys_foo(process::Thread&, …)`, and
// lists them in `inline constexpr Entry <family>_calls[]`; table.cpp joins the families. Argument types are deduced
// from the signature: integers and enums are cut to their width as Linux does, UserPtr, UserString and VirtAddr take
// the address. Names that an architecture doesn't have carry the number -1 there and are left out.
#pragma once

#include <abi_arch/syscall_numbers.hpp>
#include <mm/usercopy.hpp>
#include <process/thread.hpp>
#include <span>
#include <tuple>
#include <type_traits>

namespace linnet::syscalls {

namespace nr = abi::nr;

/// How much of the call Linux has is here. What a partial call lacks stands in its note and gives the errno that Linux
/// gives without that feature.
enum class Support : u8 { Full, Partial };

using Handler = Result<long> (*)(process::Thread&);

struct Entry {
    const char* name;
    int number;
    Support support;
    Handler handler;
    const char* note;
};

namespace detail {

template <typename T>
T argument(u64 raw) {
    if constexpr (std::is_enum_v<T>)
        return static_cast<T>(static_cast<std::underlying_type_t<T>>(raw));
    else if constexpr (std::is_integral_v<T>)
        return static_cast<T>(raw);
    else if constexpr (std::is_same_v<T, VirtAddr>)
        return VirtAddr{raw};
    else
        return T(VirtAddr{raw});
}

template <auto Function, typename... Args, usize... Index>
Result<long> call_with(process::Thread& thread, Result<long> (*)(process::Thread&, Args...),
                       std::index_sequence<Index...>) {
    return Function(thread, argument<Args>(thread.registers.syscall_argument(static_cast<unsigned>(Index)))...);
}

template <auto Function, typename... Args>
Result<long> call(process::Thread& thread, Result<long> (*signature)(process::Thread&, Args...)) {
    return call_with<Function>(thread, signature, std::index_sequence_for<Args...>{});
}

template <auto Function>
Result<long> thunk(process::Thread& thread) {
    return call<Function>(thread, Function);
}

} // namespace detail

/// The table's line for `Function`.
template <auto Function>
constexpr Entry entry(const char* name, int number, Support support = Support::Full, const char* note = "") {
    return {name, number, support, &detail::thunk<Function>, note};
}

/// Every call of this architecture's table, in no particular order (/proc/linnet/syscalls, tracing).
std::span<const std::span<const Entry>> families();
/// The name of a call, or null.
const char* syscall_name(long number);
/// Logs every call with arguments and result (kernel parameter linnet.strace).
void enable_tracing();

} // namespace linnet::syscalls
