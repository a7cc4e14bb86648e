// A program on its way from a file to user code: what exec builds before the point of no return. Private to
// process.
#pragma once

#include <mm/address_space.hpp>
#include <process/exec.hpp>
#include <vfs/credentials.hpp>
#include <vfs/file.hpp>

namespace linnet::process {

/// Everything known about a new image; `space` is complete before anything of the caller is touched.
struct Program {
    explicit Program(RefPtr<mm::AddressSpace> address_space) : space(std::move(address_space)) {}

    RefPtr<mm::AddressSpace> space;
    NullableRefPtr<vfs::File> executable;
    NullableRefPtr<const vfs::Credentials> credentials;
    mm::Randomisation randomisation = mm::Randomisation::On;
    bool is_secure = false;     // AT_SECURE: more rights than the caller had
    bool is_protected = false;  // from who could look into the caller: its rights are other ones
    VirtAddr program_headers{}; // AT_PHDR …
    u64 program_header_count = 0;
    VirtAddr program_entry{};    // AT_ENTRY
    VirtAddr interpreter_base{}; // AT_BASE; 0 without interpreter
    VirtAddr entry{};            // first instruction to run: the interpreter's, where there is one
    VirtAddr stack{};            // the stack pointer it starts with
    char name[16] = {};          // comm

    // Of a registered binary format (binary_formats.hpp).
    bool keeps_first_argument = false;        // AT_FLAGS says so
    bool uses_descriptor_credentials = false; // those of `descriptor` instead of `executable`
    NullableRefPtr<vfs::File> descriptor;     // the interpreter gets it open
    VirtAddr descriptor_word{};               // where its number goes (AT_EXECFD), and where among the copies
    usize descriptor_index = 0;               // of the auxiliary vector's words
};

/// Maps the ELF file `program.executable`, whose first bytes are `header`, and its interpreter. ENOEXEC when
/// it isn't an ELF program of this machine; EINVAL and others when its headers lie.
Result<void> load_elf(Program& program, std::span<const u8> header);

/// Lays arguments, environment and the auxiliary vector on the new stack (the System V ABI's initial stack).
Result<void> build_stack(Program& program, std::string_view display_path, const StringBlock& arguments,
                         const StringBlock& environment);

/// Why a program may not get more rights than its caller has.
struct Distrust {
    bool no_new_privileges = false; // prctl(2), PR_SET_NO_NEW_PRIVS
    bool shares_directory = false;  // a task outside of the process shares its directory context (CLONE_FS)
    bool is_traced = false;         // by somebody without CAP_SYS_PTRACE
    [[nodiscard]] bool any() const { return no_new_privileges || shares_directory || is_traced; }
};

/// The credentials that `file` gives to who executes it: set-user-id, set-group-id, the capability rules of
/// capabilities(7). Sets program.credentials, is_secure and is_protected.
Result<void> apply_file_credentials(Program& program, const vfs::Credentials& caller, vfs::File& file,
                                    Distrust distrust);

/// The vDSO, if init registered one: its address, or 0.
Result<VirtAddr> map_vdso(mm::AddressSpace& space);

} // namespace linnet::process
