// Requests for registers (ptrace(2)): whole sets or parts of them, by the architecture's views (arch/tracing.hpp).
#include "registers.hpp"

#include <abi/linux/ptrace.hpp>
#include <algorithm>
#include <arch/register_sets.hpp>
#include <arch/tracing.hpp>
#include <lib/own_ptr.hpp>
#include <mm/usercopy.hpp>
#include <new>

namespace linnet::process::ptrace_detail {
namespace {

struct IoVector {
    u64 base;
    u64 length;
};

/// EINVAL: neither the architecture nor this CPU nor yet the thread has registers of that type.
Result<const arch::RegisterSet*> find_set(const Thread& tracee, u32 type) {
    for (const arch::RegisterSet& set : arch::register_sets())
        if (set.type == type && set.size() != 0 && set.is_used(tracee.registers)) return &set;
    return error(Errno::EINVAL);
}

/// Copies the first `length` bytes of a set from or to user memory; a set that is written in part keeps the rest.
Result<usize> move_set(Thread& tracee, const arch::RegisterSet& set, bool is_write, VirtAddr user, u64 length) {
    const usize whole = set.size();
    const usize size = std::min<u64>(whole, length);
    OwnPtr<u8[]> buffer(new (std::nothrow) u8[whole]);
    if (!buffer) return error(Errno::ENOMEM);
    const std::span<u8> image(buffer.get(), whole);
    set.read(tracee.registers, image);
    if (is_write) {
        TRY(mm::copy_from_user(image.data(), user, size));
        TRY(arch::write_register_set(tracee.registers, set.type, image, size));
    } else {
        TRY(mm::copy_to_user(user, image.data(), size));
    }
    return size;
}

Result<long> move_by_vector(Thread& tracee, u64 type_word, bool is_write, u64 vector) {
    mm::UserPtr<mm::InOut, IoVector> place(VirtAddr{vector});
    IoVector io = TRY(place.copy_in());
    const arch::RegisterSet& set = *TRY(find_set(tracee, static_cast<u32>(type_word)));
    if (io.length % arch::register_set_unit(set.type) != 0) return error(Errno::EINVAL);
    io.length = TRY(move_set(tracee, set, is_write, VirtAddr{io.base}, io.length));
    TRY(place.copy_out(io));
    return 0;
}

/// Here the place in memory, or the value, comes before the code of what is wanted.
Result<long> move_word(Thread& tracee, long request, u64 value, u64 code) {
    const arch::WordRequest wanted = TRY(arch::word_request(request, code));
    if (!wanted.is_write) {
        const u64 word = TRY(arch::read_user_area(tracee.registers, wanted.offset));
        TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{value}).copy_out(word)));
        return 0;
    }
    if (VirtAddr{value} >= arch::user_address_end) return error(Errno::EPERM);
    TRY(arch::write_user_area(tracee.registers, wanted.offset, value));
    return 0;
}

} // namespace

Result<long> ask_for_registers(Thread& tracee, long request, u64 address, u64 data) {
    switch (request) {
    case abi::PTRACE_GETREGSET:
    case abi::PTRACE_SETREGSET:
        return move_by_vector(tracee, address, request == abi::PTRACE_SETREGSET, data);
    case abi::PTRACE_PEEKUSER: {
        const u64 word = TRY(arch::read_user_area(tracee.registers, address));
        TRY((mm::UserPtr<mm::Out, u64>(VirtAddr{data}).copy_out(word)));
        return 0;
    }
    case abi::PTRACE_POKEUSER:
        TRY(arch::write_user_area(tracee.registers, address, data));
        return 0;
    default:
        break;
    }
    const arch::RegisterRequest own = arch::register_request(request);
    if (own.type == 0) return move_word(tracee, request, address, data);
    TRY(move_set(tracee, *TRY(find_set(tracee, own.type)), own.is_write, VirtAddr{data}, ~u64{0}));
    return 0;
}

} // namespace linnet::process::ptrace_detail
