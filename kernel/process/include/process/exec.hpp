// execve(2): replaces the program of the current process.
#pragma once

#include <lib/array_list.hpp>
#include <lib/ref_ptr.hpp>
#include <process/thread.hpp>
#include <string_view>

namespace linnet::vfs {
class File;
}

namespace linnet::process {

/// Argument or environment strings on their way into a new program: NUL-terminated, one after the other. Sizes are
/// limited as execve(2) says.
class StringBlock {
public:
    /// E2BIG above MAX_ARG_STRLEN or when all strings together exceed `limit`.
    Result<void> append(std::string_view text);
    /// Copies the vector of strings at `vector` (null: none).
    Result<void> append_from_user(VirtAddr vector);
    /// Puts a string before the others.
    Result<void> prepend(std::string_view text);
    Result<void> remove_first();

    [[nodiscard]] usize count() const { return count_; }
    [[nodiscard]] std::span<const char> bytes() const { return bytes_.span(); }
    [[nodiscard]] std::string_view first() const;
    void set_limit(usize limit) { limit_ = limit; }

private:
    ArrayList<char> bytes_;
    usize count_ = 0;
    usize limit_ = 0;
};

/// Replaces the program. On an error before the point of no return the caller is unharmed; after it the process is killed
/// and the error is of no interest. `display_path` becomes AT_EXECFN.
Result<void> execute(Thread& thread, RefPtr<vfs::File> file, std::string_view display_path, StringBlock& arguments,
                     StringBlock& environment);

} // namespace linnet::process
