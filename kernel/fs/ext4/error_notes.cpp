// Errors found in a mounted file system, as the superblock tells of them.
#include "error_notes.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace linnet::ext4 {

namespace {

/// Errors have numbers of their own on the disk.
u8 stored_code(Errno code) {
    switch (code) {
    case Errno::EIO:
        return 2;
    case Errno::ENOMEM:
        return 3;
    case Errno::EBADMSG:
        return 4;
    case Errno::EUCLEAN:
        return 5;
    case Errno::ENOSPC:
        return 6;
    case Errno::EROFS:
        return 8;
    default:
        return 1; // unknown
    }
}

template <usize Size>
void store_name(char (&to)[Size], const char* name) {
    const std::string_view text = name;
    std::memset(to, 0, Size);
    std::memcpy(to, text.data(), std::min(text.size(), Size));
}

} // namespace

ErrorBehaviour error_behaviour(const Superblock& superblock) {
    const auto wanted = static_cast<ErrorBehaviour>(superblock.errors);
    if (wanted == ErrorBehaviour::Continue || wanted == ErrorBehaviour::Panic) return wanted;
    return ErrorBehaviour::RemountReadOnly;
}

void ErrorNotes::add(const FoundError& found) {
    if (count_ == 0) first_ = found;
    last_ = found;
    if (count_ != ~u32{0}) ++count_;
}

void ErrorNotes::apply_to(Superblock& superblock) const {
    if (count_ == 0) return;
    superblock.state |= state_has_errors;
    if (superblock.error_count == 0) {
        superblock.first_error_time = static_cast<u32>(first_.seconds);
        superblock.first_error_time_high = static_cast<u8>(first_.seconds >> 32);
        superblock.first_error_inode = first_.inode;
        superblock.first_error_block = 0;
        superblock.first_error_line = first_.line;
        superblock.first_error_code = stored_code(first_.code);
        store_name(superblock.first_error_function, first_.function);
    }
    superblock.last_error_time = static_cast<u32>(last_.seconds);
    superblock.last_error_time_high = static_cast<u8>(last_.seconds >> 32);
    superblock.last_error_inode = last_.inode;
    superblock.last_error_block = 0;
    superblock.last_error_line = last_.line;
    superblock.last_error_code = stored_code(last_.code);
    store_name(superblock.last_error_function, last_.function);
    superblock.error_count += std::min(count_, ~u32{0} - superblock.error_count);
}

void keep_errors(const Superblock& before, Superblock& replayed) {
    replayed.state |= before.state & state_has_errors;
    if (before.error_count <= replayed.error_count) return;
    constexpr usize begin = offsetof(Superblock, error_count), end = offsetof(Superblock, mount_options);
    std::memcpy(reinterpret_cast<u8*>(&replayed) + begin, reinterpret_cast<const u8*>(&before) + begin, end - begin);
    replayed.first_error_time_high = before.first_error_time_high;
    replayed.last_error_time_high = before.last_error_time_high;
    replayed.first_error_code = before.first_error_code;
    replayed.last_error_code = before.last_error_code;
}

} // namespace linnet::ext4
