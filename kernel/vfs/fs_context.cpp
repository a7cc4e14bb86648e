// FsContext: root, working directory and umask.
#include <vfs/fs_context.hpp>
#include <vfs/mount.hpp>

namespace linnet::vfs {

namespace {
constinit core::LockClass users_class{"users of directory contexts"};
constinit core::Mutex contexts_lock;
[[clang::no_destroy]] constinit IntrusiveList<FsContext, &FsContext::contexts_node> contexts;
} // namespace

FsContext::FsContext(const Path& root, const Path& working_directory, u32 umask)
    : root_(root), working_directory_(working_directory), umask_(umask), users_lock_(users_class) {
    core::MutexGuard guard(contexts_lock);
    contexts.push_back(*this);
}

FsContext::~FsContext() {
    core::MutexGuard guard(contexts_lock);
    contexts.remove(*this);
}

Result<RefPtr<FsContext>> FsContext::create(const Path& root) {
    auto* context = new (std::nothrow) FsContext(root, root, 022);
    if (!context) return error(Errno::ENOMEM);
    return adopt_ref(*context);
}

Result<RefPtr<FsContext>> FsContext::clone() const {
    auto* context = new (std::nothrow) FsContext(root(), working_directory(), umask());
    if (!context) return error(Errno::ENOMEM);
    return adopt_ref(*context);
}

Result<void> FsContext::add_user() {
    core::InterruptSpinGuard guard(users_lock_);
    if (executing_) return error(Errno::EAGAIN);
    ++users_;
    return {};
}

void FsContext::remove_user(FunctionRef<void()> leave) {
    core::InterruptSpinGuard guard(users_lock_);
    --users_;
    leave();
}

void FsContext::begin_exec() {
    core::InterruptSpinGuard guard(users_lock_);
    ++executing_;
}

void FsContext::end_exec() {
    core::InterruptSpinGuard guard(users_lock_);
    --executing_;
}

bool FsContext::is_used_outside(FunctionRef<u32(const FsContext&)> count) const {
    core::InterruptSpinGuard guard(users_lock_);
    return users_ > 1 && users_ > count(*this);
}

Path FsContext::root() const {
    core::SpinGuard guard(lock_);
    return root_;
}
Path FsContext::working_directory() const {
    core::SpinGuard guard(lock_);
    return working_directory_;
}

void FsContext::set_root(Path path) {
    core::SpinGuard guard(lock_);
    std::swap(root_, path); // the old one goes when the lock is free
    guard.unlock();
}
void FsContext::set_working_directory(Path path) {
    core::SpinGuard guard(lock_);
    std::swap(working_directory_, path);
    guard.unlock();
}

void FsContext::replace_everywhere(const Path& from, const Path& to) {
    core::MutexGuard guard(contexts_lock);
    for (FsContext& context : contexts) context.replace(from, to);
}

void FsContext::replace(const Path& from, const Path& to) {
    // Copies made without the lock, so that what they replace is released without it too.
    Path fresh_root = to, fresh_directory = to;
    core::SpinGuard guard(lock_);
    if (root_ == from) std::swap(root_, fresh_root);
    if (working_directory_ == from) std::swap(working_directory_, fresh_directory);
    guard.unlock();
}

} // namespace linnet::vfs
