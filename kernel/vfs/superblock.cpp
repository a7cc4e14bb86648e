// SuperBlock's life, and the list of file system types.
#include <core/mutex.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

namespace {

constinit core::Mutex types_lock;
[[clang::no_destroy]] constinit IntrusiveList<FileSystemType, &FileSystemType::list_node> types;

} // namespace

SuperBlock::SuperBlock(FileSystemType& type, DeviceNumber device) : type_(type), device_(device) {}
SuperBlock::~SuperBlock() = default;

/// Not left to the destructor: inodes that go may still need the derived class.
void SuperBlock::last_reference_dropped() {
    WatchTable::superblock_gone(*this);
    DentryCache::remove_superblock(*this);
    DentryCache::shrink(*this, ~usize{0});
    root_ = nullptr;
    delete this;
}

Result<void> SuperBlock::set_root(RefPtr<Inode> inode) {
    root_ = TRY(Dentry::create_root(*this, std::move(inode)));
    DentryCache::add_superblock(*this);
    return {};
}

Result<void> SuperBlock::remount(std::string_view options, bool) {
    if (!options.empty()) return error(Errno::EINVAL);
    return {};
}
void SuperBlock::show_options(TextSink) {}
Result<FileHandle> SuperBlock::handle_of(Inode&) { return error(Errno::EOPNOTSUPP); }
Result<RefPtr<Inode>> SuperBlock::inode_of(const FileHandle&) { return error(Errno::ESTALE); }

Result<void> register_file_system(FileSystemType& type) {
    core::MutexGuard guard(types_lock);
    for (FileSystemType& other : types)
        if (std::string_view(other.name()) == type.name()) return error(Errno::EBUSY);
    types.push_back(type);
    return {};
}

FileSystemType* find_file_system(std::string_view name) {
    core::MutexGuard guard(types_lock);
    for (FileSystemType& type : types)
        if (name == type.name()) return &type;
    return nullptr;
}

void for_each_file_system(FunctionRef<void(FileSystemType&)> visit) {
    core::MutexGuard guard(types_lock);
    for (FileSystemType& type : types) visit(type);
}

} // namespace linnet::vfs
