// /proc/PID/fd, /proc/PID/fdinfo and the magic links cwd, root and exe.
#include "task.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/lock_list.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>

namespace linnet::process::proc {

using vfs::DirectorySink;
using vfs::Inode;
using vfs::LinkTarget;
using vfs::Path;
using vfs::pseudo::Node;
using vfs::pseudo::TextNode;

namespace {

template <typename Kind, typename... Args>
Result<RefPtr<Inode>> make(Args&&... args) {
    auto* node = new (std::nothrow) Kind(std::forward<Args>(args)...);
    if (!node) return error(Errno::ENOMEM);
    return RefPtr<Inode>(RefPtr<Kind>::adopt(*node));
}

/// Collects what a generator writes into storage of its own.
template <typename Generate>
Result<LinkTarget> target_from(Generate generate) {
    OwnPtr<char[]> storage(new (std::nothrow) char[abi::PATH_MAX]);
    if (!storage) return error(Errno::ENOMEM);
    usize used = 0;
    generate([&](std::string_view piece) {
        const usize count = std::min(piece.size(), abi::PATH_MAX - used);
        std::copy_n(piece.begin(), count, storage.get() + used);
        used += count;
    });
    const std::string_view text(storage.get(), used);
    return LinkTarget{text, std::move(storage)};
}

Result<LinkTarget> target_from_path(const Path& path) {
    vfs::PathText text = TRY(vfs::PathText::of(path));
    return target_from([&](TextSink sink) { sink(text.text()); });
}

Result<RefPtr<vfs::File>> file_of(const Task& task, int fd) {
    NullableRefPtr<vfs::FdTable> files = task.representative()->files();
    if (!files) return error(Errno::ENOENT);
    Result<RefPtr<vfs::File>> file = files->get(fd);
    if (!file) return error(Errno::ENOENT);
    return file;
}

class DescriptorLink final : public Node, public TaskNode {
public:
    DescriptorLink(const TaskKey& key, Owner owner, int fd, const vfs::File& file)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, first_fd_kind + static_cast<u32>(fd)),
               abi::S_IFLNK | (file.is_readable() ? 0500u : 0) | (file.is_writable() ? 0300u : 0), owner.uid,
               owner.gid),
          TaskNode(key, owner), fd_(fd), mode_(mode()) {}

    bool is_still_valid() override {
        if (!still_exists()) return false;
        Result<Task> task = resolve(key());
        Result<RefPtr<vfs::File>> file = task ? file_of(*task, fd_) : error(task.error());
        if (!file) return false;
        return (((*file)->is_readable() ? 0500u : 0) | ((*file)->is_writable() ? 0300u : 0)) == (mode_ & 0777);
    }
    Result<LinkTarget> read_link() override {
        RefPtr<vfs::File> file = TRY(open_file());
        return target_from([&](TextSink sink) { file->format_name(sink); });
    }
    Result<std::optional<Path>> follow_link() override { return TRY(vfs::place_of(*TRY(open_file()))); }

private:
    Result<RefPtr<vfs::File>> open_file() {
        const Task task = TRY(resolve(key()));
        TRY(check_may_inspect(task));
        return file_of(task, fd_);
    }
    const int fd_;
    const u32 mode_;
};

void put_octal_flags(TextSink sink, u32 value) {
    char digits[12];
    usize at = sizeof(digits);
    do {
        digits[--at] = static_cast<char>('0' + value % 8);
        value /= 8;
    } while (value);
    digits[--at] = '0';
    sink({digits + at, sizeof(digits) - at});
}

class DescriptorInfo final : public TextNode, public TaskNode {
public:
    DescriptorInfo(const TaskKey& key, Owner owner, int fd)
        : TextNode(vfs::pseudo::proc().superblock(), inode_number(key, 2 * first_fd_kind + static_cast<u32>(fd)),
                   abi::S_IFREG | 0444, owner.uid, owner.gid),
          TaskNode(key, owner), fd_(fd) {}
    bool is_still_valid() override {
        Result<Task> task = resolve(key());
        return task && still_exists() && file_of(*task, fd_).has_value();
    }
    Result<void> check_open(u32) override { return check_may_inspect(TRY(resolve(key()))); }
    Result<void> show(TextSink sink) override {
        const Task task = TRY(resolve(key()));
        RefPtr<vfs::File> file = TRY(file_of(task, fd_));
        NullableRefPtr<vfs::FdTable> files = task.representative()->files();
        Result<vfs::CloseOnExec> closes = files ? files->get_close_on_exec(fd_) : error(Errno::EBADF);
        u32 flags = file->status_flags();
        if (closes && *closes == vfs::CloseOnExec::Yes) flags |= abi::O_CLOEXEC;
        format_to(sink, "pos:\t{}\nflags:\t", file->position);
        put_octal_flags(sink, flags);
        format_to(sink, "\nmnt_id:\t{}\nino:\t{}\n", file->path().is_empty() ? 0 : file->path().mount->id(),
                  file->inode_number());
        TRY(vfs::show_locks_of(*file, files.get(), sink));
        file->show_fdinfo(sink);
        return {};
    }

private:
    const int fd_;
};

enum class Shown : u8 { Links, Information };

/// /proc/PID/fd and fdinfo: one name for each open descriptor.
class DescriptorDirectory final : public Node, public TaskNode {
public:
    DescriptorDirectory(const TaskKey& key, Owner owner, Shown shown)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, shown == Shown::Links ? 3 : 4),
               abi::S_IFDIR | (shown == Shown::Links ? 0500 : 0555), owner.uid, owner.gid),
          TaskNode(key, owner), shown_(shown) {
        set_link_count(2);
    }
    bool is_still_valid() override { return still_exists(); }
    /// One's own descriptors are always one's own, whatever the ids are after a change.
    Result<void> check_permission(u32 mask, const vfs::Credentials& who) override {
        Thread* self = current_or_null();
        if (self && self->process().pid() == key().pid) return {};
        return Inode::check_permission(mask, who);
    }
    Result<RefPtr<Inode>> lookup(std::string_view name) override {
        const Task task = TRY(resolve(key()));
        const i64 fd = parse_name(name);
        if (fd < 0) return error(Errno::ENOENT);
        RefPtr<vfs::File> file = TRY(file_of(task, static_cast<int>(fd)));
        if (shown_ == Shown::Links) return make<DescriptorLink>(key(), owner_of(task), static_cast<int>(fd), *file);
        return make<DescriptorInfo>(key(), owner_of(task), static_cast<int>(fd));
    }
    Result<void> read_directory(u64 position, DirectorySink sink) override {
        const Task task = TRY(resolve(key()));
        TRY(check_may_inspect(task));
        NullableRefPtr<vfs::FdTable> files = task.representative()->files();
        if (!files) return {};
        const u32 kind = shown_ == Shown::Links ? first_fd_kind : 2 * first_fd_kind;
        for (int fd = static_cast<int>(position - 2);; ++fd) {
            NullableRefPtr<vfs::File> file;
            if (!files->next_open(fd, file)) return {};
            char name[12];
            if (!sink({format_into(name, "{}", fd), inode_number(key(), kind + static_cast<u32>(fd)),
                       shown_ == Shown::Links ? abi::DT_LNK : abi::DT_REG, static_cast<u64>(fd) + 3}))
                return {};
        }
    }

private:
    const Shown shown_;
};

class PlaceLink final : public Node, public TaskNode {
public:
    PlaceLink(const TaskKey& key, Owner owner, LinkKind kind, u32 number)
        : Node(vfs::pseudo::proc().superblock(), inode_number(key, number), abi::S_IFLNK | 0777, owner.uid, owner.gid),
          TaskNode(key, owner), kind_(kind) {}
    bool is_still_valid() override { return still_exists(); }
    Result<LinkTarget> read_link() override { return target_from_path(TRY(place())); }
    Result<std::optional<Path>> follow_link() override { return TRY(place()); }

private:
    Result<Path> place() {
        const Task task = TRY(resolve(key()));
        TRY(check_may_inspect(task));
        if (kind_ == LinkKind::Executable) {
            NullableRefPtr<vfs::File> file = task.process->executable();
            if (!file) return error(Errno::ENOENT);
            return file->path();
        }
        NullableRefPtr<vfs::FsContext> fs = task.representative()->fs();
        if (!fs) return error(Errno::ENOENT);
        return kind_ == LinkKind::Root ? fs->root() : fs->working_directory();
    }
    const LinkKind kind_;
};

} // namespace

Result<RefPtr<Inode>> make_fd_directory(const TaskKey& key) {
    return make<DescriptorDirectory>(key, owner_of(TRY(resolve(key))), Shown::Links);
}
Result<RefPtr<Inode>> make_fdinfo_directory(const TaskKey& key) {
    return make<DescriptorDirectory>(key, owner_of(TRY(resolve(key))), Shown::Information);
}
Result<RefPtr<Inode>> make_place_link(const TaskKey& key, LinkKind kind, u32 number) {
    return make<PlaceLink>(key, owner_of(TRY(resolve(key))), kind, number);
}

} // namespace linnet::process::proc
