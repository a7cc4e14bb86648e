// What is found to be damaged while a file system is mounted, and how the superblock tells of it (dumpe2fs shows that).
#pragma once

#include "layout.hpp"

#include <abi/linux/errno.hpp>
#include <lib/types.hpp>

namespace linnet::ext4 {

/// Whether an outcome says that what lies on the disk is wrong.
constexpr bool tells_of_damage(Errno code) { return code == Errno::EUCLEAN || code == Errno::EBADMSG; }

/// Superblock.errors, and the mount option of that name: what follows.
enum class ErrorBehaviour : u16 { Continue = 1, RemountReadOnly = 2, Panic = 3 };

/// What the superblock asks for; as on Linux, writing ends for the sake of a value without meaning.
ErrorBehaviour error_behaviour(const Superblock& superblock);

struct FoundError {
    Errno code;
    u32 inode;            // 0: of no file
    const char* function; // lives on
    u32 line;
    u64 seconds; // CLOCK_REALTIME
};

/// Errors that the superblock does not tell of yet. The caller locks.
class ErrorNotes {
public:
    void add(const FoundError& found);
    [[nodiscard]] u32 count() const { return count_; }
    /// The file system counts as damaged from now on.
    void apply_to(Superblock& superblock) const;

private:
    FoundError first_{}, last_{};
    u32 count_ = 0;
};

/// The log's superblock has been replayed over one that may tell of more errors, which were not written to the log.
void keep_errors(const Superblock& before, Superblock& replayed);

} // namespace linnet::ext4
