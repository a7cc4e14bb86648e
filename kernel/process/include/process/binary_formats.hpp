// Interpreters for kinds of files that user space registers (Linux's documentation, "Kernel Support for miscellaneous
// Binary Formats"), and the file system binfmt_misc that it does so with.
#pragma once

#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <span>
#include <string_view>

namespace linnet::vfs {
class File;
}

namespace linnet::process {

/// What execve(2) has to know of a registered interpreter.
class BinaryFormat : public RefCounted<BinaryFormat> {
public:
    virtual ~BinaryFormat() = default;
    [[nodiscard]] virtual std::string_view interpreter() const = 0;
    /// The interpreter, to be read; from now, or as it was when it was registered (flag F).
    virtual Result<RefPtr<vfs::File>> open_interpreter() const = 0;

    bool keeps_first_argument = false;  // P: the program's argv[0] becomes another argument
    bool passes_descriptor = false;     // O: the interpreter gets the file open (AT_EXECFD)
    bool uses_file_credentials = false; // C: set-user-id bits and capabilities are the file's, not the interpreter's
};

/// The enabled format, registered last, that a file with these first bytes and this name belongs to; null for none.
NullableRefPtr<const BinaryFormat> find_binary_format(std::span<const u8> header, std::string_view path);

/// Registers the file system, and makes the directory to mount it on. At boot.
Result<void> initialise_binary_formats();

} // namespace linnet::process
