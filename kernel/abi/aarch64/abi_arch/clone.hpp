// The order of clone(2)'s last two arguments, which differs between architectures (clone(2), "C library/kernel
// differences").
#pragma once

namespace linnet::abi {
/// True: (…, tls, child_tid); false: (…, child_tid, tls).
inline constexpr bool clone_tls_first = true;
} // namespace linnet::abi
