// Core dumps (core(5)), private to process: the life of one, and what its parts share.
//
//     core_dump.cpp          who stops, waits and goes on; the knobs
//     core_dump_name.cpp     what core_pattern makes of the names
//     core_dump_target.cpp   the file, or the program at the other end of a pipe
//     core_dump_image.cpp    which memory, and the ELF headers
//     core_dump_notes.cpp    registers and the like
//     core_dump_writer.cpp   the way of bytes into the target
#pragma once

#include <lib/array_list.hpp>
#include <process/process.hpp>
#include <vfs/pipe.hpp>

namespace linnet::process {

// ---- for exit and signals ----

/// Writes a core file of the current thread's process, which dies of `info`, if it may have one: all others come to
/// their ends and wait, and the process is dying when this returns; else nothing has happened. Loop edge; sleeps.
void dump_core(Thread& self, const abi::siginfo_t& info);
/// The current thread dies: waits while another dumps core.
void wait_for_core_dump(Thread& self);
/// Ends a dump early, if there is one (SIGKILL). signal_lock held.
void end_core_dump_locked(Process& process);
/// The dumpable flag of a program that has other rights than who started it (/proc/sys/fs/suid_dumpable).
u32 dumpable_with_other_rights();

// ---- for the parts of a dump ----

struct CoreDump {
    Thread& self;
    const abi::siginfo_t& info;
    u32 dumpable;   // PR_GET_DUMPABLE: 1, or 2 where root alone may read it
    u64 limit;      // RLIMIT_CORE
    SigSet blocked; // by the thread, before the dump blocked everything
};

/// What a name is made of.
struct CoreNames {
    Pid pid = 0, tid = 0;
    u32 uid = 0, gid = 0;
    int signal = 0;
    u32 dumpable = 0;
    u32 cpu = 0;
    u64 limit = 0;
    u64 seconds = 0; // since 1970
    std::string_view host, command, executable;
};
enum class AppendPid : u8 { No, Yes };
struct CoreName {
    bool is_pipe = false;
    ArrayList<char> text; // a path, or arguments that each end with a NUL
};
/// Fills in the % specifiers of a core_pattern. ENOMEM.
Result<CoreName> make_core_name(std::string_view pattern, const CoreNames& names, AppendPid append_pid);

/// Where the core goes: buffered, counted against the limit, with holes where the target has them.
class CoreWriter {
public:
    enum class Kind : u8 { File, Pipe };
    static Result<CoreWriter> create(Thread& self, RefPtr<vfs::File> file, Kind kind, u64 limit);

    /// EFBIG beyond the limit, EINTR when the dump is to end, and what the target says.
    Result<void> put(std::span<const u8> bytes);
    template <typename T>
    Result<void> put_object(const T& object) {
        return put({reinterpret_cast<const u8*>(&object), sizeof object});
    }
    /// Zeros: a hole in a file.
    Result<void> skip(u64 size);
    Result<void> align_to(u64 alignment);
    /// Writes what is still here; a file that ends in a hole gets its size.
    Result<void> finish();

private:
    CoreWriter(Thread& self, RefPtr<vfs::File> file, Kind kind, u64 limit, OwnPtr<u8[]> buffer)
        : self_(self), file_(std::move(file)), kind_(kind), limit_(limit), buffer_(std::move(buffer)) {}
    Result<void> flush();

    Thread& self_;
    RefPtr<vfs::File> file_;
    Kind kind_;
    u64 limit_;
    OwnPtr<u8[]> buffer_;
    usize used_ = 0;    // of the buffer
    u64 position_ = 0;  // where the buffer's bytes go
    u64 written_ = 0;   // counts against the limit
    u64 file_size_ = 0; // as far as was written
};

/// Where one dump goes: made from its name, and given up when it is destroyed.
class CoreTarget {
public:
    /// Errors say that there is to be no dump.
    static Result<CoreTarget> open(const CoreDump& dump, const CoreName& name);
    CoreTarget(CoreTarget&&) = default;
    /// Everything is written. Where there is a limit on helpers, waits until the helper has had enough.
    ~CoreTarget();

    [[nodiscard]] Result<CoreWriter> writer() const;

private:
    CoreTarget(const CoreDump& dump, RefPtr<vfs::File> file, NullableRefPtr<vfs::Pipe> pipe)
        : dump_(dump), file_(std::move(file)), pipe_(std::move(pipe)) {}
    static Result<CoreTarget> open_file(const CoreDump& dump, std::string_view path);
    static Result<CoreTarget> open_pipe(const CoreDump& dump, std::span<const char> arguments);

    const CoreDump& dump_;
    NullableRefPtr<vfs::File> file_;
    NullableRefPtr<vfs::Pipe> pipe_; // null for a file
};
/// /proc/sys/kernel/core_pipe_limit.
extern std::atomic<u64> core_pipe_limit;

/// The whole file: headers, notes, memory.
Result<void> write_core(const CoreDump& dump, CoreWriter& writer);

/// Files that are mapped, as NT_FILE lists them.
struct MappedFile {
    u64 begin, end, page_offset;
};
struct MappedFiles {
    ArrayList<MappedFile> files;
    ArrayList<char> names; // each with a NUL
};
using PutBytes = FunctionRef<Result<void>(std::span<const u8>)>;
/// The notes of all threads that wait, the dumping one's first. Called twice with the same result but for times: once
/// to count.
class CoreNotes {
public:
    static Result<CoreNotes> create(const CoreDump& dump, const MappedFiles& files);
    Result<void> write(PutBytes put);

private:
    CoreNotes(const CoreDump& dump, const MappedFiles& files) : dump_(dump), files_(files) {}
    Result<void> write_status(Thread& thread, PutBytes put);
    Result<void> write_process(PutBytes put);
    Result<void> write_files(PutBytes put);
    Result<void> write_other_sets(Thread& thread, PutBytes put);

    const CoreDump& dump_;
    const MappedFiles& files_;
    ArrayList<RefPtr<Thread>> threads_;
    OwnPtr<u8[]> set_; // the largest register set fits
    usize set_size_ = 0;
};

} // namespace linnet::process
