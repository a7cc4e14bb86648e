// epoll(7). A callback puts an item on the ready list; epoll_wait takes items off it, asks the file itself
// what is true, and puts level-triggered ones back behind the others, so that no file starves another.
#include <vfs/epoll.hpp>
#include <vfs/file_owner.hpp>
#include <vfs/leases.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

using namespace abi;

namespace {

/// Guards the relation between files and the instances that watch them.
constinit core::Mutex epoll_tree_lock;

/// Bits that are modes, not events.
constexpr u32 mode_bits = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;
/// What may stand beside EPOLLEXCLUSIVE (epoll_ctl(2)).
constexpr u32 exclusive_allowed =
    POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/// Instances may watch instances so deep.
constexpr u32 max_depth = 5;

} // namespace

Result<RefPtr<EpollFile>> EpollFile::create(u32 flags) {
    EpollFile* file = new (std::nothrow) EpollFile(anonymous_inode(), O_RDWR | flags);
    if (!file) return error(Errno::ENOMEM);
    return adopt_ref(*file);
}

EpollFile::~EpollFile() {
    core::MutexGuard tree_guard(epoll_tree_lock);
    core::MutexGuard guard(mutex_);
    while (!items_.empty()) remove(*items_.begin());
}

void File::last_reference_dropped() {
    tell_watches(*this, is_writable() ? abi::IN_CLOSE_WRITE : abi::IN_CLOSE_NOWRITE);
    if (epoll_items.load(std::memory_order_acquire)) EpollFile::forget(*this);
    if (Leases* leases = inode().existing_leases()) leases->forget(*this); // before their owner goes
    if (signal_owner.load(std::memory_order_acquire)) forget_owner(*this);
    delete this;
}

void EpollFile::forget(File& file) {
    core::MutexGuard tree_guard(epoll_tree_lock);
    while (EpollItem* item = file.epoll_items.load(std::memory_order_relaxed)) {
        core::MutexGuard guard(item->owner.mutex_);
        item->owner.remove(*item);
    }
}

EpollItem* EpollFile::find(File& file, int fd) {
    auto found = items_.find(EpollItem::Key{&file, fd});
    return found == items_.end() ? nullptr : &*found;
}

const File* EpollFile::find_watched(int fd, u32 position) {
    core::MutexGuard guard(mutex_);
    for (const EpollItem& item : items_)
        if (item.key.fd == fd && position-- == 0) return &item.file;
    return nullptr;
}

/// How deep the instances below `from` nest; more than max_depth when `sought` is among them.
u32 EpollFile::depth_below(EpollFile& from, const EpollFile& sought, u32 depth) {
    if (&from == &sought || depth > max_depth) return max_depth + 1;
    u32 deepest = depth;
    core::MutexGuard guard(from.mutex_);
    for (EpollItem& item : from.items_)
        if (EpollFile* below = item.file.as_epoll())
            deepest = std::max(deepest, depth_below(*below, sought, depth + 1));
    return deepest;
}

/// How many instances watch `file`, one above the other.
u32 EpollFile::depth_above(const File& file) {
    u32 deepest = 0;
    for (EpollItem* item = file.epoll_items.load(); item; item = item->next_of_file)
        deepest = std::max(deepest, 1 + depth_above(item->owner));
    return deepest;
}

Result<void> EpollFile::control(int operation, int fd, File& file, const epoll_event& event) {
    if (!file.event_source()) return error(Errno::EPERM);
    if (&file == this) return error(Errno::EINVAL);
    if (operation != EPOLL_CTL_DEL && (event.events & EPOLLEXCLUSIVE)) {
        if (operation == EPOLL_CTL_MOD || file.as_epoll() || (event.events & ~exclusive_allowed))
            return error(Errno::EINVAL);
    }
    core::MutexGuard tree_guard(epoll_tree_lock);
    EpollFile* nested = file.as_epoll();
    if (operation == EPOLL_CTL_ADD && nested && depth_below(*nested, *this, 1) + depth_above(*this) >= max_depth)
        return error(Errno::ELOOP);
    core::MutexGuard guard(mutex_);
    EpollItem* item = find(file, fd);
    switch (operation) {
    case EPOLL_CTL_ADD:
        if (item) return error(Errno::EEXIST);
        return add(fd, file, event);
    case EPOLL_CTL_MOD:
        if (!item) return error(Errno::ENOENT);
        return modify(*item, event);
    case EPOLL_CTL_DEL:
        if (!item) return error(Errno::ENOENT);
        remove(*item);
        return {};
    default:
        return error(Errno::EINVAL);
    }
}

Result<void> EpollFile::add(int fd, File& file, const epoll_event& event) {
    EpollItem* item = new (std::nothrow) EpollItem(*this, file, fd);
    if (!item) return error(Errno::ENOMEM);
    item->events = event.events | events_always_reported;
    item->data = event.data;
    items_.insert(*item);
    item->next_of_file = file.epoll_items.load(std::memory_order_relaxed);
    file.epoll_items.store(item, std::memory_order_release);
    item->waiter.item = item;
    item->waiter.exclusive = false;
    item->waiter.events = ~0u; // the callback looks at item->events, which EPOLL_CTL_MOD changes
    item->waiter.callback = on_event;
    file.event_source()->add(item->waiter);
    if (file.poll() & item->events & ~mode_bits) mark_ready(*item);
    return {};
}

Result<void> EpollFile::modify(EpollItem& item, const epoll_event& event) {
    if (item.events & EPOLLEXCLUSIVE) return error(Errno::EINVAL);
    __atomic_store_n(&item.events, event.events | events_always_reported, __ATOMIC_SEQ_CST);
    item.data = event.data;
    if (item.file.poll() & item.events & ~mode_bits) mark_ready(item);
    return {};
}

/// epoll_tree_lock and mutex_ held.
void EpollFile::remove(EpollItem& item) {
    item.file.event_source()->remove(item.waiter);
    {
        core::InterruptSpinGuard guard(ready_lock_);
        if (item.ready_node.is_linked()) item.ready_node.unlink(), --ready_count_;
    }
    items_.erase(items_.iterator_to(item));
    if (item.file.epoll_items.load(std::memory_order_relaxed) == &item) {
        item.file.epoll_items.store(item.next_of_file, std::memory_order_release);
    } else {
        EpollItem* before = item.file.epoll_items.load(std::memory_order_relaxed);
        while (before->next_of_file != &item) before = before->next_of_file;
        before->next_of_file = item.next_of_file;
    }
    delete &item;
}

void EpollFile::on_event(core::WaitQueue::Waiter& waiter, u32 events) {
    EpollItem& item = *static_cast<EpollItem::Waiter&>(waiter).item;
    if (__atomic_load_n(&item.events, __ATOMIC_SEQ_CST) & events & ~mode_bits) item.owner.mark_ready(item);
}

void EpollFile::mark_ready(EpollItem& item) {
    {
        core::InterruptSpinGuard guard(ready_lock_);
        // After EPOLLONESHOT has fired only the modes are left.
        if ((item.events & ~mode_bits) == 0) return;
        if (!item.ready_node.is_linked()) ready_.push_back(item), ++ready_count_;
    }
    source_.notify(POLLIN | POLLRDNORM);
}

EpollItem* EpollFile::take_ready() {
    core::InterruptSpinGuard guard(ready_lock_);
    EpollItem* item = ready_.pop_front();
    if (item) --ready_count_;
    return item;
}

/// False when the item turned out not to be ready. Its file may have lost its last reference and wait in
/// forget() for our lock; it is whole until then, so it may be asked, but not referred to.
Result<bool> EpollFile::deliver_one(EpollItem& item, usize index,
                                    FunctionRef<Result<void>(usize, epoll_event)> deliver) {
    const u32 now = item.file.poll() & item.events & ~mode_bits;
    if (now == 0) return false;
    Result<void> delivered = deliver(index, epoll_event{now, item.data});
    if (!delivered || !(item.events & (EPOLLET | EPOLLONESHOT))) {
        core::InterruptSpinGuard guard(ready_lock_);
        if (!item.ready_node.is_linked()) ready_.push_back(item), ++ready_count_;
    }
    if (!delivered) return error(delivered.error());
    if (item.events & EPOLLONESHOT) __atomic_and_fetch(&item.events, mode_bits, __ATOMIC_SEQ_CST);
    return true;
}

Result<usize> EpollFile::collect(usize limit, FunctionRef<Result<void>(usize, epoll_event)> deliver) {
    core::MutexGuard guard(mutex_);
    usize candidates;
    {
        core::InterruptSpinGuard ready_guard(ready_lock_);
        candidates = ready_count_;
    }
    usize count = 0;
    for (; candidates > 0 && count < limit; --candidates) {
        EpollItem* item = take_ready();
        if (!item) break;
        Result<bool> delivered = deliver_one(*item, count, deliver);
        if (!delivered) {
            if (count > 0) break;
            return error(delivered.error());
        }
        if (*delivered) ++count;
    }
    if (count == 0) return error(Errno::EAGAIN);
    return count;
}

Result<usize> EpollFile::wait(usize limit, core::Deadline deadline,
                              FunctionRef<Result<void>(usize, epoll_event)> deliver) {
    Result<usize> result =
        try_then_wait(source_, POLLIN, Blocking::Wait, deadline, [&] { return collect(limit, deliver); });
    if (!result && result.error() == Errno::EAGAIN) return 0;
    if (!result && result.error() == Errno::RestartIfRequested) return error(Errno::EINTR);
    return result;
}

u32 EpollFile::poll() {
    core::MutexGuard guard(mutex_);
    usize candidates;
    {
        core::InterruptSpinGuard ready_guard(ready_lock_);
        candidates = ready_count_;
    }
    for (; candidates > 0; --candidates) {
        EpollItem* item = take_ready();
        if (!item) break;
        if (item->file.poll() & item->events & ~mode_bits) {
            core::InterruptSpinGuard ready_guard(ready_lock_);
            if (!item->ready_node.is_linked()) ready_.push_front(*item), ++ready_count_;
            return POLLIN | POLLRDNORM;
        }
    }
    return 0;
}

void EpollFile::show_fdinfo(TextSink sink) const {
    core::MutexGuard guard(mutex_);
    auto& items = const_cast<EpollFile*>(this)->items_;
    for (EpollItem& item : items)
        format_to(sink, "tfd: {8} events: {8x} data: {16x}  pos:{} ino:{x} sdev:{x}\n", item.key.fd, item.events,
                  item.data, item.file.position, item.file.inode_number(), item.file.device_number());
}

} // namespace linnet::vfs
