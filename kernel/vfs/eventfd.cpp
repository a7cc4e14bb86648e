// eventfd(2). lock_ is a leaf; user copies happen outside it.
#include <atomic>
#include <vfs/eventfd.hpp>

namespace linnet::vfs {

using namespace abi;

namespace {

class EventFd final : public File {
public:
    static constexpr u64 maximum = ~u64{0} - 1;

    EventFd(RefPtr<Inode> inode, u64 count, EventFdMode mode, u32 flags)
        : File(std::move(inode), O_RDWR | flags, Positioning::Stream), count_(count), mode_(mode) {}

    Result<usize> read(IoBuffer& to, u64) override {
        if (to.remaining() < sizeof(u64)) return error(Errno::EINVAL);
        const u64 taken = TRY(try_then_wait(source_, POLLIN, blocking(), [&]() -> Result<u64> { return take(); }));
        source_.notify(POLLOUT | POLLWRNORM);
        TRY(to.copy_out_object(taken));
        return sizeof(u64);
    }

    Result<usize> write(IoBuffer& from, u64) override {
        u64 added;
        TRY(from.copy_in_object(added));
        if (added > maximum) return error(Errno::EINVAL);
        TRY(try_then_wait(source_, POLLOUT, blocking(), [&]() -> Result<void> { return add(added); }));
        source_.notify(POLLIN | POLLRDNORM);
        return sizeof(u64);
    }

    u32 poll() override {
        core::SpinGuard guard(lock_);
        u32 mask = 0;
        if (count_ > 0) mask |= POLLIN;
        if (count_ < maximum) mask |= POLLOUT;
        if (count_ == ~u64{0}) mask |= POLLERR;
        return mask;
    }
    EventSource* event_source() override { return &source_; }
    void describe(TextSink sink) const override { sink("anon_inode:[eventfd]"); }
    void show_fdinfo(TextSink sink) const override { format_to(sink, "eventfd-count: {16x}\n", count_); }

private:
    [[nodiscard]] Blocking blocking() const { return is_nonblocking() ? Blocking::Refuse : Blocking::Wait; }
    Result<u64> take() {
        core::SpinGuard guard(lock_);
        if (count_ == 0) return error(Errno::EAGAIN);
        const u64 taken = mode_ == EventFdMode::Semaphore ? 1 : count_;
        count_ -= taken;
        return taken;
    }
    Result<void> add(u64 value) {
        core::SpinGuard guard(lock_);
        if (value > maximum - count_) return error(Errno::EAGAIN);
        count_ += value;
        return {};
    }

    core::SpinLock lock_;
    u64 count_;
    const EventFdMode mode_;
    EventSource source_;
};

} // namespace

Result<RefPtr<File>> create_eventfd(u32 initial, EventFdMode mode, u32 flags) {
    EventFd* file = new (std::nothrow) EventFd(anonymous_inode(), initial, mode, flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

} // namespace linnet::vfs
