// execve(2): replaces the program of the current process.
#pragma once

#include <lib/own_ptr.hpp>
#include <lib/ref_ptr.hpp>
#include <process/thread.hpp>
#include <string_view>

namespace linnet::vfs {
class File;
}

namespace linnet::process {

/// Argument or environment strings on their way into a new program: NUL-terminated, one after the other. Both
/// blocks of a call share the limit that execve(2) sets for their sum.
class StringBlock {
public:
    /// E2BIG above MAX_ARG_STRLEN or when the budget is used up.
    Result<void> append(std::string_view text);
    /// Copies the vector of strings at `vector` (null: none).
    Result<void> append_from_user(VirtAddr vector);
    /// Puts a string before the others.
    Result<void> prepend(std::string_view text);
    void remove_first();

    [[nodiscard]] usize count() const { return count_; }
    [[nodiscard]] std::span<const char> bytes() const { return {data_.get(), size_}; }

    /// What is left for strings and the pointers to them; counted down by append.
    struct Budget {
        usize bytes = 0;
    };
    explicit StringBlock(Budget& budget) : budget_(budget) {}

private:
    Result<void> make_room(usize size);
    Result<void> take(usize size);
    Result<void> append_string_from_user(VirtAddr address);

    OwnPtr<char[]> data_;
    usize size_ = 0;
    usize capacity_ = 0;
    usize count_ = 0;
    Budget& budget_;
};

/// The budget of a program started by a process with this RLIMIT_STACK.
StringBlock::Budget string_budget(u64 stack_limit);

/// Replaces the program. On an error before the point of no return the caller is unharmed; after it the
/// process is killed and the error is of no interest. `display_path` becomes AT_EXECFN.
Result<void> execute(Thread& thread, RefPtr<vfs::File> file, std::string_view display_path, StringBlock& arguments,
                     StringBlock& environment);

/// Starts a program on behalf of the kernel: root with all rights, in the first root directory, without environment, in
/// session and group 0; nobody waits for it. `arguments` each end with a NUL, the first is its path; `input` becomes
/// its descriptor 0. Called by a kernel thread.
Result<void> start_helper(std::span<const char> arguments, RefPtr<vfs::File> input);
/// RLIMIT_CORE of such programs: a core of theirs would start the next one.
inline constexpr u64 limit_of_helpers = 1;

/// Whether the file is run by another program, which opens it by `path`: scripts and registered formats.
Result<bool> needs_interpreter(vfs::File& file, std::string_view path);

/// Maps the vDSO into a new address space and returns its address (AT_SYSINFO_EHDR); also fills layout.vdso.
/// Registered by the room that has the image.
using VdsoMapper = Result<VirtAddr> (*)(mm::AddressSpace& space);
void set_vdso_mapper(VdsoMapper mapper);

} // namespace linnet::process
