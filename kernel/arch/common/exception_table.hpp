// The exception table: kernel instructions that may fault, and where to go on when they do.
#pragma once

#include <lib/types.hpp>

namespace linnet::arch {

/// Distances are relative to the field that holds them, so that the table holds wherever the image lies.
struct ExceptionTableEntry {
    i32 fault;
    i32 fix_up;
    u64 fault_address() const { return reinterpret_cast<u64>(&fault) + static_cast<u64>(i64{fault}); }
    u64 fix_up_address() const { return reinterpret_cast<u64>(&fix_up) + static_cast<u64>(i64{fix_up}); }
};

/// Where to go on when the instruction at `pc` may fault and did; 0: it may not. Any context, from the first
/// instruction of C++ on.
u64 find_fix_up(u64 pc);

} // namespace linnet::arch

/// For inline assembly: the instruction at local label `from` goes on at label `to` when it faults. The entry goes
/// where its function goes ("?"): the linker drops copies of inline functions.
#define LINNET_EXCEPTION_ENTRY(from, to)                                                                               \
    ".pushsection __ex_table, \"a?\"\n"                                                                                \
    ".balign 4\n"                                                                                                      \
    ".4byte " from " - .\n"                                                                                            \
    ".4byte " to " - .\n"                                                                                              \
    ".popsection\n"
