// POSIX message queues as files: the directory, its entries, and what is charged for them.
#include "queue_file_system.hpp"

#include <abi/linux/fs.hpp>
#include <cstring>
#include <vfs/file.hpp>
#include <vfs/fs_context.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>

namespace linnet::ipc {

namespace {

using vfs::Inode;

constinit PosixQueueLimits the_limits;
constinit std::atomic<u64> queue_count{0};

constexpr u64 file_size = 80;     // what stat(2) says of a queue
constexpr u64 entry_size = 20;    // and what a name adds to the directory
constexpr u64 message_cost = 48;  // what Linux reckons for a message, and for a priority (getrlimit(2),
constexpr u64 priority_cost = 48; // RLIMIT_MSGQUEUE)
constexpr usize longest_name = 255;

} // namespace

PosixQueueLimits& posix_queue_limits() { return the_limits; }

// ---- charges ----

Result<QueueCharge> QueueCharge::claim(process::Thread& self, u64 messages, u64 bytes) {
    const bool is_privileged = self.own_credentials().has(vfs::Capability::SysResource);
    const u64 most_messages = is_privileged ? hard_most_messages : the_limits.most_messages.load();
    const u64 most_bytes = is_privileged ? hard_most_bytes : the_limits.most_bytes.load();
    if (messages == 0 || bytes == 0 || messages > most_messages || bytes > most_bytes) return error(Errno::EINVAL);
    const u64 cost = messages * (bytes + message_cost) + std::min<u64>(messages, abi::MQ_PRIO_MAX) * priority_cost;
    if (queue_count.fetch_add(1) >= the_limits.most_queues.load() && !is_privileged) {
        queue_count.fetch_sub(1);
        return error(Errno::ENOSPC);
    }
    QueueCharge charge(RefPtr<process::UserAccount>(self.account), cost);
    const u64 before = self.account->message_queue_bytes.fetch_add(cost);
    if (before + cost > self.process().limits.soft(abi::RLIMIT_MSGQUEUE)) return error(Errno::EMFILE);
    return charge;
}

QueueCharge::~QueueCharge() {
    if (!account_) return;
    account_->message_queue_bytes.fetch_sub(bytes_);
    queue_count.fetch_sub(1);
}

// ---- the open file ----

namespace {

class QueueFile final : public vfs::File {
public:
    QueueFile(const vfs::Path& path, u32 flags, QueueInode& inode)
        : File(path, flags, Positioning::Seekable), queue_(inode.queue) {}

    Result<usize> read(vfs::IoBuffer& to, u64 offset) override {
        char text[128];
        usize length = 0;
        queue_.describe([&](std::string_view piece) {
            const usize count = std::min(piece.size(), sizeof(text) - length);
            std::memcpy(text + length, piece.data(), count);
            length += count;
        });
        if (offset >= length) return 0;
        return to.copy_out({reinterpret_cast<const u8*>(text) + offset, length - offset});
    }
    u32 poll() override { return queue_.ready(); }
    vfs::EventSource* event_source() override { return &queue_.events; }
    const void* kind() const override { return &tag; }
    /// A process that closes one of its descriptors isn't told of messages any more.
    void on_descriptor_closed() override {
        if (process::Thread* thread = process::current_or_null()) queue_.stop_telling(*thread->process().record);
    }

    PosixQueue& queue() { return queue_; }
    [[nodiscard]] vfs::Blocking blocking() const {
        return is_nonblocking() ? vfs::Blocking::Refuse : vfs::Blocking::Wait;
    }
    static const char tag;

private:
    PosixQueue& queue_; // of the inode, which the file keeps
};
constexpr char QueueFile::tag = 0;

Result<QueueFile*> as_queue(vfs::File& file) {
    if (file.kind() != &QueueFile::tag) return error(Errno::EBADF);
    return static_cast<QueueFile*>(&file);
}

} // namespace

QueueInode::QueueInode(vfs::SuperBlock& superblock, u64 number, const vfs::CreateRequest& request, QueueCharge charge,
                       u64 messages, u64 bytes)
    : Inode(superblock, number, request.mode, request.uid, request.gid), queue(messages, bytes),
      charge_(std::move(charge)) {
    set_size(file_size);
}

Result<RefPtr<vfs::File>> QueueInode::open(const vfs::Path& path, u32 flags) {
    auto* file = new (std::nothrow) QueueFile(path, flags, *this);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<vfs::File>::adopt(*file);
}

// ---- the directory ----

QueueDirectory::QueueDirectory(vfs::SuperBlock& superblock, u64 number)
    : Inode(superblock, number, abi::S_IFDIR | abi::S_ISVTX | 0777, 0, 0), last_number_(number) {
    set_link_count(2);
    set_size(2 * entry_size);
}

QueueDirectory::~QueueDirectory() {
    while (Entry* entry = entries_.pop_front()) delete entry;
}

QueueDirectory::Entry* QueueDirectory::find(std::string_view name) {
    for (Entry& entry : entries_)
        if (entry.name() == name) return &entry;
    return nullptr;
}

Result<RefPtr<Inode>> QueueDirectory::lookup(std::string_view name) {
    Entry* entry = find(name);
    if (!entry) return error(Errno::ENOENT);
    return RefPtr<Inode>(*entry->inode);
}

Result<RefPtr<Inode>> QueueDirectory::make_queue(std::string_view name, const vfs::CreateRequest& request,
                                                 const std::optional<abi::mq_attr>& attributes) {
    u64 messages = std::min(the_limits.most_messages.load(), the_limits.default_messages.load());
    u64 bytes = std::min(the_limits.most_bytes.load(), the_limits.default_bytes.load());
    if (attributes) {
        if (attributes->mq_maxmsg <= 0 || attributes->mq_msgsize <= 0) return error(Errno::EINVAL);
        messages = static_cast<u64>(attributes->mq_maxmsg);
        bytes = static_cast<u64>(attributes->mq_msgsize);
    }
    QueueCharge charge = TRY(QueueCharge::claim(process::current(), messages, bytes));
    OwnPtr<Entry> entry = TRY(try_make<Entry>());
    auto* inode =
        new (std::nothrow) QueueInode(superblock(), ++last_number_, request, std::move(charge), messages, bytes);
    if (!inode) return error(Errno::ENOMEM);
    entry->inode = NullableRefPtr<QueueInode>::adopt(inode);
    entry->position = ++last_position_;
    entry->length = static_cast<u8>(name.size());
    std::memcpy(entry->text, name.data(), name.size());
    entries_.push_back(*entry.release());
    set_size(size() + entry_size);
    touch_modified();
    return RefPtr<Inode>(*inode);
}

/// open(2) with O_CREAT makes queues too.
Result<RefPtr<Inode>> QueueDirectory::create(std::string_view name, const vfs::CreateRequest& request) {
    if (!abi::S_ISREG(request.mode)) return error(Errno::EPERM);
    return make_queue(name, request, {});
}

Result<void> QueueDirectory::unlink(std::string_view name, Inode& victim) {
    Entry* entry = find(name);
    if (!entry) return error(Errno::ENOENT);
    entries_.remove(*entry);
    static_cast<QueueInode&>(victim).drop_name();
    delete entry;
    set_size(size() - entry_size);
    touch_modified();
    return {};
}

Result<void> QueueDirectory::read_directory(u64 position, vfs::DirectorySink sink) {
    for (const Entry& entry : entries_) {
        if (entry.position < position) continue;
        if (!sink({entry.name(), entry.inode->number(), abi::DT_REG, entry.position + 1})) break;
    }
    return {};
}

// ---- the instance ----

namespace {

class QueueSuperBlock final : public vfs::SuperBlock {
public:
    explicit QueueSuperBlock(vfs::FileSystemType& type) : SuperBlock(type, vfs::allocate_anonymous_device()) {}
    Result<void> create_root() {
        auto* root = new (std::nothrow) QueueDirectory(*this, 1);
        if (!root) return error(Errno::ENOMEM);
        return set_root(RefPtr<Inode>::adopt(*root));
    }
    Result<vfs::FileSystemStatistics> statistics() override {
        vfs::FileSystemStatistics result;
        result.magic = abi::MQUEUE_MAGIC;
        result.block_size = arch::page_size;
        return result;
    }
};

class QueueFileSystem final : public vfs::FileSystemType {
public:
    const char* name() const override { return "mqueue"; }
    Result<void> create() {
        auto* made = new (std::nothrow) QueueSuperBlock(*this);
        if (!made) return error(Errno::ENOMEM);
        superblock_ = NullableRefPtr<vfs::SuperBlock>::adopt(made);
        TRY(made->create_root());
        RefPtr<vfs::Mount> mount =
            TRY(vfs::Mount::create(RefPtr<vfs::SuperBlock>(superblock_), superblock_->root_reference(), "mqueue", 0));
        root_ = new (std::nothrow) vfs::Path(std::move(mount), superblock_->root_reference());
        if (!root_) return error(Errno::ENOMEM);
        return vfs::register_file_system(*this);
    }
    Result<RefPtr<vfs::SuperBlock>> mount(const vfs::MountSource&) override {
        return RefPtr<vfs::SuperBlock>(superblock_);
    }
    /// As mq_open(3) sees it, mounted or not.
    const vfs::Path& root() const { return *root_; }
    QueueDirectory& directory() const { return static_cast<QueueDirectory&>(*root_->inode()); }

private:
    NullableRefPtr<vfs::SuperBlock> superblock_;
    const vfs::Path* root_ = nullptr;
};

[[clang::no_destroy]] constinit QueueFileSystem the_file_system;

/// A name as mq_open(2) takes it: without the slash that mq_open(3) wants.
Result<void> check_name(std::string_view name) {
    if (name.empty()) return error(Errno::ENOENT);
    if (name == "." || name == ".." || name.contains('/')) return error(Errno::EACCES);
    if (name.size() > longest_name) return error(Errno::ENAMETOOLONG);
    return {};
}

struct Found {
    RefPtr<vfs::Dentry> dentry;
    bool is_new;
};
Result<Found> find_or_make_queue(process::Thread& self, std::string_view name, u32 flags, u32 mode,
                                 const std::optional<abi::mq_attr>& attributes) {
    QueueDirectory& directory = the_file_system.directory();
    const vfs::Credentials& who = self.own_credentials();
    core::WriteGuard guard(directory.lock);
    RefPtr<vfs::Dentry> dentry =
        TRY(vfs::DentryCache::find_or_load_locked(*the_file_system.root().dentry, name, vfs::NameHash::of(name)));
    if (dentry->inode()) return Found{std::move(dentry), false};
    if (!(flags & abi::O_CREAT)) return error(Errno::ENOENT);
    TRY(directory.check_permission(vfs::may_write | vfs::may_execute, who));
    vfs::CreateRequest request;
    request.mode = abi::S_IFREG | (mode & abi::S_IALLUGO & ~self.own_fs().umask());
    request.uid = who.fsuid;
    request.gid = who.fsgid;
    vfs::DentryCache::instantiate(dentry, TRY(directory.make_queue(name, request, attributes)));
    return Found{std::move(dentry), true};
}

} // namespace

Result<void> initialise_queue_file_system() { return the_file_system.create(); }

// ---- the calls ----

Result<RefPtr<vfs::File>> open_posix_queue(process::Thread& self, std::string_view name, u32 flags, u32 mode,
                                           const std::optional<abi::mq_attr>& attributes) {
    TRY(check_name(name));
    Found found = TRY(find_or_make_queue(self, name, flags, mode, attributes));
    Inode& inode = *found.dentry->inode();
    if (!found.is_new) {
        if ((flags & abi::O_CREAT) && (flags & abi::O_EXCL)) return error(Errno::EEXIST);
        const u32 access = flags & abi::O_ACCMODE;
        if (access == abi::O_ACCMODE) return error(Errno::EINVAL);
        constexpr u32 wanted[] = {vfs::may_read, vfs::may_write, vfs::may_read | vfs::may_write};
        TRY(inode.check_permission(wanted[access], self.own_credentials()));
    }
    const vfs::Path path(RefPtr<vfs::Mount>(the_file_system.root().mount), std::move(found.dentry));
    return inode.open(path, flags);
}

Result<void> unlink_posix_queue(std::string_view name) {
    TRY(check_name(name));
    return vfs::unlink(&the_file_system.root(), name);
}

Result<void> send_posix(process::Thread& self, vfs::File& file, mm::UserSpan text, u32 priority,
                        core::Deadline deadline) {
    QueueFile* queue_file = TRY(as_queue(file));
    if (!file.is_writable()) return error(Errno::EBADF);
    PosixQueue& queue = queue_file->queue();
    if (text.size() > queue.most_bytes()) return error(Errno::EMSGSIZE);
    std::unique_ptr<Message> message = TRY(Message::copy_in(text));
    message->type = priority;
    return queue.send(self, std::move(message), queue_file->blocking(), deadline);
}

Result<usize> receive_posix(process::Thread& self, vfs::File& file, mm::UserSpan room,
                            mm::UserPtr<mm::Out, u32> priority, core::Deadline deadline) {
    QueueFile* queue_file = TRY(as_queue(file));
    if (!file.is_readable()) return error(Errno::EBADF);
    PosixQueue& queue = queue_file->queue();
    if (room.size() < queue.most_bytes()) return error(Errno::EMSGSIZE);
    std::unique_ptr<Message> message = TRY(queue.receive(self, queue_file->blocking(), deadline));
    if (priority) TRY(priority.copy_out(static_cast<u32>(message->type)));
    TRY(room.sub(0, message->size()).copy_out(message->bytes()));
    return message->size();
}

Result<void> notify_posix(process::Thread& self, vfs::File& file, const abi::sigevent* event,
                          OwnPtr<Messenger> messenger) {
    PosixQueue& queue = TRY(as_queue(file))->queue();
    if (event) return queue.tell(self.process(), *event, std::move(messenger));
    queue.stop_telling(*self.process().record);
    return {};
}

Result<abi::mq_attr> exchange_posix_attributes(vfs::File& file, const abi::mq_attr* fresh) {
    PosixQueue& queue = TRY(as_queue(file))->queue();
    abi::mq_attr attributes{};
    const u32 flags = file.status_flags();
    attributes.mq_flags = flags & abi::O_NONBLOCK;
    attributes.mq_maxmsg = static_cast<i64>(queue.most_messages());
    attributes.mq_msgsize = static_cast<i64>(queue.most_bytes());
    attributes.mq_curmsgs = static_cast<i64>(queue.count());
    if (fresh) file.set_status_flags((flags & ~u32{abi::O_NONBLOCK}) | static_cast<u32>(fresh->mq_flags));
    return attributes;
}

} // namespace linnet::ipc
