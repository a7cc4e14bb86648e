// memfd_secret(2): a file that can only be mapped, and sized once. Its pages are never lent to the kernel's copies on
// behalf of others (mm/foreign.cpp) and count as locked where they are mapped.
#include <mm/vm_object.hpp>
#include <vfs/secret_file.hpp>

namespace linnet::vfs {

namespace {

class SecretFile final : public File {
public:
    SecretFile(RefPtr<Inode> inode, RefPtr<mm::VmObject> object)
        : File(std::move(inode), abi::O_RDWR, Positioning::Stream), object_(std::move(object)) {}

    Result<RefPtr<mm::VmObject>> mmap(const MapFileRequest& request) override {
        if (!request.shared) return error(Errno::EINVAL);
        return object_;
    }
    /// The first size is the last (memfd_secret(2)).
    Result<void> truncate(u64 size) override {
        core::WriteGuard guard(inode().lock);
        if (inode().size() != 0) return error(Errno::EINVAL);
        object_->set_size(size);
        inode().set_size(size);
        inode().touch_modified();
        return {};
    }
    void describe(TextSink sink) const override { sink("/secretmem (deleted)"); }

private:
    RefPtr<mm::VmObject> object_;
};

} // namespace

Result<RefPtr<File>> create_secret_file() {
    RefPtr<mm::VmObject> object = TRY(mm::AnonObject::create_secret());
    RefPtr<Inode> inode = TRY(create_anonymous_inode(abi::S_IFREG | 0600));
    auto* file = new (std::nothrow) SecretFile(std::move(inode), std::move(object));
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

} // namespace linnet::vfs
