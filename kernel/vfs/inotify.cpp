// inotify(7). An instance has a queue of events and a set of watches by their descriptors; watches.hpp says when a
// watch is told of something and how it ends.
//
// Locks: the lock of all watches guards the set; queue_lock_ is a leaf.
#include <vfs/inotify.hpp>

#include <abi/linux/termios.hpp>

#include <algorithm>
#include <arch/page.hpp>
#include <cstring>
#include <lib/intrusive_tree.hpp>
#include <mm/statistics.hpp>
#include <mm/usercopy.hpp>
#include <vfs/identity.hpp>
#include <vfs/superblock.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

using namespace abi;

namespace {

constexpr u32 mode_flags = IN_EXCL_UNLINK | IN_ONESHOT;

/// One event as it waits to be read; the name lies behind it.
struct QueuedEvent {
    ListNode node;
    inotify_event header;
    u16 name_length = 0;

    /// Null when there is no memory for it.
    static QueuedEvent* create(const inotify_event& header, std::string_view name) {
        void* room = ::operator new(sizeof(QueuedEvent) + name.size(), std::nothrow);
        if (!room) return nullptr;
        auto* event = new (room) QueuedEvent{.node = {}, .header = header, .name_length = 0};
        event->name_length = static_cast<u16>(name.size());
        std::memcpy(event + 1, name.data(), name.size());
        // A name is followed by zeroes up to where the next event's header may begin, and by one at least.
        if (!name.empty()) event->header.len = static_cast<u32>((name.size() / sizeof header + 1) * sizeof header);
        return event;
    }
    static void destroy(QueuedEvent* event) { ::operator delete(event); }
    [[nodiscard]] std::string_view name() const { return {reinterpret_cast<const char*>(this + 1), name_length}; }
    [[nodiscard]] usize size() const { return sizeof header + header.len; }
    [[nodiscard]] bool says_the_same(const QueuedEvent& other) const {
        return std::memcmp(&header, &other.header, sizeof header) == 0 && name() == other.name();
    }
};

class Inotify;

class InotifyWatch final : public Watch {
public:
    InotifyWatch(RefPtr<Inode> inode, u32 mask, RefPtr<Inotify> owner, i32 descriptor)
        : Watch(std::move(inode), owner.get(), mask & IN_ALL_EVENTS), descriptor(descriptor), owner(std::move(owner)),
          mode(mask & mode_flags) {}
    bool happened(const WatchEvent& event) override;
    void ended(WatchEnd why, const Inode& watched) override;

    const i32 descriptor;
    const RefPtr<Inotify> owner;
    std::atomic<u32> mode; // IN_EXCL_UNLINK, IN_ONESHOT
    TreeNode of_instance;
    struct Key {
        using type = i32;
        i32 operator()(const InotifyWatch& watch) const { return watch.descriptor; }
    };
};

/// What outlives the descriptor as long as watches end.
class Inotify : public RefCounted<Inotify> {
public:
    static Result<RefPtr<Inotify>> create();
    ~Inotify();

    /// To the end of the queue, unless the same is there already.
    void queue(const inotify_event& header, std::string_view name);
    /// Moves what fits; EAGAIN when nothing waits, EINVAL when the first doesn't fit.
    Result<usize> read(IoBuffer& to);
    [[nodiscard]] bool has_events();
    [[nodiscard]] usize queued_bytes();

    Result<i32> watch(const Path& path, u32 mask);
    Result<void> remove(i32 descriptor);
    void remove_all();
    void forget(InotifyWatch& watch);
    void show(TextSink sink);

    EventSource source;

private:
    Inotify(RefPtr<UserCharge> user, QueuedEvent* overflow) : user_(std::move(user)), overflow_(overflow) {}
    void push(QueuedEvent& event);
    void queue_overflow();
    NullableRefPtr<InotifyWatch> first_from(i32 descriptor);
    Result<void> charge_watch();

    const RefPtr<UserCharge> user_;
    IntrusiveTree<InotifyWatch, &InotifyWatch::of_instance, InotifyWatch::Key> watches_; // the lock of all watches
    i32 last_descriptor_ = 0;
    core::Mutex reading_;
    core::SpinLock queue_lock_;
    IntrusiveList<QueuedEvent, &QueuedEvent::node> queue_;
    QueuedEvent* last_ = nullptr; // of the queue; null when it is empty
    u64 length_ = 0;
    QueuedEvent* const overflow_; // made at the start, for when nothing can be made any more
    bool has_overflowed_ = false; // it is in the queue
};

// ---- watches ----

bool InotifyWatch::happened(const WatchEvent& event) {
    const u32 now = mode.load(std::memory_order_relaxed);
    if (event.is_about_unlinked_name && (now & IN_EXCL_UNLINK)) return false;
    // By these a watched directory is meant in any case.
    const bool is_told_apart = event.is_about_directory && !(event.bits & (IN_MOVE_SELF | IN_DELETE_SELF));
    owner->queue(
        {.wd = descriptor, .mask = event.bits | (is_told_apart ? IN_ISDIR : 0), .cookie = event.cookie, .len = 0},
        event.name);
    return (now & IN_ONESHOT) != 0;
}

void InotifyWatch::ended(WatchEnd why, const Inode& watched) {
    if (why == WatchEnd::Unmounted) {
        const u32 mask = IN_UNMOUNT | (watched.is_directory() ? IN_ISDIR : 0);
        owner->queue({.wd = descriptor, .mask = mask, .cookie = 0, .len = 0}, {});
    }
    owner->queue({.wd = descriptor, .mask = IN_IGNORED, .cookie = 0, .len = 0}, {});
    owner->forget(*this);
}

// ---- the queue ----

Result<RefPtr<Inotify>> Inotify::create() {
    NullableRefPtr<UserCharge> user = current_user_charge();
    VERIFY(user); // kernel threads watch nothing
    if (user->inotify_instances.fetch_add(1) >= inotify_limits().instances.load()) {
        user->inotify_instances.fetch_sub(1);
        return error(Errno::EMFILE);
    }
    QueuedEvent* overflow = QueuedEvent::create({.wd = -1, .mask = IN_Q_OVERFLOW, .cookie = 0, .len = 0}, {});
    auto* instance = overflow ? new (std::nothrow) Inotify(RefPtr<UserCharge>(*user), overflow) : nullptr;
    if (!instance) {
        QueuedEvent::destroy(overflow);
        user->inotify_instances.fetch_sub(1);
        return error(Errno::ENOMEM);
    }
    return adopt_ref(*instance);
}

Inotify::~Inotify() {
    while (QueuedEvent* event = queue_.pop_front())
        if (event != overflow_) QueuedEvent::destroy(event);
    QueuedEvent::destroy(overflow_);
    user_->inotify_instances.fetch_sub(1);
}

void Inotify::queue(const inotify_event& header, std::string_view name) {
    QueuedEvent* fresh = QueuedEvent::create(header, name);
    {
        core::SpinGuard guard(queue_lock_);
        if (!fresh || length_ >= inotify_limits().queued_events.load(std::memory_order_relaxed))
            queue_overflow();
        else if (!last_ || !last_->says_the_same(*fresh))
            push(*std::exchange(fresh, nullptr));
    }
    QueuedEvent::destroy(fresh); // what did not get in
    source.notify(POLLIN | POLLRDNORM);
}

void Inotify::push(QueuedEvent& event) {
    queue_.push_back(event);
    last_ = &event;
    ++length_;
}

void Inotify::queue_overflow() {
    if (!std::exchange(has_overflowed_, true)) push(*overflow_);
}

Result<usize> Inotify::read(IoBuffer& to) {
    core::MutexGuard one_reader(reading_);
    const usize before = to.done();
    auto done = [&] { return to.done() - before; };
    usize whole = 0; // up to the end of the last event
    for (;;) {
        QueuedEvent* event;
        {
            core::SpinGuard guard(queue_lock_);
            event = queue_.first();
            if (event == last_) last_ = nullptr; // what comes now is not merged into what is being copied
        }
        if (!event && whole == 0) return error(Errno::EAGAIN);
        if (!event) return whole;
        if (event->size() > to.remaining() && whole == 0) return error(Errno::EINVAL);
        if (event->size() > to.remaining()) return whole;
        // An event leaves the queue only once it has been copied.
        const std::span<const u8> header(reinterpret_cast<const u8*>(&event->header), sizeof event->header);
        const std::span<const u8> name(reinterpret_cast<const u8*>(event->name().data()), event->name_length);
        const bool is_copied =
            to.copy_out(header).value_or(0) == header.size() && to.copy_out(name).value_or(0) == name.size() &&
            to.zero_out(event->header.len - name.size()).value_or(0) == event->header.len - name.size();
        if (!is_copied && whole == 0) return error(Errno::EFAULT);
        if (!is_copied) return whole;
        whole = done();
        {
            core::SpinGuard guard(queue_lock_);
            queue_.remove(*event);
            --length_;
            if (event == overflow_) has_overflowed_ = false;
        }
        if (event != overflow_) QueuedEvent::destroy(event);
    }
}

bool Inotify::has_events() {
    core::SpinGuard guard(queue_lock_);
    return length_ > 0;
}

usize Inotify::queued_bytes() {
    core::SpinGuard guard(queue_lock_);
    usize sum = 0;
    for (const QueuedEvent& event : queue_) sum += event.size();
    return sum;
}

// ---- the set of watches ----

Result<void> Inotify::charge_watch() {
    if (user_->inotify_watches.fetch_add(1) < inotify_limits().watches.load()) return {};
    user_->inotify_watches.fetch_sub(1);
    return error(Errno::ENOSPC);
}

Result<i32> Inotify::watch(const Path& path, u32 mask) {
    Inode& inode = *path.inode();
    core::MutexGuard guard(WatchTable::lock());
    if (Watch* known = WatchTable::find(inode, this)) {
        if (mask & IN_MASK_CREATE) return error(Errno::EEXIST);
        auto& ours = static_cast<InotifyWatch&>(*known);
        const bool adds = (mask & IN_MASK_ADD) != 0;
        ours.mode.store((mask & mode_flags) | (adds ? ours.mode.load() : 0));
        WatchTable::set_wanted(ours, (mask & IN_ALL_EVENTS) | (adds ? ours.wanted() : 0));
        return ours.descriptor;
    }
    if (last_descriptor_ == INT32_MAX) return error(Errno::ENOSPC); // numbers are not used twice
    TRY(charge_watch());
    auto* fresh =
        new (std::nothrow) InotifyWatch(RefPtr<Inode>(inode), mask, RefPtr<Inotify>(*this), last_descriptor_ + 1);
    if (!fresh) {
        user_->inotify_watches.fetch_sub(1);
        return error(Errno::ENOMEM);
    }
    const RefPtr<InotifyWatch> kept = adopt_ref(*fresh);
    if (auto added = WatchTable::add(*fresh); !added) {
        user_->inotify_watches.fetch_sub(1);
        return error(added.error());
    }
    watches_.insert(*fresh);
    return ++last_descriptor_;
}

/// The watch of that descriptor, or of the next higher one; null when there is none.
NullableRefPtr<InotifyWatch> Inotify::first_from(i32 descriptor) {
    core::MutexGuard guard(WatchTable::lock());
    auto found = watches_.lower_bound(descriptor);
    return NullableRefPtr<InotifyWatch>(found == watches_.end() ? nullptr : &*found);
}

Result<void> Inotify::remove(i32 descriptor) {
    NullableRefPtr<InotifyWatch> watch = first_from(descriptor);
    if (!watch || watch->descriptor != descriptor) return error(Errno::EINVAL);
    WatchTable::end(*watch);
    return {};
}

/// But for those whose file system is just being unmounted, which end by that.
void Inotify::remove_all() {
    i32 next = 1;
    while (NullableRefPtr<InotifyWatch> watch = first_from(next)) {
        WatchTable::end(*watch);
        if (watch->descriptor == INT32_MAX) break;
        next = watch->descriptor + 1;
    }
}

/// A watch has ended. The lock of all watches is held.
void Inotify::forget(InotifyWatch& watch) {
    watches_.erase(watches_.iterator_to(watch));
    user_->inotify_watches.fetch_sub(1);
}

void Inotify::show(TextSink sink) {
    core::MutexGuard guard(WatchTable::lock());
    for (const InotifyWatch& watch : watches_) {
        const DeviceNumber device = watch.inode()->superblock().device();
        format_to(sink, "inotify wd:{x} ino:{x} sdev:{x} mask:{x} ignored_mask:0\n", watch.descriptor,
                  watch.inode()->number(), device.major << 20 | device.minor, watch.wanted() | watch.mode.load());
    }
}

// ---- the descriptor ----

constexpr char kind_of_inotify = 0;

class InotifyFile final : public File {
public:
    InotifyFile(RefPtr<Inode> inode, RefPtr<Inotify> instance, u32 flags)
        : File(std::move(inode), O_RDONLY | flags, Positioning::Stream), instance(std::move(instance)) {}
    ~InotifyFile() override { instance->remove_all(); }

    Result<usize> read(IoBuffer& to, u64) override {
        return try_then_wait(instance->source, POLLIN, is_nonblocking() ? Blocking::Refuse : Blocking::Wait,
                             [&] { return instance->read(to); });
    }
    Result<long> ioctl(u32 command, u64 argument) override {
        if (command != FIONREAD) return error(Errno::ENOTTY);
        const auto bytes = static_cast<i32>(instance->queued_bytes());
        TRY((mm::UserPtr<mm::Out, i32>(VirtAddr{argument}).copy_out(bytes)));
        return 0;
    }
    u32 poll() override { return instance->has_events() ? POLLIN | POLLRDNORM : 0; }
    EventSource* event_source() override { return &instance->source; }
    EventSource* async_source() override { return &instance->source; }
    void describe(TextSink sink) const override { sink("anon_inode:inotify"); }
    void show_fdinfo(TextSink sink) const override { instance->show(sink); }
    [[nodiscard]] const void* kind() const override { return &kind_of_inotify; }

    const RefPtr<Inotify> instance;
};

Result<Inotify*> instance_of(File& file) {
    if (file.kind() != &kind_of_inotify) return error(Errno::EINVAL);
    return static_cast<InotifyFile&>(file).instance.get();
}

} // namespace

InotifyLimits& inotify_limits() {
    constinit static InotifyLimits limits;
    return limits;
}

void set_inotify_limits() {
    // As many as a hundredth of RAM takes, with the inodes that they keep.
    constexpr u64 cost = 1024, least = 8192, most = 1 << 20;
    const u64 bytes = mm::memory_statistics().total << arch::page_shift;
    inotify_limits().watches = std::clamp(bytes / 100 / cost, least, most);
}

Result<RefPtr<File>> create_inotify(u32 flags) {
    RefPtr<Inotify> instance = TRY(Inotify::create());
    auto* file = new (std::nothrow) InotifyFile(anonymous_inode(), std::move(instance), flags);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

Result<void> check_inotify(File& file) {
    TRY(instance_of(file));
    return {};
}

Result<i32> add_inotify_watch(File& file, const Path& path, u32 mask) {
    return TRY(instance_of(file))->watch(path, mask);
}

Result<void> remove_inotify_watch(File& file, i32 descriptor) { return TRY(instance_of(file))->remove(descriptor); }

} // namespace linnet::vfs
