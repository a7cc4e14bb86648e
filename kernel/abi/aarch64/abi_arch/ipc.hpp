// What shmat(2) wants of addresses, and what semctl(2) tells of a set.
#pragma once

#include <abi/linux/ipc.hpp>

namespace linnet::abi {

/// SHMLBA where it is more than a page and holds for every address given; 0 elsewhere.
inline constexpr u64 shared_memory_alignment = 0;

using semid_ds = semid_ds_dense;

} // namespace linnet::abi
