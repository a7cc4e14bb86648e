// Looks kernel fault addresses up. The table has a few dozen entries: a plain search, only on faults.
#include "exception_table.hpp"

namespace linnet::arch {

extern "C" const ExceptionTableEntry __ex_table_begin[], __ex_table_end[];

const ExceptionTableEntry* find_exception_entry(u64 pc) {
    for (const ExceptionTableEntry* entry = __ex_table_begin; entry != __ex_table_end; ++entry)
        if (entry->fault_address() == pc) return entry;
    return nullptr;
}

} // namespace linnet::arch
