// /proc/PID/mounts and mountinfo (proc_pid_mounts(5), proc_pid_mountinfo(5)).
#include "task.hpp"

#include <abi/linux/fs.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/mount.hpp>

namespace linnet::process::proc {

namespace {

/// Fields are separated by spaces: white space and backslashes inside become octal escapes.
void put_field(TextSink sink, std::string_view text) {
    for (char c : text) {
        if (c == ' ')
            sink("\\040");
        else if (c == '\t')
            sink("\\011");
        else if (c == '\n')
            sink("\\012");
        else if (c == '\\')
            sink("\\134");
        else
            sink({&c, 1});
    }
}

struct FlagName {
    u64 flag;
    std::string_view text;
};
constexpr FlagName mount_flag_names[] = {
    {abi::MS_NOSUID, ",nosuid"},           {abi::MS_NODEV, ",nodev"},           {abi::MS_NOEXEC, ",noexec"},
    {abi::MS_NOATIME, ",noatime"},         {abi::MS_NODIRATIME, ",nodiratime"}, {abi::MS_RELATIME, ",relatime"},
    {abi::MS_NOSYMFOLLOW, ",nosymfollow"},
};

void put_mount_flags(TextSink sink, const vfs::Mount& mount) {
    for (const FlagName& name : mount_flag_names)
        if (mount.flags() & name.flag) sink(name.text);
}

Result<vfs::Path> root_of(const Task& task) {
    NullableRefPtr<vfs::FsContext> fs = task.representative()->fs();
    if (!fs) return error(Errno::EINVAL);
    return fs->root();
}

/// Where the mount shows, seen from `root`; false when it can't be seen from there.
bool put_place(TextSink sink, vfs::Mount& mount, const vfs::Path& root) {
    const vfs::Path place(RefPtr<vfs::Mount>(mount), RefPtr<vfs::Dentry>(mount.root()));
    Result<vfs::PathText> text = vfs::PathText::of(place, root);
    if (!text || !text->is_reachable()) return false;
    put_field(sink, text->text());
    return true;
}

bool is_visible(vfs::Mount& mount, const vfs::Path& root) {
    return put_place([](std::string_view) {}, mount, root);
}

/// The part of its file system that a mount shows: "/" unless it is a bind mount.
void put_root_within(TextSink sink, vfs::Dentry& dentry, u32 depth = 0) {
    constexpr u32 deepest = 32;
    if (dentry.is_root() || depth == deepest) {
        if (depth == 0) sink("/");
        return;
    }
    put_root_within(sink, *dentry.parent(), depth + 1);
    char name[abi::NAME_MAX + 1];
    const usize length = dentry.copy_name(name);
    sink("/");
    put_field(sink, {name, length});
}

/// The optional fields.
void put_propagation(TextSink sink, const vfs::MountTable::Entry& entry, const vfs::Path& root) {
    if (entry.shared_group) format_to(sink, " shared:{}", entry.shared_group);
    if (entry.master_group) {
        format_to(sink, " master:{}", entry.master_group);
        const u32 visible = vfs::MountTable::visible_master(entry, root);
        if (visible && visible != entry.master_group) format_to(sink, " propagate_from:{}", visible);
    }
    if (entry.is_unbindable) sink(" unbindable");
}

} // namespace

Result<void> show_mounts(const Task& task, TextSink sink) {
    const vfs::Path root = TRY(root_of(task));
    vfs::MountTable::for_each([&](const vfs::MountTable::Entry& entry) {
        vfs::Mount& mount = entry.mount;
        if (!is_visible(mount, root)) return;
        put_field(sink, mount.source().empty() ? "none" : mount.source());
        sink(" ");
        put_place(sink, mount, root);
        format_to(sink, " {} {}", mount.superblock().type().name(), mount.is_read_only() ? "ro" : "rw");
        put_mount_flags(sink, mount);
        mount.superblock().show_options(sink);
        sink(" 0 0\n");
    });
    return {};
}

Result<void> show_mountinfo(const Task& task, TextSink sink) {
    const vfs::Path root = TRY(root_of(task));
    vfs::MountTable::for_each([&](const vfs::MountTable::Entry& entry) {
        vfs::Mount& mount = entry.mount;
        if (!is_visible(mount, root)) return;
        const vfs::DeviceNumber device = mount.superblock().device();
        // The root of the tree is its own parent, as nothing is above it.
        format_to(sink, "{} {} {}:{} ", mount.id(), entry.parent ? entry.parent->id() : mount.id(), device.major,
                  device.minor);
        put_root_within(sink, mount.root());
        sink(" ");
        put_place(sink, mount, root);
        format_to(sink, " {}", (mount.flags() & abi::MS_RDONLY) ? "ro" : "rw");
        put_mount_flags(sink, mount);
        put_propagation(sink, entry, root);
        format_to(sink, " - {} ", mount.superblock().type().name());
        put_field(sink, mount.source().empty() ? "none" : mount.source());
        format_to(sink, " {}", mount.superblock().is_read_only() ? "ro" : "rw");
        mount.superblock().show_options(sink);
        sink("\n");
    });
    return {};
}

} // namespace linnet::process::proc
