// Files of huge pages. Their data is only reached by read(2) and mmap(2); sizes are multiples of a huge page but where
// fallocate(2) has set them.
#include <abi/linux/fcntl.hpp>
#include <abi/linux/fs.hpp>
#include <fs/hugetlbfs.hpp>
#include <mm/huge_pool.hpp>
#include <vfs/current.hpp>
#include <vfs/memory_file.hpp>
#include <vfs/superblock.hpp>

namespace linnet::fs {

namespace {

class HugetlbSuperBlock final : public vfs::SuperBlock {
public:
    explicit HugetlbSuperBlock(vfs::FileSystemType& type) : SuperBlock(type, vfs::allocate_anonymous_device()) {
        block_size_ = arch::huge_page_size;
    }
    u64 next_inode_number() { return last_inode_.fetch_add(1, std::memory_order_relaxed) + 1; }
    Result<vfs::FileSystemStatistics> statistics() override {
        vfs::FileSystemStatistics result;
        result.magic = abi::HUGETLBFS_MAGIC;
        result.block_size = arch::huge_page_size;
        return result;
    }

private:
    std::atomic<u64> last_inode_{0};
};

class HugetlbType final : public vfs::FileSystemType {
public:
    const char* name() const override { return "hugetlbfs"; }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource&) override { return error(Errno::ENODEV); }
};

class HugetlbInode final : public vfs::Inode {
public:
    HugetlbInode(HugetlbSuperBlock& superblock, const vfs::CreateRequest& request, RefPtr<mm::HugetlbObject> object)
        : Inode(superblock, superblock.next_inode_number(), request.mode, request.uid, request.gid, request.device),
          object_(std::move(object)) {
        set_link_count(0);
        seals.store(abi::F_SEAL_SEAL, std::memory_order_relaxed);
    }
    mm::VmObject* pages() override { return object_.get(); }
    Result<void> truncate(u64 size) override;
    Result<void> allocate_range(u32 mode, u64 offset, u64 length) override;

private:
    RefPtr<mm::HugetlbObject> object_;
};

Result<void> HugetlbInode::truncate(u64 size) {
    if (!is_aligned(size, arch::huge_page_size)) return error(Errno::EINVAL);
    set_size(size);
    object_->truncate(size);
    return {};
}

/// What can be made stays where the pool is too small for all (as on Linux).
Result<void> HugetlbInode::allocate_range(u32 mode, u64 offset, u64 length) {
    const u64 end = offset + length;
    if (mode & ~u32{abi::FALLOC_FL_KEEP_SIZE | abi::FALLOC_FL_PUNCH_HOLE}) return error(Errno::EOPNOTSUPP);
    if (mode & abi::FALLOC_FL_PUNCH_HOLE) {
        object_->punch_hole(offset, end);
        return {};
    }
    for (u64 at = align_down(offset, arch::huge_page_size); at < end; at += arch::huge_page_size)
        if (!object_->make_page(at >> arch::page_shift, mm::HugetlbObject::Reach::Anywhere))
            return error(Errno::ENOSPC);
    if (!(mode & abi::FALLOC_FL_KEEP_SIZE) && end > size()) {
        object_->set_size(end);
        set_size(end);
    }
    return {};
}

[[clang::no_destroy]] constinit HugetlbType the_type;
/// Never mounted.
constinit HugetlbSuperBlock* the_superblock = nullptr;

} // namespace

Result<void> initialise_hugetlbfs() {
    the_superblock = new (std::nothrow) HugetlbSuperBlock(the_type);
    if (!the_superblock) return error(Errno::ENOMEM);
    return {};
}

Result<RefPtr<vfs::File>> create_huge_memory_file(std::string_view name, u32 flags) {
    const vfs::Credentials& who = vfs::current_credentials();
    vfs::CreateRequest request;
    request.mode = abi::S_IFREG | abi::S_IRWXUGO;
    request.uid = who.fsuid;
    request.gid = who.fsgid;
    RefPtr<mm::HugetlbObject> object = TRY(mm::HugetlbObject::create(0));
    auto* inode = new (std::nothrow) HugetlbInode(*the_superblock, request, std::move(object));
    if (!inode) return error(Errno::ENOMEM);
    return vfs::create_memory_file(adopt_ref<vfs::Inode>(*inode), name, flags);
}

} // namespace linnet::fs
