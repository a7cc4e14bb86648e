// Path and its text.
#include "dentry_sequence.hpp"

#include <abi/linux/fs.hpp>
#include <cstring>
#include <vfs/current.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

Path::Path() = default;
Path::Path(RefPtr<Mount> in_mount, RefPtr<Dentry> at) : mount(std::move(in_mount)), dentry(std::move(at)) {}
Path::Path(const Path&) = default;
Path::Path(Path&&) noexcept = default;
Path& Path::operator=(const Path&) = default;
Path& Path::operator=(Path&&) noexcept = default;
Path::~Path() = default;

namespace {

/// Fills a buffer from its end.
class BackwardsText {
public:
    explicit BackwardsText(std::span<char> buffer) : buffer_(buffer), begin_(buffer.size()) {}
    bool prepend(std::string_view piece) {
        if (piece.size() > begin_) return false;
        begin_ -= piece.size();
        std::memcpy(buffer_.data() + begin_, piece.data(), piece.size());
        return true;
    }
    /// "/" and the dentry's name.
    bool prepend_name(const Dentry& dentry) {
        char name[abi::NAME_MAX];
        return prepend({name, dentry.copy_name(name)}) && prepend("/");
    }
    void clear() { begin_ = buffer_.size(); }
    bool is_empty() const { return begin_ == buffer_.size(); }
    std::string_view text() const { return {buffer_.data() + begin_, buffer_.size() - begin_}; }

private:
    std::span<char> buffer_;
    usize begin_;
};

enum class Reached : u8 { Root, OutsideRoot };

Result<Reached> build(const Path& path, const Path& root, BackwardsText& text) {
    Path at = path;
    for (;;) {
        if (at == root) return Reached::Root;
        if (at.dentry != &at.mount->root() && at.dentry->is_root()) {
            // An unnamed file: shown as if it lay in the root of its file system.
            if (!text.prepend_name(*at.dentry)) return error(Errno::ENAMETOOLONG);
            at.dentry = NullableRefPtr<Dentry>(&at.mount->root());
            continue;
        }
        if (at.dentry == &at.mount->root()) {
            if (!MountTable::cross_up(at)) return Reached::OutsideRoot;
            continue;
        }
        if (!text.prepend_name(*at.dentry)) return error(Errno::ENAMETOOLONG);
        at.dentry = at.dentry->parent();
    }
}

} // namespace

Result<PathText> PathText::of(const Path& path, const Path& root) {
    PathText result;
    result.buffer_.reset(new (std::nothrow) char[abi::PATH_MAX]);
    if (!result.buffer_) return error(Errno::ENOMEM);
    BackwardsText text({result.buffer_.get(), abi::PATH_MAX});
    // A rename or mount in between could splice two paths: again, a few times; then any answer was true at
    // some moment.
    constexpr int attempts = 8;
    for (int i = 0; i < attempts; ++i) {
        u32 before = tree_sequence.load(std::memory_order_acquire);
        text.clear();
        Reached reached = TRY(build(path, root, text));
        result.reachable_ = reached == Reached::Root;
        std::atomic_thread_fence(std::memory_order_acquire);
        if (!(before & 1) && tree_sequence.load(std::memory_order_relaxed) == before) break;
    }
    if (text.is_empty() && !text.prepend("/")) return error(Errno::ENAMETOOLONG);
    result.text_ = text.text();
    result.deleted_ = path.dentry->is_unlinked() || (path.dentry->is_root() && path.dentry != &path.mount->root());
    return result;
}

Result<PathText> PathText::of(const Path& path) {
    PathText result = TRY(of(path, current_fs().root()));
    if (!result.deleted_) return result;
    constexpr std::string_view suffix = " (deleted)";
    usize length = result.text_.size();
    if (length + suffix.size() > abi::PATH_MAX) return error(Errno::ENAMETOOLONG);
    std::memmove(result.buffer_.get(), result.text_.data(), length);
    std::memcpy(result.buffer_.get() + length, suffix.data(), suffix.size());
    result.text_ = {result.buffer_.get(), length + suffix.size()};
    return result;
}

} // namespace linnet::vfs
