// Directories of generated trees, and the two trees that every room adds to.
#include <abi/linux/fs.hpp>
#include <algorithm>
#include <vfs/pseudo/node.hpp>

namespace linnet::vfs::pseudo {

namespace {

class PseudoSuperBlock final : public SuperBlock {
public:
    explicit PseudoSuperBlock(FileSystem& file_system)
        : SuperBlock(file_system, allocate_anonymous_device()), file_system_(file_system), magic_(file_system.magic()) {
        dentry_policy_ = DentryPolicy::Revalidate;
        block_size_ = file_system.file_block();
        knows_all_names_ = magic_ == abi::PROC_SUPER_MAGIC;
    }
    Result<void> finish(RefPtr<Inode> root) { return set_root(std::move(root)); }
    Result<FileSystemStatistics> statistics() override {
        FileSystemStatistics statistics;
        statistics.magic = magic_;
        statistics.block_size = arch::page_size;
        return statistics;
    }
    Result<void> remount(std::string_view options, bool) override { return file_system_.remount(options); }

private:
    FileSystem& file_system_;
    const u32 magic_;
};

[[clang::no_destroy]] constinit FileSystem proc_file_system("proc", abi::PROC_SUPER_MAGIC, 1024);
[[clang::no_destroy]] constinit FileSystem sys_file_system("sysfs", abi::SYSFS_MAGIC);

} // namespace

FileSystem& proc() { return proc_file_system; }
FileSystem& sys() { return sys_file_system; }

Result<void> initialise() {
    TRY(proc_file_system.initialise());
    TRY(register_file_system(proc_file_system));
    TRY(sys_file_system.initialise());
    return register_file_system(sys_file_system);
}

Result<void> FileSystem::initialise() {
    auto* superblock = new (std::nothrow) PseudoSuperBlock(*this);
    if (!superblock) return error(Errno::ENOMEM);
    superblock_ = RefPtr<SuperBlock>::adopt(*superblock);
    RefPtr<Directory> root = TRY(Directory::create(*this));
    TRY(superblock->finish(root));
    root_ = std::move(root);
    return {};
}

Result<RefPtr<SuperBlock>> FileSystem::mount(const MountSource&) { return RefPtr<SuperBlock>(*superblock_); }

Result<void> FileSystem::remount(std::string_view options) {
    if (!options.empty()) return error(Errno::EINVAL);
    return {};
}

Directory::Directory(FileSystem& file_system, u32 permissions)
    : Node(file_system.superblock(), file_system.next_inode_number(), abi::S_IFDIR | permissions),
      file_system_(file_system) {
    set_link_count(2);
}

Result<RefPtr<Directory>> Directory::create(FileSystem& file_system, u32 permissions) {
    auto* directory = new (std::nothrow) Directory(file_system, permissions);
    if (!directory) return error(Errno::ENOMEM);
    return RefPtr<Directory>::adopt(*directory);
}

Directory::Child* Directory::find_locked(std::string_view name) {
    for (Child& child : children_)
        if (child.text() == name) return &child;
    return nullptr;
}

Result<void> Directory::add(std::string_view name, RefPtr<Node> node) {
    if (name.empty() || name.size() > max_name) return error(Errno::ENAMETOOLONG);
    const bool is_directory = node->is_directory();
    core::MutexGuard guard(children_lock_);
    if (find_locked(name)) return error(Errno::EEXIST);
    Child child;
    child.node = std::move(node);
    child.position = next_position_++;
    child.length = static_cast<u8>(name.size());
    std::copy(name.begin(), name.end(), child.name);
    TRY(children_.try_push(std::move(child)));
    if (is_directory) set_link_count(link_count() + 1);
    return {};
}

Result<void> Directory::add_text(std::string_view name, Show show, u32 permissions, Store store) {
    return add(name, TRY(create_text(file_system_, show, permissions, store)));
}

Result<void> Directory::add_symlink(std::string_view name, std::string_view target) {
    return add(name, TRY(create_symlink(file_system_, target)));
}

Result<RefPtr<Directory>> Directory::add_directory(std::string_view name, u32 permissions) {
    {
        core::MutexGuard guard(children_lock_);
        if (Child* child = find_locked(name)) {
            if (!child->node->is_directory()) return error(Errno::ENOTDIR);
            // Every directory among the children of a Directory is one.
            return RefPtr<Directory>(static_cast<Directory&>(*child->node));
        }
    }
    RefPtr<Directory> fresh = TRY(create(file_system_, permissions));
    TRY(add(name, fresh));
    return fresh;
}

Result<RefPtr<Directory>> Directory::add_path(std::string_view path) {
    RefPtr<Directory> at(*this);
    while (!path.empty()) {
        const usize slash = std::min(path.find('/'), path.size());
        at = TRY(at->add_directory(path.substr(0, slash)));
        path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return at;
}

Result<void> Directory::remove(std::string_view name) {
    NullableRefPtr<Node> removed; // let go of behind the lock
    core::MutexGuard guard(children_lock_);
    Child* child = find_locked(name);
    if (!child) return error(Errno::ENOENT);
    removed = std::move(child->node);
    removed->mark_removed();
    if (removed->is_directory()) set_link_count(link_count() - 1);
    children_.remove_at(static_cast<usize>(child - children_.begin()));
    guard.unlock();
    return {};
}

Result<RefPtr<Inode>> Directory::lookup(std::string_view name) {
    {
        core::MutexGuard guard(children_lock_);
        if (Child* child = find_locked(name)) return RefPtr<Inode>(*child->node);
    }
    if (generated_) return generated_->lookup(name);
    return error(Errno::ENOENT);
}

Result<void> Directory::read_directory(u64 position, DirectorySink sink) {
    for (;;) {
        // The sink may copy to user memory and must not run under the lock, so each child is copied out
        // first.
        char name[max_name];
        DirectoryEntry entry;
        {
            core::MutexGuard guard(children_lock_);
            Child* next = nullptr;
            for (Child& child : children_)
                if (child.position >= position && (!next || child.position < next->position)) next = &child;
            if (!next) break;
            std::copy_n(next->name, next->length, name);
            entry = {{name, next->length},
                     next->node->number(),
                     abi::directory_type(next->node->mode()),
                     next->position + 1};
        }
        if (!sink(entry)) return {};
        position = entry.next_position;
    }
    if (!generated_) return {};
    return generated_->list(std::max(position, first_generated_position), sink);
}

} // namespace linnet::vfs::pseudo
