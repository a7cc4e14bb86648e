// The notes of a core file, in Linux's order: of the thread that dumps NT_PRSTATUS, then what is of the whole process
// (NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE), then the thread's other register sets; then all sets of each other one.
#include "core_dump.hpp"

#include <abi/linux/elf.hpp>
#include <abi/linux/procfs.hpp>
#include <algorithm>
#include <arch/register_sets.hpp>
#include <cstring>
#include <mm/address_space.hpp>
#include <process/session.hpp>
#include <vfs/credentials.hpp>

namespace linnet::process {
namespace {

constexpr std::string_view own_name = "CORE";

template <typename T>
std::span<const u8> bytes_of(const T& object) {
    return {reinterpret_cast<const u8*>(&object), sizeof object};
}

Result<void> put_padding(PutBytes put, usize size) {
    constexpr u8 zeros[4] = {};
    return put({zeros, align_up<usize>(size, 4) - size});
}

/// The description follows, and padding.
Result<void> begin_note(PutBytes put, std::string_view name, u32 type, usize size) {
    const abi::Elf64_Nhdr header{
        .n_namesz = static_cast<u32>(name.size() + 1), .n_descsz = static_cast<u32>(size), .n_type = type};
    TRY(put(bytes_of(header)));
    TRY(put({reinterpret_cast<const u8*>(name.data()), name.size()}));
    constexpr u8 nul = 0;
    TRY(put({&nul, 1}));
    return put_padding(put, name.size() + 1);
}

Result<void> put_note(PutBytes put, std::string_view name, u32 type, std::span<const u8> description) {
    TRY(begin_note(put, name, type, description.size()));
    TRY(put(description));
    return put_padding(put, description.size());
}

abi::timeval timeval_of(u64 ticks) {
    const u64 us = core::ticks_to_ns(ticks) / 1000;
    return {.tv_sec = static_cast<i64>(us / 1'000'000), .tv_usec = static_cast<i64>(us % 1'000'000)};
}

struct Relations {
    i32 parent, group, session;
};
Relations relations_of(Process& process) {
    NullableRefPtr<ProcessGroup> group = process.process_group();
    NullableRefPtr<Session> session = process.session();
    return {process.parent_pid(), group ? group->pgid() : 0, session ? session->sid() : 0};
}

abi::elf_prstatus_head status_of(const CoreDump& dump, Thread& thread) {
    Process& process = thread.process();
    abi::elf_prstatus_head status{};
    status.si_signo = status.pr_cursig = static_cast<i16>(dump.info.si_signo);
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        status.pr_sigpend = thread.signals.pending.set.bits;
        status.pr_sighold = &thread == &dump.self ? dump.blocked.bits : thread.signals.blocked.bits;
    }
    const Relations relations = relations_of(process);
    status.pr_pid = thread.tid();
    status.pr_ppid = relations.parent;
    status.pr_pgrp = relations.group;
    status.pr_sid = relations.session;
    // The leader stands for the process.
    const ResourceUsage own = thread.is_leader() ? process.usage() : usage_of(thread);
    const ResourceUsage children = process.children_usage();
    status.pr_utime = timeval_of(own.times.user);
    status.pr_stime = timeval_of(own.times.system);
    status.pr_cutime = timeval_of(children.times.user);
    status.pr_cstime = timeval_of(children.times.system);
    return status;
}

/// The command line as ps(1) shows it, as far as it fits.
void read_arguments(mm::AddressSpace& space, std::span<char> to) {
    const VirtAddr begin = space.layout.arg_begin, end = space.layout.arg_end;
    const usize size = end > begin ? std::min<usize>(end - begin, to.size() - 1) : 0;
    auto bytes = std::span(reinterpret_cast<u8*>(to.data()), size);
    const Result<usize> count = space.read_memory(begin, bytes, mm::ForeignAccess::Forced);
    for (usize i = 0; i < size; ++i) {
        if (!count || i >= *count)
            to[i] = '\0';
        else if (to[i] == '\0')
            to[i] = ' ';
    }
}

abi::elf_prpsinfo process_info(Thread& self) {
    constexpr u64 flag_forked = 0x40; // as in /proc/PID/stat: never executed a program
    Process& process = self.process();
    abi::elf_prpsinfo info{};
    info.pr_sname = 'R';
    info.pr_nice = static_cast<i8>(self.scheduling.nice);
    info.pr_flag = process.has_executed ? 0 : flag_forked;
    const vfs::Credentials& who = self.own_credentials();
    info.pr_uid = who.uid;
    info.pr_gid = who.gid;
    const Relations relations = relations_of(process);
    info.pr_pid = process.pid();
    info.pr_ppid = relations.parent;
    info.pr_pgrp = relations.group;
    info.pr_sid = relations.session;
    self.copy_name(info.pr_fname);
    read_arguments(self.own_address_space(), info.pr_psargs);
    return info;
}

} // namespace

Result<CoreNotes> CoreNotes::create(const CoreDump& dump, const MappedFiles& files) {
    CoreNotes notes(dump, files);
    Process& process = dump.self.process();
    TRY(notes.threads_.try_push(RefPtr<Thread>(dump.self)));
    for (Pid from = 0;;) {
        NullableRefPtr<Thread> thread = process.next_thread(from);
        if (!thread) break;
        from = thread->tid() + 1;
        const bool waits = [&] {
            core::InterruptSpinGuard guard(process.signal_lock);
            return thread->dump_state == Thread::DumpState::Waiting;
        }();
        if (waits) TRY(notes.threads_.try_push(RefPtr<Thread>(std::move(thread))));
    }
    for (const arch::RegisterSet& set : arch::register_sets()) notes.set_size_ = std::max(notes.set_size_, set.size());
    notes.set_ = OwnPtr<u8[]>(new (std::nothrow) u8[notes.set_size_]);
    if (!notes.set_) return error(Errno::ENOMEM);
    return notes;
}

Result<void> CoreNotes::write(PutBytes put) {
    for (RefPtr<Thread>& thread : threads_) {
        TRY(write_status(*thread, put));
        if (thread.get() == &dump_.self) TRY(write_process(put));
        TRY(write_other_sets(*thread, put));
    }
    return {};
}

Result<void> CoreNotes::write_status(Thread& thread, PutBytes put) {
    const arch::RegisterSet& general = arch::register_sets().front();
    std::span<u8> registers(set_.get(), general.size());
    general.read(thread.registers, registers);
    const abi::elf_prstatus_head head = status_of(dump_, thread);
    struct {
        i32 has_floating_point;
        i32 padding;
    } constexpr tail{1, 0};
    TRY(begin_note(put, own_name, abi::NT_PRSTATUS, sizeof head + registers.size() + sizeof tail));
    TRY(put(bytes_of(head)));
    TRY(put(registers));
    return put(bytes_of(tail));
}

Result<void> CoreNotes::write_process(PutBytes put) {
    TRY(put_note(put, own_name, abi::NT_PRPSINFO, bytes_of(process_info(dump_.self))));
    const abi::user_siginfo_t info{dump_.info, {}};
    TRY(put_note(put, own_name, abi::NT_SIGINFO, bytes_of(info)));
    const mm::ExecLayout& layout = dump_.self.own_address_space().layout;
    const usize words = std::min(layout.auxv_words, mm::ExecLayout::max_auxv);
    TRY(put_note(put, own_name, abi::NT_AUXV, {reinterpret_cast<const u8*>(layout.auxv), words * sizeof(u64)}));
    return write_files(put);
}

Result<void> CoreNotes::write_files(PutBytes put) {
    const u64 head[] = {files_.files.size(), arch::page_size};
    const usize size = sizeof head + files_.files.size() * sizeof(MappedFile) + files_.names.size();
    TRY(begin_note(put, own_name, abi::NT_FILE, size));
    TRY(put(bytes_of(head)));
    TRY(put({reinterpret_cast<const u8*>(files_.files.begin()), files_.files.size() * sizeof(MappedFile)}));
    TRY(put({reinterpret_cast<const u8*>(files_.names.begin()), files_.names.size()}));
    return put_padding(put, size);
}

Result<void> CoreNotes::write_other_sets(Thread& thread, PutBytes put) {
    for (const arch::RegisterSet& set : arch::register_sets().subspan(1)) {
        std::span<u8> bytes(set_.get(), set.size());
        if (bytes.empty() || !set.is_used(thread.registers)) continue;
        set.read(thread.registers, bytes);
        TRY(put_note(put, set.note_name, set.type, bytes.first(set.note_size(bytes))));
    }
    return {};
}

} // namespace linnet::process
