// splice(2), tee(2), vmsplice(2) and what sendfile(2) does into a pipe. Pages go from a file or a pipe to a pipe by
// reference where they can.
#pragma once

#include <vfs/file.hpp>
#include <vfs/pipe.hpp>

namespace linnet::vfs {

/// From one pipe to another: moves what is there, or copies it (tee(2)). 0: nobody writes to `from` any more. EINVAL:
/// they are one; EAGAIN, EPIPE with SIGPIPE.
Result<usize> splice_between(Pipe& from, Pipe& to, usize count, Blocking blocking, Pipe::Taking taking);

/// What is in the pipe, `count` bytes at most, is written to the file, at `offset` or at its position.
Result<usize> splice_to_file(Pipe& from, File& to, std::optional<u64> offset, usize count, Blocking blocking);

/// The file is read into the pipe, as far as there is room. Waits for room first, then as a read of the file does.
Result<usize> splice_from_file(File& from, std::optional<u64> offset, Pipe& to, usize count, Blocking blocking);

/// vmsplice(2): user memory into a pipe, as far as there is room, or what is there from a pipe.
Result<usize> splice_from_memory(IoBuffer& from, Pipe& to, Blocking blocking);
Result<usize> splice_to_memory(Pipe& from, IoBuffer& to, Blocking blocking);

} // namespace linnet::vfs
