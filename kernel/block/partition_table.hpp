// Partition tables as disks carry them: GPT (UEFI specification, chapter 5) and MBR with logical partitions. All of it
// is foreign bytes: what does not fit the disk is left out.
#pragma once

#include <block/partition_name.hpp>
#include <lib/array_list.hpp>
#include <lib/function_ref.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::block {

struct Partition {
    u32 index; // from 1
    u64 first_sector;
    u64 sectors; // of 512 bytes
    PartitionName name;
};

/// Reads whole blocks at a byte offset.
using BlockReader = FunctionRef<Result<void>(u64 offset, std::span<u8> bytes)>;

/// The partitions of a disk of `sectors` with blocks of `block_size` bytes; none when there is no table. EIO, ENOMEM.
Result<ArrayList<Partition>> read_partition_table(BlockReader read, u64 sectors, u32 block_size);

} // namespace linnet::block
