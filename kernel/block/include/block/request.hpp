// Requests: what is asked of a disk, and who is told when it is done.
#pragma once

#include <lib/address.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::block {

/// Disks count in sectors of 512 bytes, whatever their blocks are.
inline constexpr unsigned sector_shift = 9;
inline constexpr usize sector_size = usize{1} << sector_shift;

enum class Operation : u8 {
    Read,
    Write,
    Flush,       // what was written before is on stable storage when this completes
    Discard,     // the contents are not needed any more
    WriteZeroes, // the sectors read as zeros from now on
};

/// A run of physical memory, in whole sectors.
struct Segment {
    PhysAddr address;
    u32 length; // bytes
};

/// One thing asked of a disk. It and its segments stay where they are until `completed` is called.
struct Request {
    Operation operation = Operation::Read;
    u64 sector = 0;
    u64 sectors = 0;
    std::span<const Segment> segments{}; // of reads and writes
    /// `code`: Errno{} when it is done, else EIO, EOPNOTSUPP. Interrupt context; the request may be gone afterwards.
    void (*completed)(Request& request, Errno code) = nullptr;
    ListNode node; // of whoever has it
};
using RequestList = IntrusiveList<Request, &Request::node>;

} // namespace linnet::block
