// devtmpfs: one tmpfs instance, however often it is mounted. Devices that drivers announce get their node
// here, whether or not it is mounted yet; users may add what they like.
#include <core/log.hpp>
#include <fs/devtmpfs.hpp>
#include <sysfs/sysfs.hpp>
#include <tmpfs/tmpfs_superblock.hpp>
#include <vfs/device_nodes.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>

namespace linnet::fs {

namespace {

class DevtmpfsType final : public vfs::FileSystemType {
public:
    const char* name() const override { return "devtmpfs"; }
    /// Options are those of the first instance: later ones are accepted and change nothing, as on Linux.
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource&) override {
        return RefPtr<vfs::SuperBlock>(superblock_);
    }
    Result<void> initialise() {
        TmpfsOptions options;
        options.mode = 0755;
        RefPtr<TmpfsSuperBlock> superblock = TRY(TmpfsSuperBlock::create(*this, options, Limits::Hidden));
        RefPtr<vfs::Dentry> root(superblock->root());
        superblock_ = superblock;
        RefPtr<vfs::Mount> mount = TRY(vfs::Mount::create(std::move(superblock), root, "devtmpfs", 0));
        root_ = TRY(try_make<vfs::Path>(std::move(mount), std::move(root))).release();
        return {};
    }
    /// The root of a mount of our own, which nobody sees.
    [[nodiscard]] const vfs::Path& root() const { return *root_; }

private:
    NullableRefPtr<vfs::SuperBlock> superblock_;
    vfs::Path* root_ = nullptr;
};

[[clang::no_destroy]] constinit DevtmpfsType devtmpfs;

Result<void> make_directories(std::string_view name) {
    for (usize slash = name.find('/'); slash != std::string_view::npos; slash = name.find('/', slash + 1)) {
        Result<void> made = vfs::make_directory(&devtmpfs.root(), name.substr(0, slash), 0755);
        if (!made && made.error() != Errno::EEXIST) return made;
    }
    return {};
}

Result<void> make_device(const vfs::DeviceNode& node) {
    const std::string_view name(node.name);
    TRY(make_directories(name));
    const vfs::Path place = TRY(vfs::create_at(&devtmpfs.root(), name, node.mode, node.number));
    // The umask of whoever announced the device has no say.
    return vfs::change_mode(place, node.mode & abi::S_IALLUGO);
}

void on_device(const vfs::DeviceNode& node, bool removed) {
    Result<void> result = removed ? vfs::unlink(&devtmpfs.root(), std::string_view(node.name)) : make_device(node);
    if (removed)
        hide_device_from_class(node);
    else if (result)
        result = show_device_in_class(node);
    if (!result) core::log_warning("devtmpfs: {}: error {}", std::string_view(node.name), result.error());
}

} // namespace

Result<void> register_devtmpfs() {
    TRY(devtmpfs.initialise());
    TRY(vfs::register_file_system(devtmpfs));
    vfs::observe_devices(on_device);
    return {};
}

} // namespace linnet::fs
