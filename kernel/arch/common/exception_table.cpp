// Looks kernel fault addresses up. The linker leaves the entries in the order of the object files; every copy that
// waits for a page comes here, so they are searched by an index, which the boot CPU makes.
#include "exception_table.hpp"

#include <algorithm>
#include <arch/usercopy.hpp>

namespace linnet::arch {
namespace {

extern "C" {
// From the linker script: the index has room for the number of each entry.
extern const ExceptionTableEntry __ex_table_begin[], __ex_table_end[];
extern u32 exception_index[];
}

constinit bool is_indexed = false;

u64 fault_address(u32 number) { return __ex_table_begin[number].fault_address(); }

const ExceptionTableEntry* find_in_table(u64 pc) {
    for (const ExceptionTableEntry* entry = __ex_table_begin; entry != __ex_table_end; ++entry)
        if (entry->fault_address() == pc) return entry;
    return nullptr;
}

const ExceptionTableEntry* find_by_index(u64 pc) {
    const u32* begin = exception_index;
    const u32* end = begin + (__ex_table_end - __ex_table_begin);
    const auto is_before = [](u32 number, u64 wanted) { return fault_address(number) < wanted; };
    const u32* found = std::lower_bound(begin, end, pc, is_before);
    return found != end && fault_address(*found) == pc ? &__ex_table_begin[*found] : nullptr;
}

} // namespace

void index_exception_table() {
    const auto count = static_cast<u32>(__ex_table_end - __ex_table_begin);
    for (u32 i = 0; i < count; ++i) exception_index[i] = i;
    std::sort(exception_index, exception_index + count,
              [](u32 a, u32 b) { return fault_address(a) < fault_address(b); });
    is_indexed = true;
}

u64 find_fix_up(u64 pc) {
    const ExceptionTableEntry* entry = is_indexed ? find_by_index(pc) : find_in_table(pc);
    return entry ? entry->fix_up_address() : 0;
}

} // namespace linnet::arch
