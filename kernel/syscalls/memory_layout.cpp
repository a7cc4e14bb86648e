// prctl(PR_SET_MM): what /proc says of a program's code, data, heap, stack and arguments, its auxiliary vector and its
// file. Programs that restore others from a checkpoint set these.
#include "memory_layout.hpp"

#include <abi/linux/fs.hpp>
#include <abi/linux/prctl.hpp>
#include <algorithm>
#include <mm/address_space.hpp>
#include <mm/usercopy.hpp>
#include <process/process.hpp>
#include <vfs/credentials.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/file.hpp>
#include <vfs/inode.hpp>
#include <vfs/mount.hpp>

namespace linnet::syscalls {

using process::Thread;
using vfs::Capability;

namespace {

constexpr usize vector_bytes = sizeof(mm::ExecLayout::auxv);

/// The vector becomes the bytes at `from`; whatever they are, it ends. (Linux before 7 keeps what lies behind them.)
Result<void> read_vector(mm::ExecLayout& layout, VirtAddr from, u64 size) {
    std::ranges::fill(layout.auxv, 0);
    TRY(mm::copy_from_user(layout.auxv, from, size));
    constexpr usize last = mm::ExecLayout::max_auxv - 2;
    layout.auxv[last] = layout.auxv[last + 1] = 0;
    layout.auxv_words = 2;
    while (layout.auxv[layout.auxv_words - 2] != 0) layout.auxv_words += 2;
    return {};
}

/// Whether something of the program's present file is still mapped.
bool is_program_mapped(Thread& thread, const vfs::File& program) {
    bool found = false;
    thread.own_address_space().for_each_mapping([&](const mm::MappingInfo& mapping) {
        found = mapping.label && mapping.label->inode_number() == program.inode_number() &&
                mapping.label->device_number() == program.device_number();
        return !found;
    });
    return found;
}

/// /proc/PID/exe. EBUSY as long as the old program shows in memory; EACCES for what couldn't be executed.
Result<void> set_program_file(Thread& thread, int fd) {
    NullableRefPtr<vfs::File> file = TRY(thread.own_files().get(fd));
    vfs::Inode& inode = file->inode();
    if (!inode.is_regular() || (file->path().mount->flags() & abi::MS_NOEXEC)) return error(Errno::EACCES);
    TRY(inode.check_permission(1, thread.own_credentials()));
    process::Process& process = thread.process();
    if (NullableRefPtr<vfs::File> present = process.executable(); present && is_program_mapped(thread, *present))
        return error(Errno::EBUSY);
    TRY(inode.deny_write_access());
    if (NullableRefPtr<vfs::File> before = process.exchange_executable(file)) before->inode().allow_write_access();
    return {};
}

/// PR_SET_MM_MAP: all at once, for who has no privileges too; but for the file.
Result<void> set_whole_map(Thread& thread, VirtAddr from, u64 size) {
    abi::prctl_mm_map map;
    if (size != sizeof map) return error(Errno::EINVAL);
    TRY(mm::copy_from_user(&map, from, sizeof map));
    mm::AddressSpace& space = thread.own_address_space();
    mm::ExecLayout fresh = space.layout;
    fresh.code_begin = {map.start_code}, fresh.code_end = {map.end_code};
    fresh.data_begin = {map.start_data}, fresh.data_end = {map.end_data};
    fresh.brk_begin = {map.start_brk}, fresh.stack_begin = {map.start_stack};
    fresh.arg_begin = {map.arg_start}, fresh.arg_end = {map.arg_end};
    fresh.env_begin = {map.env_start}, fresh.env_end = {map.env_end};
    if (map.auxv_size) {
        if (!map.auxv || map.auxv_size > vector_bytes) return error(Errno::EINVAL);
        TRY(read_vector(fresh, {map.auxv}, map.auxv_size));
    }
    if (map.exe_fd != ~u32{0}) {
        const vfs::Credentials& who = thread.own_credentials();
        if (!who.has(Capability::CheckpointRestore) && !who.has(Capability::SysAdmin)) return error(Errno::EPERM);
        TRY(set_program_file(thread, static_cast<int>(map.exe_fd)));
    }
    return space.set_layout(fresh, {map.brk});
}

struct Mark {
    VirtAddr mm::ExecLayout::* field;
    bool is_in_memory; // something has to be mapped there or above
};
/// From PR_SET_MM_START_CODE on; null for the end of the heap.
constexpr Mark marks[] = {
    {&mm::ExecLayout::code_begin, false},
    {&mm::ExecLayout::code_end, false},
    {&mm::ExecLayout::data_begin, false},
    {&mm::ExecLayout::data_end, false},
    {&mm::ExecLayout::stack_begin, true},
    {&mm::ExecLayout::brk_begin, false},
    {nullptr, false},
    {&mm::ExecLayout::arg_begin, true},
    {&mm::ExecLayout::arg_end, true},
    {&mm::ExecLayout::env_begin, true},
    {&mm::ExecLayout::env_end, true},
};

Result<void> set_mark(Thread& thread, u64 what, VirtAddr address) {
    if (what < abi::PR_SET_MM_START_CODE || what > abi::PR_SET_MM_ENV_END) return error(Errno::EINVAL);
    const Mark& mark = marks[what - abi::PR_SET_MM_START_CODE];
    mm::AddressSpace& space = thread.own_address_space();
    mm::ExecLayout fresh = space.layout;
    if (mark.field) fresh.*mark.field = address;
    if (mark.is_in_memory && arch::is_user_range(address, 1) && !space.has_mapping_above(address))
        return error(Errno::EFAULT);
    return space.set_layout(fresh, mark.field ? space.current_brk() : address);
}

} // namespace

Result<long> change_memory_layout(Thread& thread, u64 what, VirtAddr address, u64 size, u64 last) {
    const bool takes_size =
        what == abi::PR_SET_MM_AUXV || what == abi::PR_SET_MM_MAP || what == abi::PR_SET_MM_MAP_SIZE;
    if (last || (size && !takes_size)) return error(Errno::EINVAL);
    if (what == abi::PR_SET_MM_MAP_SIZE) {
        TRY((mm::UserPtr<mm::Out, u32>(address).copy_out(sizeof(abi::prctl_mm_map))));
        return 0;
    }
    Result<void> done;
    if (what == abi::PR_SET_MM_MAP) {
        done = set_whole_map(thread, address, size);
    } else if (!thread.own_credentials().has(Capability::SysResource)) {
        done = error(Errno::EPERM);
    } else if (what == abi::PR_SET_MM_EXE_FILE) {
        done = set_program_file(thread, static_cast<int>(address.value));
    } else if (what == abi::PR_SET_MM_AUXV) {
        if (size > vector_bytes) return error(Errno::EINVAL);
        mm::AddressSpace& space = thread.own_address_space();
        mm::ExecLayout fresh = space.layout;
        done = read_vector(fresh, address, size);
        if (done) done = space.set_layout(fresh, space.current_brk());
    } else {
        done = set_mark(thread, what, address);
    }
    TRY(done);
    return 0;
}

} // namespace linnet::syscalls
